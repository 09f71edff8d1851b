"""The consent registry: who agreed to which purpose, from when to when, on which document, and who withdrew.

It also knows which cohorts, runs and packages contain a patient (by the SHA-256 of the pseudonym), so that a
withdrawal can name them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from vesalius.core.errors import OutputError, ReadError, UsageError
from vesalius.core.registry import unknown

SCHEMA = 1
LEAST_HASH_DIGITS = 8
PSEUDONYM = re.compile(r"[\w.^@+=/:-][\w .^@+=/:-]{0,63}")
HASH = re.compile(r"[0-9a-f]{64}")
LABEL = re.compile(r"[\w.-]{0,80}", re.ASCII)


class Purpose(StrEnum):
    """What the data may be used for."""

    CARE = "care"
    RESEARCH = "research"
    TRAINING = "training"
    SHARING = "sharing"
    COMMERCIAL = "commercial"


class Standing(StrEnum):
    """How a patient stands to a purpose on a day."""

    GRANTED = "granted"
    ABSENT = "no_consent"
    NOT_YET = "consent_not_yet"
    EXPIRED = "consent_expired"
    WITHDRAWN = "consent_withdrawn"


class Artefact(StrEnum):
    """What can contain a patient's data."""

    COHORT = "cohort"
    RUN = "run"
    PACKAGE = "package"


@dataclass(frozen=True)
class Consent:
    """One line of the registry.

    Args:
        document: SHA-256 of the signed document, "" when none is known. label: name of the form, "" without.
        withdrawn: day of the withdrawal; it holds from that day on.
        objection: a withdrawal without a consent before it.
    """

    pseudonym: str
    purpose: Purpose
    valid_from: date
    valid_to: date | None = None
    document: str = ""
    label: str = ""
    withdrawn: date | None = None
    objection: bool = False

    def standing(self, on: date) -> Standing:
        """Return how it stands on a day; the last day of validity is included."""
        if self.withdrawn is not None and on >= self.withdrawn:
            return Standing.WITHDRAWN
        if self.objection:
            return Standing.ABSENT
        if on < self.valid_from:
            return Standing.NOT_YET
        return Standing.EXPIRED if self.valid_to is not None and on > self.valid_to else Standing.GRANTED

    def stands_on(self, document: str) -> bool:
        """Return whether a basis `registry:<document>` means this consent's document, by label or hash."""
        by_hash = len(document) >= LEAST_HASH_DIGITS and self.document.startswith(document.lower())
        return by_hash or (bool(document) and document == self.label)


@dataclass(frozen=True)
class Contained:
    """A cohort, run or package that holds a patient."""

    kind: Artefact
    name: str
    sha256: str = ""
    recorded: str = ""


@dataclass(frozen=True)
class Withdrawal:
    """What a withdrawal did, and what it now concerns."""

    purposes: tuple[Purpose, ...]
    contained: tuple[Contained, ...]


@dataclass(frozen=True)
class Judgement:
    """Which cases of a cohort may be used: row numbers from 0, in order."""

    kept: tuple[int, ...]
    left_out: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Return how many cases each reason leaves out."""
        return {reason: len(rows) for reason, rows in self.left_out.items()}


_METADATA = sql.MetaData()
_CONSENTS = sql.Table(
    "consents",
    _METADATA,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("pseudonym", sql.String(64), nullable=False, index=True),
    sql.Column("purpose", sql.String(16), nullable=False),
    sql.Column("valid_from", sql.Date, nullable=False),
    sql.Column("valid_to", sql.Date),
    sql.Column("document", sql.String(64), nullable=False),
    sql.Column("label", sql.String(80), nullable=False),
    sql.Column("withdrawn", sql.Date),
    sql.Column("objection", sql.Boolean, nullable=False),
    sql.Column("recorded", sql.String(32), nullable=False),
)
_ARTEFACTS = sql.Table(
    "artefacts",
    _METADATA,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("kind", sql.String(16), nullable=False),
    sql.Column("name", sql.String(400), nullable=False),
    sql.Column("sha256", sql.String(64), nullable=False),
    sql.Column("recorded", sql.String(32), nullable=False),
    sql.UniqueConstraint("kind", "name", "sha256"),
)
_MEMBERS = sql.Table(
    "members",
    _METADATA,
    sql.Column("artefact", sql.ForeignKey("artefacts.id", ondelete="CASCADE"), primary_key=True),
    sql.Column("patient", sql.String(64), primary_key=True, index=True),
)


class Registry:
    """The registry in one SQLite file, readable by its owner only."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the registry, or make an empty one.

        Raises:
            ReadError: the file is no registry, or of a newer version.
            OutputError: the file cannot be made.
        """
        self.path = Path(path)
        self._engine = _engine(self.path)
        with self._changing() as connection:
            version = int(connection.execute(sql.text("PRAGMA user_version")).scalar_one())
            if version > SCHEMA:
                raise ReadError(f"{self.path} is of a newer version", found=str(version), expected=str(SCHEMA))
            _METADATA.create_all(connection)
            connection.execute(sql.text(f"PRAGMA user_version = {SCHEMA}"))

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()

    def __enter__(self) -> Registry:
        """Return the registry, to be closed at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def add(self, consents: Iterable[Consent]) -> int:
        """Record consents, all or none; return how many were new. What is recorded already stays once.

        Raises:
            UsageError: a pseudonym, document or label of another form, or an end before the begin.
        """
        rows = [_row(_checked(one)) for one in consents]
        new = 0
        with self._changing() as connection:
            for row in rows:
                same = sql.select(_CONSENTS.c.id).where(*(_CONSENTS.c[name].is_(value) if value is None
                                                          else _CONSENTS.c[name] == value
                                                          for name, value in row.items()))  # fmt: skip
                if connection.execute(same).first() is None:
                    connection.execute(_CONSENTS.insert().values(**row, recorded=_now()))
                    new += 1
        return new

    def withdraw(self, pseudonym: str, purposes: Sequence[Purpose] = (), on: date | None = None) -> Withdrawal:
        """Record a withdrawal for some purposes, or for all, and return what contains the patient.

        Where no consent stood before, the objection itself is recorded, so that it holds for data that are used on
        another basis.

        Raises:
            UsageError: the pseudonym is of another form.
        """
        day, chosen = on or _today(), tuple(purposes) or tuple(Purpose)
        objections = [Consent(pseudonym, one, day, withdrawn=day, objection=True) for one in chosen]
        rows = [_row(_checked(one)) for one in objections]
        with self._changing() as connection:
            for row in rows:
                mine = (_CONSENTS.c.pseudonym == pseudonym, _CONSENTS.c.purpose == row["purpose"])
                stands = (_CONSENTS.c.withdrawn.is_(None)) | (_CONSENTS.c.withdrawn > day)
                connection.execute(sql.update(_CONSENTS).where(*mine, stands).values(withdrawn=day))
                if connection.execute(sql.select(_CONSENTS.c.id).where(*mine)).first() is None:
                    connection.execute(_CONSENTS.insert().values(**row, recorded=_now()))
        return Withdrawal(chosen, self.containing(pseudonym))

    def consents(self, pseudonym: str | None = None) -> tuple[Consent, ...]:
        """Return the lines of the registry, of one patient or of all, in the order they were recorded."""
        wanted = sql.select(_CONSENTS).order_by(_CONSENTS.c.id)
        if pseudonym is not None:
            wanted = wanted.where(_CONSENTS.c.pseudonym == pseudonym)
        with self._reading() as connection:
            return tuple(_consent(dict(row._mapping)) for row in connection.execute(wanted))

    def standing(self, pseudonym: str, purpose: Purpose, *, document: str = "", on: date | None = None) -> Standing:
        """Return how a patient stands to a purpose; of several consents the best one counts."""
        return _best([one for one in self.consents(pseudonym) if one.purpose == purpose], document, on or _today())

    def register(self, kind: Artefact, name: str, pseudonyms: Iterable[str], sha256: str = "") -> int:
        """Remember which patients a cohort, run or package contains, by hash; return how many."""
        members = sorted({pseudonym_hash(one) for one in pseudonyms if one})
        known = (_ARTEFACTS.c.kind == str(kind), _ARTEFACTS.c.name == name, _ARTEFACTS.c.sha256 == sha256)
        with self._changing() as connection:
            old = connection.execute(sql.select(_ARTEFACTS.c.id).where(*known)).scalar()
            if old is not None:
                connection.execute(sql.delete(_MEMBERS).where(_MEMBERS.c.artefact == old))
                connection.execute(sql.delete(_ARTEFACTS).where(_ARTEFACTS.c.id == old))
            values = {"kind": str(kind), "name": name, "sha256": sha256, "recorded": _now()}
            made = connection.execute(_ARTEFACTS.insert().values(**values)).inserted_primary_key
            rows = [{"artefact": made[0] if made else None, "patient": one} for one in members]
            if rows:
                connection.execute(_MEMBERS.insert(), rows)
        return len(members)

    def containing(self, pseudonym: str) -> tuple[Contained, ...]:
        """Return the cohorts, runs and packages that contain a patient."""
        joined = sql.select(_ARTEFACTS).join(_MEMBERS, _MEMBERS.c.artefact == _ARTEFACTS.c.id)
        wanted = joined.where(_MEMBERS.c.patient == pseudonym_hash(pseudonym)).order_by(_ARTEFACTS.c.id)
        with self._reading() as connection:
            rows = [row._mapping for row in connection.execute(wanted)]
        return tuple(Contained(Artefact(r["kind"]), r["name"], r["sha256"], r["recorded"]) for r in rows)

    def judge(
        self, patients: Sequence[str], bases: Sequence[str], *, purpose: Purpose, on: date | None = None
    ) -> Judgement:
        """Return which cases may be used for a purpose, by the column `basis` (CONTRACTS, Cohort columns).

        `registry:<document>` needs a consent in force on that document. `licence:`, `waiver:` and `development` need
        none, but whoever withdrew or objected is left out all the same. An empty basis is left out.

        Raises:
            UsageError: the columns differ in length.
        """
        if len(patients) != len(bases):
            raise UsageError("patients and bases differ in number", found=f"{len(patients)} and {len(bases)}")
        known: dict[str, list[Consent]] = {}
        for one in self.consents():
            if one.purpose == purpose:
                known.setdefault(one.pseudonym, []).append(one)
        left_out: dict[str, list[int]] = {}
        kept = []
        for index, (patient, basis) in enumerate(zip(patients, bases, strict=True)):
            reason = _reason(basis.strip(), known.get(patient.strip(), []), patient.strip(), on or _today())
            if reason:
                left_out.setdefault(reason, []).append(index)
            else:
                kept.append(index)
        return Judgement(tuple(kept), {reason: tuple(rows) for reason, rows in sorted(left_out.items())})

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sql.Connection]:
        with _database_errors(self.path), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sql.Connection]:
        with _database_errors(self.path), self._engine.connect() as connection:
            yield connection


def purpose_of(name: str) -> Purpose:
    """Return a purpose by name.

    Raises:
        UnknownNameError: no such purpose; the nearest is suggested.
    """
    if name not in list(Purpose):
        raise unknown("purpose", name, [str(one) for one in Purpose])
    return Purpose(name)


def pseudonym_hash(pseudonym: str) -> str:
    """Return what stands for a patient in the lists of cohorts, runs and packages: a SHA-256."""
    return hashlib.sha256(b"vesalius patient\0" + pseudonym.strip().encode()).hexdigest()


def document_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a document.

    Raises:
        ReadError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ReadError(f"{os.fspath(path)} cannot be read", found=error.strerror or type(error).__name__) from None


def _reason(basis: str, consents: Sequence[Consent], patient: str, on: date) -> str:
    """Return why a case must be left out, "" when it may be used."""
    kind, _, what = basis.partition(":")
    if not basis:
        return "no_basis"
    if kind == "registry" and what:
        if not patient:
            return "no_patient_id"
        standing = _best(consents, what, on)
        return "" if standing is Standing.GRANTED else str(standing)
    if basis != "development" and (kind not in ("licence", "waiver") or not what):
        return "unknown_basis"
    return str(Standing.WITHDRAWN) if consents and _best(consents, "", on) is Standing.WITHDRAWN else ""


def _best(consents: Sequence[Consent], document: str, on: date) -> Standing:
    """Return the best standing; a consent from before the last withdrawal counts as withdrawn, whenever recorded."""
    last = max((one.withdrawn for one in consents if one.withdrawn and one.withdrawn <= on), default=date.min)
    order = (Standing.GRANTED, Standing.WITHDRAWN, Standing.EXPIRED, Standing.NOT_YET, Standing.ABSENT)
    chosen = [one for one in consents if not document or one.objection or one.stands_on(document)]
    found = {Standing.WITHDRAWN if one.valid_from < last else one.standing(on) for one in chosen}
    return next((standing for standing in order if standing in found), Standing.ABSENT)


def _checked(consent: Consent) -> Consent:
    if not PSEUDONYM.fullmatch(consent.pseudonym):
        raise UsageError("a pseudonym of another form", expected="1 to 64 letters, digits, spaces or . ^ @ + = / : - _")
    if consent.document and not HASH.fullmatch(consent.document):
        raise UsageError("a document hash of another form", expected="64 hexadecimal digits (SHA-256)")
    if not LABEL.fullmatch(consent.label):
        raise UsageError("a label of another form", expected="letters, digits, . _ and -, at most 80")
    if consent.valid_to is not None and consent.valid_to < consent.valid_from:
        found = f"{consent.valid_from} to {consent.valid_to}"
        raise UsageError("the consent ends before it begins", found=found, expected="an end on or after the begin")
    return consent


def _row(consent: Consent) -> dict[str, Any]:
    names = ("pseudonym", "valid_from", "valid_to", "document", "label", "withdrawn", "objection")
    return {**{name: getattr(consent, name) for name in names}, "purpose": str(consent.purpose)}


def _consent(row: Mapping[str, Any]) -> Consent:
    values = {name: row[name] for name in row if name not in ("id", "recorded", "purpose")}
    return Consent(purpose=Purpose(row["purpose"]), **values)


def _engine(path: Path) -> sql.Engine:
    """Return an engine whose errors and logs never show a value."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise OutputError(f"cannot open {path}", found=error.strerror or type(error).__name__) from None
    url = sql.URL.create("sqlite+pysqlite", database=str(path))
    engine = sql.create_engine(url, hide_parameters=True, poolclass=sql.NullPool, connect_args={"timeout": 30})

    @sql.event.listens_for(engine, "connect")
    def _foreign_keys(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


@contextlib.contextmanager
def _database_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        text = str(error.orig)
        if "not a database" in text or "malformed" in text or "no such column" in text:
            raise ReadError(f"{path} is not a consent registry", fix="restore it from the backup") from None
        raise OutputError(f"{path}: the registry could not be used", found=text) from None
    except SQLAlchemyError as error:
        raise OutputError(f"{path}: the registry could not be used", found=type(error).__name__) from None


def _today() -> date:
    return datetime.now(UTC).date()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


__all__ = [
    "Artefact",
    "Consent",
    "Contained",
    "Judgement",
    "Purpose",
    "Registry",
    "Standing",
    "Withdrawal",
    "document_hash",
    "pseudonym_hash",
    "purpose_of",
]
