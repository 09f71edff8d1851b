"""The geometry phantom: its marker is where it says, and nothing in it is symmetric."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core import Volume
from vesalius.core.errors import GeometryError, ImageContentError
from vesalius.core.grid import all_orientations
from vesalius.phantoms.geometry import ARMS, brightest_mm, grid_affine, marker_centre_mm, marker_phantom

SHAPE = (20, 24, 28)


def test_the_affine_has_what_was_asked_for() -> None:
    affine = grid_affine(SHAPE, orientation="PSR", spacing_mm=(3, 2, 1), centre_mm=(1, 2, 3))
    grid = Volume(np.zeros(SHAPE, np.uint8), affine)
    assert (grid.orientation, grid.spacing_mm) == ("PSR", (3, 2, 1))
    assert np.allclose(grid.centre_mm(), (1, 2, 3))
    tilted = grid_affine(SHAPE, spacing_mm=(3, 2, 1), tilt_deg=15)
    normal = np.cross(tilted[:3, 1] / 2, tilted[:3, 2])
    assert abs(normal @ tilted[:3, 0]) == pytest.approx(3)
    angle = np.degrees(np.arccos(abs(normal @ tilted[:3, 0]) / np.linalg.norm(tilted[:3, 0])))
    assert angle == pytest.approx(15)


@pytest.mark.parametrize("code", all_orientations()[::5])
def test_the_marker_is_where_it_was_put(code: str) -> None:
    affine = grid_affine(SHAPE, orientation=code, rotation_deg=(10, 20, 30), spacing_mm=(2, 1, 1))
    exact = affine[:3, :3] @ (12, 9, 15) + affine[:3, 3]
    assert np.allclose(brightest_mm(marker_phantom(SHAPE, affine, marker_mm=exact)), exact)
    between = affine[:3, :3] @ (11.4, 9.3, 14.6) + affine[:3, 3]
    found = marker_centre_mm(marker_phantom(SHAPE, affine, marker_mm=between))
    assert np.linalg.norm(found - between) < 0.25


def test_the_same_world_point_has_the_same_value_on_every_grid() -> None:
    affine = grid_affine(SHAPE)
    marker = affine[:3, :3] @ (12, 9, 15) + affine[:3, 3]
    one = marker_phantom(SHAPE, affine, marker_mm=marker)
    for code in all_orientations()[::9]:
        turned = one.reorient(code)
        again = marker_phantom(turned.shape, turned.affine, marker_mm=marker)
        assert np.array_equal(again.array, turned.array)


def test_no_flip_and_no_exchange_of_axes_gives_the_phantom_back() -> None:
    array = marker_phantom((21, 21, 21), grid_affine((21, 21, 21))).array
    for axes in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        for flips in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
            changed = np.flip(array.transpose(axes), flips)
            assert np.array_equal(changed, array) == (axes == (0, 1, 2) and not flips)
    assert set(np.unique(array)) >= {round(value) for _, _, value in ARMS}


def test_errors() -> None:
    with pytest.raises(GeometryError, match="outside the grid"):
        marker_phantom(SHAPE, grid_affine(SHAPE), marker_mm=(500, 0, 0))
    flat = Volume(np.zeros(SHAPE, np.int16), grid_affine(SHAPE))
    with pytest.raises(ImageContentError, match="no marker"):
        marker_centre_mm(flat)
    with pytest.raises(ImageContentError, match="not unique"):
        brightest_mm(flat)
