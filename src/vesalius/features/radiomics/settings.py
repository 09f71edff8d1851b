"""How features are computed: frozen options, presets and their hash."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Literal

from vesalius.core.errors import UsageError
from vesalius.features.radiomics.filters import (
    Filter,
    GaborFilter,
    LaplacianOfGaussianFilter,
    LawsFilter,
    MeanFilter,
    SimoncelliFilter,
    WaveletFilter,
)

__all__ = [
    "AGGREGATIONS",
    "ALL_FAMILIES",
    "Aggregation",
    "Discretisation",
    "Family",
    "FixedBinNumber",
    "FixedBinSize",
    "Interpolation",
    "NoBinning",
    "Resegmentation",
    "Settings",
    "ibsi_configuration",
    "ibsi_filter_configuration",
]


class Family(StrEnum):
    """Feature families of IBSI; the value is the prefix of the feature tags.

    IBSI's morphology is in three parts by what they cost: `morph` itself, `enclosing` (smallest box and ellipsoid,
    which IBSI names without a reference value) and `autocorrelation` (Moran's I and Geary's C over all pairs of
    voxels). Their tags all begin with "morph".
    """

    MORPHOLOGY = "morph"
    ENCLOSING = "enclosing"
    AUTOCORRELATION = "autocorrelation"
    LOCAL_INTENSITY = "loc"
    STATISTICS = "stat"
    HISTOGRAM = "ih"
    VOLUME_HISTOGRAM = "ivh"
    COOCCURRENCE = "cm"
    RUN_LENGTH = "rlm"
    SIZE_ZONE = "szm"
    DISTANCE_ZONE = "dzm"
    TONE_DIFFERENCE = "ngt"
    DEPENDENCE = "ngl"


ALL_FAMILIES = tuple(Family)
DEFAULT_FAMILIES = tuple(family for family in Family if family is not Family.ENCLOSING)
"""All but the bodies that IBSI advises against: they have no reference value."""
VOLUMETRIC = frozenset({Family.MORPHOLOGY, Family.ENCLOSING, Family.AUTOCORRELATION, Family.LOCAL_INTENSITY})
"""Families that need millimetres and more than one slice."""
MATRICES = frozenset(
    {
        Family.COOCCURRENCE,
        Family.RUN_LENGTH,
        Family.SIZE_ZONE,
        Family.DISTANCE_ZONE,
        Family.TONE_DIFFERENCE,
        Family.DEPENDENCE,
    }
)
"""Families with texture matrices."""


class Aggregation(StrEnum):
    """How texture matrices of slices and directions are put together; the value is the suffix of the feature tags.

    `2D_avg` and `2D_comb` work slice by slice (features averaged over slices and directions; directions merged per
    slice), `2_5D_avg` and `2_5D_comb` merge slices per direction and altogether, `3D_avg` and `3D_comb` use the 13
    directions in space. Zone, difference and dependence matrices have no direction: they follow as 2D, 2_5D and 3D.
    """

    SLICE_AVERAGED = "2D_avg"
    SLICE_MERGED = "2D_comb"
    DIRECTION_MERGED = "2_5D_avg"
    PLANES_MERGED = "2_5D_comb"
    VOLUME_AVERAGED = "3D_avg"
    VOLUME_MERGED = "3D_comb"

    @property
    def dimension(self) -> str:
        """Return "2D", "2_5D" or "3D"."""
        return self.value.rsplit("_", 1)[0]


AGGREGATIONS = tuple(Aggregation)
Method = Literal["nearest", "linear", "cubic"]


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} is a positive number", found=str(value))


@dataclass(frozen=True, slots=True)
class FixedBinNumber:
    """`bins` bins of equal width between the smallest and the largest intensity of the region."""

    bins: int = 32

    def __post_init__(self) -> None:
        """Check the number."""
        if self.bins < 1:
            raise UsageError("a number of bins is at least 1", found=str(self.bins))


@dataclass(frozen=True, slots=True)
class FixedBinSize:
    """Bins of `width` in the unit of the image.

    Args:
        width: width of one bin.
        origin: "range": the first bin starts at the lower bound of the re-segmentation range, or at the smallest
            intensity without one (IBSI). "zero": edges lie at multiples of the width (PyRadiomics).
    """

    width: float = 25.0
    origin: Literal["range", "zero"] = "range"

    def __post_init__(self) -> None:
        """Check the width."""
        _positive("a bin width", self.width)


@dataclass(frozen=True, slots=True)
class NoBinning:
    """Whole-numbered intensities are the grey levels themselves, shifted to start at 1 only where they do not.

    Intensities that are not whole numbers are refused, except for the intensity-volume histogram.
    """


Discretisation = FixedBinNumber | FixedBinSize | NoBinning


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Another grid before anything is measured, aligned with the old one by their middles (IBSI 2.4).

    Args:
        spacing_mm: new voxel size along slice, row and column; None keeps an axis (2-D: `(None, 2.0, 2.0)`).
        image: interpolation of intensities; no smoothing goes before it.
        mask: interpolation of the mask.
        mask_threshold: share of a voxel inside the mask from which it belongs to it.
        round_to: intensities are rounded to multiples of this after interpolation (1 for HU), None keeps them.
    """

    spacing_mm: tuple[float | None, float, float]
    image: Method = "cubic"
    mask: Literal["nearest", "linear"] = "linear"
    mask_threshold: float = 0.5
    round_to: float | None = None

    def __post_init__(self) -> None:
        """Check sizes and threshold."""
        for size in self.spacing_mm:
            if size is not None:
                _positive("a voxel size in mm", size)
        if not 0 < self.mask_threshold <= 1:
            raise UsageError("a mask threshold lies above 0 and up to 1", found=str(self.mask_threshold))
        if self.round_to is not None:
            _positive("round_to", self.round_to)


@dataclass(frozen=True, slots=True)
class Resegmentation:
    """Voxels that leave the intensity mask; the morphological mask keeps them (IBSI 2.5).

    Args:
        lower: smallest intensity kept, in the unit of the image.
        upper: largest intensity kept.
        outlier_sigma: voxels further than this many standard deviations from the mean leave too; mean and deviation
            are those of the voxels inside the range.
    """

    lower: float | None = None
    upper: float | None = None
    outlier_sigma: float | None = None

    def __post_init__(self) -> None:
        """Check that the range is not empty."""
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise UsageError("the re-segmentation range is empty", found=f"{self.lower} to {self.upper}")
        if self.outlier_sigma is not None:
            _positive("outlier_sigma", self.outlier_sigma)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured and how.

    Args:
        families: feature families; all but `enclosing` unless named.
        aggregations: how texture matrices are put together.
        discretisation: bins of the histogram and of the texture matrices.
        volume_histogram: bins of the intensity-volume histogram; None takes intensities as they are when they are
            whole numbers (step 1), else 1000 bins.
        interpolation: another grid first; None measures on the image's own.
        resegmentation: voxels left out by their intensity.
        filter: the image is replaced by its response to this filter after interpolation and re-segmentation (IBSI
            chapter 2); morphology then weights with the response.
        distance: Chebyshev distance in voxels of co-occurrence, difference and dependence neighbourhoods.
        coarseness: largest difference of grey levels that still counts as dependent.
        lone_voxels: voxels without a neighbour in the mask take part in the difference matrix with difference 0, as in
            PyRadiomics; IBSI leaves them out.
    """

    families: tuple[Family, ...] = DEFAULT_FAMILIES
    aggregations: tuple[Aggregation, ...] = (Aggregation.VOLUME_AVERAGED, Aggregation.VOLUME_MERGED)
    discretisation: Discretisation = field(default_factory=FixedBinNumber)
    volume_histogram: Discretisation | None = None
    interpolation: Interpolation | None = None
    resegmentation: Resegmentation = field(default_factory=Resegmentation)
    filter: Filter | None = None
    distance: int = 1
    coarseness: int = 0
    lone_voxels: bool = False

    def __post_init__(self) -> None:
        """Turn names into enumerations and check the numbers."""
        object.__setattr__(self, "families", _members(Family, self.families))
        object.__setattr__(self, "aggregations", _members(Aggregation, self.aggregations))
        if not self.families:
            raise UsageError("no feature family is named", expected=", ".join(ALL_FAMILIES))
        if not self.aggregations and MATRICES.intersection(self.families):
            raise UsageError("texture families need an aggregation", expected=", ".join(AGGREGATIONS))
        if self.distance < 1 or self.coarseness < 0:
            found = f"distance {self.distance}, coarseness {self.coarseness}"
            raise UsageError("distance is at least 1 and coarseness at least 0", found=found)

    @property
    def sha256(self) -> str:
        """Return the hash of all options, hexadecimal; the same on every machine."""
        return _hash(self)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Return "2D", "2_5D", "3D" as far as the aggregations name them."""
        return tuple(dict.fromkeys(a.dimension for a in self.aggregations))

    def flat(self) -> Settings:
        """Return the settings for pictures one slice thick: 2-D aggregations, no morphology, no local intensity."""
        families = tuple(f for f in self.families if f not in VOLUMETRIC)
        return replace(self, families=families, aggregations=(Aggregation.SLICE_AVERAGED, Aggregation.SLICE_MERGED))


def _members(kind: type[StrEnum], names: tuple[StrEnum, ...]) -> tuple[StrEnum, ...]:
    try:
        return tuple(dict.fromkeys(kind(name) for name in names))
    except ValueError as error:
        raise UsageError(str(error), expected=", ".join(kind)) from error


@lru_cache(maxsize=64)
def _hash(settings: Settings) -> str:
    kinds = ("discretisation", "volume_histogram", "filter")
    named = {key: type(getattr(settings, key)).__name__ for key in kinds}
    text = json.dumps({**asdict(settings), "kinds": named}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


_PLANAR = (
    Aggregation.SLICE_AVERAGED,
    Aggregation.SLICE_MERGED,
    Aggregation.DIRECTION_MERGED,
    Aggregation.PLANES_MERGED,
)


def ibsi_configuration(letter: str) -> Settings:
    """Return the settings of IBSI's chapter 1 for the CT phantom ("A" to "E") or the digital phantom ("digital").

    A and B work slice by slice, C to E in space; B to E interpolate and round to whole HU.

    Raises:
        UsageError: no such configuration.

    Source: IBSI reference manual, doi:10.17195/candat.2016.08.1, table 5.1.
    """
    bilinear = Interpolation((None, 2.0, 2.0), image="linear", round_to=1.0)
    trilinear = Interpolation((2.0, 2.0, 2.0), image="linear", round_to=1.0)
    spline = Interpolation((2.0, 2.0, 2.0), image="cubic", round_to=1.0)
    narrow, wide = Resegmentation(-500, 400), Resegmentation(-1000, 400)
    spatial = Settings(families=ALL_FAMILIES)
    planar = replace(spatial, aggregations=_PLANAR, volume_histogram=NoBinning(), resegmentation=narrow)
    digital = replace(spatial, aggregations=AGGREGATIONS, discretisation=NoBinning(), volume_histogram=NoBinning())
    options = {
        "digital": digital,
        "A": replace(planar, discretisation=FixedBinSize(25)),
        "B": replace(planar, discretisation=FixedBinNumber(32), interpolation=bilinear),
        "C": replace(
            spatial,
            discretisation=FixedBinSize(25),
            volume_histogram=FixedBinSize(2.5),
            interpolation=trilinear,
            resegmentation=wide,
        ),
        "D": replace(
            spatial,
            volume_histogram=NoBinning(),
            interpolation=trilinear,
            resegmentation=Resegmentation(outlier_sigma=3),
        ),
        "E": replace(
            spatial,
            volume_histogram=FixedBinNumber(1000),
            interpolation=spline,
            resegmentation=Resegmentation(-1000, 400, outlier_sigma=3),
        ),
    }
    if letter not in options:
        raise UsageError("no such IBSI configuration", found=letter, expected=", ".join(options))
    return options[letter]


def ibsi_filter_configuration(name: str) -> Settings:
    """Return the settings of IBSI's chapter 2 for the CT phantom: "1.A" to "9.B".

    A filters slice by slice on the image's own grid, B in space on a grid of 1 mm; statistics of the response.

    Raises:
        UsageError: no such configuration.

    Source: IBSI chapter 2, doi:10.48550/arXiv.2006.05470, phase 2.
    """
    number, _, letter = name.partition(".")
    planar = letter == "A"
    filters: dict[str, Filter | None] = {
        "1": None,
        "2": MeanFilter(5, planar=planar),
        "3": LaplacianOfGaussianFilter(1.5, planar=planar),
        "4": LawsFilter("L5E5" if planar else "L5E5E5", rotation_invariant=True, energy_distance=7),
        "5": GaborFilter(5.0, 2.0, 1.5, theta_step_rad=math.pi / 8, orthogonal=not planar),
        "6": WaveletFilter("db3", "LH" if planar else "LLH", 1, rotation_invariant=True),
        "7": WaveletFilter("db3", "HH" if planar else "HHH", 2, rotation_invariant=True),
        "8": SimoncelliFilter(1, planar=planar),
        "9": SimoncelliFilter(2, planar=planar),
    }
    if number not in filters or letter not in ("A", "B"):
        raise UsageError("no such IBSI filter configuration", found=name, expected="1.A to 9.B")
    grid = None if planar else Interpolation((1.0, 1.0, 1.0), image="cubic", round_to=1.0)
    return Settings(
        families=(Family.STATISTICS,),
        interpolation=grid,
        resegmentation=Resegmentation(-1000, 400),
        filter=filters[number],
    )
