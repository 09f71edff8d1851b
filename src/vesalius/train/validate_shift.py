"""The shift simulator on a package: held-out cases as they are, and as other devices might have made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Volume
from vesalius.core.cohort import Cohort
from vesalius.evaluate import classification, timetoevent, weighted
from vesalius.evaluate.evaluation import Options, draws_of
from vesalius.evaluate.predictions import Figure, Predictions, patient_groups
from vesalius.evaluate.resampling import F64, Weighted, estimates
from vesalius.evaluate.shift import STRENGTHS, Shifted, shifted

if TYPE_CHECKING:
    from vesalius.models.runtime import Runner

MOST_CASES = 150
"""Cases of which shifted images are predicted; of more, a sample of patients."""


def shift_table(runner: Runner, cohort: Cohort, rows: NDArray[np.int64], options: Options) -> tuple[Shifted, ...]:
    """Return what every shift of every strength does to the figure that decides.

    Args:
        rows: cases of the cohort on which the package was not trained.

    The drop is on the cases that are completed both as they are and shifted; those refused only when shifted are
    counted beside it.
    """
    from vesalius.models.inputs import columns_of, load_inputs
    from vesalius.train.validate import truth_of

    card = runner.package.card
    truth, known = truth_of(card, cohort)
    rows = _sampled(cohort, np.intersect1d(rows, known), options.seed)
    columns = columns_of(card.inputs, cohort)
    cases = [load_inputs(card.inputs, cohort, int(row), columns) for row in rows]
    plain = [_answer(runner, case) for case in cases]
    kept = [k for k, one in enumerate(plain) if one is not None]
    if len(kept) < 3:
        return ()
    own = dict(zip(known.tolist(), truth.tolist(), strict=True))
    base = _Base(cohort, rows, np.array([own[row] for row in rows.tolist()]), options)
    made = []
    for kind, strengths in STRENGTHS.items():
        for strength in strengths:
            other = [None if plain[k] is None else _answer(runner, _changed(cases[k], kind, strength, int(rows[k])))
                     for k in range(len(cases))]  # fmt: skip
            found = _compared(runner, base, (plain, other), (kind, strength))
            made += [found] if found is not None else []
    return tuple(made)


class _Base:
    """The cases that every shift is judged on."""

    def __init__(self, cohort: Cohort, rows: NDArray[np.int64], truth: F64, options: Options) -> None:
        self.cohort, self.rows, self.truth, self.options = cohort, rows, truth, options
        self.groups = patient_groups(cohort.text("patient_id")[rows], rows)


def _sampled(cohort: Cohort, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    if len(rows) <= MOST_CASES:
        return rows
    groups = patient_groups(cohort.text("patient_id")[rows], rows)
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    rank = np.argsort(order)[groups]
    return np.sort(rows[np.argsort(rank, kind="stable")][:MOST_CASES])


def _changed(case: dict[str, Any], kind: str, strength: float, row: int) -> dict[str, Any]:
    return {name: shifted(value, kind, strength, seed=row) if type(value) is Volume else value
            for name, value in case.items()}  # fmt: skip


def _answer(runner: Runner, case: dict[str, Any]) -> F64 | None:
    answer = runner.predict(case)
    return answer.values if answer.outcome == "completed" else None


def _compared(
    runner: Runner, base: _Base, answers: tuple[list[F64 | None], list[F64 | None]], what: tuple[str, float]
) -> Shifted | None:
    plain, other = answers
    both = [k for k in range(len(plain)) if plain[k] is not None and other[k] is not None]
    refused = sum(one is not None for one in plain) - len(both)
    pairs = [(one, two) for one, two in zip(plain, other, strict=True) if one is not None and two is not None]
    if len(both) < 3:
        return None
    before, after = (_predictions(runner, base, both, np.stack([p[k] for p in pairs])) for k in (0, 1))
    drawn = draws_of(before, base.options)
    if drawn is None or not _judgeable(before):
        return None
    name, sign = _decides(before.kind)
    positive = base.options.positive_of(before.labels)
    one, two = (_figure(p, positive) for p in (before, after))
    now, apart = estimates(two, drawn)[0], estimates(lambda w: sign * (one(w) - two(w)), drawn)[0]
    changed = float((before.predicted != after.predicted).mean()) if before.categorical else float("nan")
    count: dict[str, Any] = {"cases": before.cases, "groups": before.patients, "method": "BCa bootstrap by patient"}
    return Shifted(*what, Figure(name, now.value, now.low, now.high, **count),
                   Figure("drop", apart.value, apart.low, apart.high, of=name, **count), refused, changed)  # fmt: skip


def _predictions(runner: Runner, base: _Base, both: list[int], values: F64) -> Predictions:
    card = runner.package.card
    labels = tuple(one.name for one in card.output.labels)
    scores = values if card.kind in ("classification", "ordinal") else values[:, 0]
    event = base.cohort.numbers("event")[base.rows[both]].astype(bool) if card.kind == "survival" else None
    return Predictions(card.kind, labels, base.rows[both], base.truth[both], scores, base.groups[both], event=event)


def _judgeable(predictions: Predictions) -> bool:
    if predictions.categorical:
        return len(np.unique(predictions.numbers())) > 1
    return predictions.event is None or bool(predictions.event.any())


def _decides(kind: str) -> tuple[str, int]:
    """Return the figure that decides and its sign: -1 where smaller is better."""
    return {"classification": ("auc", 1), "ordinal": ("kappa", 1), "regression": ("mae", -1),
            "survival": ("uno_c", 1)}[kind]  # fmt: skip


def _figure(predictions: Predictions, positive: int) -> Weighted:
    if predictions.kind == "classification":
        return classification.area(predictions, positive)
    if predictions.kind == "ordinal":
        every = weighted.agreement(predictions.numbers(), predictions.predicted, len(predictions.labels))
        return lambda weights: every(weights)[:, weighted.CONFUSION.index("kappa")]
    if predictions.kind == "survival":
        return timetoevent.concordance(predictions, uno=True)
    return weighted.mean(np.abs(predictions.scores - predictions.truth))
