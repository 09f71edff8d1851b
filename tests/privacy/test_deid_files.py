"""NIfTI and JSON beside images."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from vesalius.core.errors import ReadError
from vesalius.privacy.nifti_text import cleaned_nifti
from vesalius.privacy.sidecar import cleaned_sidecar


def planted(folder: Path, suffix: str, version: int = 1) -> Path:
    """Return a NIfTI with a name in every text field and an extension."""
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    image = kind(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag((1.0, 2.0, 3.0, 1.0)))
    for field in ("descrip", "aux_file", "intent_name"):
        image.header[field] = b"Quimby Zelda"
    if version == 1:
        image.header["db_name"] = b"Quimby"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Quimby wrote this"))
    path = folder / f"Quimby{suffix}"
    image.to_filename(path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("version", [1, 2])
def test_nifti_loses_words_and_keeps_voxels(tmp_path: Path, suffix: str, version: int) -> None:
    path = planted(tmp_path, suffix, version)
    raw = b"".join(cleaned_nifti(path))
    assert b"Quimby" not in (gzip.decompress(raw) if suffix == ".nii.gz" else raw)
    assert b"Quimby" not in raw
    target = tmp_path / f"out{suffix}"
    target.write_bytes(raw)
    before, after = nibabel.load(path), nibabel.load(target)
    assert np.array_equal(np.asarray(before.dataobj), np.asarray(after.dataobj))
    assert np.array_equal(before.affine, after.affine)
    assert not after.header.extensions


def test_damaged_nifti_is_refused(tmp_path: Path) -> None:
    path = planted(tmp_path, ".nii")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ReadError):
        list(cleaned_nifti(path))


def test_sidecar_keeps_settings_only(tmp_path: Path) -> None:
    path = tmp_path / "image.json"
    content = {
        **{"EchoTime": 0.03, "SliceTiming": [0, 0.5], "ImageType": ["ORIGINAL", "PRIMARY"], "MagneticFieldStrength": 3},
        **{"PatientName": "Quimby", "AcquisitionDateTime": "2023-01-05T10:15:30", "InstitutionName": "Ostervik"},
        **{"SeriesDescription": "Quimby", "Operator": {"Name": "Brandvold"}, "DeviceSerialNumber": "4711"},
    }
    path.write_text(json.dumps(content))
    assert json.loads(cleaned_sidecar(path)) == {
        **{"EchoTime": 0.03, "SliceTiming": [0, 0.5], "ImageType": ["ORIGINAL", "PRIMARY"], "MagneticFieldStrength": 3}
    }


@pytest.mark.parametrize("text", ["[1, 2]", "{", ""])
def test_other_json_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "image.json"
    path.write_text(text)
    with pytest.raises(ReadError):
        cleaned_sidecar(path)
