"""Can a small tree tell the label from something that is not the anatomy? Permutation tests, corrected by Holm.

A test takes the facts of one mechanism (size, mode, order ...), grows a tree of depth two, and asks how often a tree on
labels that were exchanged between patients separates them as well. The tree may overfit as it likes: so do the trees on
exchanged labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Rule:
    """What a tree found: a fact, where it is cut, and the label on either side."""

    fact: str
    threshold: float
    below: str
    above: str


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
    from dataclasses import replace

    fixed = [replace(test, corrected=p) for test, p in zip(tests, holm([t.p_value for t in tests]), strict=True)]
    return tuple(sorted(fixed, key=lambda test: (test.corrected, -test.accuracy)))


def _numeric(name: str, values: ArrayLike) -> dict[str, F64]:
    """Return a fact as numbers; text becomes one 0/1 fact per value that occurs more than once."""
    array = np.asarray(values)
    if array.dtype.kind in "iufb":
        return {name: array.astype(np.float64)}
    found, counts = np.unique(array.astype(np.str_), return_counts=True)
    common = [text for text, count in zip(found.tolist(), counts.tolist(), strict=True) if count > 1][:20]
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
    reached = sum(
        _gain(data.binned, _exchanged(data, rng), data.count)[0] >= observed - 1e-12 for _ in range(draws)
    )  # fmt: skip
    fact, cut = root
    below = data.binned[:, fact] <= cut
    threshold = float(data.cuts[fact][cut])
    sides = [str(names[np.bincount(data.labels[side], minlength=data.count).argmax()]) for side in (below, ~below)]
    rules = (Rule(facts[fact], threshold, sides[0], sides[1]),)
    rare = below if below.sum() <= (~below).sum() else ~below
    cases = tuple(int(row) for row in np.flatnonzero(rare))
    p_value = (reached + 1) / (draws + 1)
    return Test(mechanism, facts[fact], _held_out(data), 1 / data.count, p_value, p_value, rules, cases)


def _exchanged(data: _Data, rng: np.random.Generator) -> Ints:
    """Return labels exchanged between patients that have equally many cases, else between all.

    A patient keeps the labels of another patient as a block, so that images of one patient stay alike.
    """
    order = np.argsort(data.groups, kind="stable")
    sizes = np.bincount(data.groups)
    if (sizes == 1).all():
        return rng.permutation(data.labels)
    blocks = np.split(data.labels[order], np.cumsum(sizes)[:-1])
    mixed = [blocks[k] for k in rng.permutation(len(blocks))]
    found = np.empty_like(data.labels)
    found[order] = np.concatenate(mixed)
    return found


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


def neighbour_test(
    thumbnails: ArrayLike, order: ArrayLike, labels: ArrayLike, *, draws: int = DRAWS, seed: int = 0
) -> Test | None:
    """Return whether images next to each other in the order of their names are more alike than chance.

    Then neighbours are likely one patient, and a split that does not keep them together leaks.

    Args:
        thumbnails: [n, pixels].
        order: number in the name of each case, NaN where it has none.
        labels: only images of one label are compared, so that the label itself is no reason.
    """
    images, numbers, names = np.asarray(thumbnails, np.float64), np.asarray(order, np.float64), np.asarray(labels)
    blocks = []
    for name in np.unique(names):
        rows = np.flatnonzero((names == name) & ~np.isnan(numbers))
        blocks.append(rows[np.argsort(numbers[rows], kind="stable")])
    blocks = [rows for rows in blocks if len(rows) > LEAST_CASES // 2]
    if not blocks:
        return None
    flat = images - images.mean(axis=0)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = np.divide(flat, lengths, out=np.zeros_like(flat), where=lengths > 0)
    likeness = [flat[rows] @ flat[rows].T for rows in blocks]
    observed = _adjacent(likeness, [np.arange(len(rows)) for rows in blocks])
    rng = np.random.default_rng(seed)
    drawn = [_adjacent(likeness, [rng.permutation(len(rows)) for rows in blocks]) for _ in range(draws)]
    p_value = (sum(one >= observed for one in drawn) + 1) / (draws + 1)
    alike = [int(rows[k]) for rows, table in zip(blocks, likeness, strict=True)
             for k in range(len(rows) - 1) if table[k, k + 1] > 0.8]  # fmt: skip
    text = f"likeness {observed:.2f}, by chance {np.mean(drawn):.2f}"
    rule = Rule("number in the file name", float("nan"), text, "")
    return Test("neighbours", "number in the file name", observed, float(np.mean(drawn)), p_value, p_value, (rule,),
                tuple(alike))  # fmt: skip


def _adjacent(likeness: Sequence[F64], orders: Sequence[Ints]) -> float:
    total = sum(float(table[order[:-1], order[1:]].sum()) for table, order in zip(likeness, orders, strict=True))
    return total / sum(len(order) - 1 for order in orders)
