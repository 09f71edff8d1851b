"""What a PACS user opens: the report as an encapsulated PDF, and its first page as a secondary capture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage, SecondaryCaptureImageStorage

from vesalius.core.code import Code
from vesalius.core.errors import ImageContentError
from vesalius.io.dicom import compose
from vesalius.io.dicom.compose import ObjectLabel, Origin, SeriesLabel

PDF_SERIES_NUMBER = 930
CAPTURE_SERIES_NUMBER = 940
_REPORT = Code("18748-4", "LN", "Diagnostic imaging study")


@dataclass(frozen=True)
class Page:
    """What a document is called and says of itself.

    Args:
        title: document title in the language of the document.
        language: "en", "zh" ...; part of the stable name.
        number: instance number; several languages are instances of one series.
        shows_identity: the patient's identity is drawn into the page.
    """

    title: str
    language: str
    number: int = 1
    shows_identity: bool = False


def encapsulated_pdf(pdf: bytes, page: Page, headers: Sequence[Dataset] | None, *, origin: Origin) -> Dataset:
    """Return a PDF as a DICOM object with the patient and study of the source, whose instances it references.

    Raises:
        ImageContentError: the bytes are not a PDF.
    """
    if not pdf.startswith(b"%PDF-"):
        raise ImageContentError("not a PDF", found=f"{len(pdf)} bytes that begin otherwise", expected="%PDF-")
    series = SeriesLabel("DOC", PDF_SERIES_NUMBER, f"{origin.application}: report", "report")
    dataset = Dataset()
    compose.begin(
        dataset, ObjectLabel(EncapsulatedPDFStorage, f"report {page.language}", series, page.number), headers, origin
    )
    dataset.ConversionType = "WSD"
    _dates(dataset)
    dataset.BurnedInAnnotation = "YES" if page.shows_identity else "NO"
    compose.put(dataset, "DocumentTitle", f"{page.title}. {origin.notice}")
    dataset.ConceptNameCodeSequence = [compose.code_item(_REPORT)]
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    dataset.EncapsulatedDocumentLength = len(pdf)
    del dataset.Laterality
    if headers:
        dataset.SourceInstanceSequence = [compose.instance_reference(header) for header in headers]
    return dataset


def secondary_capture(
    picture: NDArray[np.uint8], page: Page, headers: Sequence[Dataset] | None, *, origin: Origin
) -> Dataset:
    """Return a page as an RGB secondary capture with the patient and study of the source.

    Args:
        picture: [row, column, 3], 0..255.

    Raises:
        ImageContentError: not an RGB picture of bytes.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ImageContentError(
            "a secondary capture is an RGB picture",
            found=f"{picture.shape} {picture.dtype}",
            expected="[row, column, 3] of uint8",
        )
    series = SeriesLabel("OT", CAPTURE_SERIES_NUMBER, f"{origin.application}: page one", "capture")
    label = ObjectLabel(SecondaryCaptureImageStorage, f"capture {page.language}", series, page.number)
    dataset = Dataset()
    compose.begin(dataset, label, headers, origin)
    _dates(dataset)
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.PatientOrientation = ""
    dataset.BurnedInAnnotation = "YES" if page.shows_identity else "NO"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.ImageComments = f"{page.title}. {origin.notice}"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.Rows, dataset.Columns = picture.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    pixels = np.ascontiguousarray(picture).tobytes()
    dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
    if headers:
        dataset.SourceImageSequence = [compose.instance_reference(header) for header in headers]
        dataset.ReferencedSeriesSequence = compose.referenced_series(headers)
    return dataset


def _dates(dataset: Dataset) -> None:
    """Set the dates that must be there, if empty."""
    for keyword in ("ContentDate", "ContentTime", "AcquisitionDateTime"):
        if keyword not in dataset:
            setattr(dataset, keyword, None)
