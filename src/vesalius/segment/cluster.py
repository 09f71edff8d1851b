"""Clusters of brightness: k-means, Gaussian mixture, and hierarchical clustering of supervoxels.

Labels are ordered by mean brightness, 1 the darkest, and the same seed gives the same answer. Every function takes 2-D
(one slice thick) and 3-D images; `within` limits both what is looked at and what is labelled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ImageContentError, UsageError
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.imaging import filtering
from vesalius.segment import inputs, supervoxel
from vesalius.segment.inputs import Flags
from vesalius.segment.threshold import MOST_VALUES

Array = NDArray[Any]
F64 = NDArray[np.float64]

BINS = 4096
"""Values that are not whole numbers are counted in this many bins: one voxel in a bin moves a mean by 1/8192 of the
range at most."""
STARTS = 8
ROUNDS = 300
STILL = 1e-6
"""Gain per voxel, in nats, below which a mixture has settled."""
LEAST_SPREAD = 1e-3
"""Smallest standard deviation of a Gaussian, as a part of the image's own."""


def k_means(volume: Volume, *, classes: int = 3, seed: int = 0, within: Mask | None = None) -> Mask:
    """Return the class with the nearest mean for each voxel.

    The best of 8 starts by k-means++.

    Args:
        classes: how many.
        seed: of the starts.
        within: region that is divided.

    Raises:
        UsageError: fewer than 2 classes.
        ImageContentError: fewer different values than classes.

    Source: Lloyd 1982, doi:10.1109/TIT.1982.1056489; starts: Arthur and Vassilvitskii 2007, SODA, 1027-1035
    """
    values, region, (centres, counts) = _counted(volume, "k-means", classes, within)
    means = _best_means(centres, counts, classes, seed)
    labels = np.searchsorted((means[1:] + means[:-1]) / 2, values) + 1
    return _classes(volume, labels, region, classes, ("k_means", {"seed": seed, "within": within}))


def gaussian_mixture(volume: Volume, *, classes: int = 3, seed: int = 0, within: Mask | None = None) -> Mask:
    """Return the likeliest of several Gaussians for each voxel; they differ in share, mean and spread.

    Expectation maximisation from the answer of k-means. A wide class may lie on both sides of a narrow one.

    Args:
        classes: how many.
        seed: of the starts of k-means.
        within: region that is divided.

    Raises:
        UsageError: fewer than 2 classes.
        ImageContentError: fewer different values than classes.

    Source: Dempster 1977, doi:10.1111/j.2517-6161.1977.tb01600.x
    """
    values, region, (centres, counts) = _counted(volume, "gaussian-mixture", classes, within)
    share, mean, spread = mixture(centres, counts, _best_means(centres, counts, classes, seed))
    cuts = (centres[1:] + centres[:-1]) / 2
    likeliest = np.argmax(_log_density(centres, share, mean, spread), axis=0) + 1
    labels = likeliest[np.searchsorted(cuts, values)]
    return _classes(volume, labels, region, classes, ("gaussian_mixture", {"seed": seed, "within": within}))


def hierarchical(
    volume: Volume,
    *,
    classes: int = 3,
    count: int = 500,
    size_mm: float | None = None,
    compactness: float = 0.1,
    within: Mask | None = None,
) -> Mask:
    """Return supervoxels joined to classes by Ward's method on their mean brightness, wherever they lie.

    Args:
        classes: how many.
        count: of supervoxels, about.
        size_mm: edge length of a supervoxel, instead of the count.
        compactness: see `supervoxel.supervoxels`.
        within: region that is divided.

    Raises:
        UsageError: fewer than 2 classes, or fewer supervoxels than classes.

    Source: Ward 1963, doi:10.1080/01621459.1963.10500845
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    filtering.between("classes", classes, 2, np.inf)
    labels = supervoxel.slic(volume, count, size_mm, compactness, inputs.inside(volume, within))
    values = inputs.brightness(volume, "hierarchical")
    if labels.max() < classes:
        raise UsageError(
            "there are fewer supervoxels than classes", found=str(labels.max()), expected=f"{classes} or more",
            fix="raise count, or lower classes",
        )  # fmt: skip
    sizes, means = supervoxel.statistics(labels, values)
    groups = fcluster(linkage(means[1:, None], "ward"), classes, "maxclust")
    ordered = supervoxel.by_mean(np.concatenate([[0], groups]), sizes, means)
    told = {"classes": classes, "count": count, "size_mm": size_mm, "compactness": compactness, "within": within}
    return inputs.answer(volume, ordered[labels], inputs.pieces(classes), "hierarchical", **told)


def _counted(
    volume: Volume, what: str, classes: int, within: Mask | None
) -> tuple[Array, Flags | None, tuple[F64, F64]]:
    """Return brightness, region, and the values that occur with how often they do."""
    values = inputs.brightness(volume, what)
    if classes < 2:
        raise UsageError("the number of classes is out of range", found=str(classes), expected="2 or more")
    region = inputs.inside(volume, within)
    chosen = values.ravel() if region is None else values[region]
    low, high = chosen.min(), chosen.max()
    if values.dtype.kind in "iu" and int(high) - int(low) < MOST_VALUES:
        counts = np.bincount(chosen.astype(np.int64) - int(low))
        centres = np.arange(int(low), int(low) + len(counts), dtype=np.float64)
    else:
        counts, edges = np.histogram(chosen.astype(np.float64), BINS)
        centres = (edges[1:] + edges[:-1]) / 2
    kept = counts > 0
    if np.count_nonzero(kept) < classes:
        raise ImageContentError(
            f"{what} needs as many different values as classes",
            found=f"{np.count_nonzero(kept)} different values, {classes} classes",
            fix="ask for fewer classes, or choose another `within`",
        )
    return values, region, (centres[kept], counts[kept].astype(np.float64))


def _best_means(centres: F64, counts: F64, classes: int, seed: int) -> F64:
    """Return the ascending means that leave the least variance, of several starts."""
    random = np.random.default_rng(seed)
    best, least = centres[:classes], np.inf
    for _ in range(STARTS):
        means, left = _lloyd(centres, counts, _start(centres, counts, classes, random))
        if left < least:
            best, least = means, left
    return best


def _start(centres: F64, counts: F64, classes: int, random: np.random.Generator) -> F64:
    """Return first means by k-means++: each far from those before."""
    chosen = [random.choice(centres, p=counts / counts.sum())]
    while len(chosen) < classes:
        apart = counts * ((centres[:, None] - np.array(chosen)) ** 2).min(axis=1)
        chosen.append(random.choice(centres, p=apart / apart.sum()))
    return np.sort(np.array(chosen, np.float64))


def _lloyd(centres: F64, counts: F64, means: F64) -> tuple[F64, float]:
    """Return the means after convergence, and the variance that is left; classes are intervals of the values."""
    mass = np.concatenate([[0.0], np.cumsum(counts)])
    moment = np.concatenate([[0.0], np.cumsum(counts * centres)])
    for _ in range(ROUNDS):
        cuts = np.concatenate([[0], np.searchsorted(centres, (means[1:] + means[:-1]) / 2), [len(centres)]])
        size, total = np.diff(mass[cuts]), np.diff(moment[cuts])
        new = np.where(size > 0, total / np.maximum(size, 1e-300), means)
        if np.array_equal(new, means):
            break
        means = new
    nearest = means[np.searchsorted((means[1:] + means[:-1]) / 2, centres)]
    return means, float((counts * (centres - nearest) ** 2).sum())


def mixture(centres: F64, counts: F64, means: F64) -> tuple[F64, F64, F64]:
    """Return shares, means and standard deviations of Gaussians fitted to counted values, by ascending mean.

    Args:
        centres: values.
        counts: how often each occurs.
        means: of the classes at the beginning.
    """
    total = counts.sum()
    middle = float((counts * centres).sum() / total)
    overall = float(np.sqrt((counts * (centres - middle) ** 2).sum() / total))
    share, spread = np.full(len(means), 1 / len(means)), np.full(len(means), overall / len(means))
    before = -np.inf
    for _ in range(ROUNDS):
        logs = _log_density(centres, share, means, spread)
        top = logs.max(axis=0)
        parts = np.exp(logs - top)
        likely = parts.sum(axis=0)
        now = float((counts * (top + np.log(likely))).sum() / total)
        if now - before < STILL:
            break
        before, parts = now, parts / likely * counts
        mass = np.maximum(parts.sum(axis=1), 1e-300)
        share, means = mass / total, (parts * centres).sum(axis=1) / mass
        variance = (parts * (centres - means[:, None]) ** 2).sum(axis=1) / mass
        spread = np.maximum(np.sqrt(variance), LEAST_SPREAD * overall)
    order = np.argsort(means, kind="stable")
    return share[order], means[order], spread[order]


def _log_density(centres: F64, share: F64, mean: F64, spread: F64) -> F64:
    apart = (centres - mean[:, None]) / spread[:, None]
    return np.asarray(np.log(np.maximum(share, 1e-300) / spread)[:, None] - 0.5 * apart**2)


def _classes(
    volume: Volume, labels: Array, region: Flags | None, classes: int, told: tuple[str, dict[str, Any]]
) -> Mask:
    if region is not None:
        labels = np.where(region, labels, 0)
    return inputs.answer(volume, labels, inputs.pieces(classes), told[0], classes=classes, **told[1])
