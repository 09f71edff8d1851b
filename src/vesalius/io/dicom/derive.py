"""A volume as a series of single-frame DICOM images, marked as derived."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage
from pydicom.valuerep import format_number_as_ds

from vesalius.core.code import Code
from vesalius.core.errors import GeometryError, ImageContentError, UnsupportedError
from vesalius.core.grid import Frame
from vesalius.core.volume import Volume
from vesalius.io.dicom import compose, placing
from vesalius.io.dicom.compose import ObjectLabel, Origin, SeriesLabel, UidSource

SOP_CLASSES = {"MR": MRImageStorage, "CT": CTImageStorage, "PT": PositronEmissionTomographyImageStorage}
"""What can be written; a volume that does not tell its modality becomes MR."""

SERIES_NUMBER = 900
_PURPOSE = Code("121322", "DCM", "Source image for image processing operation")
_COMMON = compose.words(
    "Laterality PatientPosition PositionReferenceIndicator BodyPartExamined  ProtocolName ContrastBolusAgent"
)
_MR = compose.words(
    "ScanningSequence SequenceVariant ScanOptions MRAcquisitionType RepetitionTime EchoTime InversionTime "
    "EchoTrainLength FlipAngle MagneticFieldStrength SequenceName"
)
_CT = compose.words("ScanOptions KVP ConvolutionKernel AcquisitionNumber")
_PT = compose.words(
    "SeriesDate SeriesTime AcquisitionDate AcquisitionTime CountsSource CorrectedImage DecayCorrection "
    "CollimatorType Units FrameReferenceTime ActualFrameDuration"
)
_PAIRED = compose.words(
    "ANKLE ARM BREAST CALCANEUS CLAVICLE EAR ELBOW EXTREMITY EYE FEMUR FINGER FOOT FOREARM HAND HIP HUMERUS KIDNEY "
    "KNEE LEG LOWERLEG RADIUS SCAPULA SHOULDER THIGH THUMB TIBIA TOE ULNA WRIST ZYGOMA"
)
_PAIRED.append("")
"""Body parts with a left and a right one (PS3.16 Annex L), and the unknown one."""
_NO_DATE, _NO_TIME = "19000101", "000000"
"""A PET series must have a date (PS3.3 C.8.9.1); this one stands for none."""


@dataclass(frozen=True)
class StoredForm:
    """How voxels become integers: value = slope x stored + intercept, off by at most `largest_error`."""

    slope: float
    intercept: float
    dtype: np.dtype[Any]
    largest_error: float

    @property
    def is_exact(self) -> bool:
        """Return whether stored integers are the values themselves."""
        return self.slope == 1 and self.intercept == 0

    def stored(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return the integers of a slice."""
        if self.is_exact:
            return plane.astype(self.dtype)
        scaled = np.rint((plane.astype(np.float64) - self.intercept) / self.slope)
        return np.clip(scaled, -32767, 32767).astype(self.dtype)


def stored_form(volume: Volume, modality: str = "MR") -> StoredForm:
    """Return how the voxels of a volume are stored: integers as they are where they fit, else scaled to 16 bits.

    Raises:
        ImageContentError: a voxel is not a finite number.
    """
    low, high, whole = np.inf, -np.inf, True
    for plane in volume.array:
        if not np.isfinite(plane).all():
            raise ImageContentError(
                "DICOM images hold finite numbers only",
                found="NaN or infinite voxels",
                fix="replace them first, for instance by numpy.nan_to_num",
            )
        low, high = min(low, float(plane.min())), max(high, float(plane.max()))
        whole = whole and (volume.array.dtype.kind in "iub" or bool((plane == np.rint(plane)).all()))
    if whole and low >= -32768 and high <= 32767:
        return StoredForm(1.0, 0.0, np.dtype(np.int16), 0.0)
    if whole and low >= 0 and high <= 65535:
        return StoredForm(1.0, 0.0, np.dtype(np.uint16), 0.0)
    # Zero stays zero where it occurs; the intercept of a PET image is zero (PS3.3 C.8.9.4).
    holds_zero = modality == "PT" or low <= 0 <= high
    intercept = 0.0 if holds_zero else float(f"{(low + high) / 2:.8e}")
    reach = max(abs(high - intercept), abs(low - intercept))
    slope = float(f"{reach / 32766:.8e}") or 1.0
    return StoredForm(slope, intercept, np.dtype(np.int16), slope / 2)


def to_dicom(
    volume: Volume,
    *,
    uid: UidSource,
    headers: Sequence[Dataset] | None,
    description: str,
    modality: str | None = None,
) -> Iterator[tuple[str, Dataset]]:
    """Yield (file name, data set) per slice: DERIVED\\SECONDARY images of a new series in LPS millimetres.

    With source headers, patient, study and frame of reference are theirs and every source instance is referenced;
    without, type-2 attributes are empty and the study is new. Position and orientation are those of the affine,
    slice by slice, exact also for a tilted stack. Values that do not fit 16 bits are scaled; the largest error, half
    a step, stands in DerivationDescription.

    Args:
        uid: gives the UID of a stable name.
        description: SeriesDescription.
        modality: MR, CT or PT; the volume's own by default, MR when it has none.

    Raises:
        UnsupportedError: a fourth axis, colour, a flat picture, or another modality.
        GeometryError: rows and columns are not perpendicular.
        UnknownSpacingError: the volume does not tell its voxel size.
        ImageContentError: NaN or infinite voxels.
    """
    kind = modality or volume.modality or "MR"
    _check(volume, kind)
    form = stored_form(volume, kind)
    origin = Origin(uid, application="derived series")
    sources = _sources_by_slice(volume, headers or ())
    for index in range(volume.shape[0]):
        dataset = Dataset()
        series = SeriesLabel(kind, SERIES_NUMBER if headers else 1, description, f"derived {description}")
        label = ObjectLabel(SOP_CLASSES[kind], f"derived {description} {index}", series, index + 1)
        compose.begin(dataset, label, headers, origin)
        _image(dataset, volume, index, form)
        _plane(dataset, volume, index, compose.frame_of_reference(headers, uid))
        _references(dataset, sources[index])
        _series(dataset, headers[0] if headers else None)
        _ACQUISITION[kind](dataset, volume, headers[0] if headers else None, form)
        yield f"{kind.lower()}_{index + 1:04d}.dcm", dataset


def _check(volume: Volume, kind: str) -> None:
    if volume.axis is not None:
        raise UnsupportedError(
            "a fourth axis is not written as DICOM",
            found=f"{volume.axis.kind} with {len(volume.axis)} elements",
            expected="a 3-D volume",
            fix="take one element: volume.element(0)",
        )
    if volume.frame is not Frame.PATIENT:
        raise UnsupportedError(
            "a flat picture has no place in the patient",
            expected="a volume in patient coordinates",
            fix="give it an affine in LPS mm first",
        )
    if kind not in SOP_CLASSES:
        raise UnsupportedError(
            "no derived series of this modality is written",
            found=kind,
            expected=", ".join(SOP_CLASSES),
            fix="say which one it shall be: --modality MR, CT or PT",
        )
    volume.require_spacing()
    row, column = (volume.affine[:3, axis] / np.linalg.norm(volume.affine[:3, axis]) for axis in (1, 2))
    if abs(row @ column) > placing.PERPENDICULAR:
        raise GeometryError(
            "rows and columns of a DICOM image are perpendicular",
            found=f"cosine {row @ column:.4g} between them",
            fix="bring it to an orthogonal grid: imaging.spatial.to_orthogonal(volume)",
        )


def _series(dataset: Dataset, header: Dataset | None) -> None:
    """Fill what series and acquisition have in common; Laterality is absent where a body part has no sides."""
    dataset.PatientPosition = ""
    compose.take(dataset, header, [*_COMMON, *compose.LOSSY])
    if dataset.get("BodyPartExamined", "") not in _PAIRED and not dataset.Laterality:
        del dataset.Laterality


def _image(dataset: Dataset, volume: Volume, index: int, form: StoredForm) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.DerivationDescription = _stated(form)
    dataset.ImageComments = compose.NOTICE
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = volume.shape[1:]
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(form.dtype.kind == "i")
    dataset.PixelData = form.stored(volume.array[index]).astype(form.dtype.newbyteorder("<")).tobytes()


def _stated(form: StoredForm) -> str:
    if form.is_exact:
        return f"Written by {compose.MANUFACTURER}; voxel values are exact."
    return (
        f"Written by {compose.MANUFACTURER}; value = {form.slope:.9g} x stored + {form.intercept:.9g}, "
        f"error at most {form.largest_error:.3g}."
    )


def _plane(dataset: Dataset, volume: Volume, index: int, frame_uid: str) -> None:
    """Fill the image plane and frame of reference modules."""
    plane = placing.of_slice(volume, index)
    normal = plane.normal
    dataset.FrameOfReferenceUID = frame_uid
    dataset.PositionReferenceIndicator = ""
    dataset.ImagePositionPatient = [format_number_as_ds(float(v)) for v in plane.position_mm]
    dataset.ImageOrientationPatient = [format_number_as_ds(float(v)) for v in plane.orientation]
    dataset.PixelSpacing = [format_number_as_ds(float(v)) for v in plane.spacing_mm]
    dataset.SliceThickness = format_number_as_ds(abs(float(normal @ volume.affine[:3, 0])))
    dataset.SliceLocation = format_number_as_ds(round(float(normal @ plane.position_mm), 6))


def _sources_by_slice(volume: Volume, headers: Sequence[Dataset]) -> list[list[Dataset]]:
    """Return for each slice the source instances at or next to its height; every source is somewhere."""
    found: list[list[Dataset]] = [[] for _ in range(volume.shape[0])]
    normal = placing.of_slice(volume, 0).normal
    heights = normal @ volume.affine[:3, 3] + np.arange(volume.shape[0]) * (normal @ volume.affine[:3, 0])
    if not headers:
        return found
    places = [(n, float(normal @ p.position_mm)) for n, header in enumerate(headers) for p in placing.of_frames(header)]
    if not places:
        return [list(headers)] * len(found)
    source_heights = np.array([height for _, height in places])
    wanted: list[set[int]] = [{int(k) for k in np.abs(source_heights - h).argsort()[:2]} for h in heights]
    for k, height in enumerate(source_heights):
        wanted[int(np.abs(heights - height).argmin())].add(k)
    for index, chosen in enumerate(wanted):
        found[index] = [headers[number] for number in sorted({places[k][0] for k in chosen})]
    return found


def _references(dataset: Dataset, sources: Sequence[Dataset]) -> None:
    if not sources:
        return
    items = []
    for source in sources:
        item = compose.instance_reference(source)
        item.PurposeOfReferenceCodeSequence = [compose.code_item(_PURPOSE)]
        items.append(item)
    dataset.SourceImageSequence = items
    dataset.ReferencedSeriesSequence = compose.referenced_series(sources)


def _mr(dataset: Dataset, volume: Volume, header: Dataset | None, form: StoredForm) -> None:
    """Fill the MR image module; a sequence that is not known is a research one."""
    dataset.ScanningSequence, dataset.SequenceVariant = "RM", "NONE"
    dataset.ScanOptions = dataset.MRAcquisitionType = dataset.EchoTime = dataset.EchoTrainLength = None
    dataset.RepetitionTime = dataset.InversionTime = None
    compose.take(dataset, header, _MR)
    if "IR" not in dataset.ScanningSequence:
        del dataset.InversionTime
    dataset.SpacingBetweenSlices = dataset.SliceThickness
    if not form.is_exact:
        _rescale(dataset, form, "US")
        dataset.RealWorldValueMappingSequence = [_real_world(form)]


def _ct(dataset: Dataset, volume: Volume, header: Dataset | None, form: StoredForm) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.KVP = dataset.AcquisitionNumber = None
    compose.take(dataset, header, _CT)
    _rescale(dataset, form, "HU" if volume.unit in ("", "[hnsf'U]") else "US")


def _pt(dataset: Dataset, volume: Volume, header: Dataset | None, form: StoredForm) -> None:
    """Fill the PET series, isotope and image modules; the second value of a PET image's type is always PRIMARY."""
    dataset.ImageType = ["DERIVED", "PRIMARY"]
    dataset.PatientOrientationCodeSequence = dataset.PatientGantryRelationshipCodeSequence = []
    del dataset.PatientPosition
    dataset.SeriesDate, dataset.SeriesTime = _NO_DATE, _NO_TIME
    dataset.AcquisitionDate = dataset.AcquisitionTime = dataset.CollimatorType = None
    dataset.CountsSource, dataset.DecayCorrection, dataset.CorrectedImage = "EMISSION", "NONE", None
    dataset.SeriesType = ["STATIC", "IMAGE"]
    dataset.Units = "PROPCNTS"
    dataset.NumberOfSlices = volume.shape[0]
    dataset.RadiopharmaceuticalInformationSequence = []
    dataset.FrameReferenceTime = 0
    dataset.ActualFrameDuration = 0
    dataset.ImageIndex = dataset.InstanceNumber
    compose.take(dataset, header, _PT)
    if volume.unit == "g/mL":
        dataset.Units = "GML"
    if dataset.DecayCorrection != "NONE":
        dataset.DecayFactor = 1
    dataset.RescaleIntercept, dataset.RescaleSlope = 0, format_number_as_ds(form.slope)


def _rescale(dataset: Dataset, form: StoredForm, unit: str) -> None:
    dataset.RescaleIntercept = format_number_as_ds(form.intercept)
    dataset.RescaleSlope = format_number_as_ds(form.slope)
    dataset.RescaleType = unit


def _real_world(form: StoredForm) -> Dataset:
    """Return the mapping that readers of MR images use, to whom RescaleSlope is no attribute of MR."""
    item = Dataset()
    item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = -32768, 32767
    item.RealWorldValueIntercept, item.RealWorldValueSlope = form.intercept, form.slope
    item.LUTExplanation, item.LUTLabel = "linear", "VALUE"
    item.MeasurementUnitsCodeSequence = [compose.code_item(Code("1", "UCUM", "no units"))]
    return item


_ACQUISITION = {"MR": _mr, "CT": _ct, "PT": _pt}
