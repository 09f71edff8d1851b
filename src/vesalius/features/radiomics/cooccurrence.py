"""Grey level co-occurrence matrices (IBSI 3.6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vesalius.features.radiomics.levels import DENSE, DIRECTIONS_2D, DIRECTIONS_3D, Levels, Offset
from vesalius.features.radiomics.matrices import Matrices, entropy, first_of_each, marginal, mean_over_units
from vesalius.features.radiomics.settings import Aggregation

__all__ = ["FEATURES", "cooccurrence", "merge_planes"]

FEATURES = (
    "joint_max",
    "joint_avg",
    "joint_var",
    "joint_entr",
    "diff_avg",
    "diff_var",
    "diff_entr",
    "sum_avg",
    "sum_var",
    "sum_entr",
    "energy",
    "contrast",
    "dissimilarity",
    "inv_diff",
    "inv_diff_norm",
    "inv_diff_mom",
    "inv_diff_mom_norm",
    "inv_var",
    "corr",
    "auto_corr",
    "clust_tend",
    "clust_shade",
    "clust_prom",
    "info_corr1",
    "info_corr2",
)


def cooccurrence(levels: Levels, aggregations: tuple[Aggregation, ...]) -> dict[Aggregation, NDArray[np.float64]]:
    """Return the features of `FEATURES` per aggregation."""
    result: dict[Aggregation, NDArray[np.float64]] = {}
    spatial = [a for a in aggregations if a.dimension == "3D"]
    planar = [a for a in aggregations if a.dimension != "3D"]
    if spatial:
        matrices = _volume_matrices(levels)
        directions = len(DIRECTIONS_3D)
        for each in spatial:
            averaged = each is Aggregation.VOLUME_AVERAGED
            chosen = matrices if averaged else matrices.merged(np.zeros(directions, dtype=np.int64), 1)
            result[each] = mean_over_units(_features(chosen, levels.count))
    if planar:
        matrices = _plane_matrices(levels)
        for each in planar:
            result[each] = mean_over_units(_features(merge_planes(matrices, levels, each), levels.count))
    return result


def merge_planes(matrices: Matrices, levels: Levels, how: Aggregation) -> Matrices:
    """Return the matrices of slices and directions (unit = slice x 4 + direction) put together as named."""
    planes, directions = levels.array.shape[0], len(DIRECTIONS_2D)
    unit = np.arange(planes * directions)
    if how is Aggregation.SLICE_MERGED:
        return matrices.merged(unit // directions, planes)
    if how is Aggregation.DIRECTION_MERGED:
        return matrices.merged(unit % directions, directions)
    if how is Aggregation.PLANES_MERGED:
        return matrices.merged(np.zeros_like(unit), 1)
    return matrices


def _volume_matrices(levels: Levels) -> Matrices:
    """Return one symmetric matrix per direction in space."""
    wide = levels.highest + 1
    if wide * wide > DENSE:
        return _sparse(levels, DIRECTIONS_3D, planar=False)
    dense = levels.pairs.copy()
    dense += levels.pairs.transpose(0, 2, 1)
    return _from_dense(dense)


def _from_dense(dense: NDArray[np.int64]) -> Matrices:
    there = np.flatnonzero(dense)
    rest, column = np.divmod(there, dense.shape[2])
    unit, level = np.divmod(rest, dense.shape[1])
    count = dense.reshape(-1)[there].astype(np.float64)
    return Matrices(dense.shape[0], unit, level, column, count, np.ones(dense.shape[0]))


def _plane_matrices(levels: Levels) -> Matrices:
    """Return one symmetric matrix per slice and direction."""
    return _sparse(levels, DIRECTIONS_2D, planar=True)


def _sparse(levels: Levels, directions: tuple[Offset, ...], planar: bool) -> Matrices:
    units, ones, twos = [], [], []
    for number, direction in enumerate(directions):
        other = levels.flat.take(levels.places + levels.offset(direction), mode="clip")
        pair = np.flatnonzero(other)
        unit = levels.planes[pair] * len(directions) + number if planar else np.full(pair.size, number)
        units.append(unit)
        ones.append(levels.at_places[pair])
        twos.append(other[pair])
    unit, one, two = np.concatenate(units), np.concatenate(ones), np.concatenate(twos)
    number = len(directions) * (levels.array.shape[0] if planar else 1)
    both = np.concatenate([unit, unit]), np.concatenate([one, two]), np.concatenate([two, one])
    return Matrices.counted(*both, np.ones(number))


def _features(matrices: Matrices, bins: int) -> NDArray[np.float64]:
    """Return the features of `FEATURES` per symmetric matrix, `[feature, unit]`; NaN for empty ones."""
    units = matrices.units
    total = np.bincount(matrices.unit, weights=matrices.count, minlength=units)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = matrices.count / total[matrices.unit]
        joint = matrices.totals(np.stack([entropy(p), p * p]))
        peak = np.zeros(units)
        if p.size:
            present, starts = first_of_each(matrices.unit)
            peak[present] = np.maximum.reduceat(p, starts)
        grey = marginal(matrices.unit, matrices.level, p, units)
        difference = marginal(matrices.unit, np.abs(matrices.level - matrices.column), p, units)
        summed = marginal(matrices.unit, matrices.level + matrices.column, p, units)
        result = _from_marginals(grey, difference, summed, bins)
        result[0], result[3], result[10] = peak, joint[0], joint[1]
        # For a symmetric matrix both cross entropies of IBSI are twice the entropy of the marginal.
        alone = entropy(grey).sum(axis=1)
        result[23] = np.where(alone > 0, (joint[0] - 2 * alone) / np.where(alone > 0, alone, 1), 0.0)
        result[24] = np.sqrt(np.maximum(0.0, 1 - np.exp(-2 * np.maximum(0.0, 2 * alone - joint[0]))))
    result[:, total == 0] = np.nan
    return result


def _from_marginals(
    grey: NDArray[np.float64], difference: NDArray[np.float64], summed: NDArray[np.float64], bins: int
) -> NDArray[np.float64]:
    """Return the features that need only the distributions of i, |i - j| and i + j, in their places."""
    result = np.empty((len(FEATURES), grey.shape[0]))
    level = np.arange(grey.shape[1], dtype=np.float64)
    k = np.arange(difference.shape[1], dtype=np.float64)
    s = np.arange(summed.shape[1], dtype=np.float64)
    mean = grey @ level
    variance = np.einsum("ui,ui->u", grey, (level - mean[:, np.newaxis]) ** 2)
    k2 = k * k
    inverse = np.divide(1.0, k2, out=np.zeros_like(k), where=k > 0)
    weights = np.stack([k, k2, 1 / (1 + k), 1 / (1 + k / bins), 1 / (1 + k2), 1 / (1 + k2 / bins**2), inverse])
    average, contrast, *inverses = weights @ difference.T
    result[1], result[2] = mean, variance
    result[4], result[5] = average, contrast - average**2
    result[6], result[9] = entropy(difference).sum(axis=1), entropy(summed).sum(axis=1)
    centred = s - 2 * mean[:, np.newaxis]
    square = centred * centred
    tendency = np.einsum("us,us->u", summed, square)
    result[7], result[8] = 2 * mean, tendency
    result[11], result[12] = contrast, average
    result[13:18] = inverses
    # i j = ((i + j)^2 - (i - j)^2) / 4, and the covariance likewise from the centred sums.
    covariance = (tendency - contrast) / 4
    result[18] = np.where(variance > 0, covariance / np.where(variance > 0, variance, 1), 1.0)
    result[19] = covariance + mean**2
    result[20] = tendency
    result[21] = np.einsum("us,us,us->u", summed, square, centred)
    result[22] = np.einsum("us,us,us->u", summed, square, square)
    return result
