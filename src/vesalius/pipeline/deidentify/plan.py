"""The first pass: what every file is, whose it is, and in which portions the work is done."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vesalius import __version__
from vesalius.core.errors import ContradictionError, NothingFoundError, VesaliusError
from vesalius.pipeline import batch
from vesalius.pipeline.deidentify.request import Request
from vesalius.privacy.deidentify import NAMELESS
from vesalius.privacy.heads import names_head
from vesalius.privacy.known import Known, merged
from vesalius.privacy.objects import Facts, Kind, survey
from vesalius.privacy.outcome import Settings

SURVEY_FILES = 64
FEW_FILES = 1024
"""So few are looked at in this process."""
PORTION_FILES = 16
"""Files that a worker takes at a time; after a crash they are tried one by one."""


MOST_SIBLINGS = 2
"""Other series of the same frame of reference in which a face is looked for."""


@dataclass(frozen=True)
class FaceFiles:
    """Files that tell where the face of a head is.

    Args:
        series: those of the series itself.
        siblings: those of other series in the same frame of reference.
        digest: SHA-256 over the content of all.
    """

    series: tuple[Path, ...] = field(repr=False)
    siblings: tuple[tuple[Path, ...], ...] = field(repr=False)
    digest: str


@dataclass(frozen=True)
class File:
    """One file to be done.

    Args:
        name: its path below IN, "/" between parts.
        token: keyed digits that stand for the name.
        suffix: distinguishes objects that share a SOP Instance UID.
    """

    path: Path = field(repr=False)
    name: str = field(repr=False)
    place: int
    token: str
    hash: str
    facts: Facts = field(repr=False)
    suffix: str = ""
    refusal: VesaliusError | None = None
    head_study: bool = False
    face: FaceFiles | None = None

    @property
    def is_again(self) -> bool:
        """Return whether the same file came before."""
        return self.suffix == "="


@dataclass(frozen=True)
class Portion:
    """Files of one patient, with all that is known of the patient."""

    files: tuple[File, ...]
    identity: str = field(repr=False)
    known: Known = field(repr=False)
    settings: Settings
    out: Path
    quarantine: Path
    dry_run: bool = False


def files_below(root: Path) -> list[tuple[str, Path]]:
    """Return (path below the root, file) of every file, sorted by name.

    Raises:
        NothingFoundError: there is none.
    """
    if root.is_file():
        return [(root.name, root)]
    found: list[tuple[str, Path]] = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in names:
            path = Path(folder, name)
            if path.is_file():
                found.append((path.relative_to(root).as_posix(), path))
    if not found:
        raise NothingFoundError("there is no file to de-identify", found=f"an empty folder: {root.name}")
    return sorted(found)


def surveyed(paths: Sequence[Path], workers: int) -> list[Facts]:
    """Return the first look at every file."""
    groups = [tuple(paths[i : i + SURVEY_FILES]) for i in range(0, len(paths), SURVEY_FILES)]
    ended = batch.run(survey_all, groups, batch.Plan(workers=workers if len(paths) > FEW_FILES else 0))
    facts: list[Facts] = []
    for one in ended:
        if one.value is not None:
            facts.extend(one.value)
        elif isinstance(one.error, VesaliusError):
            facts.extend(_alone(path, workers) for path in one.item)
    return facts


def _alone(path: Path, workers: int) -> Facts:
    """Look at one file of a group in which a worker crashed."""
    ended = batch.run(survey_all, [(path,)], batch.Plan(workers=min(workers, 1)))[0]
    if ended.value is not None:
        return ended.value[0]
    problem = ContradictionError("the file made a worker process end", found=type(ended.error).__name__)
    return Facts(Kind.DICOM, "", problem=problem)


def survey_all(paths: tuple[Path, ...]) -> list[Facts]:
    """Return the first look at each of some files."""
    return [survey(path) for path in paths]


def planned(request: Request, listed: Sequence[tuple[str, Path]], settings: Settings) -> list[Portion]:
    """Return the portions of work; files of one patient share what is known of the patient."""
    facts = _with_identities(surveyed([path for _, path in listed], request.workers))
    known = known_by_identity(facts)
    mixed = _mixed_studies(facts)
    twins = _Twins()
    heads = {fact.study_uid for fact in facts if fact.shows_head}
    faces = _Faces(request, listed, facts, heads)
    by_patient: dict[str, list[File]] = defaultdict(list)
    for place, ((name, path), fact) in enumerate(zip(listed, facts, strict=True), 1):
        refusal: VesaliusError | None = fact.problem
        if fact.study_uid in mixed and refusal is None:
            refusal = _two_patients(fact, request)
        face = faces.of(name, path, fact)
        file = File(
            path,
            name,
            place,
            request.pseudonyms.token("path", name),
            _hash(request, fact, known.get(fact.identity, Known()), face),
            fact,
            twins.of(fact),
            refusal,
            fact.study_uid in heads,
            face,
        )
        by_patient[fact.identity].append(file)
    return list(_portions(by_patient, known, settings, request))


def _portions(
    by_patient: Mapping[str, list[File]], known: Mapping[str, Known], settings: Settings, request: Request
) -> Iterator[Portion]:
    for identity, files in by_patient.items():
        values = known.get(identity, Known())
        for group in _groups(files):
            yield Portion(
                group,
                identity,
                values,
                settings,
                request.out,
                request.quarantine_folder,
                request.dry_run,
            )


def _groups(files: Sequence[File]) -> Iterator[tuple[File, ...]]:
    """Yield files that are done together: those of a series in which a face is looked for, else a few at a time."""
    plain = [file for file in files if file.face is None]
    for i in range(0, len(plain), PORTION_FILES):
        yield tuple(plain[i : i + PORTION_FILES])
    series: dict[tuple[Path, ...], list[File]] = defaultdict(list)
    for file in files:
        if file.face is not None:
            series[file.face.series].append(file)
    yield from map(tuple, series.values())


class _Faces:
    """Tells which files must be looked at together for the face of a head."""

    def __init__(
        self, request: Request, listed: Sequence[tuple[str, Path]], facts: Sequence[Facts], heads: set[str]
    ) -> None:
        self.request, self.heads = request, heads
        self.by_series: dict[tuple[str, str], list[tuple[Path, Facts]]] = defaultdict(list)
        self.by_frame: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
        self.known: dict[tuple[str, str], FaceFiles] = {}
        for (_, path), fact in zip(listed, facts, strict=True):
            if fact.is_slice and fact.kind is Kind.DICOM:
                self.by_series[fact.study_uid, fact.series_uid].append((path, fact))
                if fact.frame_uid:
                    self.by_frame[fact.study_uid, fact.frame_uid][fact.series_uid] = None

    def of(self, name: str, path: Path, fact: Facts) -> FaceFiles | None:
        """Return the files that tell of the face in a file, None where no face is looked for."""
        if not (self.request.deface or self.request.no_face):
            return None
        if fact.kind is Kind.NIFTI:
            wanted = self.request.deface or names_head(name.replace("_", " "))
            return FaceFiles((path,), (), fact.digest) if wanted else None
        if fact.kind is not Kind.DICOM or not fact.is_slice or not self._is_head(fact):
            return None
        key = (fact.study_uid, fact.series_uid)
        if key not in self.known:
            self.known[key] = self._of_series(key, fact)
        return self.known[key]

    def _is_head(self, fact: Facts) -> bool:
        unknown = not fact.region_known
        return fact.shows_head or (unknown and (fact.study_uid in self.heads or self.request.deface))

    def _of_series(self, key: tuple[str, str], fact: Facts) -> FaceFiles:
        study, own = key
        others = [uid for uid in self.by_frame.get((study, fact.frame_uid), ()) if uid != own]
        others.sort(key=lambda uid: -len(self.by_series[study, uid]))
        groups = [self.by_series[key], *(self.by_series[study, uid] for uid in others[:MOST_SIBLINGS])]
        digest = hashlib.sha256("".join(one.digest for group in groups for _, one in group).encode()).hexdigest()
        paths = [tuple(path for path, _ in group) for group in groups]
        return FaceFiles(paths[0], tuple(paths[1:]), digest)


def _with_identities(facts: Sequence[Facts]) -> list[Facts]:
    """Return the facts, objects without a PatientID given to the one patient of their study."""
    told: dict[str, set[str]] = defaultdict(set)
    for fact in facts:
        if fact.identity and not fact.identity.startswith(NAMELESS):
            told[fact.study_uid].add(fact.identity)

    def owner(fact: Facts) -> str:
        others = told.get(fact.study_uid, set()) if fact.study_uid else set()
        return next(iter(others)) if fact.identity.startswith(NAMELESS) and len(others) == 1 else fact.identity

    return [replace(fact, identity=owner(fact)) for fact in facts]


def known_by_identity(facts: Sequence[Facts]) -> dict[str, Known]:
    """Return what all objects of each patient tell together."""
    every: dict[str, set[Known]] = defaultdict(set)
    for fact in facts:
        every[fact.identity].add(fact.known)
    return {identity: merged(values) for identity, values in every.items()}


def _mixed_studies(facts: Sequence[Facts]) -> frozenset[str]:
    """Return the study UIDs under which two patients lie."""
    patients: dict[str, set[str]] = defaultdict(set)
    for fact in facts:
        if fact.study_uid and fact.identity:
            patients[fact.study_uid].add(fact.identity)
    return frozenset(uid for uid, identities in patients.items() if len(identities) > 1)


def _two_patients(fact: Facts, request: Request) -> ContradictionError:
    study = request.pseudonyms.token("study", fact.study_uid)
    return ContradictionError(
        "two patients lie under one Study Instance UID",
        found=f"study {study}",
        expected="one patient in a study",
        fix="correct the PatientID of the study at its source; nothing of it was written",
    )


def _hash(request: Request, fact: Facts, known: Known, face: FaceFiles | None) -> str:
    parts = (fact.digest, known.flat(), request.profile.name, *sorted(request.profile.options), request.no_face)
    if face is not None:
        parts += ("deface" if request.deface else "look", face.digest)
    secret = request.pseudonyms
    return secret.token("content", "\0".join((__version__, secret.key_id, *parts)), 32)


class _Twins:
    """Tells objects apart that share a SOP Instance UID: the same file again, or another one."""

    def __init__(self) -> None:
        self._seen: dict[str, list[str]] = defaultdict(list)

    def of(self, fact: Facts) -> str:
        """Return the suffix of the output's name: "" for the first, "=" for the same again, else a number."""
        if not fact.sop_uid or fact.kind is not Kind.DICOM:
            return ""
        seen = self._seen[fact.sop_uid]
        if fact.digest in seen:
            return "="
        seen.append(fact.digest)
        if len(seen) == 1:
            return ""
        return "-" + hashlib.sha256(fact.digest.encode()).hexdigest()[:6]
