"""The marker's world position through NIfTI, NRRD and MetaImage, judged by nibabel, pynrrd and SimpleITK."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType

import nibabel as nib
import nrrd as pynrrd
import numpy as np
import pytest
import SimpleITK
from geometry_cases import CODES, KINDS, torture
from numpy.typing import NDArray

from vesalius.core import Volume
from vesalius.core.errors import GeometryError
from vesalius.imaging import spatial
from vesalius.io import metaimage, nifti, nrrd
from vesalius.phantoms.geometry import brightest_mm, marker_centre_mm

FORMATS = ((nifti, "x.nii.gz"), (nifti, "x.nii"), (nrrd, "x.nrrd"), (metaimage, "x.mha"))
EXACT_MM = 0.01


def by_simpleitk(path: Path) -> NDArray[np.float64]:
    """Return LPS mm of the brightest voxel as SimpleITK reads the file."""
    image = SimpleITK.ReadImage(str(path))
    k, j, i = (int(n) for n in np.argwhere(SimpleITK.GetArrayViewFromImage(image) >= 2000)[0])
    return np.array(image.TransformIndexToPhysicalPoint((i, j, k)))


def by_nibabel(path: Path) -> NDArray[np.float64]:
    """Return LPS mm of the brightest voxel as nibabel reads the file."""
    image = nib.load(path)
    place = np.argwhere(np.asarray(image.dataobj) >= 2000)[0]
    return np.asarray(nib.affines.apply_affine(image.affine, place) * (-1, -1, 1))


def by_nibabels_qform(path: Path) -> NDArray[np.float64] | None:
    """Return LPS mm of the brightest voxel by the qform, None where it is not coded."""
    image = nib.load(path)
    place = np.argwhere(np.asarray(image.dataobj) >= 2000)[0]
    qform = image.get_qform(coded=True)[0]
    return None if qform is None else np.asarray(nib.affines.apply_affine(qform, place) * (-1, -1, 1))


def by_pynrrd(path: Path) -> NDArray[np.float64]:
    """Return LPS mm of the brightest voxel as pynrrd reads the file."""
    array, header = pynrrd.read(str(path))
    assert header["space"] == "left-posterior-superior"
    return np.asarray(np.argwhere(array >= 2000)[0] @ header["space directions"] + header["space origin"])


def apart(one: NDArray[np.float64] | None, other: NDArray[np.float64]) -> float:
    """Return the distance in mm; nothing is not apart."""
    return 0.0 if one is None else float(np.linalg.norm(one - other))


def distance(volume: Volume, marker: NDArray[np.float64]) -> float:
    return apart(brightest_mm(volume), marker)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES)
def test_marker_stays_through_every_format(kind: str, code: str, tmp_path: Path) -> None:
    case = torture(kind, code)
    for room, name in FORMATS:
        if kind == "tilted" and room is metaimage:
            continue
        path = tmp_path / name
        room.write(case.volume, path)
        back = room.read(path)
        assert np.array_equal(back.array, case.volume.array)
        assert back.same_grid(case.volume, EXACT_MM)
        assert back.is_sheared == (kind == "tilted")
        assert room.describe_file(path).geometry.verdict == ("sheared" if kind == "tilted" else "regular")
        assert max(distance(back, case.marker_mm), distance(back.reorient("RAS"), case.marker_mm)) < EXACT_MM
        for judged in judgements(room, path, kind):
            assert apart(judged, case.marker_mm) < EXACT_MM


def judgements(room: ModuleType, path: Path, kind: str) -> list[NDArray[np.float64] | None]:
    """Return what the others read; SimpleITK refuses a sheared grid."""
    told: list[NDArray[np.float64] | None] = [] if kind == "tilted" else [by_simpleitk(path)]
    if room is nifti:
        told += [by_nibabel(path), by_nibabels_qform(path)]
    return told + ([by_pynrrd(path)] if room is nrrd else [])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", CODES)
def test_resampling_moves_the_marker_less_than_half_a_voxel(kind: str, code: str, tmp_path: Path) -> None:
    case = torture(kind, code)
    nifti.write(case.volume, tmp_path / "x.nii.gz")
    turned = nifti.read(tmp_path / "x.nii.gz").reorient("LPS")
    finer = spatial.resample(turned, spacing_mm=(1.0, 1.0, 1.0))
    assert apart(marker_centre_mm(finer), marker_centre_mm(case.volume)) < 0.5
    onto = spatial.resample_like(finer, case.volume)
    assert onto.same_grid(case.volume)
    assert apart(marker_centre_mm(onto), case.marker_mm) < 0.5 * max(case.volume.spacing_mm)


@pytest.mark.parametrize("code", CODES)
def test_all_48_reorientations_of_one_file(code: str, tmp_path: Path) -> None:
    case = torture("oblique")
    nifti.write(case.volume.reorient(code), tmp_path / "x.nii")
    assert apart(by_nibabel(tmp_path / "x.nii"), case.marker_mm) < EXACT_MM
    assert apart(by_simpleitk(tmp_path / "x.nii"), case.marker_mm) < EXACT_MM
    back = nifti.read(tmp_path / "x.nii")
    assert back.orientation == code
    assert back.reorient("SPL").same_grid(case.volume, EXACT_MM)
    assert np.array_equal(back.reorient("SPL").array, case.volume.array)


def test_metaimage_refuses_a_tilted_grid_and_names_resample(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match="resample"):
        metaimage.write(torture("tilted").volume, tmp_path / "x.mha")
    assert not list(tmp_path.iterdir())


def test_simpleitk_refuses_a_sheared_nifti(tmp_path: Path) -> None:
    """Why nibabel is the judge of tilted NIfTI files."""
    nifti.write(torture("tilted").volume, tmp_path / "x.nii")
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="orthonormal"):
        SimpleITK.ReadImage(str(tmp_path / "x.nii"))


@pytest.mark.parametrize("kind", ["straight", "oblique", "anisotropic"])
@pytest.mark.parametrize("name", ["x.nii.gz", "x.nrrd", "x.nhdr", "x.mha", "x.mhd"])
def test_we_read_what_simpleitk_writes(kind: str, name: str, tmp_path: Path) -> None:
    for code in CODES[::7]:
        case = torture(kind, code)
        image = SimpleITK.GetImageFromArray(case.volume.array)
        zooms = np.array(case.volume.spacing_mm)
        image.SetSpacing(zooms[::-1].tolist())
        image.SetOrigin(case.volume.affine[:3, 3].tolist())
        image.SetDirection((case.volume.affine[:3, :3] / zooms)[:, ::-1].ravel().tolist())
        SimpleITK.WriteImage(image, str(tmp_path / name), True)
        room = nifti if ".nii" in name else metaimage if ".mh" in name else nrrd
        assert distance(room.read(tmp_path / name), case.marker_mm) < EXACT_MM
