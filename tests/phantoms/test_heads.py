"""Simulated heads: the answer is exactly the label map, the image has the contrast it was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.core import Code, Mask, Segment
from vesalius.core.errors import LabelError
from vesalius.phantoms.heads import (
    HeadOptions,
    intracranial_truth,
    simulate_head,
    smooth_field,
    tissue_truth,
)

LABELS = (0, 2, 3, 16, 24, 515, 507)


def blocks(spacing: float = 1.0) -> Mask:
    """Seven slabs of one label each, stacked from right to left, the brain stem in the upper half only."""
    array = np.repeat(np.array(LABELS, dtype=np.int16), 8)[None, None, :] * np.ones((24, 24, 1), dtype=np.int16)
    array[:12][array[:12] == 16] = 24
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = spacing
    affine[3, 3] = 1
    names = {v: Segment(str(v), Code(str(v), "99T", str(v)), (0, 0, 0)) for v in LABELS if v}
    return Mask(array, affine, segments=names)


def test_truth_follows_the_definitions_of_tissue() -> None:
    labels = blocks()
    truth = tissue_truth(labels).array
    for label, expected in {0: 0, 2: 2, 3: 1, 16: 2, 24: 3, 515: 0, 507: 0}.items():
        assert set(np.unique(truth[labels.array == label])) == {expected}


def test_intracranial_truth_stops_at_the_lowest_brain_stem() -> None:
    inside = intracranial_truth(blocks()).array
    assert not inside[:12].any()
    assert inside[12:].any()


def test_without_brain_stem_and_cerebellum_the_foramen_is_unknown() -> None:
    labels = blocks()
    array = np.where(labels.array == 16, 24, labels.array)
    with pytest.raises(LabelError, match="foramen magnum"):
        intracranial_truth(labels.with_array(array, "test"))


def test_brightness_bone_equals_fluid() -> None:
    labels = blocks()
    options = HeadOptions(texture=0, blur_mm=0, noise=0, bias=(1.0, 1.0), scale=100)
    image = simulate_head(labels, options).image.array
    means = {label: float(image[labels.array == label].mean()) for label in LABELS}
    assert means[2] > means[3] > means[24]
    assert abs(means[515] - means[24]) < 0.1 * means[2]


def test_noise_and_bias_are_as_asked() -> None:
    labels = blocks()
    quiet = simulate_head(labels, HeadOptions(texture=0, blur_mm=0, noise=0, seed=1))
    noisy = simulate_head(labels, HeadOptions(texture=0, blur_mm=0, noise=0.03, seed=1))
    white = labels.array == 2
    difference = (noisy.image.array - quiet.image.array)[white]
    assert difference.std() == pytest.approx(0.03 * 400, rel=0.1)
    assert quiet.bias.array.min() == pytest.approx(0.8, abs=1e-4)
    assert quiet.bias.array.max() == pytest.approx(1.2, abs=1e-4)


def test_same_seed_same_head() -> None:
    first, second = (simulate_head(blocks(), HeadOptions(seed=5)).image.sha256 for _ in range(2))
    assert first == second
    assert simulate_head(blocks(), HeadOptions(seed=6)).image.sha256 != first


def test_smooth_field_spans_its_limits() -> None:
    field = smooth_field((20, 20, 20), np.random.default_rng(0), (0.5, 1.5))
    assert field.min() == pytest.approx(0.5)
    assert field.max() == pytest.approx(1.5)
    assert np.abs(np.diff(field, axis=0)).max() < 0.5
