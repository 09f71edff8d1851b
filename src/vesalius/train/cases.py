"""The cases of a run as arrays: every step that needs no training is done once and kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Volume
from vesalius.core.cohort import Cohort
from vesalius.core.errors import ConfigError, ImageContentError, ReadError, VesaliusError
from vesalius.io.atomic import folder_beside, output_errors, write_text
from vesalius.models import operations
from vesalius.models.card import InputContract
from vesalius.train.facts_pool import Progress
from vesalius.train.recipe import IMAGE, MASK, Recipe
from vesalius.train.task import Task

F32 = NDArray[np.float32]
LARGE_BYTES = 256 * 2**20
"""Arrays above this stay on disk and are read where they are needed."""


@dataclass
class Seen:
    """What the images of a run were like: the input contract of its package."""

    slices: list[int] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)
    channels: list[int] = field(default_factory=list)
    modalities: list[str] = field(default_factory=list)

    def add(self, image: Volume) -> None:
        """Take note of an image."""
        self.slices = _reach(self.slices, image.array.shape[0])
        self.edges = _reach(_reach(self.edges, min(image.array.shape[1:3])), max(image.array.shape[1:3]))
        self.channels = sorted({*self.channels, 1 if image.axis is None else 3})
        self.modalities = sorted({*self.modalities, image.modality or ""})


def _reach(pair: list[int], value: int) -> list[int]:
    return [min(value, *pair), max(value, *pair)] if pair else [int(value), int(value)]


def case_inputs(cohort: Cohort, row: int, recipe: Recipe) -> dict[str, Any]:
    """Return what a package would be handed for a case; a clinical value that is missing is None.

    Raises:
        ReadError: a file is missing or cannot be read.
    """
    from vesalius.io.cohort import load_case
    from vesalius.segment.inputs import mask_of

    found: dict[str, Any] = {}
    for name, column in recipe.columns.items():
        if name == IMAGE:
            found[name] = load_case(cohort, row)
        elif name == MASK:
            found[name] = mask_of(load_case(cohort, row, MASK), f"the mask of {cohort.case_name(row)}")
        elif name in recipe.texts:
            found[name] = str(cohort.text(column)[row]) or None
        else:
            value = float(cohort.numbers(column)[row])
            found[name] = None if np.isnan(value) else value
    return found


def prepare(
    cohort: Cohort, recipe: Recipe, place: Path, *, progress: Progress | None = None, threads: int = 1
) -> tuple[F32, Seen]:
    """Return the value of every case, [cases, ...], and what the images were like; kept under `place`.

    Raises:
        ReadError: a case cannot be read, named.
        ConfigError: cases give values of different shape.
        ImageContentError: a value of an image is NaN or infinite.
        OutputError: the disk is full.
    """
    key = _key(cohort, recipe)
    array, about = place / f"{key}.npy", place / f"{key}.json"
    if not (array.is_file() and about.is_file()):
        with folder_beside(array) as folder, output_errors(place):
            seen = _filled(cohort, recipe, folder / "values.npy", (progress, threads))
            (folder / "values.npy").rename(array)
        write_text(about, json.dumps(asdict(seen)))
    values = np.load(array, mmap_mode="r" if array.stat().st_size > LARGE_BYTES else None)
    return values, Seen(**json.loads(about.read_text(encoding="utf-8")))


def _key(cohort: Cohort, recipe: Recipe) -> str:
    digest = hashlib.sha256(recipe.graph.model_dump_json().encode())
    for name, content in sorted(recipe.files.items()):
        digest.update(name.encode() + hashlib.sha256(content).digest())
    for column in recipe.columns.values():
        digest.update("\0".join(cohort.text(column).tolist()).encode() + b"\1")
    return digest.hexdigest()[:24]


def _filled(cohort: Cohort, recipe: Recipe, path: Path, how: tuple[Progress | None, int]) -> Seen:
    progress, threads = how
    operations.check(recipe.graph)
    files = operations.Files(lambda name: recipe.files[name], {}, threads)
    seen = Seen()
    first: tuple[int, ...] | None = None
    # written row by row: a mapped file on a full disk would kill the process instead of raising
    with path.open("xb") as file:
        for row in range(len(cohort)):
            value, image = _value(cohort, row, recipe, files)
            if image is not None:
                seen.add(image)
            if first is None:
                first = value.shape[1:]
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(cohort), *first)}
                np.lib.format.write_array_header_1_0(file, header)
            _check_shape(cohort, row, value.shape[1:], first)
            file.write(np.ascontiguousarray(value[0], dtype="<f4").tobytes())
            if progress is not None:
                progress(row + 1, len(cohort))
        file.flush()
        os.fsync(file.fileno())
    return seen


def _check_shape(cohort: Cohort, row: int, found: tuple[int, ...], first: tuple[int, ...]) -> None:
    if found != first:
        raise ConfigError(
            f"{cohort.case_name(row)} is prepared to another shape than {cohort.case_name(0)}",
            found=f"{found} and {first}",
            fix="add imaging.resize or imaging.fit to prepare",
        )


def _value(cohort: Cohort, row: int, recipe: Recipe, files: operations.Files) -> tuple[F32, Volume | None]:
    try:
        inputs = case_inputs(cohort, row, recipe)
        values = operations.run_steps(recipe.graph, inputs, files)
    except VesaliusError as error:
        raise ReadError(
            f"{cohort.case_name(row)} cannot be prepared", found=str(error)[:300],
            fix="vesalius check names every such case; mend it or leave it out",
        ) from error  # fmt: skip
    for name in recipe.own:
        if not np.isfinite(values[name]).all():
            raise ImageContentError(f"{cohort.case_name(row)}: the value {name} holds NaN or infinity",
                                    expected="finite numbers", fix="leave the case out, or mend the image")  # fmt: skip
    return np.asarray(values[recipe.output], dtype=np.float32), inputs.get(IMAGE)


def contracts(task: Task, recipe: Recipe, cohort: Cohort, seen: Seen) -> tuple[InputContract, ...]:
    """Return what the package will ask for, from what it was trained on."""
    found = []
    for name, column in recipe.columns.items():
        if name in (IMAGE, MASK):
            found.append(_picture(task, name, seen))
        elif name in recipe.texts:
            found.append(InputContract(name=name, kind="text", categories=recipe.texts[name], required=False))
        else:
            found.append(InputContract(name=name, kind="number", values=_range(cohort, column), required=False))
    return tuple(found)


def _picture(task: Task, name: str, seen: Seen) -> InputContract:
    flat = seen.slices == [1, 1]
    dimensions: Any = 2 if flat else 3 if seen.slices and seen.slices[0] > 1 else None
    size = (max(1, seen.edges[0] // 2), seen.edges[1] * 2) if seen.edges else None
    if name == MASK:
        return InputContract(name=name, kind="mask", dimensions=dimensions, size=size)
    known = [one for one in seen.modalities if one]
    modality = task.data.modality or (known[0] if len(seen.modalities) == 1 and known else "")
    channels: Any = 1 if seen.channels == [1] else None
    return InputContract(
        name=name, kind="image", dimensions=dimensions, channels=channels, modality=modality,
        body_part=task.data.body_part, size=size,
    )  # fmt: skip


def _range(cohort: Cohort, column: str) -> tuple[float, float] | None:
    """Return the range of a column, widened by itself on either side: far beyond it nothing was learned."""
    values = cohort.numbers(column)
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    spread = max(high - low, abs(high), 1e-6)
    return (low - spread, high + spread)


def as_values(recipe: Recipe, array: F32) -> Mapping[str, F32]:
    """Return the arrays of `Prepared.values`."""
    return {recipe.output: array}
