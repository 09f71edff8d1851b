"""Clusters that come again: k-means and hierarchical clustering, judged by resampling patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import UsageError
from vesalius.train.classical_models import needed

F64 = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Stability:
    """How alike the clusters of resampled patients are: adjusted Rand index, mean and 95 % of the resamples."""

    clusters: int
    value: float
    low: float
    high: float
    draws: int


def centroids(x: F64, clusters: int, learner: str, seed: int) -> F64:
    """Return the centres of clusters, [clusters, features], the largest cluster first.

    Raises:
        UsageError: fewer different cases than clusters.
    """
    if clusters < 2 or clusters > len(np.unique(x, axis=0)):
        raise UsageError("so many clusters cannot be found", found=str(clusters),
                         expected=f"2 to {len(np.unique(x, axis=0))}, the number of different cases")  # fmt: skip
    module = needed("sklearn.cluster")
    # thousands of small fits: threads would only wait for each other
    with needed("threadpoolctl").threadpool_limits(1):
        places = _places(module, x, clusters, learner, seed)
    order = np.argsort(-np.bincount(places, minlength=clusters), kind="stable")
    return np.stack([x[places == k].mean(axis=0) for k in order])


def _places(module: Any, x: F64, clusters: int, learner: str, seed: int) -> Ints:
    if learner == "kmeans":
        found: Ints = module.KMeans(clusters, n_init=10, random_state=seed).fit(x).labels_
    else:
        found = module.AgglomerativeClustering(clusters, linkage="ward").fit(x).labels_
    return found


def nearest(x: F64, centres: F64) -> Ints:
    """Return the number of the nearest centre of each case."""
    found: Ints = (((x[:, None, :] - centres[None]) ** 2).sum(axis=2)).argmin(axis=1)
    return found


def stability(x: F64, groups: Ints, clusters: int, learner: str, *, seed: int, draws: int = 50) -> Stability:
    """Return how well the clusters of resampled patients agree with those of all, on all cases.

    Source: Hennig 2007, doi:10.1016/j.csda.2006.11.025; the adjusted Rand index of Hubert and Arabie 1985.
    """
    score = needed("sklearn.metrics").adjusted_rand_score
    reference = nearest(x, centroids(x, clusters, learner, seed))
    rng = np.random.default_rng(seed)
    names = np.unique(groups)
    members = {int(name): np.flatnonzero(groups == name) for name in names}
    found = []
    for _ in range(draws):
        rows = np.concatenate([members[int(name)] for name in rng.choice(names, len(names))])
        if len(np.unique(x[rows], axis=0)) < clusters:
            continue
        found.append(score(reference, nearest(x, centroids(x[rows], clusters, learner, seed))))
    low, high = np.quantile(found, (0.025, 0.975)) if found else (0.0, 0.0)
    return Stability(clusters, float(np.mean(found)) if found else 0.0, float(low), float(high), len(found))


def stablest(x: F64, groups: Ints, counts: Sequence[int], learner: str, *, seed: int) -> tuple[Stability, ...]:
    """Return the stability of each number of clusters, the most stable first."""
    found = [stability(x, groups, int(count), learner, seed=seed) for count in counts]
    return tuple(sorted(found, key=lambda one: -one.value))
