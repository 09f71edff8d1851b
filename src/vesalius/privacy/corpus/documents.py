"""Objects without pictures: structured report, presentation state, contours of radiotherapy, a report as PDF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydicom import uid
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from vesalius.privacy.corpus.objects import Frame, base
from vesalius.privacy.corpus.planting import Hand
from vesalius.privacy.corpus.truth import Leak, Plant, path_of

_CONTENT, _CONCEPT = Tag(0x0040A730), 0


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def reference(target: Dataset) -> Dataset:
    """Return an item that refers to an object."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = target.SOPClassUID, target.SOPInstanceUID
    return item


def report(frame: Frame, hand: Hand, images: Sequence[Dataset]) -> tuple[Dataset, list[Plant]]:
    """Return a comprehensive structured report: a coded finding, a number and images among names, dates and prose."""
    data = base("sr", uid.ComprehensiveSRStorage, "SR", frame)
    data.SeriesDescription, data.ValueType, data.ContinuityOfContent = "REPORT", "CONTAINER", "SEPARATE"
    data.ConceptNameCodeSequence = [code("18748-4", "LN", "Diagnostic imaging report")]
    data.CompletionFlag, data.VerificationFlag = "COMPLETE", "UNVERIFIED"
    words = [hand.codes.word() for _ in range(4)]
    unique = hand.codes.uid()
    person = hand.person
    items = [
        _content("CODE", code("121071", "DCM", "Finding"), ConceptCodeSequence=[code("39607008", "SCT", "Lung")]),
        _content("NUM", code("410668003", "SCT", "Length"), MeasuredValueSequence=[_millimetres("12.5")]),
        _content("IMAGE", code("121112", "DCM", "Source of measurement"), ReferencedSOPSequence=[reference(images[0])]),
        _content(
            "PNAME", code("121008", "DCM", "Person observer name"), PersonName=f"{person.physician.family}^{words[0]}"
        ),
        _content(
            "TEXT", code("121071", "DCM", "Finding"), TextValue=f"{words[1]} {person.name.family}: nodule, stable"
        ),
        _content("UIDREF", code("121012", "DCM", "Device observer UID"), UID=unique),
        _content("DATE", code("122165", "DCM", "Date of procedure"), Date=f"{frame.visit:%Y%m%d}"),
        _content("CONTAINER", code("121070", "DCM", "Findings"), ContentSequence=[_prose(words[2])]),
    ]
    data.ContentSequence = items
    data.VerifyingObserverSequence = [_observer(words[3])]
    data.CurrentRequestedProcedureEvidenceSequence = [_evidence(images)]
    at = hand.instance
    return data, [
        Plant(Leak.STRUCTURED, at, path_of(_CONTENT, 3, Tag(0x0040A123)), codes=(words[0],)),
        Plant(Leak.STRUCTURED, at, path_of(_CONTENT, 4, Tag(0x0040A160)), (person.name.family,), (words[1],)),
        Plant(Leak.UID, at, path_of(_CONTENT, 5, Tag(0x0040A124)), codes=(unique,)),
        Plant(Leak.DATE, at, path_of(_CONTENT, 6, Tag(0x0040A121)), (f"{frame.visit:%Y%m%d}",), exact=True),
        Plant(Leak.STRUCTURED, at, path_of(_CONTENT, 7, _CONTENT, 0, Tag(0x0040A160)), codes=(words[2],)),
        Plant(Leak.STRUCTURED, at, path_of(Tag(0x0040A073), 0, Tag(0x0040A075)), codes=(words[3],)),
    ]


def _content(kind: str, concept: Dataset, **values: Any) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType, item.ConceptNameCodeSequence = "CONTAINS", kind, [concept]
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _prose(word: str) -> Dataset:
    return _content("TEXT", code("121110", "DCM", "Patient presentation"), TextValue=f"{word}, seen with daughter")


def _millimetres(number: str) -> Dataset:
    item = Dataset()
    item.NumericValue, item.MeasurementUnitsCodeSequence = number, [code("mm", "UCUM", "millimeter")]
    return item


def _observer(word: str) -> Dataset:
    item = Dataset()
    item.VerifyingObserverName, item.VerifyingOrganization = word, "Radiology"
    item.VerificationDateTime, item.VerifyingObserverIdentificationCodeSequence = "20200101120000", []
    return item


def _evidence(images: Sequence[Dataset]) -> Dataset:
    study, series = Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedSOPSequence = (
        images[0].SeriesInstanceUID,
        [reference(one) for one in images],
    )
    study.StudyInstanceUID, study.ReferencedSeriesSequence = images[0].StudyInstanceUID, [series]
    return study


def presentation(frame: Frame, hand: Hand, image: Dataset) -> tuple[Dataset, list[Plant]]:
    """Return a greyscale presentation state that writes on an image."""
    data = base("pr", uid.GrayscaleSoftcopyPresentationStateStorage, "PR", frame)
    words = [hand.codes.word() for _ in range(3)]
    data.ContentLabel, data.ContentDescription, data.ContentCreatorName = "KEY", words[0], words[1]
    data.PresentationCreationDate, data.PresentationCreationTime = f"{frame.visit:%Y%m%d}", "101500"
    series, text, graphic = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [reference(image)]
    data.ReferencedSeriesSequence = [series]
    text.UnformattedTextValue, text.BoundingBoxAnnotationUnits = f"{words[2]} {hand.person.name.family}", "PIXEL"
    text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner = [1.0, 1.0], [90.0, 20.0]
    text.BoundingBoxTextHorizontalJustification = "LEFT"
    graphic.GraphicLayer, graphic.TextObjectSequence = "NAMES", [text]
    data.GraphicAnnotationSequence = [graphic]
    at, layer = hand.instance, path_of(Tag(0x00700001), 0, Tag(0x00700008), 0, Tag(0x00700006))
    return data, [
        Plant(Leak.ATTRIBUTE, at, "00700081", codes=(words[0],)),
        Plant(Leak.ATTRIBUTE, at, "00700084", codes=(words[1],)),
        Plant(Leak.GRAPHICS, at, layer, (hand.person.name.family,), (words[2],)),
    ]


def contours(frame: Frame, hand: Hand, images: Sequence[Dataset]) -> tuple[Dataset, list[Plant]]:
    """Return a structure set of two regions drawn on CT slices."""
    data = base("rtstruct", uid.RTStructureSetStorage, "RTSTRUCT", frame)
    words = [hand.codes.word() for _ in range(3)]
    name = hand.person.name.family
    data.StructureSetLabel, data.StructureSetName, data.OperatorsName = f"{name}"[:16], words[0], words[1]
    data.StructureSetDate, data.StructureSetTime = f"{frame.visit:%Y%m%d}", "120000"
    data.ReferencedFrameOfReferenceSequence = [_frame_of_reference(images)]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    data.RTROIObservationsSequence = []
    for number, label in enumerate(("GTV", "Lung_L"), start=1):
        region, contour, observed = Dataset(), Dataset(), Dataset()
        region.ROINumber, region.ROIName, region.ROIGenerationAlgorithm = number, label, "MANUAL"
        region.ReferencedFrameOfReferenceUID = images[0].FrameOfReferenceUID
        contour.ReferencedROINumber, contour.ContourSequence = number, [_contour(images[0])]
        observed.ObservationNumber, observed.ReferencedROINumber = number, number
        observed.RTROIInterpretedType, observed.ROIInterpreter = "ORGAN", words[2] if number == 1 else ""
        data.StructureSetROISequence.append(region)
        data.ROIContourSequence.append(contour)
        data.RTROIObservationsSequence.append(observed)
    at = hand.instance
    return data, [
        Plant(Leak.FREE_TEXT, at, "30060002", (name[:16],)),
        Plant(Leak.ATTRIBUTE, at, "30060004", codes=(words[0],)),
        Plant(Leak.ATTRIBUTE, at, "00081070", codes=(words[1],)),
        Plant(Leak.NESTED, at, path_of(Tag(0x30060080), 0, Tag(0x300600A6)), codes=(words[2],)),
    ]


def _contour(image: Dataset) -> Dataset:
    item = Dataset()
    item.ContourImageSequence, item.ContourGeometricType, item.NumberOfContourPoints = (
        [reference(image)],
        "CLOSED_PLANAR",
        3,
    )
    item.ContourData = [-90.0, -70.0, 10.0, -80.0, -70.0, 10.0, -80.0, -60.0, 10.0]
    return item


def _frame_of_reference(images: Sequence[Dataset]) -> Dataset:
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = images[0].SeriesInstanceUID
    series.ContourImageSequence = [reference(image) for image in images]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = (
        uid.UID("1.2.840.10008.3.1.2.3.1"),
        images[0].StudyInstanceUID,
    )
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = images[0].FrameOfReferenceUID, [study]
    return frame


def pdf(frame: Frame, hand: Hand) -> tuple[Dataset, list[Plant]]:
    """Return an encapsulated PDF whose text is not compressed."""
    data = base("pdf", uid.EncapsulatedPDFStorage, "DOC", frame)
    word, title = hand.codes.word(), hand.codes.word()
    stream = f"BT /F1 12 Tf 50 700 Td ({word} {hand.person.patient_id}) Tj ET".encode()
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % (number, part) for number, part in enumerate(parts, start=1))
    document = b"%PDF-1.4\n" + body + b"trailer << /Root 1 0 R >>\n%%EOF\n"
    data.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    data.EncapsulatedDocumentLength, data.MIMETypeOfEncapsulatedDocument = len(document), "application/pdf"
    data.DocumentTitle, data.BurnedInAnnotation, data.ConceptNameCodeSequence = title, "YES", []
    return data, [
        Plant(Leak.DOCUMENT, hand.instance, "00420011", codes=(word,)),
        Plant(Leak.ATTRIBUTE, hand.instance, "00420010", codes=(title,)),
    ]


def public(data: Dataset) -> Iterator[DataElement]:
    """Yield the elements of even groups: what a private one holds may be anything but what its VR says."""
    # Iterating over the data set itself would read the values of all of them.
    for tag in sorted(data.keys()):
        if not Tag(tag).is_private:
            yield data[tag]


def iterate_references(data: Dataset, above: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, UID) of every reference to an object, a series or a frame of reference."""
    for element in public(data):
        path = f"{above}{int(element.tag):08x}"
        if element.VR == "SQ":
            for index, item in enumerate(element.value or ()):
                yield from iterate_references(item, f"{path}[{index}].")
        elif element.keyword in (
            "ReferencedSOPInstanceUID",
            "SeriesInstanceUID",
            "FrameOfReferenceUID",
            "StudyInstanceUID",
        ):
            yield path, str(element.value)
