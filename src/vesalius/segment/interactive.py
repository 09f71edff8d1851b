"""Seeds or a box to a mask while a person waits, and strokes that correct a mask.

What comes out contains every foreground seed and none of the background's. The border is a graph cut, found on blocks
of voxels first and made exact in a band; what both sides look like is learnt from the seeds and then, twice, from
the answer itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.sparse import csgraph

from vesalius.core.errors import GeometryError, LabelError, UsageError
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.imaging import filtering
from vesalius.segment import inputs, mincut, resemblance
from vesalius.segment.inputs import Flags, Seeds, SeedsLike
from vesalius.segment.supervoxel import bounds, parts_of

Array = NDArray[Any]
Box = tuple[slice, slice, slice]

COARSE = 40_000
"""Voxels of the blocks on which what both sides look like is learnt."""
ROUNDS = 2
"""How often both sides are learnt anew from the answer."""
LEARNT = 2.0
"""Weight of what the answer teaches against what the seeds told."""
NEAR = 2.0
"""Distance from a seed, in shortest voxel edges, up to which voxels tell its side's brightness."""
MANY_SEEDS = 5000
"""So many seeds tell enough by themselves."""
MARGIN = 0.3
"""Surroundings of a box that are looked at, as a part of its edges."""
CORE = 0.7
"""Part of the ellipsoid that touches a box that is taken for foreground at first."""
MIDDLE = 0.95
"""Depth in that ellipsoid at which place tells neither foreground nor background."""
PLACE = 1.5
"""Largest log odds that place gives."""
STEEP = 3.0
"""Shortest voxel edges by which a way is lengthened by a difference as large as the noise's mean square."""
FARTHEST = 1e6
BEYOND = 1.0
"""Multiple of the middle way from the foreground to seeds of the background beyond which all is likelier background."""
PULL, FAR_ODDS = 3.0, 6.0
"""Log odds lost per such way, and at most."""
REACH_VOXELS = 30
HOLD = 6.0
"""Log odds by which an old mask holds at the reach of a correction; 0 at the stroke."""


def select(
    volume: Volume,
    *,
    foreground: SeedsLike | None = None,
    background: SeedsLike | None = None,
    box: Seeds | ArrayLike | None = None,
    within: Mask | None = None,
) -> Mask:
    """Return what seeds or a box point at, in one piece per group of foreground seeds.

    Args:
        foreground: points, strokes or a mask of what is looked for; may be left out when there is a box.
        background: the same of the rest; with foreground alone, the rest is what looks like most of the image.
        box: two opposite corners of a box that holds all of it, in LPS mm or `Seeds(..., frame="index")`.
        within: region that is not left.

    Raises:
        UsageError: neither foreground seeds nor a box.
        GeometryError: a seed outside the image or the box, or of both kinds.
    """
    values = inputs.brightness(volume, "interactive")
    region, seeds = _asked(volume, (foreground, background, box), inputs.inside(volume, within))
    cut = _view(volume, region, None if box is None else inputs.box_of(volume, box))
    part = np.ascontiguousarray(values[cut], np.float32)
    scene = mincut.Scene(part, np.zeros_like(part), seeds[cut], region[cut], inputs.lengths(volume))
    found = np.zeros(volume.shape, bool)
    found[cut] = _one_piece(_segmented(scene, box is not None), scene.seeds)
    told = {"foreground": foreground, "background": background, "box": box, "within": within}
    return inputs.answer(volume, found, {1: inputs.REGION}, "interactive", **told)


def _asked(
    volume: Volume, given: tuple[SeedsLike | None, SeedsLike | None, Seeds | ArrayLike | None], region: Flags | None
) -> tuple[Flags, Array]:
    """Return the region that takes part and the seeds; outside a box everything is background."""
    foreground, background, box = given
    if foreground is None and box is None:
        raise UsageError("seeds of the foreground or a box are needed", fix="point at what is looked for")
    seeds = np.zeros(volume.shape, np.uint8)
    front = None if foreground is None else inputs.marked(volume, foreground, "foreground")
    allowed = np.ones(volume.shape, bool) if region is None else region
    if box is not None:
        chosen = inputs.box_of(volume, box)
        seeds[...] = 2
        seeds[chosen] = 0
        if front is not None and (front & (seeds == 2)).any():
            _outside("foreground seeds lie outside the box", int((front & (seeds == 2)).sum()), "widen the box")
    if front is not None:
        if region is not None and (front & ~region).any():
            _outside("foreground seeds lie outside `within`", int((front & ~region).sum()), "widen the mask")
        seeds[front] = 1
    if background is not None:
        back = inputs.marked(volume, background, "background")
        if front is not None:
            inputs.refuse_both(front, back)
        seeds[back] = 2
        allowed = allowed | back
    return allowed, seeds


def _outside(message: str, count: int, fix: str) -> None:
    raise GeometryError(message, found=f"{count} voxels", fix=f"{fix}, or move the seeds")


def _view(volume: Volume, region: Flags, box: Box | None) -> Box:
    """Return the part of the image that is looked at: all of the region, or the box and its surroundings."""
    if box is None:
        return bounds(region) if not region.all() else (slice(None), slice(None), slice(None))
    ends = []
    for one, length in zip(box, volume.shape, strict=True):
        margin = max(3, int((one.stop - one.start) * MARGIN))
        ends.append(slice(max(one.start - margin, 0), min(one.stop + margin, length)))
    return ends[0], ends[1], ends[2]


def _depth(scene: mincut.Scene) -> Array:
    """Return 0 in the middle of the box, which is what is not background, and 1 on the ellipsoid that touches it."""
    inside = bounds(scene.seeds != 2)
    total = np.zeros(scene.seeds.shape, np.float32)
    for axis, one in enumerate(inside):
        line = np.arange(scene.seeds.shape[axis]) - (one.start + one.stop - 1) / 2
        part = (line / max((one.stop - one.start) / 2, 0.5)) ** 2
        total += part.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    return np.sqrt(total)


def _segmented(scene: mincut.Scene, boxed: bool) -> Flags:
    """Return the cut after learning what both sides look like on blocks."""
    near = {label: _near(scene, label) for label in (1, 2)}
    scale = resemblance.Scale(scene.values, scene.values[near[1] | near[2]])
    bins = scale.bins(scene.values)
    depth = _depth(scene) if boxed else None
    front, back = _first(scene, None if depth is None else depth < CORE, bins, near)
    coarse, blocks = scene, list[tuple[tuple[int, ...], tuple[int, ...]]]()
    while np.count_nonzero(coarse.region) > COARSE and max(coarse.values.shape) > 8:
        shape = coarse.values.shape
        coarse, block = coarse.halved()
        blocks.append((block, shape))
    small, prior = scale.bins(coarse.values), _prior(coarse, boxed)
    # Seeds of both kinds, set by hand at the border in question, tell more than an answer that may have leaked.
    for _ in range(ROUNDS if boxed or not (near[1].any() and near[2].any()) else 0):
        found = mincut.cut(_with(coarse, resemblance.odds(front, back)[small] + prior)) & coarse.region
        rest = coarse.region & ~found
        if not found.any() or not rest.any():
            break
        front = _learnt(front, small[found])
        back = _learnt(back, small[rest])
    for block, shape in reversed(blocks):
        prior = mincut.repeated(prior, block, shape)
    return mincut.cut(_with(scene, resemblance.odds(front, back)[bins] + prior))


def _prior(scene: mincut.Scene, boxed: bool) -> Array:
    """Return the log odds of the foreground from place alone: nearer to which seeds, or how deep in the box."""
    if (scene.seeds == 1).any() and (scene.seeds == 2).any():
        front, back = (_way(scene, label) for label in (1, 2))
        # What is much farther from the foreground than most seeds of the background is not foreground either.
        end = BEYOND * max(float(np.median(front[scene.seeds == 2])), 1e-6)
        back = np.minimum(back, end)
        beyond = np.clip(PULL * (front / end - 1), 0, FAR_ODDS)
        return np.asarray(PLACE * (back - front) / np.maximum(back + front, 1e-6) - beyond, np.float32)
    if boxed:
        return np.asarray(PLACE * np.clip(2 * (MIDDLE - _depth(scene)), -1, 1), np.float32)
    return np.zeros(scene.values.shape, np.float32)


def _way(scene: mincut.Scene, label: int) -> Array:
    """Return how far each voxel is from the seeds of one kind; differences of brightness lengthen a way."""
    costs, nodes = mincut.ways(scene, STEEP)
    start = nodes[(scene.seeds == label) & scene.region]
    found = csgraph.dijkstra(costs, directed=False, indices=start, min_only=True)
    far = np.zeros(scene.values.shape, np.float32)
    far[scene.region] = np.minimum(found, FARTHEST)
    return far


def _learnt(before: Array, bins: Array) -> Array:
    """Return a histogram that adds what the answer shows to what was known."""
    return np.asarray(before / before.sum() + LEARNT * resemblance.histogram(bins) / bins.size)


def _near(scene: mincut.Scene, label: int) -> Flags:
    """Return the voxels close to the seeds of one kind, which are not seeds of the other."""
    seeds = scene.seeds == label
    if np.count_nonzero(seeds) > MANY_SEEDS or not seeds.any():
        return np.asarray(seeds & scene.region)
    reach = NEAR * min(scene.spacing)
    cut = _around(bounds(seeds), reach, scene.spacing, seeds.shape)
    found = np.zeros(seeds.shape, bool)
    close = ndimage.distance_transform_edt(~seeds[cut], sampling=scene.spacing) <= reach
    found[cut] = close & scene.region[cut] & (scene.seeds[cut] != 3 - label)
    return found


def _first(scene: mincut.Scene, core: Flags | None, bins: Array, near: dict[int, Flags]) -> tuple[Array, Array]:
    """Return the histograms of both sides that the seeds, the box or the whole image tell."""
    known = []
    for label in (1, 2):
        if near[label].any():
            # The seeds themselves count most: their surroundings may cross a border.
            known.append(
                resemblance.histogram(bins[near[label]]) + 4 * resemblance.histogram(bins[scene.seeds == label])
            )
        elif label == 1 and core is not None:
            known.append(resemblance.histogram(bins[core & scene.region & (scene.seeds != 2)]))
        else:
            known.append(resemblance.histogram(bins[scene.region]))
    return known[0], known[1]


def _with(scene: mincut.Scene, likely: Array) -> mincut.Scene:
    return mincut.Scene(scene.values, likely, scene.seeds, scene.region, scene.spacing)


def _one_piece(found: Flags, seeds: Array) -> Flags:
    """Return the components that hold a foreground seed, or the largest without one; seeds are always kept."""
    found = (found | (seeds == 1)) & (seeds != 2)
    labels, count = parts_of(found)
    if not count:
        return found
    chosen = np.zeros(count + 1, bool)
    chosen[labels[seeds == 1]] = True
    if not chosen.any():
        chosen[np.bincount(labels.ravel())[1:].argmax() + 1] = True
    chosen[0] = False
    return np.asarray(chosen[labels])


def correct(
    volume: Volume,
    *,
    mask: Mask,
    add: SeedsLike | None = None,
    remove: SeedsLike | None = None,
    reach_mm: float | None = None,
) -> Mask:
    """Return the mask changed near strokes: what looks like them joins or leaves, the rest stays.

    Args:
        mask: with one segment.
        add: places that belong.
        remove: places that do not.
        reach_mm: farthest change from a stroke; default 30 times the shortest voxel edge.

    Raises:
        UsageError: no stroke, or a reach that is not positive.
        LabelError: the mask has several segments.
        GeometryError: a stroke outside the image, or voxels in strokes of both kinds.
    """
    values = inputs.brightness(volume, "correct")
    inputs.same_grid(volume, mask, "mask")
    label = _only_label(mask)
    if add is None and remove is None:
        raise UsageError("a correction is one stroke at least", fix="give add, remove or both")
    seeds = np.zeros(volume.shape, np.uint8)
    for number, name, given in ((1, "add", add), (2, "remove", remove)):
        if given is not None:
            places = inputs.marked(volume, given, name)
            inputs.refuse_both(seeds == 1, places if number == 2 else np.zeros_like(places))
            seeds[places] = number
    steps = inputs.lengths(volume)
    if reach_mm is None:
        reach = REACH_VOXELS * min(steps)
    else:
        reach = filtering.positive("reach_mm", reach_mm, "mm")
        volume.require_spacing()
    old = mask.array == label
    new = old.copy()
    cut = _around(bounds(seeds > 0), reach, steps, volume.shape)
    new[cut] = _corrected(values[cut].astype(np.float32), old[cut], seeds[cut], steps, reach)
    told = {"mask": mask, "add": add, "remove": remove, "reach_mm": reach_mm}
    return inputs.answer(volume, new * np.uint8(1), {1: mask.segments[label]}, "correct", **told)


def _only_label(mask: Mask) -> int:
    if len(mask.segments) != 1:
        raise LabelError(
            "a mask with one segment is corrected", found=f"{len(mask.segments)} segments",
            fix="take one: a mask of mask.binary(name)",
        )  # fmt: skip
    return next(iter(mask.segments))


def _around(box: Box, reach: float, steps: tuple[float, ...], shape: tuple[int, ...]) -> Box:
    ends = [
        slice(max(b.start - int(reach / s) - 1, 0), min(b.stop + int(reach / s) + 1, n))
        for b, s, n in zip(box, steps, shape, strict=True)
    ]
    return ends[0], ends[1], ends[2]


def _corrected(values: Array, old: Flags, seeds: Array, steps: tuple[float, ...], reach: float) -> Flags:
    """Return the mask of a window around strokes, changed where a change hangs together with a stroke."""
    far = np.asarray(ndimage.distance_transform_edt(seeds == 0, sampling=steps), np.float32) / np.float32(reach)
    free = far < 1
    known = np.where(free, seeds, np.where(old, 1, 2))
    scene = mincut.Scene(values, np.zeros_like(values), known, np.ones(old.shape, bool), steps)
    bins = resemblance.Scale(values, values[seeds > 0]).bins(values)
    front = seeds == 1 if (seeds == 1).any() else old & (seeds != 2)
    back = seeds == 2 if (seeds == 2).any() else ~old & (seeds != 1)
    odds = resemblance.odds(resemblance.histogram(bins[front]), resemblance.histogram(bins[back]))
    hold = np.float32(HOLD) * np.minimum(far, 1)
    likely = odds[bins] + np.where(old, hold, -hold)
    found = mincut.cut(_with(scene, likely.astype(np.float32)))
    found = (found | (seeds == 1)) & (seeds != 2)
    labels, count = parts_of(found != old)
    touched = np.zeros(count + 1, bool)
    touched[labels[ndimage.binary_dilation(seeds > 0)]] = True
    touched[0] = False
    changed = np.where(touched[labels], found, old)
    return np.asarray((changed | (seeds == 1)) & (seeds != 2))
