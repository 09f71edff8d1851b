"""Permutation tests of shortcuts: valid under exchange between patients, sharp on what is planted."""

from __future__ import annotations

import numpy as np
import pytest

from vesalius.evaluate.shortcuts import LEAST_CASES, Named, corrected, exchange, neighbour_test, tree_tests

N = 60
LABELS = np.random.default_rng(0).permutation(np.where(np.arange(N) < 30, "a", "b"))
ALONE = np.arange(N)


def one(values: object, labels: object = LABELS, groups: object = ALONE, draws: int = 400):  # type: ignore[no-untyped-def]
    return tree_tests({"m": {"fact": values}}, labels, groups, draws=draws)[0]  # type: ignore[dict-item,arg-type]


def test_a_fact_that_is_the_label_separates_it() -> None:
    test = one(np.where(LABELS == "a", 3.0, 8.0))
    assert test.p_value == pytest.approx(1 / 401)
    assert test.accuracy == 1.0
    assert str(test.rules[0]) == "fact ≤ 5.5 → a (30/30); fact > 5.5 → b (30/30)"


def test_a_text_that_is_the_label_is_told_as_one_value() -> None:
    test = one(np.where(LABELS == "a", "x", "y"))
    assert test.column in ("fact=x", "fact=y")
    assert "fact = x → a (30/30)" in str(test.rules[0])


def test_a_fact_that_is_missing_for_one_label_is_seen() -> None:
    values = np.random.default_rng(1).normal(0, 1, N)
    values[LABELS == "a"] = np.nan
    assert one(values).p_value < 0.01


def test_a_middle_range_is_seen_by_the_second_cut() -> None:
    values = np.where(LABELS == "a", 5.0, np.where(np.arange(N) % 2 == 0, 1.0, 9.0))
    assert one(values).p_value < 0.01


def test_what_never_varies_is_no_test() -> None:
    assert tree_tests({"m": {"fact": np.ones(N)}, "n": {"text": np.full(N, "x")}}, LABELS, ALONE) == ()
    assert tree_tests({"m": {"fact": np.arange(N)}}, np.full(N, "a"), ALONE) == ()
    few = LEAST_CASES - 1
    assert tree_tests({"m": {"fact": np.arange(few)}}, LABELS[:few], ALONE[:few]) == ()


def test_p_values_are_even_when_nothing_is_there() -> None:
    rng = np.random.default_rng(2)
    values = [one(rng.normal(0, 1, N), rng.permutation(LABELS), draws=100).p_value for _ in range(60)]
    assert np.mean(np.array(values) < 0.1) < 0.25
    assert 0.3 < np.mean(values) < 0.7


def test_patients_of_many_images_give_no_alarm() -> None:
    """A fact that every patient has for itself looks telling image by image; between patients it is not."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(12), rng.integers(3, 12, 12))
    alarms = 0
    for _ in range(40):
        label = rng.permutation(np.array(["a", "b"] * 6))[groups]
        alarms += one(rng.normal(0, 1, 12)[groups], label, groups, 100).p_value < 0.05
    assert alarms <= 7


def test_labels_are_exchanged_between_patients_only() -> None:
    groups = np.repeat(np.arange(6), [1, 2, 3, 4, 5, 6])
    labels = (np.arange(6) % 2)[groups]
    drawn = exchange(labels, groups)(np.random.default_rng(0))
    assert all(len(set(drawn[groups == g])) == 1 for g in range(6))
    mixed = np.array([0, 1, 1, 0, 0, 1])
    pairs = np.array([0, 0, 1, 1, 2, 2])
    blocks = sorted(map(tuple, exchange(mixed, pairs)(np.random.default_rng(0)).reshape(3, 2).tolist()))
    assert blocks == [(0, 1), (0, 1), (1, 0)]


def test_a_test_stops_once_nothing_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from vesalius.evaluate import shortcuts

    calls = []
    real = shortcuts._gain
    monkeypatch.setattr(shortcuts, "_gain", lambda *given: (calls.append(1), real(*given))[1])
    p_value = one(np.random.default_rng(4).permutation(N), draws=2000).p_value
    assert p_value > 0.01
    assert len(calls) < 2000


def test_tests_of_one_cohort_are_corrected_together() -> None:
    told = {"real": {"f": np.where(LABELS == "a", 0.0, 1.0)}}
    noise = {f"n{k}": {"f": np.random.default_rng(k).normal(0, 1, N)} for k in range(6)}
    tests = corrected(tree_tests({**told, **noise}, LABELS, ALONE, draws=1000))
    assert [test.mechanism for test in tests if test.found] == ["real"]
    assert tests[0].corrected == pytest.approx(7 / 1001)
    assert all(test.corrected >= test.p_value for test in tests)


def series(alike: bool, labels: np.ndarray, groups: np.ndarray = ALONE):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(6)
    base = rng.normal(0, 1, (N // 4, 64))
    own = base[np.arange(N) // 4] if alike else rng.normal(0, 1, (N, 64))
    images = own + 0.5 * rng.normal(0, 1, (N, 64))
    named = Named(np.full(N, "scan"), np.arange(N, dtype=float), groups)
    return neighbour_test(images, named, labels, draws=300)


def test_neighbours_that_are_alike_and_share_their_label_are_seen() -> None:
    blocks = np.where(np.arange(N) < 32, "a", "b")
    found = series(True, blocks)
    assert found is not None
    assert found.p_value < 0.01
    apart = series(False, blocks)
    assert apart is not None
    assert apart.p_value > 0.05


def test_neighbours_whose_labels_are_mixed_leak_nothing() -> None:
    found = series(True, LABELS)
    assert found is not None
    assert found.p_value > 0.01


def test_neighbours_that_are_known_to_be_one_patient_do_not_count() -> None:
    blocks = np.where(np.arange(N) < 32, "a", "b")
    found = series(True, blocks, np.arange(N) // 4)
    assert found is None or found.p_value > 0.01


def test_names_without_numbers_have_no_neighbours() -> None:
    named = Named(np.arange(N).astype(str), np.full(N, np.nan), ALONE)
    assert neighbour_test(np.ones((N, 9)), named, LABELS) is None
