"""The gate before a release: every item shows the evidence it read, or what is missing; nothing is met by default."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vesalius.core.errors import AccessError, VesaliusError
from vesalius.governance import statements
from vesalius.models.card import Card, Metric, missing
from vesalius.models.files import CARD, CONFIG, GOLDEN, GRAPH, HASHES, SIGNATURE, hash_file
from vesalius.models.package import Package, Parts, write_package
from vesalius.models.release import RELEASE, Signed, check_record
from vesalius.models.trust import TrustStore

if TYPE_CHECKING:
    from vesalius.governance.consent import Judgement
    from vesalius.keys import Key

SHORTCUTS = "shortcut-check.json"
EXPLANATIONS = "explanation-sanity.json"
GAP = "subgroup_gap"
"""Limit of the card that holds for every metric without a limit `<metric>_gap` of its own."""
BASES = ("registry", "licence", "waiver")


class Standing(StrEnum):
    """How an item of the gate stands."""

    MET = "met"
    WAIVED = "waived"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True)
class Item:
    """One item of the gate.

    Args:
        evidence: what was read, each with where it stands.
        needed: what is missing or must change, "" when met.
    """

    id: str
    standing: Standing
    evidence: tuple[str, ...] = ()
    needed: str = ""

    @property
    def passes(self) -> bool:
        """Return whether the item lets the package through."""
        return self.standing in (Standing.MET, Standing.WAIVED)


@dataclass(frozen=True)
class Review:
    """What the gate found; `subject` is the hash that sign-offs and waivers sign."""

    package: str
    version: str
    subject: str
    items: tuple[Item, ...]

    @property
    def ready(self) -> bool:
        """Return whether every item lets the package through."""
        return all(item.passes for item in self.items)


@dataclass(frozen=True)
class Evidence:
    """What is handed to a review beside the package.

    Args:
        folders: where the evidence files are looked for, after the package itself.
        approvals: the documents whose hashes the card names.
        statements: files of `vesalius ethics sign`.
        judgement: the training cohort judged by the consent registry, None when it was not.
    """

    folders: Sequence[Path] = ()
    approvals: Sequence[Path] = ()
    statements: Sequence[Path] = ()
    judgement: Judgement | None = None
    trust: TrustStore = field(default_factory=TrustStore)


def review(package: Package, evidence: Evidence) -> Review:
    """Return how a package stands at the gate; bad evidence is an item that failed, not an error."""
    subject, card = statements.subject_of(package), package.card
    signed, broken = _statements(evidence, subject)
    places = [package.folder, *evidence.folders]
    items = [
        _complete(card),
        _said("intended_use", card.intended_use),
        _said("not_for", "; ".join(card.not_for)),
        _said("risk_class", card.risk_class),
        _consent(card, evidence.judgement),
        *_gaps(card, signed),
        _file_item("shortcut_check", SHORTCUTS, places, package),
        _file_item("explanation_sanity", EXPLANATIONS, places, package),
        _approval(card, evidence.approvals),
        _sign_off(signed, broken),
    ]
    return Review(card.name, card.version, subject, tuple(items))


def release(package: Package, found: Review, evidence: Evidence, target: Path, *, key: Key, force: bool = False) -> str:
    """Write the released package, with the record of its review inside; return its digest.

    Raises:
        AccessError: an item of the gate is not met.
        OutputExistsError: something stands there and `force` is not set.
    """
    if not found.ready or found.subject != statements.subject_of(package):
        open_items = [item.id for item in found.items if not item.passes]
        raise AccessError("the package does not pass the gate", found=", ".join(open_items), fix="see each item")
    signed = [json.loads(Path(one).read_bytes()) for one in evidence.statements]
    record = {"schema": 1, "review": asdict(found), "statements": signed}
    own = (CARD, GRAPH, GOLDEN, CONFIG, HASHES, SIGNATURE, RELEASE)
    files = {one.name: one.read_bytes() for one in sorted(package.folder.iterdir()) if one.name not in own}
    files[RELEASE] = (json.dumps(record, indent=1) + "\n").encode()
    config = package.folder / CONFIG
    text = config.read_text(encoding="utf-8") if config.is_file() else ""
    card = package.card.model_copy(update={"status": "released"})
    return write_package(target, Parts(card, package.graph, files, package.golden(), text), key=key, force=force)


def check_release(package: Package, trust: TrustStore) -> tuple[Signed, ...]:
    """Return the statements behind a released package, each verified again.

    Raises:
        ReadError: the package holds no record of a review.
        TamperedError: the record is of another package, was not passed, or has no sign-off that holds.
    """
    return check_record(package.folder, package.card, trust)


def _complete(card: Card) -> Item:
    absent = missing(card)
    if absent:
        return Item("card_complete", Standing.MISSING, needed=f"card.yaml: {', '.join(absent)}")
    return Item("card_complete", Standing.MET, (f"card.yaml: {card.name} {card.version}, every required part",))


def _said(name: str, text: str) -> Item:
    if not text:
        return Item(name, Standing.MISSING, needed=f"card.yaml: {name}")
    return Item(name, Standing.MET, (f"card.yaml: {name}: {text[:300]}",))


def _consent(card: Card, judgement: Judgement | None) -> Item:
    name, evidence, problems = "consent_basis", [], []
    for data in card.training_data:
        counts = ", ".join(f"{basis} {count}" for basis, count in data.basis.items())
        evidence.append(f"card.yaml: training_data {data.name}: {data.cases} cases; {counts or 'no basis'}")
        problems += [f"{data.name}: {problem}" for problem in _basis_problems(data.basis, data.cases)]
    if not evidence:
        return Item(name, Standing.MISSING, needed="card.yaml: training_data with a basis for every case")
    if problems:
        return Item(name, Standing.FAILED, tuple(evidence), "; ".join(problems))
    by_registry = any(basis.startswith("registry:") for data in card.training_data for basis in data.basis)
    if judgement is None and by_registry:
        return Item(name, Standing.MISSING, tuple(evidence), "the table of the training cohort, to ask the registry")
    if judgement is not None:
        evidence.append(f"consent registry: {len(judgement.kept)} cases stand today, left out: {judgement.counts}")
    if judgement is not None and judgement.left_out:
        return Item(name, Standing.FAILED, tuple(evidence), "train again without the cases that were left out")
    return Item(name, Standing.MET, tuple(evidence))


def _basis_problems(bases: Mapping[str, int], cases: int) -> Iterator[str]:
    for basis in bases:
        kind, _, what = basis.partition(":")
        if basis == "development":
            yield "basis development is never released"
        elif kind not in BASES or not what:
            yield f"unknown basis {basis!r}"
    if cases <= 0 or sum(bases.values()) != cases:
        yield f"the bases cover {sum(bases.values())} of {cases} cases"


def _gaps(card: Card, signed: Sequence[Signed]) -> list[Item]:
    """Return one item for each metric, data set and kind of subgroup (`sex` of `sex=F`)."""
    groups: dict[tuple[str, str, str], list[Metric]] = {}
    for metric in card.metrics:
        if metric.subgroup:
            kind = metric.subgroup.partition("=")[0].strip()
            groups.setdefault((metric.name, metric.data, kind), []).append(metric)
    if not groups:
        needed = "card.yaml: metrics by subgroup, as subgroup: sex=F and sex=M, with intervals"
        return [Item(GAP, Standing.MISSING, needed=needed)]
    waived = {item: one for one in signed for item in one.statement.waives}
    return [_waived(_gap(card, key, metrics), waived) for key, metrics in sorted(groups.items())]


def _gap(card: Card, key: tuple[str, str, str], metrics: Sequence[Metric]) -> Item:
    name = f"{GAP}: {key[0]} by {key[2]} on {key[1]}"
    evidence = tuple(f"card.yaml: {m.name} {m.value:g} [{_of(m.low)}, {_of(m.high)}] {m.subgroup}, {m.cases} cases"
                     for m in metrics)  # fmt: skip
    limit = card.limits.get(f"{key[0]}_gap", card.limits.get(GAP))
    if limit is None:
        return Item(name, Standing.MISSING, evidence, f"card.yaml: limits: {key[0]}_gap or {GAP}")
    if len(metrics) < 2:
        return Item(name, Standing.MISSING, evidence, f"card.yaml: the other subgroups of {key[2]}")
    if any(one.low is None or one.high is None for one in metrics):
        return Item(name, Standing.MISSING, evidence, "card.yaml: an interval for every subgroup")
    gap, low, high = largest_gap(metrics)
    evidence += (f"gap {gap:.3g} [{low:.3g}, {high:.3g}], limit {limit:g}",)
    if high > limit:
        return Item(name, Standing.FAILED, evidence, "a gap whose interval is inside the limit, or a signed waiver")
    return Item(name, Standing.MET, evidence)


def largest_gap(metrics: Sequence[Metric]) -> tuple[float, float, float]:
    """Return the largest difference between two subgroups with its interval, by its upper end.

    Subgroups are independent, so the interval of a difference follows from those of its parts.

    Source: Zou and Donner 2008, doi:10.1002/sim.3095 (method of variance estimates recovery).
    """
    found = (0.0, 0.0, 0.0)
    for one in metrics:
        for other in metrics:
            below, above = _distance(one.value, one.low), _distance(one.value, one.high)
            other_below, other_above = _distance(other.value, other.low), _distance(other.value, other.high)
            gap = one.value - other.value
            if one is other or gap < 0:
                continue
            low, high = gap - math.hypot(below, other_above), gap + math.hypot(above, other_below)
            found = max(found, (gap, max(low, 0.0), high), key=lambda three: three[2])
    return found


def _distance(value: float, end: float | None) -> float:
    return abs(value - end) if end is not None else math.inf


def _waived(item: Item, waivers: Mapping[str, Signed]) -> Item:
    if item.standing is not Standing.FAILED or item.id not in waivers:
        return item
    one = waivers[item.id]
    who = f"{one.source}: waived by {one.statement.name}, {one.statement.role}, {one.statement.time}"
    return replace(item, standing=Standing.WAIVED, evidence=(*item.evidence, who), needed="")


def _file_item(name: str, file: str, places: Sequence[Path], package: Package) -> Item:
    """Return the item of an evidence file: `{"schema": 1, "tests": [{"name", "passed", ...}], "files": {...}}`."""
    path = next((place / file for place in places if (place / file).is_file()), None)
    if path is None:
        return Item(name, Standing.MISSING, needed=f"{file}, in the package or with --evidence DIR")
    evidence = f"{path.name}: sha256 {hash_file(path)[:16]}"
    try:
        content = json.loads(path.read_bytes())
        tests = [(str(one["name"]), one["passed"]) for one in content["tests"]]
        about = dict(content["files"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return Item(name, Standing.FAILED, (evidence,), f"{file} with tests (name, passed) and files (name, sha256)")
    return _judged(name, evidence, tests, _strangers(about, package))


def _judged(name: str, evidence: str, tests: Sequence[tuple[str, Any]], strangers: Sequence[str]) -> Item:
    failed = [test for test, passed in tests if passed is not True]
    evidence += f", {len(tests)} tests, {len(tests) - len(failed)} passed"
    if strangers:
        return Item(name, Standing.FAILED, (evidence,), f"made for another model: {', '.join(strangers)} differ")
    if not tests:
        return Item(name, Standing.MISSING, (evidence,), "at least one test")
    if failed:
        return Item(name, Standing.FAILED, (evidence,), f"not passed: {', '.join(failed[:8])}")
    return Item(name, Standing.MET, (evidence,))


def _strangers(about: Mapping[str, Any], package: Package) -> list[str]:
    """Return the files of which the evidence speaks and that are not those of the package; all when it names none."""
    weights = {one.name: hash_file(one) for one in package.folder.iterdir() if one.suffix in (".onnx", ".safetensors")}
    needed = weights or {GRAPH: hash_file(package.folder / GRAPH)}
    return sorted(name for name, digest in needed.items() if about.get(name) != digest)


def _approval(card: Card, documents: Sequence[Path]) -> Item:
    name = "approval"
    if not card.approvals:
        return Item(name, Standing.MISSING, needed="card.yaml: approvals: document and sha256")
    try:
        seen = {hash_file(path): path.name for path in documents}
    except OSError as error:
        return Item(name, Standing.FAILED, needed=f"the documents, readable: {error.strerror}")
    evidence = tuple(f"{one.document}: sha256 {one.sha256[:16]}, {'seen' if one.sha256 in seen else 'not seen'}"
                     for one in card.approvals)  # fmt: skip
    absent = [one.document for one in card.approvals if one.sha256 not in seen]
    if absent:
        return Item(name, Standing.MISSING, evidence, f"the document itself, with --approval FILE: {', '.join(absent)}")
    return Item(name, Standing.MET, evidence)


def _statements(evidence: Evidence, subject: str) -> tuple[list[Signed], list[str]]:
    signed, broken = [], []
    for path in evidence.statements:
        try:
            signed.append(statements.read(Path(path), subject=subject, trust=evidence.trust))
        except VesaliusError as error:
            broken.append(str(error))
    return signed, broken


def _sign_off(signed: Sequence[Signed], broken: Sequence[str]) -> Item:
    found = [one for one in signed if one.statement.kind == "sign-off"]
    evidence = tuple(f"{one.source}: {one.statement.name}, {one.statement.role}, key {one.statement.key}, "
                     f"{one.statement.time}" for one in found)  # fmt: skip
    if broken:
        return Item("sign_off", Standing.FAILED, evidence, "; ".join(broken))
    if not found:
        return Item("sign_off", Standing.MISSING, needed="vesalius ethics sign, by a person whose key is trusted here")
    return Item("sign_off", Standing.MET, evidence)


def _of(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
