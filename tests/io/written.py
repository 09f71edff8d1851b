"""What the tests of DICOM writers share: sources with everything real ones have, and outside judges."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from vesalius.core import Code, Segment, Volume
from vesalius.io.dicom import compose, derive
from vesalius.io.dicom.compose import Origin

Tool = Callable[[str], str]
RUN = uuid.UUID(int=20260101)
SEGMENTS = {
    2: Segment("white_matter", Code("68523003", "SCT", "Cerebral white matter"), (230, 159, 0)),
    41: Segment("灰质", Code("gray_matter_of_the_cerebrum", "99VESALIUS", "Grey matter"), (0, 114, 178)),
}


def uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(RUN, name).int}"


def origin(**changes: object) -> Origin:
    given = {"uid": uid, "application": "brain-mri", "version": "0.1.0", "created": datetime(2026, 1, 2, 3, 4, 5)}
    return Origin(**{**given, **changes})  # type: ignore[arg-type]


def oblique(spacing=(3.0, 0.8, 1.1), tilt_deg: float = 0.0, origin_mm=(-31.5, 12.25, 40.0)) -> np.ndarray:
    """Return the affine of a stack turned about two axes, tilted about its rows when asked."""
    turn = np.deg2rad([20.0, -35.0])
    x = np.array([[1, 0, 0], [0, np.cos(turn[0]), -np.sin(turn[0])], [0, np.sin(turn[0]), np.cos(turn[0])]])
    z = np.array([[np.cos(turn[1]), -np.sin(turn[1]), 0], [np.sin(turn[1]), np.cos(turn[1]), 0], [0, 0, 1]])
    directions = x @ z @ np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]], dtype=float)
    directions[:, 0] += np.tan(np.deg2rad(tilt_deg)) * directions[:, 1]
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = origin_mm
    return affine


def volume(dtype: type = np.int16, shape=(5, 14, 11), modality="MR", affine: np.ndarray | None = None) -> Volume:
    values = np.random.default_rng(3).uniform(0, 1900, shape)
    array = (values > 900) if dtype is bool else (values % 250 if dtype is np.uint8 else values).astype(dtype)
    return Volume(array, oblique() if affine is None else affine, modality=modality)


def source(image: Volume) -> list[Dataset]:
    """Return the slices of an image as a scanner might have sent them: identity, private tags, odd values."""
    result = []
    for _, dataset in derive.to_dicom(image, uid=lambda name: uid("source " + name), headers=None, description="T1"):
        dataset.PatientName, dataset.PatientID = "王^小東=Müller^Jörg", "PAT 123"
        dataset.PatientBirthDate, dataset.PatientSex = "19700131", "F"
        dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20251224", "101112.5", "ACC7"
        block = dataset.private_block(0x0029, "SOME VENDOR", create=True)
        block.add_new(0x10, "OB", b"\x01\x02")
        result.append(pydicom.dcmread(BytesIO(compose.to_bytes(dataset))))
    return result


def headers_of(paths: Sequence[Path]) -> list[Dataset]:
    """Return the headers of the series that the first of several files belongs to."""
    found = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    return [header for header in found if header.SeriesInstanceUID == found[0].SeriesInstanceUID]


def real_series(data_root: Path) -> dict[str, list[Dataset]]:
    """Return the headers of real series of three scanners."""
    return {
        "oblique sagittal": headers_of(sorted((data_root / "brain_mprage_dicom").glob("MR.*"))[::16]),
        "thick axial": headers_of(sorted((data_root / "brain_mri_dicom_udacity").rglob("*.dcm"))),
        "chest CT": headers_of(sorted((data_root / "lidc_0001_ct").glob("*.dcm"))),
        "small CT": headers_of([data_root / "dicom_highdicom" / "ct_image.dcm"]),
    }


def save(dataset: Dataset, folder: Path, name: str = "object.dcm") -> Path:
    path = folder / name
    path.write_bytes(compose.to_bytes(dataset))
    return path


def dciodvfy_errors(tool: Tool, path: Path) -> list[str]:
    """Return what David Clunie's validator calls an error."""
    said = subprocess.run([tool("dciodvfy"), "-new", str(path)], capture_output=True, text=True, check=False)
    assert said.stderr, "the validator names the object at least"
    return [line for line in said.stderr.splitlines() if line.startswith("Error")]


def parsed_by_dcmtk(tool: Tool, path: Path) -> bool:
    said = subprocess.run([tool("dcmdump"), str(path)], capture_output=True, check=False)
    return said.returncode == 0 and b"SOPInstanceUID" in said.stdout
