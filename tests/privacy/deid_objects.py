"""Objects made in code, with an invented patient in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from vesalius.io.dicom.limits import opened
from vesalius.privacy import Pseudonyms, Settings, choose
from vesalius.privacy.deidentify import Cleaned, deidentified, pieces

SECRET = bytes(range(32))
KEYED = Pseudonyms(SECRET, "0123456789abcdef")
HEADERS = choose(less=["clean-pixel-data"])
"""The default profile without the search for burned-in text, which takes a second an image."""
CT, MR, PDF = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.104.1"


def settings(profile: Any = HEADERS, no_face: str = "") -> Settings:
    """Return the settings that most tests use."""
    return Settings(profile, KEYED, no_face)


def image(number: int = 1, **values: Any) -> Dataset:
    """Return a CT slice of an invented patient."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = CT, f"1.2.3.4.{number}"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    data.PatientName, data.PatientID, data.PatientBirthDate = "Quimby^Zelda", "PAT-778899", "19340312"
    data.PatientAge, data.PatientSex, data.PatientWeight = "093Y", "F", "61.5"
    data.PatientAddress, data.PatientTelephoneNumbers = "12 Larkspur Lane, Ostervik", "+47 555 81234"
    data.StudyDate, data.StudyTime, data.AcquisitionDateTime = "20230105", "101530", "20230105101530.5+0100"
    data.Modality, data.BodyPartExamined, data.SeriesDescription = "CT", "CHEST", "Chest 1.0 B70f"
    data.StudyDescription = "CT chest for Dr. Brandvold, Ostervik General"
    data.InstitutionName, data.ReferringPhysicianName = "Ostervik General", "Brandvold^Ivar"
    data.Manufacturer, data.ConvolutionKernel, data.SliceThickness = "Acme", "B70f", "1.5"
    data.InstanceNumber, data.AccessionNumber = number, "ACC4711777"
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 1.5 * number], [1, 0, 0, 0, 1, 0]
    data.Rows = data.Columns = 16
    data.PixelSpacing = [0.7, 0.7]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.RescaleIntercept, data.RescaleSlope = "-1024", "1"
    data.PixelData = (np.arange(256, dtype="<u2") + number).tobytes()
    data["PixelData"].VR = "OW"
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return a code item."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content(kind: str, name: Dataset, **values: Any) -> Dataset:
    """Return a content item of a structured report."""
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", kind
    item.ConceptNameCodeSequence = Sequence([name])
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def stored(data: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)
    return path


def cleaned(path: Path, chosen: Settings | None = None) -> tuple[bytes, Cleaned]:
    """Return the new file of a stored object, and what was done."""
    with opened(path) as source:
        result = deidentified(source, chosen or settings())
        return b"".join(pieces(source, result)), result
