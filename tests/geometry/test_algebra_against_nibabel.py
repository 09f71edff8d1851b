"""Crop, pad, flip, reorient and world coordinates against nibabel's own algebra."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from vesalius.core import Volume
from vesalius.core.grid import all_orientations
from vesalius.phantoms.geometry import grid_affine

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (4, 5, 6)
ANGLES = st.floats(-40, 40)


def volume(code: str = "SPL", rotation: tuple[float, float, float] = (9.0, -7.0, 12.0), tilt: float = 0.0) -> Volume:
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    affine = grid_affine(SHAPE, orientation=code, spacing_mm=(3, 1, 0.5), rotation_deg=rotation, tilt_deg=tilt)
    return Volume(array, affine)


def as_nibabel(image: Volume) -> nib.Nifti1Image:
    return nib.Nifti1Image(image.array, TO_RAS @ image.affine)


def same(image: Volume, other: nib.Nifti1Image) -> bool:
    affine = np.allclose(TO_RAS @ image.affine, other.affine, atol=1e-9)
    return affine and np.array_equal(image.array, np.asarray(other.dataobj))


@pytest.mark.parametrize("code", all_orientations())
@pytest.mark.parametrize("tilt", [0.0, 15.0])
def test_reorient_is_nibabels(code: str, tilt: float) -> None:
    ours = volume(tilt=tilt)
    image = as_nibabel(ours)
    turn = ornt_transform(io_orientation(image.affine), axcodes2ornt(tuple(code)))
    expected = image.as_reoriented(turn)
    assert same(ours.reorient(code), expected)
    assert "".join(nib.aff2axcodes(expected.affine)) == code == ours.reorient(code).orientation


@pytest.mark.parametrize("code", all_orientations())
def test_orientation_is_nibabels(code: str) -> None:
    ours = volume(code)
    assert ours.orientation == code == "".join(nib.aff2axcodes(as_nibabel(ours).affine))


def test_crop_and_flip_are_nibabels() -> None:
    ours = volume()
    assert same(ours.crop((1, 0, 2), (3, 4, 6)), as_nibabel(ours).slicer[1:3, 0:4, 2:6])
    for axis in range(3):
        turn = np.array([(n, -1 if n == axis else 1) for n in range(3)])
        assert same(ours.flip(axis), as_nibabel(ours).as_reoriented(turn))


def test_pad_is_undone_by_nibabels_slicer() -> None:
    ours = volume()
    assert same(ours, as_nibabel(ours.pad((1, 2, 0), (0, 3, 1))).slicer[1:5, 2:7, 0:6])


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(all_orientations()), st.tuples(ANGLES, ANGLES, ANGLES), st.floats(-20, 20))
def test_world_and_voxel_size_are_nibabels(code: str, rotation: tuple[float, float, float], tilt: float) -> None:
    ours = volume(code, rotation, tilt)
    index = np.array([(0, 0, 0), (3, 4, 5), (1.5, -2, 0.25)])
    world = nib.affines.apply_affine(as_nibabel(ours).affine, index)
    assert np.allclose(ours.index_to_world(index) * (-1, -1, 1), world)
    assert np.allclose(ours.world_to_index(ours.index_to_world(index)), index)
    assert np.allclose(ours.spacing_mm, nib.affines.voxel_sizes(as_nibabel(ours).affine))
    assert ours.voxel_volume_mm3 == pytest.approx(abs(np.linalg.det(as_nibabel(ours).affine[:3, :3])))
