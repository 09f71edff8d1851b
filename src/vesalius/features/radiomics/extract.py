"""From a volume, a mask and settings to the table of features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.features.radiomics import cooccurrence, intensities, local, morphology, neighbours, runs, zones
from vesalius.features.radiomics.definitions import Definition, definitions
from vesalius.features.radiomics.levels import Levels, discretise
from vesalius.features.radiomics.region import Region, prepare, segment_label
from vesalius.features.radiomics.settings import MATRICES, Family, FixedBinNumber, Settings
from vesalius.features.radiomics.table import RadiomicsTable

__all__ = ["columns", "measure", "radiomics"]

_ZONES = (Family.SIZE_ZONE, Family.DISTANCE_ZONE)
_DEFAULT = Settings()

Named = dict[str, NDArray[np.float64]]


def radiomics(
    volume: Volume, mask: Mask, *, segment: str | int | None = None, settings: Settings = _DEFAULT
) -> RadiomicsTable:
    """Return the radiomics features of one segment, in the order of `settings.families`.

    Args:
        volume: a 3-D image; intensities in its own unit.
        mask: on the same grid.
        segment: name or label; None when the mask has only one.
        settings: what is measured and how; `ibsi_configuration` has presets.

    Raises:
        GeometryError: a fourth axis, different grids, a sheared grid, or a flat picture asked for volume features.
        UnknownSpacingError: millimetres are needed and the image does not tell its pixel size.
        LabelError: no such segment.
        ImageContentError: empty segment, one voxel, NaN inside, nothing left after re-segmentation.

    Source: IBSI reference manual, doi:10.17195/candat.2016.08.1; Zwanenburg et al. 2020, doi:10.1148/radiol.2020191145.
    """
    region = prepare(volume, mask, segment, settings)
    name = mask.segments[segment_label(mask, segment)].name
    return measure(region, name, settings)


def measure(region: Region, name: str, settings: Settings, *, hull: bool = True) -> RadiomicsTable:
    """Return the features of a prepared region; without `hull` both densities of the convex hull are NaN."""
    parts = [part for _, part in _parts(region, settings, hull)]
    values = np.concatenate(parts)
    values.flags.writeable = False
    return RadiomicsTable(name, columns(settings), values, region.unit, settings)


@lru_cache(maxsize=32)
def columns(settings: Settings) -> tuple[tuple[Definition, str], ...]:
    """Return definition and aggregation of each value that these settings give, in order."""
    known = definitions()
    bins_in_ivh = isinstance(settings.volume_histogram, FixedBinNumber)
    listed: list[tuple[Definition, str]] = []
    for family in settings.families:
        found = known[family]
        if family is Family.VOLUME_HISTOGRAM and bins_in_ivh:
            found = tuple(Definition(d.tag, d.code, d.family, "1", d.name) for d in found)
        if family in (Family.COOCCURRENCE, Family.RUN_LENGTH):
            suffixes: tuple[str, ...] = tuple(a.value for a in settings.aggregations)
        elif family in MATRICES:
            suffixes = settings.dimensions
        else:
            suffixes = ("",)
        listed += [(definition, suffix) for suffix in suffixes for definition in found]
    return tuple(listed)


def _parts(region: Region, settings: Settings, hull: bool) -> Iterator[tuple[Family, NDArray[np.float64]]]:
    """Yield the values of each family, its aggregations one after another."""
    levels: Levels | None = None
    if Family.HISTOGRAM in settings.families or MATRICES.intersection(settings.families):
        levels = discretise(region, settings.discretisation, settings.distance)
    zoned = _zoned(region, levels, settings) if levels is not None else {}
    shape = morphology.morphology(region, settings.families, hull=hull)
    for family in settings.families:
        if family in shape:
            yield family, shape[family]
        elif family in _PLAIN:
            yield family, _PLAIN[family](region)
        elif family is Family.VOLUME_HISTOGRAM:
            yield family, intensities.volume_histogram(region, settings.volume_histogram)
        elif levels is not None:
            found = zoned[family] if family in zoned else _texture(family, levels, settings)
            yield family, np.concatenate(list(found.values()))


_PLAIN: dict[Family, Callable[[Region], NDArray[np.float64]]] = {
    Family.LOCAL_INTENSITY: local.local_intensity,
    Family.STATISTICS: intensities.statistics,
}


def _texture(family: Family, levels: Levels, settings: Settings) -> Named:
    """Return the values of a texture family per aggregation, in the order of the settings."""
    if family is Family.HISTOGRAM:
        return {"": intensities.histogram(levels)}
    if family is Family.COOCCURRENCE or family is Family.RUN_LENGTH:
        compute = cooccurrence.cooccurrence if family is Family.COOCCURRENCE else runs.run_lengths
        found = compute(levels, settings.aggregations)
        return {a.value: found[a] for a in settings.aggregations}
    if family is Family.TONE_DIFFERENCE:
        by_dimension = neighbours.tone_difference(levels, settings.dimensions, lone_voxels=settings.lone_voxels)
    else:
        by_dimension = neighbours.dependence(levels, settings.dimensions, settings.coarseness)
    return {d: by_dimension[d] for d in settings.dimensions}


def _zoned(region: Region, levels: Levels, settings: Settings) -> dict[Family, Named]:
    """Return the values of the zone families, whose zones are found once."""
    wanted = [family for family in _ZONES if family in settings.families]
    result: dict[Family, Named] = {family: {} for family in wanted}
    if not wanted:
        return {}
    for planar in (False, True):
        dimensions = tuple(d for d in settings.dimensions if (d != "3D") == planar)
        if not dimensions:
            continue
        found = zones.connected_zones(levels, planar=planar)
        for family in wanted:
            if family is Family.SIZE_ZONE:
                result[family] |= zones.size_zones(levels, found, dimensions)
            else:
                result[family] |= zones.distance_zones(levels, found, region.morphology, dimensions)
    return {family: {d: named[d] for d in settings.dimensions} for family, named in result.items()}
