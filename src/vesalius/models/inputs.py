"""The inputs of a package from the row of a table: the same at training, at prediction and in an evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from vesalius.core import Mask, Volume
from vesalius.core.cohort import Cohort
from vesalius.core.errors import ImageContentError, UsageError
from vesalius.features.masks import plain_segment, read_mask_file
from vesalius.io.cohort import load_case
from vesalius.models.card import InputContract
from vesalius.models.golden import Value

IMAGES: Final = ("image", "mask")
MOST_LABELS: Final = 255


def input_name(column: str) -> str:
    """Return the name of the input for a column: small letters, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")[:64]
    return name if name[:1].isalpha() else f"c_{name}"[:64]


def columns_of(contracts: Sequence[InputContract], cohort: Cohort) -> Mapping[str, str]:
    """Return input -> column of a table: its own name, else `path` for the first image and `mask` for the first mask.

    An optional input without a column is left out.

    Raises:
        UsageError: a required input has no column.
    """
    known = {input_name(name): name for name in cohort.names}
    first = {kind: next((one.name for one in contracts if one.kind == kind), None) for kind in IMAGES}
    usual = {first["image"]: "path", first["mask"]: "mask"}
    found, absent = {}, []
    for one in contracts:
        column = known.get(one.name, usual.get(one.name, ""))
        if column in cohort.names:
            found[one.name] = column
        elif one.required:
            absent.append(usual.get(one.name) or one.name)
    if absent:
        raise UsageError(
            "the table lacks columns that the model reads", found=f"no {', '.join(absent)}",
            expected=", ".join(usual.get(one.name) or one.name for one in contracts),
            fix="name the columns so, or with --columns NAME=OWN",
        )  # fmt: skip
    return found


def load_inputs(
    contracts: Sequence[InputContract], cohort: Cohort, row: int, columns: Mapping[str, str] | None = None
) -> dict[str, Value | None]:
    """Return the inputs of one case; what its row leaves empty is None.

    Raises:
        UsageError: a required input has no column.
        VesaliusError: an image that cannot be read.
    """
    places = columns_of(contracts, cohort) if columns is None else columns
    found: dict[str, Value | None] = {}
    for one in sorted(contracts, key=lambda contract: contract.kind == "mask"):
        if one.name in places:
            grid = next((value for value in found.values() if isinstance(value, Volume)), None)
            found[one.name] = _value(one, cohort, (row, places[one.name]), grid)
    return found


def _value(contract: InputContract, cohort: Cohort, at: tuple[int, str], grid: Volume | None) -> Value | None:
    row, column = at
    text = str(cohort.text(column)[row])
    if not text:
        return None
    if contract.kind == "image":
        return load_case(cohort, row, column)
    if contract.kind == "mask":
        path, item = cohort.file(row, column)
        return _mask(path, grid) if item is None else mask_of(load_case(cohort, row, column))
    if contract.kind == "text":
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{column} is no number in this row", expected="a number, or nothing") from None


def _mask(path: Path, grid: Volume | None) -> Mask:
    """Return the mask of a file of any kind; regions that may overlap become labels 1, 2 ..., the first one above."""
    masks = read_mask_file(path, grid).masks
    if len(masks) == 1:
        return masks[0]
    array = np.zeros(masks[0].shape, dtype=np.uint16)
    names = {}
    for number, mask in reversed(list(enumerate(masks, start=1))):
        array[mask.array != 0] = number
        names[number] = next(iter(mask.segments.values()))
    return Mask(array, masks[0].affine, masks[0].frame, masks[0].spacing, segments=names)


def mask_of(image: Volume) -> Mask:
    """Return an image of an array file as a mask: whole numbers from 0.

    Raises:
        ImageContentError: colour, fractions, or more labels than a mask has.
    """
    array = image.array
    if image.axis is not None or array.min() < 0 or not np.array_equal(np.round(array), array):
        raise ImageContentError("a mask holds whole numbers from 0", found=f"{array.dtype} {array.shape}")
    labels = [int(one) for one in np.unique(array) if one > 0]
    if len(labels) > MOST_LABELS:
        raise ImageContentError("a mask has few labels", found=str(len(labels)), expected=f"at most {MOST_LABELS}",
                                fix="is it the image?")  # fmt: skip
    segments = {one: plain_segment(one) for one in labels}
    return Mask(array.astype(np.int32), image.affine, image.frame, image.spacing, segments=segments)
