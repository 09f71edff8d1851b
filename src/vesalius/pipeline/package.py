"""From a run to a model package: the card completed, evidence bound to the weights, runtimes measured, signed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from vesalius.config.yaml import describe_problem, load_yaml
from vesalius.core.errors import ConfigError, OutputExistsError, ReadError, UsageError, VesaliusError
from vesalius.io.cohort import read_cohort
from vesalius.keys import Key
from vesalius.models import engines, files
from vesalius.models.card import Card, Runtime
from vesalius.models.package import Package, Parts, open_package, write_package
from vesalius.models.runtime import measure
from vesalius.pipeline import batch
from vesalius.pipeline.batch import Plan
from vesalius.report.dataset import case_marks

RUN: Final = "run.json"
COHORT: Final = "cohort.csv"
FINAL: Final = "final"
EVIDENCE: Final = ("shortcut-check.json", "explanation-sanity.json")
"""Evidence files that the gate before a release reads."""
FIXED: Final = ("schema_version", "status", "kind", "inputs")
"""Parts of a card that a person does not change: what the model is, and what the gate alone decides."""
EVERY_LICENCE: Final = ("research", "unclear")


@dataclass(frozen=True)
class Wanted:
    """How a package is made.

    Args:
        candidate: which model of the run; the winner by default, without one the task's own model.
        card: a YAML file with parts of the card.
        evidence: folders with evidence files.
        key: signs it.
        threads: of the measured runtimes.
    """

    candidate: str = ""
    card: Path | None = None
    evidence: Sequence[Path] = ()
    key: Key | None = field(default=None, repr=False)
    threads: int = 2
    measure: bool = True
    force: bool = False


@dataclass(frozen=True)
class Made:
    """What was made.

    Args:
        failures: runtime -> why it cannot compute the model.
    """

    candidate: str
    card: Card
    digest: str
    evidence: tuple[str, ...]
    failures: Mapping[str, str]


def make(run: Path, out: Path, wanted: Wanted) -> Made:
    """Write the package of a run: a folder, or with `.vesalius` one file.

    Raises:
        UsageError: no such candidate, or evidence about other cases.
        ReadError: the folder is no finished run.
        ConfigError: additions to the card that its schema does not allow.
        OutputExistsError: OUT exists and `force` is not set.
    """
    if out.exists() and not wanted.force:
        raise OutputExistsError("the package exists", found=str(out), fix="another name, or --force")
    about = _about(run)
    candidate = _candidate(run, about, wanted.candidate)
    with open_package(run / candidate / FINAL, accept_licence=EVERY_LICENCE) as package:
        card = completed(package.card, wanted.card)
        content = {name: package.read(name) for name in sorted(_own(package))}
        evidence = _evidence(run, package, wanted.evidence)
        figures, failures = measured(package, threads=wanted.threads) if wanted.measure else ((), {})
        card = card.model_copy(update={"runtimes": figures or card.runtimes})
        config = package.folder / files.CONFIG
        text = config.read_text(encoding="utf-8") if config.is_file() else ""
        parts = Parts(card, package.graph, {**content, **evidence}, package.golden(), text)
        digest = write_package(out, parts, key=wanted.key, force=wanted.force)
    return Made(candidate, card, digest, tuple(evidence), failures)


def _about(run: Path) -> dict[str, Any]:
    path = run / RUN
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        status, candidates = str(about["status"]), [str(one) for one in about["candidates"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise ReadError(f"{run} is no run", expected=f"a folder of vesalius train, with {RUN}") from None
    if status not in ("complete", "stopped"):
        raise ReadError(
            f"the run {run} is not finished", found=status, fix="vesalius train TASK.yaml --out RUN --resume"
        )
    return {**about, "candidates": candidates}


def _candidate(run: Path, about: Mapping[str, Any], wanted: str) -> str:
    there = [one for one in about["candidates"] if (run / one / FINAL / files.CARD).is_file()]
    if not there:
        raise ReadError(f"the run {run} holds no final model", found=", ".join(about["candidates"]),
                        fix="train without --folds-only")  # fmt: skip
    if wanted:
        if wanted not in there:
            raise UsageError("the run has no such model", found=wanted, expected=", ".join(there))
        return wanted
    winner = str(about.get("winner") or "")
    return winner if winner in there else there[0]


def _own(package: Package) -> list[str]:
    fixed = (files.CARD, files.GRAPH, files.CONFIG, files.GOLDEN, files.HASHES, files.SIGNATURE)
    return [one.name for one in package.folder.iterdir() if one.name not in fixed]


def completed(card: Card, additions: Path | None) -> Card:
    """Return a card with the parts that a file gives; lists are replaced, mappings are joined.

    Raises:
        ConfigError: with file and line, what was given and what is allowed.
    """
    if additions is None:
        return card
    given = load_yaml(additions, _additions()).model_dump(exclude_unset=True, mode="json")
    content = card.model_dump(mode="json")
    for name, value in given.items():
        joined = isinstance(value, dict) and isinstance(content[name], dict)
        content[name] = {**content[name], **value} if joined else value
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        what, allowed, fix = describe_problem(error.errors(include_url=False)[0], Card)
        raise ConfigError(f"{additions}: {what}", expected=allowed, fix=fix) from None


def _additions() -> type[BaseModel]:
    optional: dict[str, Any] = {
        name: (about.rebuild_annotation(), Field(default=None))
        for name, about in Card.model_fields.items()
        if name not in FIXED
    }
    made: type[BaseModel] = create_model(
        "CardAdditions", __config__=ConfigDict(extra="forbid", frozen=True), **optional
    )
    return made


def _evidence(run: Path, package: Package, folders: Sequence[Path]) -> dict[str, bytes]:
    """Return the evidence files, bound to the weights of the package."""
    found: dict[str, bytes] = {}
    for place in folders:
        there = [name for name in EVIDENCE if (place / name).is_file()]
        if not there:
            raise UsageError("no evidence lies there", found=str(place), expected=" or ".join(EVIDENCE))
        for name in there:
            found[name] = _bound(run, package, place / name)
    return found


def _bound(run: Path, package: Package, path: Path) -> bytes:
    try:
        content = json.loads(path.read_bytes())
        named, cases = dict(content["files"]), set(content.get("cases", ()))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ReadError(
            f"{path} is no evidence file", expected="tests and files, as vesalius check writes it"
        ) from None
    if named:
        return path.read_bytes()
    used = case_marks(read_cohort(run / COHORT, layout="table"))
    strangers = len(set(used) - cases)
    if strangers:
        raise UsageError(
            f"{path.name} is about other cases than the run", found=f"{strangers} of {len(used)} cases not checked",
            fix="vesalius check on the data of the run",
        )  # fmt: skip
    weights = [one for one in sorted(package.folder.iterdir()) if one.suffix in (".onnx", ".safetensors")]
    bound = weights or [package.folder / files.GRAPH]
    about = {**content, "files": {one.name: files.hash_file(one) for one in bound}}
    return (json.dumps(about, indent=1) + "\n").encode()


def measured(package: Package, *, threads: int = 2) -> tuple[tuple[Runtime, ...], dict[str, str]]:
    """Return what every installed runtime costs, each in a process of its own, and why others cannot compute it.

    Nothing is measured for a package without networks or other ONNX models.
    """
    if not any(step.op == "onnx" for step in package.graph.steps):
        return (), {}
    failures: dict[str, str] = {}
    able = list(engines.installed())
    if "torch" in able and not all((package.folder / name).is_file() for name in engines.FOR_TORCH):
        able.remove("torch")
        failures["torch"] = f"the package does not hold {' and '.join(engines.FOR_TORCH)}"
    items = [(str(package.folder), name, threads) for name in able]
    ended = batch.run(_measured, items, Plan(workers=1, threads=threads, fresh=True))
    figures = tuple(one.value for one in ended if one.value is not None)
    return figures, failures | {one.item[1]: _why(one.error) for one in ended if one.error is not None}


def _measured(item: tuple[str, str, int]) -> Runtime:
    folder, runtime, threads = item
    with open_package(Path(folder), accept_licence=EVERY_LICENCE) as package:
        return measure(package, runtime, threads=threads)


def _why(error: VesaliusError) -> str:
    return f"{error.message}: {error.found}" if error.found else error.message
