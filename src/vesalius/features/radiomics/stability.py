"""How far features survive small changes of the picture, and whether they only say how large the segment is.

A feature that changes when the patient lies a few degrees otherwise, when the contour is drawn again or when the noise
is drawn again tells about the picture, not about the patient; one that follows the volume adds nothing to it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from vesalius.core.errors import UsageError
from vesalius.core.grid import Spacing
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.features.radiomics.extract import radiomics
from vesalius.features.radiomics.region import PEAK_RADIUS_MM, bounding_box, segment_label
from vesalius.features.radiomics.settings import Settings
from vesalius.features.radiomics.table import RadiomicsTable

__all__ = [
    "CohortTable",
    "MeasuredCase",
    "Perturbations",
    "RadiomicsCase",
    "Stability",
    "cohort_csv",
    "cohort_features",
    "cohort_of",
    "intraclass_correlation",
    "measured_case",
    "perturbed",
]

_SEGMENT = 1
_MARGIN_MM = PEAK_RADIUS_MM + 4.0
_MAD = 0.6744897501960817
"""Median absolute deviation of a normal distribution of unit width."""


@dataclass(frozen=True, slots=True)
class Perturbations:
    """Small random changes, the same for the same seed.

    Args:
        count: perturbed pictures per case, at least 2 to tell changes between patients from changes within one.
        rotation_deg: largest turn in the plane of the slices, about the middle of the segment.
        translation_voxels: largest shift along each axis.
        contour_voxels: standard deviation of a smooth shift of the outline.
        noise: standard deviation of added noise as a multiple of the noise that is there.
        seed: of the random numbers.

    Source: Zwanenburg et al. 2019, doi:10.1038/s41598-018-36938-4.
    """

    count: int = 6
    rotation_deg: float = 6.0
    translation_voxels: float = 0.5
    contour_voxels: float = 0.5
    noise: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.count < 1 or min(self.rotation_deg, self.translation_voxels, self.contour_voxels, self.noise) < 0:
            raise UsageError("a perturbation is counted from 1 and its size is not negative", found=str(self))


@dataclass(frozen=True, eq=False, slots=True)
class RadiomicsCase:
    """One segment of one image under a name of the caller's choice; the name goes into the table."""

    name: str
    volume: Volume
    mask: Mask
    segment: str | int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class MeasuredCase:
    """The features of one case.

    Args:
        volume_ml: of the segment, NaN when the pixel size is not known.
        repeated: `[perturbation, feature]`, None when stability is not wanted.
    """

    name: str
    table: RadiomicsTable
    volume_ml: float
    repeated: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Stability:
    """What a cohort tells about one feature.

    Args:
        tag: feature.
        icc: intraclass correlation of perturbed pictures of one patient, ICC(1,1); NaN for fewer than two cases.
        low: lower end of its 95 % interval.
        high: upper end.
        spread: median over cases of the standard deviation over perturbations, relative to the mean.
        volume_correlation: Spearman's correlation with the volume over cases; NaN for fewer than three.
    """

    tag: str
    icc: float
    low: float
    high: float
    spread: float
    volume_correlation: float


@dataclass(frozen=True, eq=False)
class CohortTable:
    """Features of several cases, `values[case, feature]`, with the stability of each feature."""

    names: tuple[str, ...]
    tables: tuple[RadiomicsTable, ...]
    stability: tuple[Stability, ...]
    perturbations: Perturbations | None

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the features."""
        return self.tables[0].tags

    @property
    def values(self) -> NDArray[np.float64]:
        """Return `[case, feature]`."""
        return np.stack([table.values for table in self.tables])


def cohort_features(
    cases: Iterable[RadiomicsCase],
    *,
    settings: Settings | None = None,
    perturbations: Perturbations | None = Perturbations(),
) -> CohortTable:
    """Return the features of several cases, with stability and correlation with volume unless switched off.

    Args:
        cases: read one at a time; none is kept.
        settings: as for `radiomics`.
        perturbations: None computes no stability; the correlation with volume stays.

    Raises:
        UsageError: no case.
        VesaliusError: as for `radiomics`.
    """
    chosen = Settings() if settings is None else settings
    return cohort_of([measured_case(case, chosen, perturbations) for case in cases], perturbations)


def measured_case(case: RadiomicsCase, settings: Settings, perturbations: Perturbations | None) -> MeasuredCase:
    """Return the features of one case, and those of its perturbed pictures unless these are None."""
    table = radiomics(case.volume, case.mask, segment=case.segment, settings=settings)
    known = case.mask.spacing is not Spacing.UNKNOWN
    volume = case.mask.volume_ml(segment_label(case.mask, case.segment)) if known else math.nan
    repeated = None
    if perturbations is not None:
        parts = perturbed(case.volume, case.mask, segment=case.segment, perturbations=perturbations)
        repeated = np.stack([radiomics(v, m, settings=settings).values for v, m in parts])
    return MeasuredCase(case.name, table, volume, repeated)


def cohort_of(cases: Sequence[MeasuredCase], perturbations: Perturbations | None) -> CohortTable:
    """Return measured cases with the stability of each feature.

    Raises:
        UsageError: no case.
    """
    if not cases:
        raise UsageError("a cohort holds at least one case", found="none")
    values = np.stack([case.table.values for case in cases])
    changed = [case.repeated for case in cases if case.repeated is not None]
    repeated = np.stack(changed) if len(changed) == len(cases) else None
    volumes = np.array([case.volume_ml for case in cases])
    found = _stability(cases[0].table.tags, values, volumes, repeated)
    return CohortTable(tuple(c.name for c in cases), tuple(c.table for c in cases), found, perturbations)


def _stability(
    tags: tuple[str, ...],
    values: NDArray[np.float64],
    volumes: NDArray[np.float64],
    repeated: NDArray[np.float64] | None,
) -> tuple[Stability, ...]:
    result = []
    for index, tag in enumerate(tags):
        column = values[:, index]
        follows = float("nan")
        usable = np.isfinite(column) & np.isfinite(volumes)
        if usable.sum() >= 3 and np.ptp(column[usable]) > 0 and np.ptp(volumes[usable]) > 0:
            ranks = _ranks(column[usable]), _ranks(volumes[usable])
            follows = float(np.corrcoef(*ranks)[0, 1])
        icc, low, high, spread = (float("nan"),) * 4
        if repeated is not None:
            again = repeated[:, :, index]
            icc, low, high = intraclass_correlation(again)
            spread = _spread(again)
        result.append(Stability(tag, icc, low, high, spread, follows))
    return tuple(result)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks, the mean rank for equal values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse])


def _spread(again: NDArray[np.float64]) -> float:
    mean, deviation = np.abs(again.mean(axis=1)), again.std(axis=1)
    usable = np.isfinite(deviation) & (mean > 0)
    return float(np.median(deviation[usable] / mean[usable])) if usable.any() else float("nan")


def intraclass_correlation(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return ICC(1,1) of `[subject, repetition]` with its 95 % interval; NaN when it is not defined.

    Subjects with a value that is not finite take no part.

    Source: Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420.
    """
    usable = values[np.isfinite(values).all(axis=1)]
    subjects, times = usable.shape
    if subjects < 2 or times < 2:
        return float("nan"), float("nan"), float("nan")
    means = usable.mean(axis=1)
    between = times * float(np.var(means, ddof=1))
    within = float(np.square(usable - means[:, np.newaxis]).sum()) / (subjects * (times - 1))
    if within == 0:
        undefined = between == 0
        return (float("nan"),) * 3 if undefined else (1.0, 1.0, 1.0)
    ratio = between / within
    above, below = subjects - 1, subjects * (times - 1)
    low = ratio / float(special.fdtri(above, below, 0.975))
    high = ratio * float(special.fdtri(below, above, 0.975))
    correlations = [(f - 1) / (f + times - 1) for f in (ratio, low, high)]
    return correlations[0], correlations[1], correlations[2]


def perturbed(
    volume: Volume, mask: Mask, *, segment: str | int | None = None, perturbations: Perturbations
) -> Iterator[tuple[Volume, Mask]]:
    """Yield image and mask turned, shifted, with added noise and another outline, cropped around the segment.

    Noise is added first, then one interpolation (linear, mask from half a voxel) turns and shifts, then the outline
    moves: along a smooth random field, outwards where it is positive.

    Raises:
        UnknownSpacingError: the image does not tell its pixel size.
        ImageContentError: the segment is empty.
    """
    volume.require_spacing()
    inside = np.equal(mask.array, segment_label(mask, segment))
    name = mask.segments[segment_label(mask, segment)]
    box = bounding_box(inside)
    spacing = np.asarray(volume.spacing_mm)
    size = np.array([part.stop - part.start for part in box]) * spacing
    sweep = math.sin(math.radians(min(perturbations.rotation_deg, 90.0))) * float(np.linalg.norm(size[1:])) / 2
    margin = np.ceil((_MARGIN_MM + np.array([0.0, sweep, sweep])) / spacing).astype(int) + 2
    start = [max(0, part.start - int(m)) for part, m in zip(box, margin, strict=True)]
    stop = [min(n, part.stop + int(m)) for part, m, n in zip(box, margin, volume.shape, strict=True)]
    part = volume.crop((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    share = inside[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    level = _noise_level(part.array) * perturbations.noise
    for number in range(perturbations.count):
        random = np.random.default_rng([perturbations.seed, number])
        grey = part.array.astype(np.float64)
        if level > 0:
            grey = grey + random.normal(0.0, level, grey.shape)
        image, outline = _moved(replace(part, array=grey), share, perturbations, random)
        moved = _redrawn(outline, perturbations.contour_voxels, random)
        yield image, Mask(moved.astype(np.uint8), image.affine, image.frame, image.spacing, segments={_SEGMENT: name})


def _noise_level(array: NDArray[np.generic]) -> float:
    """Return the standard deviation of the noise from diagonal differences within slices, robust to edges."""
    grey = np.asarray(array, dtype=np.float64)
    diagonal = (grey[:, :-1, :-1] - grey[:, 1:, :-1] - grey[:, :-1, 1:] + grey[:, 1:, 1:]) / 2
    finite = diagonal[np.isfinite(diagonal)]
    return float(np.median(np.abs(finite))) / _MAD if finite.size else 0.0


def _moved(
    grey: Volume, share: NDArray[np.bool_], how: Perturbations, random: np.random.Generator
) -> tuple[Volume, NDArray[np.bool_]]:
    """Return image and mask on a grid that is turned about the middle of the mask and shifted."""
    from vesalius.imaging import spatial

    angle = math.radians(float(random.uniform(-how.rotation_deg, how.rotation_deg)))
    shift = random.uniform(-how.translation_voxels, how.translation_voxels, 3)
    # A picture one slice thick has nothing beside it to shift to.
    shift[np.array(grey.shape) == 1] = 0
    axes = grey.affine[:3, :3]
    unit = axes / np.linalg.norm(axes, axis=0)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = unit @ np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]) @ np.linalg.inv(unit)
    middle = grey.index_to_world(np.argwhere(share).mean(axis=0))
    affine = grey.affine.copy()
    affine[:3, :3] = turn @ axes
    affine[:3, 3] = turn @ (grey.index_to_world(shift) - middle) + middle
    image = spatial.resample_to_grid(grey, grey.shape, affine, fill=float(np.nanmin(grey.array)), antialias=False)
    portion = spatial.resample_to_grid(
        replace(grey, array=share.astype(np.float64)), grey.shape, affine, antialias=False
    )
    return image, portion.array >= 0.5


def _redrawn(outline: NDArray[np.bool_], voxels: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return the mask with its outline moved along a smooth random field; unchanged where nothing would be left."""
    if voxels == 0 or not outline.any():
        return outline
    field = ndimage.gaussian_filter(random.standard_normal(outline.shape), 2.0, mode="wrap")
    field *= voxels / float(field.std())
    outwards = ndimage.distance_transform_edt(~outline) - 0.5 * (~outline)
    inwards = ndimage.distance_transform_edt(outline) - 0.5 * outline
    moved = (inwards - outwards + field) > 0
    return moved if np.count_nonzero(moved) >= 2 else outline


def cohort_csv(table: CohortTable) -> str:
    """Return one line per feature: stability first, then the value of each case under its name."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["tag", "code", "unit", "icc", "icc_low", "icc_high", "spread", "volume_correlation", *table.names])
    values = table.values.T
    for row, stable, line in zip(table.tables[0], table.stability, values, strict=True):
        numbers = [stable.icc, stable.low, stable.high, stable.spread, stable.volume_correlation, *line.tolist()]
        writer.writerow([row.tag, row.code, row.unit, *("" if math.isnan(n) else repr(n) for n in numbers)])
    return text.getvalue()
