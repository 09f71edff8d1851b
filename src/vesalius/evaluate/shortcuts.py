"""Can a small tree tell the label from something that is not the anatomy? Permutation tests, corrected by Holm.

A test takes the facts of one mechanism (size, mode, order ...), grows a tree of depth two, and asks how often a tree on
labels that were exchanged between patients separates them as well. The tree may overfit as it likes: so do the trees on
exchanged labels.

A test stops as soon as ENOUGH draws reached what was observed: its p-value is then ENOUGH / draws, which is as valid
as that of all draws and far above any limit that counts. Source: Besag & Clifford 1991, doi:10.1093/biomet/78.2.301
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesalius.evaluate.intervals import holm

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 12
"""Numbers are cut at the quantiles of this many bins."""

DEPTH = 2
DRAWS = 2000
ALPHA = 0.01
LEAST_CASES = 12
ENOUGH = 30
LEAST_PAIRS = 10
MOST_TEXTS = 20
LONGEST = 4000
"""Cases of one series of names that are compared with each other."""


@dataclass(frozen=True)
class Rule:
    """What a tree found: a fact, where it is cut, and the most frequent label on either side.

    Args:
        counts: cases of that label and of all labels, below and above the cut.
    """

    fact: str
    threshold: float
    below: str
    above: str
    counts: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def __str__(self) -> str:
        """Return the rule without words of a language, as `columns > 381 → hemorrhage (44 of 47)`."""
        if np.isnan(self.threshold):
            return f"{self.fact}: {self.below}"
        yes_no = "=" in self.fact and self.threshold == 0.5
        name, _, value = self.fact.partition("=")
        signs = (f"{name} ≠ {value}", f"{name} = {value}") if yes_no else (
            f"{self.fact} ≤ {self.threshold:g}", f"{self.fact} > {self.threshold:g}")  # fmt: skip
        told = zip(signs, (self.below, self.above), self.counts, strict=True)
        parts = [f"{sign} → {label} ({most}/{every})" for sign, label, (most, every) in told]
        return "; ".join(parts if self.counts[0][1] <= self.counts[1][1] else parts[::-1])


@dataclass(frozen=True)
class Test:
    """Whether a mechanism betrays the label.

    Args:
        mechanism: "size", "mode", "order", "site", "neighbours" ...
        column: the fact that separates best.
        accuracy: balanced accuracy of the tree on patients that it was not grown on; `chance` is 1 / labels.
        p_value: of the permutation test; `corrected` by Holm over all tests of the cohort.
        cases: numbers of the cases that follow the rule, those of the rarer side first.
    """

    __test__ = False  # not a test of pytest

    mechanism: str
    column: str
    accuracy: float
    chance: float
    p_value: float
    corrected: float
    rules: tuple[Rule, ...]
    cases: tuple[int, ...]

    @property
    def found(self) -> bool:
        """Return whether the label is betrayed, at one false alarm in a hundred cohorts."""
        return self.corrected < ALPHA


@dataclass(frozen=True, eq=False)
class _Data:
    """Binned facts [cases, facts], their cuts, label numbers, groups numbered from 0."""

    binned: Ints
    cuts: tuple[F64, ...]
    labels: Ints
    groups: Ints
    count: int


def tree_tests(
    mechanisms: Mapping[str, Mapping[str, ArrayLike]], labels: ArrayLike, groups: ArrayLike, *,
    draws: int = DRAWS, seed: int = 0,
) -> tuple[Test, ...]:  # fmt: skip
    """Return one uncorrected test per mechanism whose facts vary; call `corrected` on all tests of a cohort.

    Args:
        mechanisms: name -> fact -> numbers [n] (NaN where unknown) or text [n].
        labels: text [n].
        groups: patient of each case; labels are exchanged between patients, never within.
    """
    names, numbers = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
    _, places = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2 or len(numbers) < LEAST_CASES:
        return ()
    tests = []
    for mechanism, facts in mechanisms.items():
        table = {fact: column for name, values in facts.items() for fact, column in _numeric(name, values).items()}
        varied = {fact: column for fact, column in table.items() if len(np.unique(column[~np.isnan(column)])) > 1}
        if varied:
            cuts = tuple(_cuts(column) for column in varied.values())
            binned = np.stack([np.searchsorted(c, np.nan_to_num(v, nan=-np.inf), side="left")
                               for c, v in zip(cuts, varied.values(), strict=True)], axis=1)  # fmt: skip
            data = _Data(binned, cuts, numbers.astype(np.int64), places.astype(np.int64), len(names))
            tests.append(_tested(mechanism, tuple(varied), data, names, np.random.default_rng(seed), draws))
    return tuple(tests)


def corrected(tests: Sequence[Test]) -> tuple[Test, ...]:
    """Return the tests of one cohort with their p-values corrected by Holm, the surest first."""
    fixed = [replace(test, corrected=p) for test, p in zip(tests, holm([t.p_value for t in tests]), strict=True)]
    return tuple(sorted(fixed, key=lambda test: (test.corrected, -test.accuracy)))


def _numeric(name: str, values: ArrayLike) -> dict[str, F64]:
    """Return a fact as numbers; text becomes one 0/1 fact per value that occurs more than once."""
    array = np.asarray(values)
    if array.dtype.kind in "iufb":
        numbers = array.astype(np.float64)
        unknown = np.isnan(numbers)
        absent = {f"{name}=missing": unknown.astype(np.float64)} if unknown.any() and not unknown.all() else {}
        return {name: numbers, **absent}
    found, counts = np.unique(array.astype(np.str_), return_counts=True)
    often = np.argsort(-counts, kind="stable")[:MOST_TEXTS]
    common = [str(found[k]) for k in sorted(often) if counts[k] > 1]
    return {f"{name}={text or 'missing'}": (array == text).astype(np.float64) for text in common}


def _cuts(column: F64) -> F64:
    """Return the places between values at which a tree may cut, at most BINS - 1."""
    values = np.unique(column[~np.isnan(column)])
    middles = (values[:-1] + values[1:]) / 2
    if len(middles) < BINS:
        return middles
    wanted = np.quantile(column[~np.isnan(column)], np.linspace(0, 1, BINS + 1)[1:-1])
    return np.unique(middles[np.clip(np.searchsorted(middles, wanted), 0, len(middles) - 1)])


def _tested(
    mechanism: str, facts: tuple[str, ...], data: _Data, names: NDArray[np.str_], rng: np.random.Generator, draws: int
) -> Test:  # fmt: skip
    observed, root = _gain(data.binned, data.labels, data.count)
    exchanged = exchange(data.labels, data.groups)
    limit = observed - 1e-9 * max(1.0, observed)
    p_value = _permuted(lambda: _gain(data.binned, exchanged(rng), data.count)[0] >= limit, draws)
    fact, cut = root
    below = data.binned[:, fact] <= cut
    counted = [np.bincount(data.labels[side], minlength=data.count) for side in (below, ~below)]
    sides = [(str(names[c.argmax()]), (int(c.max()), int(c.sum()))) for c in counted]
    rule = Rule(facts[fact], float(data.cuts[fact][cut]), sides[0][0], sides[1][0], (sides[0][1], sides[1][1]))
    rare = below if below.sum() <= (~below).sum() else ~below
    cases = tuple(int(row) for row in np.flatnonzero(rare))
    return Test(mechanism, facts[fact], _held_out(data), 1 / data.count, p_value, p_value, (rule,), cases)


def _permuted(reaches: Callable[[], bool], draws: int) -> float:
    """Return the p-value of a permutation test that stops once it is clear that nothing is found."""
    reached = 0
    for draw in range(1, draws + 1):
        reached += bool(reaches())
        if reached >= ENOUGH:
            return reached / draw
    return (reached + 1) / (draws + 1)


def exchange(labels: Ints, groups: Ints) -> Callable[[np.random.Generator], Ints]:
    """Return what draws labels exchanged between patients.

    Where every patient has one label, patients exchange it, whatever the number of their cases. Otherwise a patient
    takes over the labels of another one with equally many cases as a block: images of one patient stay alike.
    """
    groups = np.unique(groups, return_inverse=True)[1]
    order = np.argsort(groups, kind="stable")
    firsts = np.unique(groups[order], return_index=True)[1]
    own = labels[order][firsts]
    if np.array_equal(own[groups], labels):
        return lambda rng: rng.permutation(own)[groups]
    blocks = np.split(order, firsts[1:])
    sizes = np.array([len(block) for block in blocks])
    alike = [np.stack([blocks[k] for k in np.flatnonzero(sizes == size)]) for size in np.unique(sizes)]

    def drawn(rng: np.random.Generator) -> Ints:
        found = labels.copy()
        for rows in alike:
            found[rows] = labels[rows[rng.permutation(len(rows))]]
        return found

    return drawn


def _gain(binned: Ints, labels: Ints, count: int) -> tuple[float, tuple[int, int]]:
    """Return how much a tree of depth two lowers the Gini impurity (summed over cases), and its first cut."""
    gain, fact, cut = _best_cut(binned, labels, count)
    if gain <= 0:
        return 0.0, (0, 0)
    below = binned[:, fact] <= cut
    deeper = sum(_best_cut(binned[side], labels[side], count)[0] for side in (below, ~below))
    return gain + deeper, (fact, cut)


def _best_cut(binned: Ints, labels: Ints, count: int) -> tuple[float, int, int]:
    """Return (gain, fact, cut) of the cut that lowers the Gini impurity most."""
    cases, facts = binned.shape
    if cases < 2:
        return 0.0, 0, 0
    width = BINS + 1
    keys = (np.arange(facts) * width + binned) * count + labels[:, None]
    counts = np.bincount(keys.ravel(), minlength=facts * width * count).reshape(facts, width, count)
    left = np.cumsum(counts, axis=1).astype(np.float64)
    total = left[:, -1:, :]
    right = total - left
    pure = _purity(left) + _purity(right) - _purity(total)
    best = int(pure.argmax())
    return float(pure.flat[best]), best // width, best % width


def _purity(counts: F64) -> F64:
    n = counts.sum(axis=-1)
    found: F64 = np.divide((counts**2).sum(axis=-1), n, out=np.zeros_like(n), where=n > 0)
    return found


def _held_out(data: _Data, folds: int = 5) -> float:
    """Return the balanced accuracy of trees on patients that they were not grown on."""
    place = np.random.default_rng(0).permutation(int(data.groups.max()) + 1)[data.groups] % folds
    predicted = np.zeros_like(data.labels)
    for k in range(folds):
        inside = place == k
        if inside.all() or not inside.any():
            continue
        weights = 1 / np.maximum(np.bincount(data.labels[~inside], minlength=data.count), 1)
        predicted[inside] = _grown(data.binned[~inside], data.labels[~inside], data.binned[inside], weights, DEPTH)
    occurring = np.unique(data.labels)
    return float(np.mean([(predicted[data.labels == label] == label).mean() for label in occurring]))


def _grown(binned: Ints, labels: Ints, others: Ints, weights: F64, depth: int) -> Ints:
    """Return the labels that a tree gives to other cases; weights make every label count the same."""
    counts = np.bincount(labels, minlength=len(weights))
    answer = np.full(len(others), int((counts * weights).argmax()), dtype=np.int64)
    gain, fact, cut = _best_cut(binned, labels, len(weights))
    if depth == 0 or gain <= 0:
        return answer
    for below in (True, False):
        side, other = (binned[:, fact] <= cut) == below, (others[:, fact] <= cut) == below
        if side.any() and other.any():
            answer[other] = _grown(binned[side], labels[side], others[other], weights, depth - 1)
    return answer


@dataclass(frozen=True, eq=False)
class Named:
    """Cases in the order of their names.

    Args:
        series: what the names of one series share, one text per case.
        number: number in the name, NaN where it has none.
        groups: patient of each case, numbered from 0.
    """

    series: NDArray[np.str_]
    number: F64
    groups: Ints

    def runs(self, kind: NDArray[np.str_] | None = None) -> list[Ints]:
        """Return the cases of each series (and kind) in the order of their numbers."""
        names = self.series if kind is None else np.char.add(np.char.add(self.series, "\n"), kind)
        found = []
        for name in np.unique(names):
            rows = np.flatnonzero((names == name) & ~np.isnan(self.number))
            found.append(rows[np.argsort(self.number[rows], kind="stable")][:LONGEST])
        return [rows for rows in found if len(rows) > LEAST_CASES // 2]


def neighbour_test(
    thumbnails: ArrayLike, named: Named, labels: ArrayLike, *, draws: int = DRAWS, seed: int = 0
) -> Test | None:
    """Return whether neighbours in the order of their names are more alike than chance, and share their label.

    Then neighbours are likely one patient, and a division that does not keep them together leaks. Both must hold: the
    p-value is the larger of two. Alike: orders are exchanged among the images of one series of names and one label, so
    that the label itself is no reason. One label: labels are exchanged between patients. Neighbours that are known to
    be one patient do not count.

    Args:
        thumbnails: [n, ...].
        labels: text [n].
    """
    texts = np.asarray(labels, dtype=np.str_)
    blocks = named.runs(texts)
    pairs = _pairs(named)
    if len(pairs) < LEAST_PAIRS or not blocks or len(np.unique(texts)) < 2:
        return None
    rng = np.random.default_rng(seed)
    alike = _Likeness(np.asarray(thumbnails, np.float32), blocks, named.groups)
    if alike.count < LEAST_PAIRS:
        return None
    observed, chance = alike.adjacent(None), alike.by_chance()
    first = _permuted(lambda: alike.adjacent(rng) >= observed - 1e-9, draws)
    numbers = np.unique(texts, return_inverse=True)[1].astype(np.int64)
    exchanged = exchange(numbers, named.groups)
    same = _shared(numbers, pairs)
    second = _permuted(lambda: _shared(exchanged(rng), pairs) >= same, draws)
    p_value = max(first, second)
    rule = Rule("likeness of neighbours", float("nan"), f"{observed:.2f}, {chance:.2f}", "")
    return Test("neighbours", "number in the name", same / len(pairs), chance, p_value, p_value, (rule,), alike.cases())


def _pairs(named: Named) -> Ints:
    """Return neighbours in the order of the names, whatever their labels, of different patients."""
    runs = named.runs()
    if not runs:
        return np.empty((0, 2), dtype=np.int64)
    pairs = np.concatenate([np.stack([rows[:-1], rows[1:]], axis=1) for rows in runs])
    apart: Ints = pairs[named.groups[pairs[:, 0]] != named.groups[pairs[:, 1]]]
    return apart


def _shared(labels: Ints, pairs: Ints) -> int:
    return int((labels[pairs[:, 0]] == labels[pairs[:, 1]]).sum())


class _Likeness:
    """How alike the images of blocks of cases are; pairs of one patient count nothing."""

    def __init__(self, thumbnails: NDArray[np.float32], blocks: Sequence[Ints], groups: Ints) -> None:
        flat = thumbnails.reshape(len(thumbnails), -1)
        flat = flat - flat.mean(axis=0)
        flat = flat - flat.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        flat = np.divide(flat, lengths, out=np.zeros_like(flat), where=lengths > 0)
        self.blocks = blocks
        self.apart = [groups[rows][:, None] != groups[rows][None] for rows in blocks]
        self.tables = [np.where(other, flat[rows] @ flat[rows].T, 0)
                       for rows, other in zip(blocks, self.apart, strict=True)]  # fmt: skip
        self.count = sum(int(np.diagonal(other, 1).sum()) for other in self.apart)

    def adjacent(self, rng: np.random.Generator | None) -> float:
        """Return the mean likeness of neighbours, in the order given or in one drawn."""
        total, count = 0.0, 0
        for table, other in zip(self.tables, self.apart, strict=True):
            order = np.arange(len(table)) if rng is None else rng.permutation(len(table))
            total += float(table[order[:-1], order[1:]].sum())
            count += int(other[order[:-1], order[1:]].sum())
        return total / count if count else 0.0

    def by_chance(self) -> float:
        """Return the mean likeness of any two images of one block."""
        return sum(float(t.sum()) for t in self.tables) / max(1, sum(int(o.sum()) for o in self.apart))

    def cases(self) -> tuple[int, ...]:
        """Return the cases that are more like a neighbour than 99 in 100 pairs of their block."""
        found: set[int] = set()
        for rows, table, other in zip(self.blocks, self.tables, self.apart, strict=True):
            if not other.any():
                continue
            limit = float(np.quantile(table[other], 0.99))
            near = np.flatnonzero(np.diagonal(table, 1) >= limit)
            found.update(int(row) for row in (*rows[near], *rows[near + 1]))
        return tuple(sorted(found))
