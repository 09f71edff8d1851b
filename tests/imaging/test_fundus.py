"""Field of view and illumination of fundus photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from filter_phantoms import flat

from vesalius.core import Axis, AxisKind, Frame, Spacing, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.imaging import fundus

RGB = Axis(AxisKind.RGB, ("r", "g", "b"))


def photograph(
    row: float = 150, column: float = 190, radius: float = 130, tilt: float = 0.6
) -> tuple[Volume, np.ndarray]:
    """Return a lit disc whose brightness falls from left to right, with vessels, and where it is."""
    rows, columns = np.mgrid[:300, :380]
    inside = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    light = 1 + tilt * (190 - columns) / 190
    vessels = 1 - 0.3 * (np.abs(np.sin(rows / 12)) < 0.1)
    grey = np.where(inside, light * vessels, 0)
    colours = np.stack([140 * grey, 80 * grey, 30 * grey], axis=-1)
    noise = np.random.default_rng(0).normal(3, 1, colours.shape)
    array = (colours + noise).clip(0, 255).astype(np.uint8)[np.newaxis]
    return Volume(array, np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, modality="OP", axis=RGB), inside


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Return the overlap."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("radius", [130, 170, 200])
def test_the_field_is_the_disc_also_when_cut_by_the_border(radius: float) -> None:
    volume, inside = photograph(radius=radius)
    mask = fundus.field_of_view(volume)
    assert dice(mask.array[0] > 0, inside) > 0.99
    assert mask.label_of("field of view") == 1


def test_a_dark_corner_of_the_field_is_bridged() -> None:
    volume, inside = photograph()
    array = volume.array.copy()
    array[0, :120, 230:] = 0
    found = fundus.field_of_view(volume.with_array(array, "shadow"))
    assert dice(found.array[0] > 0, inside) > 0.98


def test_drive_fields_agree_with_the_published_masks(data_root: Path) -> None:
    from PIL import Image

    from vesalius.io import raster

    folder = data_root / "drive_vessels" / "training"
    scores = []
    for path in sorted((folder / "images").glob("*.tif")):
        with Image.open(next((folder / "mask").glob(f"{path.name[:2]}_*"))) as picture:
            truth = np.asarray(picture) > 0
        scores.append(dice(fundus.field_of_view(raster.read(path)).array[0] > 0, truth))
    assert len(scores) >= 5
    assert min(scores) > 0.99


def test_light_becomes_even_and_hues_and_vessels_stay() -> None:
    volume, inside = photograph()
    result = fundus.even_illumination(volume)
    inner = inside & (np.hypot(*(np.mgrid[:300, :380] - np.array([150, 190])[:, None, None])) < 110)
    halves = []
    for one in (volume, result):
        green = one.array[0, ..., 1].astype(float)
        halves.append(green[inner & (np.arange(380) < 150)].mean() / green[inner & (np.arange(380) > 230)].mean())
    assert halves[0] > 1.4
    assert halves[1] == pytest.approx(1, abs=0.08)
    ratio = result.array[0, ..., 0][inner].mean() / result.array[0, ..., 1][inner].mean()
    assert ratio == pytest.approx(
        volume.array[0, ..., 0][inner].mean() / volume.array[0, ..., 1][inner].mean(), rel=0.02
    )
    assert result.array.dtype == np.uint8
    assert not result.array[0][~inside & (np.arange(380) < 40)].any()


def test_even_spread_when_asked() -> None:
    volume, inside = photograph(tilt=0.0)
    array = volume.array.astype(np.float32)
    array[0, :, 190:] = 80 + 0.3 * (array[0, :, 190:] - 80)
    faint = volume.with_array(np.where(inside[np.newaxis, ..., np.newaxis], array, 0), "faint")
    spreads = []
    for contrast in (False, True):
        green = fundus.even_illumination(faint, contrast=contrast).array[0, 90:210, :, 1]
        spreads.append(green[:, 100:160].std() / green[:, 220:280].std())
    assert spreads[1] < 0.75 * spreads[0]


def test_the_crop_holds_the_disc_and_nothing_else() -> None:
    volume, inside = photograph()
    result = fundus.crop_field(volume)
    assert result.shape == pytest.approx((1, 261, 261), abs=4)
    start = result.index_to_world((0, 0, 0))
    assert np.allclose(
        start, volume.index_to_world((0, np.flatnonzero(inside.any(1))[0], np.flatnonzero(inside.any(0))[0])), atol=3
    )
    assert not result.array[0, 0, 0].any()


def test_real_photographs_of_three_cameras(data_root: Path) -> None:
    from vesalius.io import raster

    paths = [
        next((data_root / "dr_fundus_srahim").rglob("*.jpg")),
        next((data_root / "idrid_exudates" / "images").glob("*.jpg")),
        next((data_root / "drishti_glaucoma" / "images").glob("*.png")),
    ]
    for path in paths:
        volume = raster.read(path)
        step = max(1, volume.shape[1] // 700)
        small = Volume(volume.array[:, ::step, ::step], np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, axis=volume.axis)
        mask = fundus.field_of_view(small)
        assert mask.history[-1].parameters["fitted"]
        assert 0.4 < mask.array.mean() < 0.95
        assert small.array[mask.array == 0].mean() < 0.2 * small.array[mask.array > 0].mean()


def test_bad_input_is_refused_with_the_fix() -> None:
    with pytest.raises(ImageContentError, match="no lit field"):
        fundus.field_of_view(flat(np.zeros((200, 200), np.uint8)))
    with pytest.raises(GeometryError, match="several slices"):
        fundus.field_of_view(Volume(np.ones((2, 50, 50), np.uint8), np.eye(4)))
    with pytest.raises(UsageError, match="scale"):
        fundus.even_illumination(photograph()[0], scale=0)
    echo = Volume(np.ones((1, 9, 9, 2)), np.eye(4), axis=Axis(AxisKind.ECHO, (1.0, 2.0), "ms"))
    with pytest.raises(UsageError, match="echo"):
        fundus.field_of_view(echo)
