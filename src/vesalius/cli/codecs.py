"""Whether each transfer syntax can be read: a tiny frame is really decoded.

`frames.json` holds one 32 x 32 frame per compressed syntax (base64): value = 60 column + 40 row + 500 in 12 bits,
4 column + 3 row + 10 in 8 bits, written by the encoders of GDCM, OpenJPEG, CharLS and pydicom.
"""

from __future__ import annotations

import base64
import json
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 32
BASELINE = "1.2.840.10008.1.2.4.50"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", BIG_ENDIAN)
LOSSY = {
    BASELINE: 6.0,
    "1.2.840.10008.1.2.4.51": 40.0,
    "1.2.840.10008.1.2.4.81": 1.0,
    "1.2.840.10008.1.2.4.91": 40.0,
}
"""Largest error that counts as decoded, in grey values: what the encoders lost."""
PACKAGES = "pylibjpeg-openjpeg pyjpegls pillow SimpleITK"


@dataclass(frozen=True)
class Codec:
    """One transfer syntax and whether its frame was decoded."""

    uid: str
    name: str
    works: bool
    problem: str = ""


def try_all() -> list[Codec]:
    """Return the result for every transfer syntax that Vesalius reads, through the same code as any other file."""
    frames = json.loads(resources.files("vesalius.cli").joinpath("frames.json").read_text())
    with tempfile.TemporaryDirectory() as folder:
        return [
            _try(Path(folder), uid, base64.b64decode(frames[uid]) if uid in frames else b"")
            for uid in (*NATIVE, *frames)
        ]


def _try(folder: Path, uid: str, frame: bytes) -> Codec:
    from pydicom.uid import UID

    from vesalius.io import load, scan

    bits = 8 if uid == BASELINE else 12
    expected, path = _ramp(bits), folder / f"{uid}.dcm"
    try:
        _data_set(uid, frame or _native(expected, uid), bits).save_as(path, enforce_file_format=True)
        with scan(path) as found:
            array = load(found.studies[0].series[0]).array[0]
    except Exception as error:  # noqa: BLE001 - whatever a decoder raises is the answer
        return Codec(uid, UID(uid).name, False, type(error).__name__)
    apart = float(np.abs(array.astype(np.float64) - expected).max())
    fine = array.shape == expected.shape and apart <= LOSSY.get(uid, 0.0)
    return Codec(uid, UID(uid).name, fine, "" if fine else f"decoded values differ by {apart:g}")


def _ramp(bits: int) -> NDArray[Any]:
    row, column = np.mgrid[0:SIZE, 0:SIZE]
    values: NDArray[Any] = 4 * column + 3 * row + 10 if bits == 8 else 60 * column + 40 * row + 500
    return values.astype(np.uint8 if bits == 8 else np.uint16)


def _native(array: NDArray[Any], uid: str) -> bytes:
    return bytes(array.astype(">u2" if uid == BIG_ENDIAN else "<u2").tobytes())


def _data_set(uid: str, frame: bytes, bits: int) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = uid
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "2.25.1"
    data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = "2.25.2", "2.25.3", "2.25.4"
    data.Modality, data.PatientID = "MR", ""
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing, data.SliceThickness = [1, 1], 1
    data.Rows = data.Columns = SIZE
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.PixelRepresentation = 0
    data.BitsAllocated = 8 if bits == 8 else 16
    data.BitsStored, data.HighBit = bits, bits - 1
    data.PixelData = frame if uid in NATIVE else encapsulate([frame])
    data["PixelData"].VR = "OB" if uid not in NATIVE else "OW"
    data["PixelData"].is_undefined_length = uid not in NATIVE
    return data
