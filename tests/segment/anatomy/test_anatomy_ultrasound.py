"""Insonated area and burned-in marks, planted where the answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vesalius.core import Axis, AxisKind, Frame, Spacing, Volume
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.io import raster
from vesalius.segment.anatomy.ultrasound import ultrasound_sector


def echoes(shape: tuple[int, int]) -> np.ndarray:
    """Return speckle as wide as a beam and as thin as a pulse, 8-bit."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(1)
    waves = [gaussian_filter(rng.normal(size=shape), (1.0, 5.0)) for _ in range(2)]
    amplitude = np.sqrt(np.hypot(*waves))
    return np.clip(90 * amplitude / amplitude.mean(), 5, 190)


def picture(array: np.ndarray) -> Volume:
    axis = Axis(AxisKind.RGB, ("r", "g", "b")) if array.ndim == 3 else None
    shown = np.clip(array, 0, 255).astype(np.uint8)[np.newaxis]
    return Volume(shown, np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, modality="US", axis=axis)


def fan() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:320, :400].astype(float)
    radius, angle = np.hypot(rows + 60, columns - 200), np.arctan2(columns - 200, rows + 60)
    inside = (radius > 90) & (radius < 330) & (np.abs(angle) < 0.5)
    return np.where(inside, echoes(inside.shape), 0), inside


def calipers(grey: np.ndarray, places: list[tuple[int, int]]) -> np.ndarray:
    """Burn crosses in and return where they are."""
    marks = np.zeros(grey.shape, bool)
    for row, column in places:
        marks[row - 5 : row + 6, column] = True
        marks[row, column - 5 : column + 6] = True
    grey[marks] = 240
    return marks


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def test_a_fan_with_scale_and_text_beside_it() -> None:
    grey, inside = fan()
    grey[20:300, 8:10] = 200
    grey[300:310, 20:60:3] = 220
    mask = ultrasound_sector(picture(grey))
    assert dice(mask.array[0] == 1, inside) > 0.96
    assert not (mask.array[0][:, :30] == 1).any()
    assert (mask.array[0][40:280, 8:10] == 2).all()


def test_calipers_in_the_tissue_are_left_out_and_little_else() -> None:
    grey = echoes((256, 256))
    marks = calipers(grey, [(60, 60), (60, 180), (120, 90), (200, 128)])
    mask = ultrasound_sector(picture(grey))
    assert (mask.array[0][marks] != 1).mean() > 0.95
    assert ((mask.array[0] != 1) & ~marks).mean() < 0.05


def test_coloured_marks_at_any_tolerance() -> None:
    colours = np.repeat(echoes((200, 240))[..., np.newaxis], 3, axis=-1)
    colours[50:60, 100:102] = (230, 220, 20)
    labels = ultrasound_sector(picture(colours), tolerance=0).array[0]
    assert (labels[50:60, 100:102] == 2).all()
    assert (labels == 2).mean() < 0.01


def test_a_shadowed_linear_picture_stays_a_rectangle() -> None:
    grey = echoes((240, 200))
    grey[150:, 60:140] = 0
    grey = np.pad(grey, ((20, 20), (30, 30)))
    area = ultrasound_sector(picture(grey)).array[0] > 0
    truth = np.pad(np.ones((240, 200), bool), ((20, 20), (30, 30)))
    assert dice(area, truth) > 0.98


def test_refusals() -> None:
    volume = picture(echoes((100, 100)))
    with pytest.raises(UsageError, match="ultrasound"):
        ultrasound_sector(replace(volume, modality="CT"))
    with pytest.raises(UsageError, match="tolerance"):
        ultrasound_sector(volume, tolerance=3)
    with pytest.raises(GeometryError, match="too small"):
        ultrasound_sector(picture(echoes((20, 100))))
    with pytest.raises(ImageContentError):
        ultrasound_sector(picture(np.zeros((100, 100))))
    black = np.zeros((100, 100))
    black[50, 50] = 255
    with pytest.raises(ImageContentError, match="black"):
        ultrasound_sector(picture(black))


def planted_recall(data_root: Path, count: int) -> tuple[list[float], list[float]]:
    recall, lost = [], []
    for path in sorted((data_root / "busi_breast_us" / "normal").glob("*.png"))[:count]:
        array = raster.read(path).array[0].astype(float)
        grey = array.mean(axis=-1) if array.ndim == 3 else array
        before = ultrasound_sector(picture(grey)).array[0] == 1
        marks = calipers(grey, [(70, 70), (90, 190), (180, 128)])
        labels = ultrasound_sector(picture(grey)).array[0]
        recall.append(float((labels[marks] != 1).mean()))
        lost.append(float((before & (labels != 1) & ~marks).mean()))
    return recall, lost


def test_planted_on_real_pictures(data_root: Path) -> None:
    recall, lost = planted_recall(data_root, 4)
    assert np.mean(recall) > 0.85
    assert np.mean(lost) < 0.03


@pytest.mark.slow
def test_planted_on_many(data_root: Path) -> None:
    recall, lost = planted_recall(data_root, 60)
    assert np.mean(recall) > 0.85
    assert np.mean(lost) < 0.03
