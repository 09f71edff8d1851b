from __future__ import annotations

import numpy as np
import pytest

from vesalius.core import Frame, Mask, Segment, Volume
from vesalius.core.code import Code
from vesalius.core.errors import UnknownNameError
from vesalius.core.grid import all_orientations
from vesalius.report import planes

BOX = (-40.0, 40.0, -50.0, 50.0)
CORNER = np.array([12.0, -20.0, 9.0])
"""LPS mm of the marker: left, anterior, superior."""


def head() -> Volume:
    """Return a dark SPL volume, 2 x 2 x 2 mm, with a bright cube at CORNER."""
    array = np.zeros((40, 60, 44), np.float32)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 2], [0, 2, 0], [2, 0, 0]])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(array.shape) - 1) / 2)
    volume = Volume(array, affine)
    s, r, c = np.round(volume.world_to_index(CORNER)).astype(int)
    array[s - 1 : s + 2, r - 1 : r + 2, c - 1 : c + 2] = 100
    return Volume(array, affine)


def turned(volume: Volume, tilt_deg: float) -> Volume:
    angle = np.deg2rad(tilt_deg)
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Volume(volume.array, turn @ volume.affine)


def spot(view: planes.Plane, picture: np.ndarray, step: float) -> tuple[float, float]:
    """Return where the bright marker is, in mm right of and below the middle of the view."""
    rows, columns = np.nonzero(np.nan_to_num(picture) > 50)
    return float(columns.mean() * step + BOX[0]), float(rows.mean() * step + BOX[2])


@pytest.mark.parametrize("code", all_orientations())
def test_the_marker_is_where_a_radiologist_expects_it_in_all_48_orientations(code: str) -> None:
    volume = head().reorient(code)
    expected = {"axial": (12.0, -20.0), "coronal": (12.0, -9.0), "sagittal": (-20.0, -9.0)}
    letters = {"axial": ("R", "L", "A", "P"), "coronal": ("R", "L", "S", "I"), "sagittal": ("A", "P", "S", "I")}
    for name, place in expected.items():
        view = planes.plane(volume, name)
        assert view.edge_letters() == letters[name]
        picture = planes.sample(volume, view, CORNER, BOX, 1.0)
        assert spot(view, picture, 1.0) == pytest.approx(place, abs=1.1)


def test_position_is_a_distance_with_the_letter_of_its_side() -> None:
    volume = head()
    place = {name: planes.plane(volume, name).position(CORNER) for name in planes.PLANES}
    assert place == {"axial": ("S", 9.0), "coronal": ("A", 20.0), "sagittal": ("L", 12.0)}


@pytest.mark.parametrize(
    ("tilt", "top", "bottom"), [(5.0, "A", "P"), (20.0, "AI", "PS"), (-20.0, "AS", "PI"), (44.0, "AI", "PS")]
)
def test_oblique_images_show_two_letters(tilt: float, top: str, bottom: str) -> None:
    letters = planes.plane(turned(head(), tilt), "axial").edge_letters()
    assert letters == ("R", "L", top, bottom)


def test_a_tilted_gantry_is_drawn_in_orthogonal_planes() -> None:
    volume = head()
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.deg2rad(15))
    sheared = Volume(volume.array, shear @ volume.affine)
    assert sheared.is_sheared
    frame = planes.patient_frame(sheared)
    assert frame @ frame.T == pytest.approx(np.eye(3), abs=1e-12)
    marker = (shear @ np.array([*CORNER, 1]))[:3]
    view = planes.plane(sheared, "sagittal")
    picture = planes.sample(sheared, view, marker, BOX, 1.0)
    across, down = spot(view, picture, 1.0)
    assert (across, down) == pytest.approx(tuple(view.project(marker)), abs=1.2)


def test_greys_on_the_grid_are_untouched() -> None:
    volume = head()
    random = np.random.default_rng(0).normal(100, 20, volume.shape).astype(np.float32)
    volume = Volume(random, volume.affine)
    index = (20, 0, 0)
    view = planes.plane(volume, "axial")
    box = (*view.project(volume.index_to_world(index)), *view.project(volume.index_to_world((20, 59, 43))))
    box = (box[0], box[2], box[1], box[3])
    picture = planes.sample(volume, view, volume.index_to_world(index), box, 2.0)
    assert picture == pytest.approx(random[20], abs=1e-3)


def test_a_label_border_lies_halfway_between_voxels() -> None:
    volume = head()
    code = Code("1", "99VESALIUS", "half")
    labels = np.zeros(volume.shape, np.uint8)
    labels[:, :, 22:] = 3
    mask = Mask(labels, volume.affine, segments={3: Segment("half", code, (1, 2, 3))})
    view = planes.plane(volume, "axial")
    share = planes.sample_label(mask, 3, view, np.zeros(3), (-2, 2, -2, 2), 1.0)
    assert share[2] == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-5)


def test_the_view_shows_the_head_and_no_more() -> None:
    volume = head()
    view = planes.plane(volume, "axial")
    left, right, top, bottom = planes.view_box(volume, None, view, 50, margin_mm=4)
    assert (left + right) / 2 == pytest.approx(12, abs=2)
    assert (top + bottom) / 2 == pytest.approx(-20, abs=2)
    empty = Volume(np.zeros(volume.shape, np.float32), volume.affine)
    assert planes.view_box(empty, None, view, 50, margin_mm=0) == pytest.approx((-43, 43, -59, 59))


def test_an_unknown_plane_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown plane"):
        planes.plane(head(), "oblique")


def test_a_photograph_has_no_planes() -> None:
    assert planes.is_flat(Volume(np.zeros((1, 3, 3)), np.eye(4), frame=Frame.IMAGE))
