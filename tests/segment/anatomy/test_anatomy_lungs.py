"""Lungs on phantoms with a known answer and on real slices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vesalius.core import Axis, AxisKind, Frame, Spacing, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.io import raster
from vesalius.phantoms.chest import AIRWAYS, BODY, LEFT, RIGHT, ChestOptions, SimulatedChest, otsu_line, simulate_chest
from vesalius.segment.anatomy.lungs import SEGMENTS, lungs


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def lung(labels: np.ndarray) -> np.ndarray:
    return (labels == LEFT) | (labels == RIGHT)


@pytest.fixture(scope="module")
def chest() -> SimulatedChest:
    return simulate_chest(ChestOptions(spacing_mm=(7.0, 2.5, 2.5), seed=3, nodules_mm=(12.0, 16.0, 20.0)))


def test_lungs_sides_body_and_airways_of_a_series(chest: SimulatedChest) -> None:
    mask, truth = lungs(chest.image), chest.truth.array
    assert dice(lung(mask.array), lung(truth)) > 0.985 > dice(otsu_line(chest.image), lung(truth))
    assert dice(mask.binary("left_lung"), truth == LEFT) > 0.96
    assert dice(mask.binary("right_lung"), truth == RIGHT) > 0.96
    assert dice(mask.binary("airways"), truth == AIRWAYS) > 0.6
    assert dice(mask.array > 0, truth > 0) > 0.99
    assert mask.same_grid(chest.image)
    assert {s.code.value for s in mask.segments.values()} == {"38266002", "44029006", "3341006", "110726009"}


def test_nodules_at_the_pleura_stay_inside(chest: SimulatedChest) -> None:
    with_nodules, without = (lung(lungs(chest.image, closing_mm=radius).array) for radius in (None, 0))
    inside = lung(chest.truth.array) & (chest.image.array > -300)
    assert (with_nodules & inside).sum() > 0.7 * inside.sum() > (without & inside).sum()


@pytest.mark.parametrize("orientation", ["SPL", "LPS", "IAR"])
def test_sides_follow_the_patient_in_any_array_order(chest: SimulatedChest, orientation: str) -> None:
    turned = chest.image.reorient(orientation)
    mask = lungs(turned)
    assert mask.orientation == orientation
    assert dice(mask.reorient("SPL").binary("left_lung"), chest.truth.array == LEFT) > 0.96


def test_a_single_slice_and_a_slice_without_lung(chest: SimulatedChest) -> None:
    index = chest.image.shape[0] // 2
    single = chest.image.crop((index, 0, 0), (index + 1, *chest.image.shape[1:]))
    assert dice(lung(lungs(single).array[0]), lung(chest.truth.array[index])) > 0.97
    top = chest.image.crop((chest.image.shape[0] - 1, 0, 0), chest.image.shape)
    mask = lungs(top)
    assert not lung(mask.array).any()
    assert (mask.array == BODY).any()


def test_a_windowed_picture_gives_nearly_the_same(chest: SimulatedChest) -> None:
    index = chest.image.shape[0] // 2
    hu = chest.image.array[index : index + 1].astype(float)
    grey = np.clip((hu + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
    shown = Volume(grey, np.eye(4)[[2, 1, 0, 3]], Frame.IMAGE, Spacing.UNKNOWN)
    truth = chest.truth.array[index]
    assert dice(lung(lungs(shown).array[0]), lung(truth)) > 0.95
    low, high = (float(v) / 255 * 1500 - 1350 for v in (grey.min(), grey.max()))
    told = lungs(shown, low_hu=low, high_hu=high)
    assert dice(lung(told.array[0]), lung(truth)) > 0.96
    assert told.history[-1].parameters["values"] == "told"
    mirrored = lungs(shown, mirrored=True).array
    assert np.array_equal(mirrored == LEFT, lungs(shown).array == RIGHT)


def test_series_as_float_with_padding(chest: SimulatedChest) -> None:
    index = chest.image.shape[0] // 2
    part = chest.image.crop((index, 0, 0), (index + 1, *chest.image.shape[1:]))
    array = part.array.astype(np.float32)
    rows, columns = np.ogrid[-1 : 1 : array.shape[1] * 1j, -1 : 1 : array.shape[2] * 1j]
    array[:, rows**2 + columns**2 > 1] = -3024
    mask = lungs(part.with_array(array, "padding"))
    assert dice(lung(mask.array[0]), lung(chest.truth.array[index])) > 0.96


def test_an_image_without_modality_must_hold_air_or_be_called_ct(chest: SimulatedChest) -> None:
    index = chest.image.shape[0] // 2
    part = chest.image.crop((index, 0, 0), (index + 1, *chest.image.shape[1:]))
    stored = replace(part.with_array(part.array.astype(np.int32) + 1024, "no intercept"), modality="")
    assert dice(lung(lungs(replace(part, modality="")).array), lung(lungs(part).array)) == 1.0
    with pytest.raises(UsageError, match="does not tell its modality") as refused:
        lungs(stored)
    assert "--modality CT" in (refused.value.fix or "")
    for asserted in (
        lungs(replace(stored, modality="CT")),
        lungs(stored, low_hu=float(part.array.min()), high_hu=float(part.array.max())),
    ):
        assert dice(lung(asserted.array), lung(lungs(part).array)) > 0.97
    pictures = Volume(stored.array.repeat(2, axis=0), np.eye(4), Frame.IMAGE, Spacing.UNKNOWN)
    with pytest.raises(UsageError, match="Hounsfield"):
        lungs(pictures)


def test_refusals_name_the_fix(chest: SimulatedChest) -> None:
    part = chest.image.crop((20, 0, 0), (21, *chest.image.shape[1:]))
    with pytest.raises(UsageError, match="works on CT"):
        lungs(replace(part, modality="MR"))
    with pytest.raises(UsageError, match="two ends"):
        lungs(part, low_hu=-1000.0)
    with pytest.raises(UsageError, match="closing_mm"):
        lungs(part, closing_mm=-1)
    holes = part.array.astype(np.float32)
    holes[0, 5, 5] = np.nan
    with pytest.raises(ImageContentError, match="not finite"):
        lungs(part.with_array(holes, "nan"))
    with pytest.raises(ImageContentError, match="constant"):
        lungs(part.with_array(np.zeros(part.shape, np.int16), "zero"))
    with pytest.raises(GeometryError, match="at least 32"):
        lungs(chest.image.crop((0, 0, 0), (2, 20, 20)))
    colours = np.zeros((1, 64, 64, 3), np.uint8)
    colours[..., 0] = np.arange(64)
    with pytest.raises(GeometryError, match="colour"):
        lungs(Volume(colours, np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, axis=Axis(AxisKind.RGB, ("r", "g", "b"))))


def test_the_phantom_and_the_recipe_agree_on_names() -> None:
    truth = simulate_chest(ChestOptions(spacing_mm=(10.0, 8.0, 8.0), slices=1)).truth
    assert {k: (v.name, v.code) for k, v in truth.segments.items()} == {
        k: (v.name, v.code) for k, v in SEGMENTS.items()
    }


def real_scores(data_root: Path, names: list[str]) -> list[float]:
    from PIL import Image

    folder, scores = data_root / "chest_ct_lung_heart_trachea", []
    for name in names:
        with Image.open(folder / "masks" / f"{name}.png") as image:
            colours = np.asarray(image.convert("RGB"))
        truth = (colours[..., 2] > 128) & (colours[..., 0] < 128) & (colours[..., 1] < 128)
        found = lung(lungs(raster.read(folder / "images" / f"{name}.jpg")).array[0])
        scores.append(dice(found, truth) if truth.any() else float(not found.any()))
    return scores


def test_real_slices(data_root: Path) -> None:
    assert min(real_scores(data_root, ["10018", "10096", "10120"])) > 0.94


@pytest.mark.slow
def test_every_real_slice(data_root: Path) -> None:
    names = sorted(path.stem for path in (data_root / "chest_ct_lung_heart_trachea" / "images").glob("*.jpg"))
    scores = real_scores(data_root, names)
    assert np.median(scores) >= 0.97
    assert min(scores) >= 0.85
