"""The public contract test of an application: third parties run it on theirs, we on ours."""

from __future__ import annotations

import os
import re
import string
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesalius.core.application import Application, Context
from vesalius.core.errors import ContractError
from vesalius.core.finding import Message
from vesalius.core.report import Outcome, Report, Result
from vesalius.core.study import Case, Geometry, Instance, Selection, Series, Study
from vesalius.core.volume import Volume
from vesalius.pipeline.worker import attempt

Example = tuple[Case, Mapping[str, Volume]]
"""A case and, by series key, the volumes of its series."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SPACING_MM = 4.0
_SHAPE = (40, 48, 44)
_recording: list[list[str]] = []


def check_application(application: Application, examples: Sequence[Example] = ()) -> None:
    """Raise unless the application keeps the contract.

    Checked: name, version and catalogue in English and Chinese; `select` accounts for every series without opening a
    file, the same way twice; `memory_bytes` grows with the input; `run` answers a head-like phantom, and refuses
    zeros, values that are not finite and noise, with a result instead of an exception, writes nothing, speaks only
    in messages that both catalogues hold, and keeps its masks on the grid of what it read.

    Args:
        examples: cases that the application takes, when it takes neither of ours (MR and CT of a phantom).

    Raises:
        ContractError: with every breach.
    """
    problems = list(_of_names(application))
    if not problems:
        for case, volumes in (*examples, *(_example(modality) for modality in ("MR", "CT"))):
            problems += _of_case(application, case, volumes)
        problems += _of_empty_case(application)
    if problems:
        found = "; ".join(dict.fromkeys(problems))
        raise ContractError(
            f"the application {getattr(application, 'name', application)!r} breaks its contract", found=found
        )


def _of_names(application: Application) -> Iterator[str]:
    if not isinstance(application, Application):
        yield "it lacks a member of core.application.Application"
        return
    if not _NAME.fullmatch(application.name):
        yield f"name {application.name!r} is not lower-case words joined by hyphens"
    if not application.version:
        yield "version is empty"
    catalogue = application.catalogue
    if not {"en", "zh"} <= set(catalogue):
        yield "catalogue lacks en or zh"
        return
    for message_id in sorted(set(catalogue["en"]) ^ set(catalogue["zh"])):
        yield f"message {message_id!r} is not in both languages"
    for message_id in sorted(set(catalogue["en"]) & set(catalogue["zh"])):
        if _places(catalogue["en"][message_id]) != _places(catalogue["zh"][message_id]):
            yield f"message {message_id!r} has other parameters in zh than in en"


def _places(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def _of_empty_case(application: Application) -> Iterator[str]:
    selection, error = attempt(lambda case: application.select(case), Case(Study("empty", Path("empty"), ())))
    if error is not None:
        yield f"select raises on a study without series: {error}"
    elif selection is not None and selection.chosen:
        yield "select chooses from a study without series"


def _of_case(application: Application, case: Case, volumes: Mapping[str, Volume]) -> Iterator[str]:
    selection, error = attempt(lambda one: application.select(one), case)
    if selection is None:
        yield f"select raises: {error}"
        return
    yield from _of_selection(application, case, selection)
    for series in case.study.series:
        forced, error = attempt(lambda uid: application.select(case, uid), series.uid)
        if forced is None:
            yield f"select raises when a series is forced: {error}"
        elif any(one.uid != series.uid for one in forced.chosen.values()):
            yield "select chooses another series than the forced one"
    if not selection.chosen:
        return
    yield from _of_memory(application, selection)
    for name, spoil in _KINDS.items():
        loaded = {role: _spoiled(volumes[series.key], spoil) for role, series in selection.chosen.items()}
        yield from _of_run(application, case, selection, loaded, name)


def _of_selection(application: Application, case: Case, selection: Selection) -> Iterator[str]:
    chosen = [series.key for series in selection.chosen.values()]
    left_out = [series.key for series, _ in selection.left_out]
    if sorted({*chosen, *left_out}) != sorted(series.key for series in case.study.series):
        yield "select does not account for every series (chosen or left out with a reason)"
    if set(chosen) & set(left_out):
        yield "select chooses and leaves out one series"
    if set(selection.chosen) != set(selection.reasons):
        yield "select gives no reason for a role"
    again = application.select(case)
    if {role: one.key for role, one in again.chosen.items()} != dict(zip(selection.chosen, chosen, strict=True)):
        yield "select chooses differently the second time"
    yield from _unsaid(application, [*selection.reasons.values(), *(reason for _, reason in selection.left_out)])


def _of_memory(application: Application, selection: Selection) -> Iterator[str]:
    small = application.memory_bytes(selection.chosen)
    larger = {role: _enlarged(series) for role, series in selection.chosen.items()}
    if not 0 < small < application.memory_bytes(larger):
        yield "memory_bytes does not grow with the input"


def _enlarged(series: Series) -> Series:
    slices, rows, columns = series.geometry.shape
    return replace(series, geometry=replace(series.geometry, shape=(2 * slices, 2 * rows, 2 * columns)))


def _of_run(
    application: Application, case: Case, selection: Selection, volumes: Mapping[str, Volume], name: str
) -> Iterator[str]:
    with _writes() as written:
        result, error = attempt(lambda one: application.run(one, selection, volumes, Context()), case)
    if written:
        yield f"run writes files: {', '.join(written[:3])}"
    if result is None:
        yield f"run raises on {name}: {error} {getattr(error, 'trace', '')}"
        return
    report = result.report
    if name != "phantom" and report.outcome is Outcome.COMPLETED:
        yield f"run completes on {name}"
    if report.outcome is not Outcome.COMPLETED and not report.reasons:
        yield f"run says no on {name} without a reason"
    if (report.application, report.version) != (application.name, application.version):
        yield "the report names another application or version"
    yield from _unsaid(application, _messages(report))
    yield from _of_result(result, volumes)


def _of_result(result: Result, volumes: Mapping[str, Volume]) -> Iterator[str]:
    from vesalius.report.schema import from_json, to_json

    for name, mask in result.masks.items():
        if not any(mask.same_grid(volume) for volume in volumes.values()):
            yield f"the mask {name!r} lies on no grid that was read"
    for measurement in result.report.measurements:
        if measurement.value is None and measurement.reason is None:
            yield f"the measurement {measurement.name!r} has neither value nor reason"
        if measurement.mask and measurement.mask not in result.masks:
            yield f"the measurement {measurement.name!r} names a mask that is not there"
    for image in result.images:
        if image.volume not in result.volumes or (image.mask and image.mask not in result.masks):
            yield f"the key image {image.name!r} names a volume or mask that is not there"
    data, error = attempt(to_json, result.report)
    if data is None:
        yield f"the report cannot be written as JSON: {error}"
    elif to_json(from_json(data)) != data:
        yield "the report changes when it goes through JSON"


def _messages(report: Report) -> list[Message]:
    named = [Message(one.name) for one in report.measurements]
    methods = [Message(one.method) for one in report.measurements if one.method]
    reasons = [one.reason for one in report.measurements if one.reason is not None]
    said = [*(one.message for one in report.findings), *(one.message for one in report.quality)]
    texts = [*report.reasons, *report.explanations, *report.methods, *report.limits]
    return [*named, *methods, *reasons, *said, *texts]


def _unsaid(application: Application, messages: Sequence[Message]) -> Iterator[str]:
    from vesalius.report.words import shared

    for message in messages:
        for language in ("en", "zh"):
            template = application.catalogue[language].get(message.id) or shared()[language].get(message.id)
            if template is None:
                yield f"message {message.id!r} has no words in {language}"
            elif not _places(template) <= set(message.parameters):
                missing = ", ".join(sorted(_places(template) - set(message.parameters)))
                yield f"message {message.id!r} lacks the parameters {missing} that its words in {language} name"


def _example(modality: str) -> Example:
    """Return a head-like phantom as MR or CT: skull, grey, white and fluid as nested ellipsoids, 4 mm."""
    axes = [np.linspace(-1, 1, n) for n in _SHAPE]
    radius = np.sqrt(sum(grid**2 for grid in np.meshgrid(*axes, indexing="ij")))
    levels = (90.0, 20.0, 40.0, 80.0, 120.0, 0.0) if modality == "MR" else (30.0, 900.0, 10.0, 38.0, 30.0, -1000.0)
    array = np.select([radius > 0.95, radius < 0.3, radius < 0.5, radius < 0.7, radius < 0.8, radius < 0.88],
                      [levels[5], levels[2], levels[4], levels[3], levels[2], levels[1]], levels[0])  # fmt: skip
    noise = np.random.default_rng(0).normal(0, 2, _SHAPE)
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = _SPACING_MM
    affine[3, 3] = 1
    dtype = np.float32 if modality == "MR" else np.int16
    volume = Volume((array + noise).astype(dtype), affine, modality=modality)
    attributes = {"MRAcquisitionType": "3D", "ImageType": ("ORIGINAL", "PRIMARY"), "RepetitionTime": 2000.0}
    series = Series(
        uid="2.25.1",
        key="2.25.1",
        format="dicom",
        instances=(Instance(Path("absent.dcm")),),
        geometry=Geometry(_SHAPE, affine),
        modality=modality,
        description="T1 MPRAGE" if modality == "MR" else "head",
        body_part="HEAD",
        attributes=attributes if modality == "MR" else {},
        dtype=np.dtype(dtype).name,
    )
    other = replace(series, uid="2.25.2", key="2.25.2", modality="US", description="", attributes={})
    study = Study("example", Path("example"), (series, other))
    return Case(study), {series.key: volume, other.key: replace(volume, modality="US")}


def _noise(array: NDArray[Any]) -> NDArray[Any]:
    return np.random.default_rng(1).uniform(0, 1000, array.shape).astype(array.dtype)


def _not_finite(array: NDArray[Any]) -> NDArray[Any]:
    return np.full(array.shape, np.nan, dtype=np.float32)


_KINDS: Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "phantom": lambda array: array,
    "zeros": np.zeros_like,
    "values that are not finite": _not_finite,
    "noise": _noise,
}


def _spoiled(volume: Volume, spoil: Callable[[NDArray[Any]], NDArray[Any]]) -> Volume:
    return replace(volume, array=spoil(volume.array))


@contextmanager
def _writes() -> Iterator[list[str]]:
    """Note the files that are opened for writing inside the block."""
    _listen()
    written: list[str] = []
    _recording.append(written)
    try:
        yield written
    finally:
        _recording.pop()


@lru_cache(maxsize=1)
def _listen() -> None:
    """Install the hook once: Python has no way to take one away."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _recording:
        return
    path, mode, flags = arguments
    writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else _for_writing(flags)
    if writes and str(path) != os.devnull and not str(path).endswith(".pyc"):
        _recording[-1].append(str(path))


def _for_writing(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))
