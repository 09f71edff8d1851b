"""Free-response ROC: how many lesions are found at how many false alarms per case.

Source: Bunch 1978, doi:10.1117/12.955926; CPM: Niemeijer 2011, doi:10.1109/TMI.2010.2072789; rules of hits: Setio 2017
(LUNA16), doi:10.1016/j.media.2017.06.015
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.finding import Interval

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""False alarms per case at which CPM averages the sensitivity."""
F64 = NDArray[np.float64]
Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that a detector names, LPS mm, with a score: higher is surer."""

    case: str
    score: float
    position_mm: Point


@dataclass(frozen=True, slots=True)
class Target:
    """A lesion, a ball around a place in LPS mm.

    Args:
        radius_mm: a candidate no farther than this is a hit.
        ignored: neither finding nor missing it counts, for instance one that few readers marked.
    """

    case: str
    position_mm: Point
    radius_mm: float
    ignored: bool = False


@dataclass(frozen=True, eq=False)
class Froc:
    """The curve, from the strictest threshold to the loosest.

    Args:
        thresholds: scores; candidates at or above count.
        sensitivity: share of targets found at each.
        false_alarms: per case at each.
        cases: number of cases.
        targets: number of targets that count.
        cpm: mean sensitivity at `RATES`.
        interval: of the CPM by bootstrap over cases, None with fewer than two cases or no rounds.
    """

    thresholds: F64
    sensitivity: F64
    false_alarms: F64
    cases: int
    targets: int
    cpm: float
    interval: Interval | None = None

    def sensitivity_at(self, false_alarms_per_case: float) -> float:
        """Return the sensitivity at the loosest threshold with at most this many false alarms per case.

        The curve is read as a staircase, never interpolated upwards.
        """
        return _at(self.sensitivity, self.false_alarms, false_alarms_per_case)


@dataclass(frozen=True, eq=False)
class _Case:
    """Scores of the false alarms, best score of each target (-inf: missed)."""

    alarms: F64
    best: F64


def froc(
    candidates: Sequence[Candidate],
    targets: Sequence[Target],
    *,
    cases: Sequence[str],
    rounds: int = 1000,
    seed: int = 20260101,
) -> Froc:
    """Return the FROC curve with CPM and its interval.

    A target is found by the best score among candidates within its radius; further candidates there are neither hits
    nor false alarms. A candidate within the radius of an ignored target only does not count.

    Args:
        cases: every case read, also those without candidate or target.
        rounds: of the bootstrap over cases, 95 % percentile interval; 0 for none.

    Raises:
        UsageError: a candidate or target of a case that is not among the cases, a case twice.
        ImageContentError: no target that counts, or a score, place or radius that is not finite.
    """
    _check(candidates, targets, cases)
    split = [_case(name, candidates, targets) for name in cases]
    if not sum(case.best.size for case in split):
        raise ImageContentError("sensitivity needs a target", found=f"{len(cases)} cases without any that counts")
    thresholds, sensitivity, alarms = _curve(split)
    interval = _interval(split, rounds, seed) if rounds > 0 and len(split) > 1 else None
    total = sum(case.best.size for case in split)
    return Froc(thresholds, sensitivity, alarms, len(split), total, _cpm(sensitivity, alarms), interval)


def _check(candidates: Sequence[Candidate], targets: Sequence[Target], cases: Sequence[str]) -> None:
    if len(set(cases)) != len(cases):
        raise UsageError("a case stands twice among the cases", expected="each once")
    named = {candidate.case for candidate in candidates} | {target.case for target in targets}
    strange = named - set(cases)
    if strange:
        raise UsageError("a candidate or target is of an unknown case", found=f"{len(strange)}", fix="list every case")
    numbers = [[c.score, *c.position_mm] for c in candidates] + [[t.radius_mm, *t.position_mm] for t in targets]
    if not np.isfinite(np.array(numbers, dtype=np.float64).reshape(-1)).all():
        raise ImageContentError("a score, place or radius is not finite", fix="remove or repair such rows")


def _case(name: str, candidates: Sequence[Candidate], targets: Sequence[Target]) -> _Case:
    own = [candidate for candidate in candidates if candidate.case == name]
    here = [target for target in targets if target.case == name]
    scores = np.array([candidate.score for candidate in own])
    places = np.array([candidate.position_mm for candidate in own]).reshape(-1, 3)
    centres = np.array([target.position_mm for target in here]).reshape(-1, 3)
    radii = np.array([target.radius_mm for target in here])
    hits = np.linalg.norm(places[:, None] - centres, axis=2) <= radii
    best = np.max(np.where(hits, scores[:, None], -np.inf), axis=0, initial=-np.inf)
    counted = np.array([not target.ignored for target in here], dtype=bool)
    return _Case(scores[~hits.any(axis=1)], best[counted])


def _curve(cases: Sequence[_Case]) -> tuple[F64, F64, F64]:
    """Return thresholds, sensitivity and false alarms per case; candidates of one score come in together."""
    best = np.concatenate([case.best for case in cases])
    alarms = np.sort(np.concatenate([case.alarms for case in cases]))
    found = np.sort(best[np.isfinite(best)])
    thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([alarms, found]))[::-1]])
    above = [array.size - np.searchsorted(array, thresholds, side="left") for array in (found, alarms)]
    return thresholds, above[0] / best.size, above[1] / len(cases)


def _at(sensitivity: F64, false_alarms: F64, rate: float) -> float:
    return float(sensitivity[np.searchsorted(false_alarms, rate * (1 + 1e-12), side="right") - 1])


def _cpm(sensitivity: F64, false_alarms: F64) -> float:
    return float(np.mean([_at(sensitivity, false_alarms, rate) for rate in RATES]))


def _interval(cases: Sequence[_Case], rounds: int, seed: int) -> Interval | None:
    random = np.random.default_rng(seed)
    values = []
    for _ in range(rounds):
        drawn = [cases[i] for i in random.integers(0, len(cases), len(cases))]
        if sum(case.best.size for case in drawn):
            values.append(_cpm(*_curve(drawn)[1:]))
    if not values:
        return None
    low, high = np.percentile(values, (2.5, 97.5))
    return Interval(float(low), float(high), 0.95, "interval.bootstrap_cases")
