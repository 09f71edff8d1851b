"""Small DICOM images of each kind, complete enough to be read, with what a study needs to stay useful."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset

from vesalius.privacy.corpus import drawing
from vesalius.privacy.corpus.people import Person

Array = NDArray[Any]
Bits = NDArray[np.bool_]
DESCRIPTIONS: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "ct": ("CHEST W CONTRAST", "THORAX 5.0 B31f", "Chest routine"),
        "mr": ("BRAIN WO CONTRAST", "T1 MPRAGE SAG", "Brain standard"),
        "enhanced-mr": ("BRAIN WO CONTRAST", "T2 FLAIR AXIAL", "Brain standard"),
        "pet": ("PET CT WHOLE BODY", "PET AC 3D", "WB FDG"),
        "us": ("ABDOMEN US", "LIVER SAG", "Abdomen"),
        "cr": ("CHEST PA", "PA", "Chest"),
        "mg": ("MAMMOGRAPHY SCREENING", "L MLO", "Screening"),
        "sc": ("CHEST W CONTRAST", "SCREEN SAVE", "Capture"),
        "dx": ("KNEE 2 VIEWS", "AP", "Knee"),
    }
)
"""Kind -> study, series and protocol description without anything about a person."""


@dataclass(frozen=True)
class Frame:
    """Where an object belongs.

    Args:
        slice_index: position in its series, from 0.
    """

    person: Person
    visit: date
    instance: int
    study_uid: str
    series_uid: str
    frame_uid: str
    sop_uid: str
    slice_index: int = 0


def base(kind: str, sop_class: str, modality: str, frame: Frame) -> Dataset:
    """Return the modules of patient, study and series that every object has."""
    person, data = frame.person, Dataset()
    data.SpecificCharacterSet = list(person.charset) if len(person.charset) > 1 else person.charset[0]
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = sop_class, frame.sop_uid, modality
    data.StudyInstanceUID, data.SeriesInstanceUID = frame.study_uid, frame.series_uid
    data.InstanceNumber, data.SeriesNumber = frame.instance, 1
    data.PatientName, data.PatientID = person.name.person_name, person.patient_id
    data.PatientBirthDate, data.PatientSex = f"{person.birth:%Y%m%d}", person.sex
    years = (frame.visit - person.birth).days // 365
    data.PatientAge = f"{years:03d}Y"
    data.PatientSize, data.PatientWeight = "1.71", f"{60 + years % 30}"
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(data, keyword, f"{frame.visit:%Y%m%d}")
    for keyword in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(data, keyword, "093015")
    data.Manufacturer = "Vesalius phantom"
    if kind in DESCRIPTIONS:
        data.StudyDescription, data.SeriesDescription, data.ProtocolName = DESCRIPTIONS[kind]
    return data


def plane(data: Dataset, frame: Frame, *, spacing: float = 0.7, thickness: float = 5.0) -> None:
    """Give an image its place in the patient."""
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = frame.frame_uid, ""
    data.ImagePositionPatient = [-100.5, -80.25, 10.0 + thickness * frame.slice_index]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [spacing, spacing], thickness
    data.SliceLocation = 10.0 + thickness * frame.slice_index


def pixels(data: Dataset, array: Array, *, bits: int, photometric: str = "MONOCHROME2") -> None:
    """Put an array (rows, columns), (frames, rows, columns) or (rows, columns, 3) into a data set."""
    colour = photometric in ("RGB", "YBR_FULL")
    rows, columns = array.shape[-3:-1] if colour else array.shape[-2:]
    data.Rows, data.Columns, data.SamplesPerPixel = rows, columns, 3 if colour else 1
    data.PhotometricInterpretation = photometric
    data.BitsAllocated, data.BitsStored, data.HighBit = 8 * array.dtype.itemsize, bits, bits - 1
    data.PixelRepresentation = int(array.dtype.kind == "i")
    if colour:
        data.PlanarConfiguration = 0
    raw = np.ascontiguousarray(array).tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)
    data["PixelData"].VR = "OB" if array.dtype.itemsize == 1 else "OW"


def anatomy(rows: int, columns: int, seed: int, *, low: float, high: float, noise: float = 0.01) -> Array:
    """Return a smooth ellipse with softer ones inside and noise, float32 from low to high: nothing like text."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    picture = np.zeros((rows, columns), np.float32)
    for _ in range(4):
        cy, cx = rng.uniform(-0.3, 0.3, 2)
        ry, rx = rng.uniform(0.35, 0.7, 2)
        picture += 0.25 / (1 + np.exp(12 * (np.hypot((y - cy) / ry, (x - cx) / rx) - 1)))
    picture += rng.normal(0, noise, picture.shape)
    return low + (high - low) * np.clip(picture, 0, 1)


def ct(frame: Frame) -> tuple[Dataset, Bits | None]:
    """Return a CT slice in Hounsfield units."""
    data = base("ct", uid.CTImageStorage, "CT", frame)
    plane(data, frame)
    data.ImageType, data.KVP, data.XRayTubeCurrent, data.ExposureTime = (
        ["ORIGINAL", "PRIMARY", "AXIAL"],
        "120",
        "210",
        "500",
    )
    data.ConvolutionKernel, data.GantryDetectorTilt, data.ReconstructionDiameter = "B31f", "0", "360"
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = "1", "-1024", "HU"
    data.WindowCenter, data.WindowWidth = "40", "400"
    pixels(data, anatomy(48, 56, frame.instance, low=24, high=1150).astype(np.int16), bits=16)
    return data, None


def mr(frame: Frame) -> tuple[Dataset, Bits | None]:
    """Return an MR slice of 12 bits in 16."""
    data = base("mr", uid.MRImageStorage, "MR", frame)
    plane(data, frame, spacing=0.9, thickness=4.0)
    data.ImageType, data.ScanningSequence, data.SequenceVariant = ["ORIGINAL", "PRIMARY", "M"], "GR", "SP"
    data.RepetitionTime, data.EchoTime, data.FlipAngle = "1900", "2.98", "9"
    data.MagneticFieldStrength, data.MRAcquisitionType = "3", "3D"
    pixels(data, anatomy(48, 48, frame.instance, low=0, high=3000).astype(np.uint16), bits=12)
    return data, None


def pet(frame: Frame) -> tuple[Dataset, Bits | None]:
    """Return a PET slice in Bq/ml with the dates that its uptake is computed from."""
    data = base("pet", uid.PositronEmissionTomographyImageStorage, "PT", frame)
    plane(data, frame, spacing=4.0, thickness=3.0)
    data.ImageType, data.Units, data.DecayCorrection = ["ORIGINAL", "PRIMARY"], "BQML", "START"
    data.CorrectedImage, data.RescaleSlope, data.RescaleIntercept = ["ATTN", "DECY"], "2.5", "0"
    item = Dataset()
    item.RadionuclideTotalDose, item.RadionuclideHalfLife = "370000000", "6586.2"
    item.RadiopharmaceuticalStartDateTime = f"{frame.visit:%Y%m%d}083000"
    data.RadiopharmaceuticalInformationSequence = [item]
    data.ActualFrameDuration, data.FrameReferenceTime = "120000", "60000"
    pixels(data, anatomy(32, 32, frame.instance, low=0, high=9000).astype(np.uint16), bits=16)
    return data, None


def ultrasound(frame: Frame) -> tuple[Dataset, Bits | None]:
    """Return a colour ultrasound image with the patient's name and id in the banner above its region."""
    data = base("us", uid.UltrasoundImageStorage, "US", frame)
    data.ImageType, data.TransducerFrequency = ["ORIGINAL", "PRIMARY"], 3500
    picture = np.zeros((240, 320, 3), np.uint8)
    picture[48:] = anatomy(192, 320, frame.instance, low=0, high=210, noise=0.03)[..., None].astype(np.uint8)
    name, visit = frame.person.name.plain[:20], f"{frame.visit:%d/%m/%Y}"
    covered = drawing.burn(picture, drawing.glyphs(name, 11), 4, 8, (255, 255, 255))
    covered |= drawing.burn(picture, drawing.glyphs(f"{frame.person.patient_id}  {visit}", 11), 25, 8, (255, 255, 0))
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 48
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 319, 239
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.05
    data.SequenceOfUltrasoundRegions = [region]
    pixels(data, picture, bits=8, photometric="RGB")
    return data, covered


def radiograph(frame: Frame) -> tuple[Dataset, Bits | None]:
    """Return a computed radiograph, MONOCHROME1, with name and birth date burned in."""
    data = base("cr", uid.ComputedRadiographyImageStorage, "CR", frame)
    data.ImageType, data.KVP, data.ViewPosition = ["ORIGINAL", "PRIMARY"], "125", "PA"
    data.PixelSpacing, data.ImagerPixelSpacing = [0.2, 0.2], [0.2, 0.2]
    data.WindowCenter, data.WindowWidth, data.RescaleSlope, data.RescaleIntercept = "511", "1023", "1", "0"
    picture = (1023 - anatomy(288, 256, frame.instance, low=0, high=900)).astype(np.uint16)
    covered = drawing.burn(picture, drawing.glyphs(frame.person.name.plain[:18], 12), 6, 6, 0)
    covered |= drawing.burn(picture, drawing.glyphs(f"DOB {frame.person.birth:%m/%d/%Y}", 12), 262, 70, 0)
    pixels(data, picture, bits=10, photometric="MONOCHROME1")
    return data, covered


def mammogram(frame: Frame) -> tuple[Dataset, Bits | None]:
    """Return a mammogram of 12 bits without text."""
    data = base("mg", uid.DigitalMammographyXRayImageStorageForPresentation, "MG", frame)
    data.ImageType, data.KVP, data.ImageLaterality, data.ViewPosition = ["ORIGINAL", "PRIMARY"], "28", "L", "MLO"
    data.PixelSpacing, data.ImagerPixelSpacing = [0.1, 0.1], [0.1, 0.1]
    data.BodyPartThickness, data.CompressionForce = "52", "110"
    pixels(data, anatomy(96, 72, frame.instance, low=0, high=3800).astype(np.uint16), bits=12)
    return data, None


def capture(frame: Frame) -> tuple[Dataset, Bits | None]:
    """Return a secondary capture with name, id and a hospital's city in Latin letters."""
    data = base("sc", uid.SecondaryCaptureImageStorage, "OT", frame)
    data.ImageType, data.ConversionType = ["DERIVED", "SECONDARY"], "WSD"
    data.BurnedInAnnotation = "NO"
    picture = anatomy(256, 256, frame.instance, low=10, high=200).astype(np.uint8)
    covered = drawing.burn(picture, drawing.glyphs(frame.person.name.plain[:14], 14), 14, 12, 255)
    covered |= drawing.burn(picture, drawing.glyphs(frame.person.patient_id, 12), 228, 12, 240)
    pixels(data, picture, bits=8)
    return data, covered


def enhanced(frame: Frame) -> tuple[Dataset, Bits | None]:
    """Return an enhanced MR object of three frames, dates and places inside its functional groups."""
    data = base("enhanced-mr", uid.EnhancedMRImageStorage, "MR", frame)
    data.ImageType, data.NumberOfFrames, data.FrameOfReferenceUID = (
        ["ORIGINAL", "PRIMARY", "FLAIR", "NONE"],
        3,
        frame.frame_uid,
    )
    data.MagneticFieldStrength, data.AcquisitionDateTime = 3.0, f"{frame.visit:%Y%m%d}093015"
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.9, 0.9], "4"
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    data.SharedFunctionalGroupsSequence = [shared]
    data.PerFrameFunctionalGroupsSequence = [_functional_groups(frame, index) for index in range(3)]
    stack = [anatomy(40, 40, 3 * frame.instance + index, low=0, high=3000) for index in range(3)]
    pixels(data, np.stack(stack).astype(np.uint16), bits=12)
    return data, None


def _functional_groups(frame: Frame, index: int) -> Dataset:
    item, content, position = Dataset(), Dataset(), Dataset()
    content.FrameAcquisitionDateTime = f"{frame.visit:%Y%m%d}0930{15 + index}"
    content.FrameReferenceDateTime = content.FrameAcquisitionDateTime
    content.StackID, content.InStackPositionNumber, content.FrameAcquisitionNumber = "1", index + 1, 1
    position.ImagePositionPatient = [-100.5, -80.25, 10.0 + 4 * index]
    item.FrameContentSequence, item.PlanePositionSequence = [content], [position]
    return item


IMAGES: Final[Mapping[str, Callable[[Frame], tuple[Dataset, Bits | None]]]] = MappingProxyType(
    {
        **{"ct": ct, "mr": mr, "pet": pet, "us": ultrasound, "cr": radiograph},
        **{"mg": mammogram, "sc": capture, "enhanced-mr": enhanced},
    }
)
"""Kind -> function that makes one object of it and tells the pixels of its text."""
