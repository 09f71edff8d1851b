"""What two masks share: counts of voxels, volumes, borders and centrelines. Neither mask is empty here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesalius.core.errors import UsageError
from vesalius.evaluate.metrics.pair import Pair
from vesalius.features.spatial.thinning import thinned


def dice(pair: Pair) -> float:
    """Return twice the overlap over the sum of both."""
    predicted, expected, both = pair.counts
    return 2 * both / (predicted + expected)


def iou(pair: Pair) -> float:
    """Return the overlap over the union."""
    predicted, expected, both = pair.counts
    return both / (predicted + expected - both)


def sensitivity(pair: Pair) -> float:
    """Return the share of the reference that is predicted."""
    _, expected, both = pair.counts
    return both / expected


def precision(pair: Pair) -> float:
    """Return the share of the prediction that is right."""
    predicted, _, both = pair.counts
    return both / predicted


def volume_error(pair: Pair) -> float:
    """Return (prediction - reference) / reference."""
    predicted, expected, _ = pair.counts
    return (predicted - expected) / expected


def volume_error_ml(pair: Pair) -> float:
    """Return prediction - reference in mL; defined for empty masks too."""
    predicted, expected, _ = pair.counts
    return (predicted - expected) * pair.masks[1].voxel_volume_mm3 / 1000


def boundary_iou(pair: Pair, width_mm: float) -> float:
    """Return the IoU of the two rims: voxels of a mask whose centre is at most a width from the nearest voxel outside.

    Beyond the image counts as outside, as in the paper.

    Source: Cheng 2021, doi:10.1109/CVPR46437.2021.01508
    """
    if not width_mm > 0:
        raise UsageError("the width of the rim is positive", found=f"{width_mm} mm")
    rims = [_rim(inside, pair.spacing_mm, width_mm) for inside in (pair.prediction, pair.reference)]
    both = np.count_nonzero(rims[0] & rims[1])
    return int(both) / int(np.count_nonzero(rims[0] | rims[1]))


def _rim(inside: NDArray[np.bool_], spacing_mm: NDArray[np.float64], width_mm: float) -> NDArray[np.bool_]:
    depth = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=spacing_mm)
    return np.asarray(inside & (depth[tuple([slice(1, -1)] * inside.ndim)] <= width_mm * (1 + 1e-9)))


def centreline_dice(pair: Pair) -> float:
    """Return the harmonic mean of the shares of each skeleton that lie in the other mask, voxels counted (clDice).

    Source: Shit 2021, doi:10.1109/CVPR46437.2021.01629
    """
    lines = [thinned(inside) for inside in (pair.prediction, pair.reference)]
    masks = (pair.reference, pair.prediction)
    shares = [float((line & mask).sum() / max(int(line.sum()), 1)) for line, mask in zip(lines, masks, strict=True)]
    return 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0
