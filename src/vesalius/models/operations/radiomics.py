"""Radiomics as an operation: a fixed vector of finite numbers, of a picture or a volume, whole or inside a mask."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Mask, Segment, Volume
from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.errors import GeometryError
from vesalius.features.radiomics import (
    Aggregation,
    Family,
    FixedBinNumber,
    FixedBinSize,
    Interpolation,
    Settings,
)
from vesalius.features.radiomics import radiomics as measured
from vesalius.features.radiomics.extract import columns
from vesalius.features.radiomics.settings_file import preset as preset_plan

F32 = NDArray[np.float32]
SMALL = ("stat", "ih", "cm", "rlm", "szm", "ngt", "ngl")
"""Families unless others are named: intensity and texture, that need no millimetres and no outline."""
_LARGEST = float(np.finfo(np.float32).max)
_COLOUR = (230, 159, 0)


def radiomics(  # noqa: PLR0913 - one parameter per setting of the step
    image: Volume, mask: Mask | None = None, *, preset: str = "default", families: list[str] | None = None,
    bins: int | None = None, width: float | None = None, spacing_mm: list[float] | None = None,
    segment: str | int | None = None,
) -> F32:  # fmt: skip
    """Return IBSI features of the mask, or of the whole image without one; a value without a definition is 0.

    A picture is measured in its plane, a volume in space. The names of the values are `names`.

    Args:
        preset: settings by name, as for `vesalius features radiomics`.
        families: IBSI prefixes; intensity and texture (`SMALL`) unless named. `morph` and `loc` need a volume in mm.
        bins: number of grey levels, instead of the preset's.
        width: width of a grey level, instead of the preset's.
        spacing_mm: voxels (slice, row, column) before anything is measured.
        segment: name or label; everything that the mask marks when it is None.

    Raises:
        GeometryError: image and mask differ, or millimetres are needed and unknown.
        ImageContentError: fewer than two voxels, or NaN among them.
    """
    flat = image.array.shape[0] == 1
    found = settings(
        2 if flat else 3, preset=preset, families=_names(families), bins=bins, width=width,
        spacing_mm=None if spacing_mm is None else tuple(spacing_mm),
    )  # fmt: skip
    table = measured(image, _region(image, mask, segment), segment=1, settings=found)
    values = np.nan_to_num(table.values, nan=0.0, posinf=_LARGEST, neginf=-_LARGEST)
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float32).reshape(1, -1)


def names(
    dimensions: int, *, preset: str = "default", families: list[str] | None = None, bins: int | None = None,
    width: float | None = None, spacing_mm: list[float] | None = None, segment: str | int | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """Return the names of the values, in order, of pictures (2) or volumes (3): IBSI tags with aggregation."""
    del segment
    found = settings(
        dimensions, preset=preset, families=_names(families), bins=bins, width=width,
        spacing_mm=None if spacing_mm is None else tuple(spacing_mm),
    )  # fmt: skip
    return tuple(f"{one.tag}_{kind}" if kind else one.tag for one, kind in columns(found))


def _names(families: list[str] | None) -> tuple[str, ...]:
    return SMALL if families is None else tuple(families)


@lru_cache(maxsize=32)
def settings(
    dimensions: int, *, preset: str, families: tuple[str, ...], bins: int | None, width: float | None,
    spacing_mm: tuple[float, ...] | None,
) -> Settings:  # fmt: skip
    """Return the settings of the operation."""
    found = replace(preset_plan(preset).settings, families=tuple(Family(one) for one in families))
    if preset == "default":
        found = replace(found, aggregations=(Aggregation.VOLUME_MERGED,))
    if bins is not None:
        found = replace(found, discretisation=FixedBinNumber(int(bins)))
    if width is not None:
        found = replace(found, discretisation=FixedBinSize(float(width)))
    if spacing_mm is not None:
        found = replace(found, interpolation=_grid(spacing_mm, dimensions))
    return replace(found.flat(), aggregations=(Aggregation.SLICE_MERGED,)) if dimensions == 2 else found


def _grid(spacing_mm: tuple[float, ...], dimensions: int) -> Interpolation:
    if len(spacing_mm) != 3:
        raise GeometryError("a voxel has three edges", found=f"{len(spacing_mm)} numbers", expected="[z, y, x] in mm")
    return Interpolation((None if dimensions == 2 else spacing_mm[0], spacing_mm[1], spacing_mm[2]))


def _region(image: Volume, mask: Mask | None, segment: str | int | None) -> Mask:
    if mask is None:
        inside = np.ones(image.array.shape[:3], dtype=np.uint8)
    elif segment is None:
        inside = (mask.array != 0).astype(np.uint8)
    else:
        inside = mask.binary(segment).astype(np.uint8)
    named = {1: Segment("region", Code("region", OWN_SCHEME, "Region"), _COLOUR)}
    grid = image if mask is None else mask
    return Mask(inside, grid.affine, grid.frame, grid.spacing, segments=named)
