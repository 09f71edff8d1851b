"""Lesion-wise detection, panoptic quality and FROC."""

from __future__ import annotations

import numpy as np
import pytest
from bodies import mask

from vesalius.core import Code, Mask, Segment
from vesalius.core.errors import GeometryError, ImageContentError, UsageError
from vesalius.evaluate.metrics import (
    Candidate,
    Matching,
    Panoptic,
    Target,
    detect_lesions,
    froc,
    panoptic_quality,
    pooled,
)


def scene() -> tuple[Mask, Mask]:
    """Return a prediction and three lesions: one met exactly, one by a tenth, one missed; one false alarm."""
    reference, prediction = np.zeros((2, 12, 30, 30), bool)
    reference[2:6, 2:6, 2:6] = prediction[2:6, 2:6, 2:6] = True
    reference[2:7, 12:22, 12:22] = True
    prediction[2:7, 12:22, 21:24] = True
    reference[9:11, 2:4, 25:27] = True
    prediction[9:11, 26:29, 2:5] = True
    return mask(prediction), mask(reference)


def test_lesions_by_iou_and_by_overlap():
    prediction, reference = scene()
    strict = detect_lesions(prediction, reference)
    assert (strict.found, strict.missed, strict.right, strict.wrong) == (1, 2, 1, 2)
    assert strict.sensitivity == pytest.approx(1 / 3)
    assert strict.f1 == pytest.approx(1 / 3)
    touched = detect_lesions(prediction, reference, matching=Matching("overlap", 0.0))
    assert (touched.found, touched.missed, touched.right, touched.wrong) == (2, 1, 2, 1)
    assert touched.f1 == pytest.approx(2 / 3)
    a_fifth = detect_lesions(prediction, reference, matching=Matching("overlap", 0.2))
    assert (a_fifth.found, a_fifth.right) == (1, 2)
    row = next(match for match in strict.matches if match.reference == 1)
    assert (row.prediction, row.iou, row.reference_ml) == (1, 1.0, 0.064)
    assert sum(match.reference == 0 for match in strict.matches) == 2


def test_one_prediction_matches_one_lesion_and_most_are_matched():
    """A prediction that covers two lesions counts once; the pairing finds all that can be found together."""
    reference, prediction = np.zeros((2, 3, 6, 40), bool)
    reference[1, 1:5, 2:12] = reference[1, 1:5, 13:20] = True
    prediction[1, 1:5, 2:20] = True
    assert detect_lesions(mask(prediction), mask(reference)).found == 1
    split = prediction.copy()
    split[1, 1:5, 11] = False
    found = detect_lesions(mask(split), mask(reference))
    assert (found.found, found.missed, found.wrong) == (2, 0, 0)


def test_pairing_prefers_more_matches_to_a_better_one():
    reference, prediction = np.zeros((2, 1, 1, 40), bool)
    # IoU: prediction 1 with lesion 1 0.8; prediction 1 with lesion 2 and prediction 2 with lesion 1 are low.
    reference[0, 0, 0:10] = True
    reference[0, 0, 11:14] = True
    prediction[0, 0, 2:12] = True
    assert detect_lesions(mask(prediction), mask(reference), matching=Matching("iou", 0.0)).found == 1


def test_small_parts_are_left_out():
    prediction, reference = scene()
    only_large = detect_lesions(prediction, reference, matching=Matching("overlap", 0.0, smallest_ml=0.05))
    assert (only_large.found, only_large.missed, only_large.right, only_large.wrong) == (2, 0, 2, 0)


def test_diagonal_parts_are_one_lesion_with_26_neighbours():
    inside = np.zeros((4, 4, 4), bool)
    inside[0, 0, 0] = inside[1, 1, 1] = True
    for connectivity, count in ((26, 1), (18, 2), (6, 2)):
        found = detect_lesions(mask(inside), mask(inside), matching=Matching(connectivity=connectivity))
        assert (found.found, found.f1) == (count, 1)
    with pytest.raises(GeometryError, match="6, 18 or 26"):
        detect_lesions(mask(inside), mask(inside), matching=Matching(connectivity=4))


def test_nothing_to_find():
    nothing, body = np.zeros((2, 4, 4, 4), bool)
    body[1:3, 1:3, 1:3] = True
    assert np.isnan(detect_lesions(mask(nothing), mask(nothing)).f1)
    assert detect_lesions(mask(body), mask(nothing)).f1 == 0
    assert np.isnan(detect_lesions(mask(body), mask(nothing)).sensitivity)
    missed = detect_lesions(mask(nothing), mask(body))
    assert (missed.f1, missed.sensitivity) == (0, 0)
    assert np.isnan(missed.precision)


def test_noise_has_thousands_of_parts():
    random = np.random.default_rng(1)
    one, two = random.random((2, 40, 60, 60)) < 0.02
    found = detect_lesions(mask(one), mask(two), matching=Matching("iou", 0.3))
    assert found.found + found.missed > 1000
    same = detect_lesions(mask(one), mask(one))
    assert (same.f1, same.missed) == (1, 0)


def test_panoptic_quality_of_a_known_scene():
    prediction, reference = scene()
    found = panoptic_quality(prediction, reference)
    assert (found.ious, found.missed, found.wrong) == ((1.0,), 2, 2)
    assert found.quality == pytest.approx(1 / 3)
    assert found.segmentation_quality == 1
    assert found.recognition_quality == pytest.approx(1 / 3)
    both = pooled([found, panoptic_quality(reference, reference)])
    assert both.quality == pytest.approx(4 / 6)
    assert np.isnan(Panoptic().quality)
    assert Panoptic((), 1, 0).quality == 0


def test_labels_as_instances_need_not_have_equal_numbers():
    array = np.zeros((1, 10, 10), np.uint16)
    array[0, :5, :5], array[0, :5, 5:], array[0, 6:, 2:8] = 1, 2, 3
    known = {n: Segment(f"cell {n}", Code("4421005", "SCT", "Cell"), (n, 0, 0)) for n in range(1, 1000)}
    reference = Mask(array, np.eye(4), segments=known)
    prediction = Mask(np.array([0, 700, 30, 999], np.uint16)[array], np.eye(4), segments=known)
    assert panoptic_quality(prediction, reference, instances="labels").quality == 1
    assert panoptic_quality(prediction, reference, instances="labels").ious == (1.0,) * 3
    full = Mask(np.ones((1, 3, 3), np.uint8), np.eye(4), segments=known)
    assert panoptic_quality(full, full, instances="labels").quality == 1
    with pytest.raises(UsageError, match="components, labels"):
        panoptic_quality(prediction, reference, instances="cells")  # type: ignore[arg-type]


def test_froc_of_a_known_detector():
    cases = ["a", "b", "c", "d"]
    targets = [Target(case, (0.0, 0.0, 0.0), 5.0) for case in "abc"] + [Target("d", (0.0, 0.0, 0.0), 5.0, True)]
    candidates = [
        Candidate("a", 0.9, (0.0, 0.0, 4.0)),
        Candidate("a", 0.8, (0.0, 0.0, 1.0)),  # the same lesion again: neither hit nor false alarm
        Candidate("b", 0.7, (0.0, 0.0, 20.0)),
        Candidate("b", 0.6, (3.0, 0.0, 0.0)),
        Candidate("d", 0.95, (0.0, 0.0, 2.0)),  # on an ignored target
        Candidate("c", 0.5, (50.0, 0.0, 0.0)),
        Candidate("c", 0.5, (60.0, 0.0, 0.0)),
    ]
    curve = froc(candidates, targets, cases=cases)
    assert (curve.cases, curve.targets) == (4, 3)
    np.testing.assert_array_equal(curve.thresholds, [np.inf, 0.9, 0.7, 0.6, 0.5])
    np.testing.assert_allclose(curve.sensitivity, [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(curve.false_alarms, [0, 0, 0.25, 0.25, 0.75])
    assert curve.sensitivity_at(0.2) == pytest.approx(1 / 3)
    assert curve.cpm == pytest.approx((1 / 3 + 6 * 2 / 3) / 7)
    assert curve.interval is not None
    assert curve.interval.low <= curve.cpm <= curve.interval.high
    again = froc(candidates[::-1], targets[::-1], cases=cases)
    assert again.interval == curve.interval


def test_a_perfect_and_a_silent_detector():
    targets = [Target("a", (1.0, 2.0, 3.0), 4.0), Target("a", (30.0, 2.0, 3.0), 4.0)]
    perfect = froc([Candidate("a", 1.0, t.position_mm) for t in targets], targets, cases=["a", "b"])
    assert perfect.cpm == 1
    silent = froc([], targets, cases=["a"])
    assert silent.cpm == 0
    assert silent.interval is None


def test_froc_refuses_what_it_cannot_count():
    target = Target("a", (0.0, 0.0, 0.0), 1.0)
    with pytest.raises(UsageError, match="unknown case"):
        froc([Candidate("x", 1.0, (0.0, 0.0, 0.0))], [target], cases=["a"])
    with pytest.raises(UsageError, match="twice"):
        froc([], [target], cases=["a", "a"])
    with pytest.raises(ImageContentError, match="target"):
        froc([], [], cases=["a"])
    with pytest.raises(ImageContentError, match="finite"):
        froc([Candidate("a", float("nan"), (0.0, 0.0, 0.0))], [target], cases=["a"])
    with pytest.raises(UsageError, match="iou, overlap"):
        Matching("centre")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="below 1"):
        Matching("iou", 1.0)
