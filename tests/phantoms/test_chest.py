"""Simulated chests: the truth is analytic, the image shows it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from vesalius.core.errors import UsageError
from vesalius.phantoms.chest import AIRWAYS, BODY, LEFT, RIGHT, ChestOptions, SimulatedChest, otsu_line, simulate_chest

COARSE = ChestOptions(spacing_mm=(10.0, 5.0, 5.0), noise_hu=10.0)


@cache
def coarse() -> SimulatedChest:
    return simulate_chest(COARSE)


def test_the_same_patient_on_two_grids_has_the_same_volumes() -> None:
    fine = ChestOptions(spacing_mm=(8.0, 4.0, 4.0), noise_hu=0)
    one, other = coarse().truth, simulate_chest(fine).truth
    for label in (BODY, LEFT, RIGHT):
        assert one.volume_ml(label) == pytest.approx(other.volume_ml(label), rel=0.04)
    assert 1500 < one.volume_ml(LEFT) < 4500


def test_left_is_the_patients_left() -> None:
    truth = coarse().truth
    sides = [float(truth.index_to_world(np.argwhere(truth.array == label))[:, 0].mean()) for label in (LEFT, RIGHT)]
    assert sides[0] > 40
    assert sides[1] < -40


def test_brightness_follows_the_truth() -> None:
    chest = coarse()
    image, truth = chest.image.array, chest.truth.array
    assert chest.image.modality == "CT"
    assert np.median(image[truth == LEFT]) == pytest.approx(-860, abs=40)
    assert np.median(image[truth == 0]) == pytest.approx(-1000, abs=15)
    assert np.median(image[truth == BODY]) > -50
    assert (truth == AIRWAYS).any()


def test_nodules_are_lung_in_the_truth_and_solid_in_the_image() -> None:
    chest = simulate_chest(ChestOptions(spacing_mm=(8.0, 4.0, 4.0), noise_hu=0, nodules_mm=(20.0, 24.0)))
    assert len(chest.nodules) == 2
    for centre, radius in chest.nodules:
        # A little towards the middle of the chest from the pleura.
        point = centre * [1 - 5 / np.hypot(*centre[:2]), 1 - 5 / np.hypot(*centre[:2]), 1]
        index = tuple(np.rint(chest.image.world_to_index(point)).astype(int))
        assert radius in (10.0, 12.0)
        assert chest.truth.array[index] in (LEFT, RIGHT)
        assert chest.image.array[index] > -200


def test_the_plain_line_keeps_airways_and_loses_nodules() -> None:
    chest = coarse()
    found, truth = otsu_line(chest.image), chest.truth.array
    lung = (truth == LEFT) | (truth == RIGHT)
    score = 2 * (found & lung).sum() / (found.sum() + lung.sum())
    assert 0.9 < score < 0.99


def test_seeds_repeat_and_differ() -> None:
    small = ChestOptions(spacing_mm=(10.0, 6.0, 6.0), slices=6, seed=4)
    hashes = [
        simulate_chest(one).image.sha256 for one in (small, small, ChestOptions((10.0, 6.0, 6.0), slices=6, seed=5))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    "options",
    [ChestOptions(spacing_mm=(0.0, 1.0, 1.0)), ChestOptions(noise_hu=-1), ChestOptions(nodules_mm=(90.0,)),
     ChestOptions(slices=0)],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: ChestOptions) -> None:
    with pytest.raises(UsageError):
        simulate_chest(options)
