"""What `vesalius enhance` does: parse, call, print."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vesalius.cli.methods_answers import (
    calibrated,
    check_geometry,
    parsed_spacing,
    read_volume,
    require_path,
    show_files,
)
from vesalius.cli.progress import watcher
from vesalius.cli.session import Answer, Session
from vesalius.core import registry
from vesalius.core.errors import UsageError
from vesalius.imaging import methods
from vesalius.imaging.methods import Step

if TYPE_CHECKING:
    from vesalius.core import Series, Volume
    from vesalius.evaluate.enhancement import Comparison, Quality, Task

DESCRIPTION_LENGTH = 64
"""Characters of a DICOM SeriesDescription (LO)."""
TASKS = ("otsu", "auc")


@dataclass(frozen=True)
class Wish:
    """The options of one enhancement as they were typed; either a method with parameters, or a chain."""

    source: Path
    out: Path
    method: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    chain: str = ""
    to: str | None = None
    series: str | None = None
    modality: str | None = None
    geometry: str = "reject"
    spacing_mm: str | None = None
    fill_nan: float | None = None
    force: bool = False


@dataclass(frozen=True)
class Contest:
    """The options of a comparison as they were typed."""

    source: Path
    chains: tuple[str, ...]
    reference: Path | None = None
    task: str | None = None
    mask: Path | None = None
    tolerance: float = 0.01
    spacing_mm: str | None = None


def enhanced(session: Session, wish: Wish) -> Answer:
    """Return what `vesalius enhance METHOD IN OUT` has to say, after writing OUT."""
    from vesalius.io import convert
    from vesalius.report.words import say

    check_geometry(wish.geometry)
    require_path(wish.source)
    chain = _steps(wish)
    spacing = parsed_spacing(wish.spacing_mm)
    asked = convert.Wish(wish.to, wish.modality, wish.series, wish.force, _purpose(chain))
    with watcher(quiet=session.flags.quiet) as shown:
        written = convert.convert_as(
            wish.source,
            wish.out,
            asked,
            progress=lambda stage, fraction: shown.stage(wish.source.name, stage, fraction),
            loader=_loader(wish, chain, spacing),
        )
    files = [str(path) for path in written]
    warnings = tuple(say(message, "en") for message in written.warnings)
    data = {"files": files, "steps": [_told(step) for step in chain]}
    return Answer(data, lambda console: show_files(console, files), warnings)


def _steps(wish: Wish) -> tuple[Step, ...]:
    if wish.chain:
        return methods.parse_chain(wish.chain, read_volume)
    method = methods.get(wish.method)
    given = {}
    for name, text in wish.parameters.items():
        given[name] = methods.parse_value(methods.parameter_of(method, name), text, read_volume)
    step = Step(method.name, given)
    methods.check(step)
    return (step,)


def _loader(wish: Wish, chain: tuple[Step, ...], spacing: tuple[float, ...] | None) -> Callable[[Series], Volume]:
    """Return how a series becomes the enhanced volume."""

    def load(series: Series) -> Volume:
        from vesalius.imaging.filtering import replace_not_finite
        from vesalius.pipeline.run import load_series

        volume = calibrated(load_series(series, wish.geometry), spacing)
        if wish.fill_nan is not None:
            volume = replace_not_finite(volume, value=wish.fill_nan)
        return methods.run_chain(volume, chain)

    return load


def _purpose(chain: tuple[Step, ...]) -> str:
    """Return a series description; one too long for DICOM ends in a hash, so that other parameters give other UIDs."""
    text = " | ".join(" ".join(_told(step)) for step in chain)
    if len(text) <= DESCRIPTION_LENGTH:
        return text
    return f"{text[: DESCRIPTION_LENGTH - 9]} {hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _told(step: Step) -> list[str]:
    """Return a step as words; an image is told by its hash."""
    words = [step.method]
    for name, value in step.parameters.items():
        plain = (
            value if isinstance(value, str | int | float | bool) else hashlib.sha256(_identity(value)).hexdigest()[:8]
        )
        words.append(f"{name}={plain}")
    return words


def _identity(value: Any) -> bytes:
    return str(getattr(value, "sha256", value)).encode()


def compared(session: Session, contest: Contest) -> Answer:
    """Return what `vesalius enhance compare` has to say."""
    from vesalius.evaluate.enhancement import compare

    spacing = parsed_spacing(contest.spacing_mm)
    chains = [(text, methods.parse_chain(text, read_volume)) for text in contest.chains]
    before = calibrated(read_volume(contest.source), spacing)
    reference = None if contest.reference is None else calibrated(read_volume(contest.reference), spacing)
    task = _task(contest, before, spacing)
    found = []
    with watcher(quiet=session.flags.quiet) as shown:
        for number, (text, chain) in enumerate(chains):
            shown.stage(contest.source.name, text, number / len(chains))
            after = methods.run_chain(before, chain)
            found.append((text, compare(before, after, reference=reference, task=task)))
    data = {"comparisons": [{"chain": text, **_as_data(one)} for text, one in found]}
    hurt = [f"{text}: {one.task.name} falls from {one.task.before:.3f} to {one.task.after:.3f}; do not use it here"
            for text, one in found if one.task is not None and one.flagged]  # fmt: skip
    return Answer(data, lambda console: _show_comparison(console, found), tuple(hurt))


def _task(contest: Contest, image: Volume, spacing: tuple[float, ...] | None) -> Task | None:
    from vesalius.core.errors import GeometryError
    from vesalius.evaluate.enhancement import Task

    if contest.task is None and contest.mask is None:
        return None
    if contest.task is None or contest.mask is None:
        raise UsageError("a task needs what it should find", expected="--task and --mask together")
    if contest.task not in TASKS:
        raise registry.unknown("task", contest.task, TASKS)
    truth = calibrated(read_volume(contest.mask), spacing)
    if truth.axis is not None or not truth.same_grid(image):
        raise GeometryError("the mask lies on another grid than the image", found=str(truth), expected=str(image))
    return Task(*_scoring(contest.task, truth), tolerance=contest.tolerance)


def _scoring(task: str, truth: Volume) -> tuple[str, Callable[[Volume], float]]:
    from vesalius.evaluate.enhancement import auc
    from vesalius.imaging.intensity import foreground

    wanted = truth.array > 0

    def dice(volume: Volume) -> float:
        found = foreground(volume)
        return float(2 * (found & wanted).sum() / max(found.sum() + wanted.sum(), 1))

    def separation(volume: Volume) -> float:
        return auc(wanted, volume.array)

    return ("Dice of Otsu's threshold", dice) if task == "otsu" else ("AUC of brightness", separation)


def _as_data(one: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON-able numbers; what is not finite becomes None."""
    data = _finite(asdict(one))
    data["flagged"] = one.flagged
    if one.task is not None:
        data["task"]["change"] = one.task.change
    return dict(data)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, float) and not -1e308 < value < 1e308:
        return None
    return value


def _show_comparison(console: Console, found: list[tuple[str, Comparison]]) -> None:
    names = ("", "PSNR dB", "SSIM", "noise SD", "edge width mm", "overshoot", "task", "verdict")
    table = Table(*names, box=None, pad_edge=False)
    first = found[0][1]
    task = first.task
    table.add_row("as it is", *_row(first.before), f"{task.before:.3f}" if task else "", "")
    for text, one in found:
        score = f"{one.task.after:.3f}" if one.task else ""
        verdict = "" if one.task is None else "HURTS" if one.flagged else "ok"
        table.add_row(Text(text), *_row(one.after), score, Text(verdict, style="red" if one.flagged else "green"))
    console.print(table)


def _row(quality: Quality | None) -> list[str]:
    if quality is None:
        return [""] * 5
    noise = f"{quality.noise.power**0.5:.4g}" if quality.noise else ""
    edge = (
        [f"{quality.sharpness.width_mm:.3g}", f"{quality.sharpness.overshoot:.2f}"] if quality.sharpness else ["", ""]
    )
    return [f"{quality.psnr_db:.2f}", f"{quality.ssim:.4f}", noise, *edge]
