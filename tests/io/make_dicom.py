"""DICOM objects made in code for the tests of `vesalius.io`; shared by several test modules."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PATIENT_NAME = "Planted^Identity"
STUDY, SERIES, FRAME = (generate_uid(entropy_srcs=[word]) for word in ("study", "series", "frame"))


def image(array: NDArray[Any], **elements: Any) -> Dataset:
    """Return a single-frame MR image; keyword arguments replace or (None) remove elements."""
    data = Dataset()
    colour = array.ndim == 3 and array.shape[-1] == 3
    defaults: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "FrameOfReferenceUID": FRAME,
        "PatientID": "PLANTED-ID-77",
        "PatientName": PATIENT_NAME,
        "PatientBirthDate": "19531224",
        "StudyDate": "20240229",
        "Modality": "MR",
        "SeriesNumber": 3,
        "InstanceNumber": 1,
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "Rows": array.shape[0],
        "Columns": array.shape[1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": 8 * array.dtype.itemsize,
        "BitsStored": 8 * array.dtype.itemsize,
        "HighBit": 8 * array.dtype.itemsize - 1,
        "PixelRepresentation": int(array.dtype.kind == "i"),
        "ImagePositionPatient": [0.0, 0.0, 0.0],
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 2.0,
    }
    if colour:
        defaults["PlanarConfiguration"] = 0
    for name, value in {**defaults, **elements}.items():
        if value is not None:
            setattr(data, name, value)
    data.PixelData = array.astype(array.dtype.newbyteorder("<")).tobytes()
    data["PixelData"].VR = "OB" if array.dtype.itemsize == 1 else "OW"
    if len(data.PixelData) % 2:
        data.PixelData += b"\0"
    return data


def write(data: Dataset, path: Path, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Write a data set as a DICOM file and return its path."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = data.get("SOPClassUID", CTImageStorage)
    meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", generate_uid())
    data.file_meta = meta
    data.save_as(path, enforce_file_format=True)
    return path


def stack(
    folder: Path, positions: Sequence[Sequence[float]], *, shape: tuple[int, int] = (6, 5), **elements: Any
) -> list[Path]:
    """Write one slice per position under shuffled names and instance numbers; voxels tell the slice.

    The value of voxel (slice, row, column) is 100 slice + 10 row + column.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(5).permutation(len(positions))
    rows, columns = np.indices(shape)
    paths = []
    for index, position in enumerate(positions):
        array = (100 * index + 10 * rows + columns).astype(np.uint16)
        own = {name: _of_slice(value, index) for name, value in elements.items()}
        own.setdefault("InstanceNumber", int(order[index]) + 1)
        data = image(array, ImagePositionPatient=list(position), **own)
        paths.append(write(data, folder / f"{order[index]:03d}.dcm"))
    return paths


def _of_slice(value: Any, index: int) -> Any:
    """Return what a slice gets: its entry of a list, a tuple as several values, anything else as it is."""
    if isinstance(value, list):
        return value[index]
    return list(value) if isinstance(value, tuple) else value


def along_z(distances: Iterable[float]) -> list[tuple[float, float, float]]:
    """Return positions of an axial stack."""
    return [(-10.0, 20.0, float(z)) for z in distances]


def enhanced(array: NDArray[Any], frames: Sequence[dict[str, Any]], **elements: Any) -> Dataset:
    """Return an enhanced MR image of (frame, row, column) with one functional group per frame.

    Args:
        array: stored values.
        frames: keys position, and optionally orientation, echo, b_value, temporal, stack, slope, intercept, trigger.
    """
    data = image(array[0], **{"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.1", **elements})
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        if name in data:
            delattr(data, name)
    data.NumberOfFrames = len(frames)
    data.PixelData = array.tobytes()
    shared = Dataset()
    shared.PixelMeasuresSequence = Items([_item(PixelSpacing=[0.5, 0.75], SliceThickness=2.0)])
    shared.PlaneOrientationSequence = Items([_item(ImageOrientationPatient=list(AXIAL))])
    data.SharedFunctionalGroupsSequence = Items([shared])
    data.PerFrameFunctionalGroupsSequence = Items([_group(frame) for frame in frames])
    return data


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for name, value in elements.items():
        setattr(item, name, value)
    return item


def _group(frame: dict[str, Any]) -> Dataset:
    group = Dataset()
    group.PlanePositionSequence = Items([_item(ImagePositionPatient=list(frame["position"]))])
    content = _item(FrameAcquisitionNumber=1)
    if "temporal" in frame:
        content.TemporalPositionIndex = frame["temporal"]
    if "stack" in frame:
        content.StackID = frame["stack"]
    group.FrameContentSequence = Items([content])
    if "orientation" in frame:
        group.PlaneOrientationSequence = Items([_item(ImageOrientationPatient=list(frame["orientation"]))])
    if "echo" in frame:
        group.MREchoSequence = Items([_item(EffectiveEchoTime=frame["echo"])])
    if "trigger" in frame:
        group.CardiacSynchronizationSequence = Items([_item(NominalCardiacTriggerDelayTime=frame["trigger"])])
    if "b_value" in frame:
        group.MRDiffusionSequence = Items([_item(DiffusionBValue=frame["b_value"])])
    if "slope" in frame:
        rescale = _item(RescaleSlope=frame["slope"], RescaleIntercept=frame.get("intercept", 0.0), RescaleType="US")
        group.PixelValueTransformationSequence = Items([rescale])
    return group


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Return an explicit little-endian element; `length` overrides the true one."""
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    size = len(value) if length is None else length
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return head + b"\0\0" + struct.pack("<L", size) + value
    return head + struct.pack("<H", size) + value


def raw_file(body: bytes, syntax: bytes = b"1.2.840.10008.1.2.1") -> bytes:
    """Return a DICOM file around the bytes of a data set."""
    syntax += b"\0" * (len(syntax) % 2)
    meta = element(0x00020010, b"UI", syntax)
    return b"\0" * 128 + b"DICM" + element(0x00020000, b"UL", struct.pack("<L", len(meta))) + meta + body


def image_elements(rows: int, columns: int, frames: int = 1, bits: int = 16) -> bytes:
    """Return the elements of a grey image before its pixel data."""
    return b"".join(
        (
            element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
            element(0x00080018, b"UI", b"1.2.3.4\0"),
            element(0x00080060, b"CS", b"OT"),
            element(0x0020000D, b"UI", b"1.2.3\0"),
            element(0x00280002, b"US", struct.pack("<H", 1)),
            element(0x00280004, b"CS", b"MONOCHROME2 "),
            element(0x00280008, b"IS", str(frames).encode() + b" " * (len(str(frames)) % 2)),
            element(0x00280010, b"US", struct.pack("<H", rows)),
            element(0x00280011, b"US", struct.pack("<H", columns)),
            element(0x00280100, b"US", struct.pack("<H", bits)),
            element(0x00280101, b"US", struct.pack("<H", bits)),
            element(0x00280102, b"US", struct.pack("<H", bits - 1)),
            element(0x00280103, b"US", struct.pack("<H", 0)),
        )
    )


def encapsulated(*fragments: bytes) -> bytes:
    """Return encapsulated pixel data with an empty offset table."""
    item = b"\xfe\xff\x00\xe0"
    head = struct.pack("<HH", 0x7FE0, 0x0010) + b"OB\0\0" + struct.pack("<L", 0xFFFFFFFF)
    parts = [item + struct.pack("<L", len(f) + len(f) % 2) + f + b"\0" * (len(f) % 2) for f in fragments]
    return head + item + bytes(4) + b"".join(parts) + b"\xfe\xff\xdd\xe0" + bytes(4)
