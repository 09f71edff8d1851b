"""What verbs with a table of methods share when they run: the list, voxel sizes, images by path, files written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli.session import Answer
from vesalius.core import registry
from vesalius.core.errors import NothingFoundError, OutputExistsError, UnknownNameError, UsageError
from vesalius.imaging.methods import Method, parameter_of
from vesalius.pipeline.options import GEOMETRIES

if TYPE_CHECKING:
    from vesalius.core import Mask, Series, Volume

Image = TypeVar("Image", "Volume", "Mask")


def listed(verb: str, methods: Mapping[str, Method]) -> Answer:
    """Return the table of methods."""
    data = [_described(method) for method in methods.values()]
    return Answer({"methods": data}, lambda console: _show_list(console, verb, methods))


def _described(method: Method) -> dict[str, Any]:
    told = asdict(method)
    for parameter in told["parameters"]:
        parameter["option"] = parameter_of(method, parameter["name"]).option
    return {name: told[name] for name in told if name not in ("function", "room")}


def _show_list(console: Console, verb: str, methods: Mapping[str, Method]) -> None:
    table = Table("method", "for", "what it does", "parameters (* needed)", box=None, pad_edge=False)
    for method in methods.values():
        names = [f"{p.option}{'*' if p.required else ''}{f' [{p.unit}]' if p.unit else ''}" for p in method.parameters]
        only = [] if len(method.dimensions) == 2 else method.dimensions
        taken = [] if method.takes == "image" else [method.takes]
        meant = " ".join((*method.modalities, *only, *taken))
        table.add_row(Text(method.name, style="bold"), Text(meant), Text(method.help), Text(", ".join(names)))
    console.print(table)
    console.print(Text(f"vesalius {verb} METHOD --help tells the parameters; lengths are in mm."))


def parsed_spacing(text: str | None) -> tuple[float, ...] | None:
    """Return the voxel size of `--spacing-mm`.

    Raises:
        UsageError: it is not one or three positive numbers.
    """
    if text is None:
        return None
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3) or not all(0 < number < float("inf") for number in numbers):
        expected = "one positive number of mm, or three: slice,row,column"
        raise UsageError("--spacing-mm cannot be read", found=text, expected=expected, fix="--spacing-mm 1,0.3,0.3")
    return numbers * 3 if len(numbers) == 1 else numbers


def calibrated(image: Image, spacing: tuple[float, ...] | None) -> Image:
    """Return the image with a voxel size, or as it is."""
    return image if spacing is None else image.calibrated((spacing[0], spacing[1], spacing[2]))


def check_geometry(way: str) -> None:
    """Raise unless `--geometry` holds a known way.

    Raises:
        UnknownNameError: it does not.
    """
    if way not in GEOMETRIES:
        raise registry.unknown("way of geometry", way, GEOMETRIES)


def require_path(path: Path) -> None:
    """Raise unless there is a file or folder.

    Raises:
        UsageError: there is none.
    """
    if not path.exists():
        raise UsageError("there is no such file or folder", found=str(path), expected="an image")


def read_volume(name: str | Path) -> Volume:
    """Return the one image of a file or folder.

    Raises:
        UsageError: no such file, or several series.
    """
    return read_series(Path(name))[0]


def read_series(path: Path, series: str | None = None, geometry: str = "reject") -> tuple[Volume, Series]:
    """Return the one image of a file or folder and its descriptor; errors as in `opened_series`."""
    from vesalius.pipeline.run import load_series

    with opened_series(path, series) as found:
        return load_series(found, geometry), found


@contextlib.contextmanager
def opened_series(path: Path, series: str | None = None) -> Iterator[Series]:
    """Give the descriptor of the one image of a file or folder; its files are there until the block ends.

    Raises:
        UsageError: no such file, or several series and none named.
        UnknownNameError: no series of this UID or key.
        NothingFoundError: no image there.
    """
    from vesalius.core import Verdict
    from vesalius.io import scan

    require_path(path)
    with scan(path) as found:
        known = [s for study in found.studies for s in study.series if s.geometry.verdict is not Verdict.NO_IMAGE]
        if not known and found.failed:
            raise found.failed[0].error
        hits = known if series is None else [s for s in known if series in (s.uid, s.key)]
        if known and not hits:
            raise UnknownNameError("no such series", found=str(series), expected=", ".join(s.key for s in known))
        if not hits:
            raise NothingFoundError("there is no image", found=path.name, expected="DICOM, NIfTI, NRRD or a picture")
        if len(hits) > 1:
            raise UsageError(
                "one image is needed here",
                found=f"{len(hits)} series: {', '.join(s.key for s in hits[:8])}",
                fix="choose one with --series UID, or give one file",
            )
        yield hits[0]


def settle(files: dict[Path, Callable[[Path], object]], *, force: bool) -> list[str]:
    """Write files of one folder, all or none, and return them, the last one first.

    Each is written beside its place and compared with what is there: equal files are left alone.

    Args:
        files: path -> what writes it; the last one is the main one.
        force: replace other content.

    Raises:
        OutputExistsError: one exists with other content.
        OutputError: the folder cannot be written.
    """
    from vesalius.io.atomic import folder_beside, output_errors

    out = next(reversed(files))
    with folder_beside(out) as folder:
        for path, write in files.items():
            write(folder / path.name)
        changed = [p for p in files if not (p.is_file() and p.read_bytes() == (folder / p.name).read_bytes())]
        if not force and any(path.exists() for path in changed):
            raise OutputExistsError(
                f"{out.name} exists with other content",
                found=", ".join(path.name for path in changed if path.exists()),
                fix="choose another OUT, or replace it with --force",
            )
        with output_errors(out):
            for path in changed:
                os.replace(folder / path.name, path)
    return [str(path) for path in reversed(files)]


def show_files(console: Console, paths: list[str]) -> None:
    """Print the files written, ten at most."""
    for path in paths[:10]:
        console.print(Text(path), soft_wrap=True)
    if len(paths) > 10:
        console.print(Text(f"... {len(paths)} files in all"), soft_wrap=True)
