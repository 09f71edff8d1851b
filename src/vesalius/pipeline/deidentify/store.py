"""OUT.report: the state that a run resumes from, the action report, and what may still tell who somebody is."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from vesalius import __version__
from vesalius.core.errors import OutputExistsError
from vesalius.core.finding import Message
from vesalius.io.atomic import output_errors, write_text
from vesalius.pipeline.deidentify.request import Line, Request, Summary
from vesalius.privacy.attributes import EDITION, SOURCE
from vesalius.privacy.outcome import Result
from vesalius.report.words import LANGUAGES, say

STATE: Final = "state.jsonl"
RUN: Final = "run.json"
SCHEMA: Final = "vesalius.deidentify/1"
REMOVED: Final = ": removed"
_PART = re.compile(r"\.[0-9a-f]{16}\.part$")
_KEPT: Final = (Result.WRITTEN, Result.DROPPED, Result.DUPLICATE, Result.QUARANTINED)


class Store:
    """The report folder of one run."""

    def __init__(self, request: Request) -> None:
        """Remember where it lies; nothing is touched."""
        self.request = request
        self.folder = request.report_folder
        self._before: dict[tuple[str, str], Line] = {}

    def open(self) -> None:
        """Take up an earlier run with the same parameters, or begin; refuse other content.

        Raises:
            OutputExistsError: OUT holds something else, or files of other parameters and no --force.
        """
        out, marker = self.request.out, self.folder / RUN
        standing = out.is_dir() and any(out.iterdir())
        before = _read_json(marker)
        if standing and before is None:
            raise _other(out, "files that no run of deidentify wrote", "choose another OUT")
        if before is not None and before.get("parameters") != self._parameters():
            if not self.request.force:
                raise _other(out, "the output of other parameters", "choose another OUT, or --force to replace it")
            self._clear()
        with output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        content = {"schema": SCHEMA, "parameters": self._parameters(), "table": f"{SOURCE}, edition {EDITION}"}
        write_text(marker, json.dumps(content, indent=1) + "\n")
        self._before = {(line.source, line.hash): line for line in self._read()}
        _remove_parts(out)
        _remove_parts(self.request.quarantine_folder)

    def _parameters(self) -> dict[str, Any]:
        request = self.request
        return {
            "version": __version__,
            "key": request.pseudonyms.key_id,
            "profile": request.profile.name,
            "options": sorted(request.profile.options),
            "deface": request.deface,
            "no_face": request.pseudonyms.token("reason", request.no_face) if request.no_face else "",
        }

    def _clear(self) -> None:
        """Remove what earlier runs wrote, and only that."""
        with output_errors(self.request.out):
            for line in self._read():
                if line.output:
                    for folder in (self.request.out, self.request.quarantine_folder):
                        (folder / line.output).unlink(missing_ok=True)
            (self.folder / STATE).unlink(missing_ok=True)

    def _read(self) -> list[Line]:
        try:
            text = (self.folder / STATE).read_text(encoding="utf-8")
        except OSError:
            return []
        lines = (_line_of(raw) for raw in text.splitlines())
        return [line for line in lines if line is not None]

    def done(self, source: str, content_hash: str) -> Line | None:
        """Return the line of a file that needs no work: done before with the same hash, and its output stands."""
        line = self._before.get((source, content_hash))
        if line is None or line.result not in _KEPT:
            return None
        if line.result is Result.WRITTEN:
            try:
                whole = (self.request.out / line.output).stat().st_size == line.bytes
            except OSError:
                return None
            return line if whole else None
        if line.result is Result.QUARANTINED and not (self.request.quarantine_folder / line.output).is_file():
            return None
        return line

    def append(self, lines: Iterable[Line]) -> None:
        """Add lines to the state; a line is whole or not there.

        Raises:
            OutputError: it cannot be written.
        """
        text = "".join(json.dumps(asdict(line), ensure_ascii=True) + "\n" for line in lines)
        with output_errors(self.folder / STATE), (self.folder / STATE).open("a", encoding="utf-8") as file:
            file.write(text)

    def close(self, summary: Summary) -> None:
        """Write the reports, of every file that stands under OUT.

        Raises:
            OutputError: they cannot be written.
        """
        latest = {line.source: line for line in (*self._read(), *summary.lines)}
        lines = sorted(latest.values(), key=lambda line: (line.place, line.source))
        write_text(self.folder / STATE, "".join(json.dumps(asdict(line)) + "\n" for line in lines))
        write_text(self.folder / "files.csv", _files(lines))
        write_text(self.folder / "attributes.csv", _attributes(lines))
        for language in LANGUAGES:
            write_text(self.folder / f"residual-risk.{language}.md", residual_risk(lines, self.request, language))


def _line_of(raw: str) -> Line | None:
    try:
        data = json.loads(raw)
        return Line(
            **{**data, "result": Result(data["result"]), "risks": tuple(data["risks"]), "codes": tuple(data["codes"])}
        )
    except (ValueError, TypeError, KeyError):
        return None


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _other(out: Path, found: str, fix: str) -> OutputExistsError:
    return OutputExistsError("the output exists with other content", found=f"{out}: {found}", fix=fix)


def _remove_parts(folder: Path) -> None:
    """Remove what a killed run left half-written."""
    if folder.is_dir():
        for path in folder.rglob(".*.part"):
            if _PART.search(path.name):
                path.unlink(missing_ok=True)


def counted(lines: Iterable[Line]) -> Counter[tuple[str, str]]:
    """Return (keyword or tag, action) -> number of elements over all files."""
    result: Counter[tuple[str, str]] = Counter()
    for line in lines:
        for words, count in line.actions.items():
            element, _, action = words.rpartition(": ")
            path, _, keyword = element.partition(" ")
            result[keyword or path.rpartition(">")[2], action] += count
    return result


def _files(lines: Iterable[Line]) -> str:
    names = ("place", "source", "kind", "result", "output", "error", "message", "changed", "removed", "boxes", "risks")
    rows: list[tuple[object, ...]] = []
    for line in lines:
        removed = sum(count for words, count in line.actions.items() if words.endswith(REMOVED))
        changed = sum(line.actions.values()) - removed
        rows.append(
            (
                *(line.place, line.source, line.kind, str(line.result), line.output, line.error, line.message),
                *(changed, removed, line.boxes, " ".join(line.risks)),
            )
        )
    return _table(names, rows)


def _attributes(lines: Iterable[Line]) -> str:
    rows = [(name, action, count) for (name, action), count in sorted(counted(lines).items())]
    return _table(("attribute", "action", "elements"), rows)


def _table(names: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return stream.getvalue()


def residual_risk(lines: Iterable[Line], request: Request, language: str) -> str:
    """Return what may still tell who somebody is, as Markdown."""
    listed = list(lines)

    def said(name: str, **parameters: str | int | float) -> str:
        return say(Message(f"privacy.{name}", parameters), language)

    counts = Counter(str(line.result) for line in listed)
    text = [f"# {said('title')}", "", said("made_by", version=__version__, key=request.pseudonyms.key_id), ""]
    text += [f"- {said('result.' + result)}: {count}" for result, count in sorted(counts.items())]
    risks = Counter(risk for line in listed if line.result is Result.WRITTEN for risk in line.risks)
    text += ["", f"## {said('remaining')}", ""]
    text += [f"- {said('risk.' + risk, count=count)}" for risk, count in sorted(risks.items())]
    text += [f"- {said('risk.' + name)}" for name in _standing(request)]
    return "\n".join(text) + "\n"


def _standing(request: Request) -> list[str]:
    """Return the risks that follow from the profile, whatever the files hold."""
    options = {str(option) for option in request.profile.options}
    named = ("retain-full-dates", "retain-uids", "retain-device-identity", "retain-institution", "retain-safe-private")
    always = ["times_of_day"] if "retain-modified-dates" in options else []
    chosen = [name.replace("-", "_") for name in named if name in options]
    patient = ["characteristics"] if "retain-patient-characteristics" in options else []
    return [*always, *chosen, *patient, "rare_findings"]
