"""Drafts of the documentation that regulators ask for: item, evidence that is there, and what a human must write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from vesalius.governance.ethics import Review
from vesalius.io.atomic import write_text
from vesalius.models.files import CONFIG, GOLDEN, GRAPH, HASHES, hash_file
from vesalius.models.package import Package

PARTS = {"config": CONFIG, "graph": GRAPH, "golden": GOLDEN, "hashes": HASHES}
LONGEST = 240
"""Characters of a value that a draft quotes; the card holds the whole."""
NOTICE = (
    "> **DRAFT / 草稿.** Written by a program from the model card and the review; no submission and no legal advice. "
    "Every item marked OPEN / 待填写 must be written by a person, every other one must be checked by one."
)


def write(package: Package, review: Review, folder: Path) -> tuple[Path, ...]:
    """Write one Markdown draft for each regulator, and return their paths.

    Raises:
        OutputError: the folder cannot be written.
    """
    paths = []
    for regulator in _regulators():
        path = folder / f"{regulator['id']}.md"
        write_text(path, "\n".join(_draft(regulator, package, review)) + "\n")
        paths.append(path)
    return tuple(paths)


def evidence_of(name: str, package: Package, review: Review) -> str:
    """Return what is there under a name of the list, "" when nothing is."""
    kind, _, part = name.partition(".")
    if kind == "card":
        value = package.card.model_dump(mode="json", exclude_defaults=True).get(part)
        return "" if value in (None, "", [], {}) else f"card.yaml {part}: {_short(value)}"
    if kind == "package":
        path = package.folder / PARTS[part]
        there = path.is_file() and path.stat().st_size > 0
        return f"{path.name}: sha256 {hash_file(path)[:16]}" if there else ""
    found = [item for item in review.items if item.id.partition(":")[0] == part and item.evidence]
    return "; ".join(f"review {item.id}: {item.standing}, {_short('; '.join(item.evidence))}" for item in found)


def _regulators() -> list[dict[str, Any]]:
    text = files("vesalius.governance.data").joinpath("technical_file.yaml").read_text(encoding="utf-8")
    return list(yaml.safe_load(text))


def _draft(regulator: Mapping[str, Any], package: Package, review: Review) -> Iterator[str]:
    title = regulator["title"]
    yield f"# {title['en']}\n\n{title['zh']}\n\n{NOTICE}\n"
    yield f"Package {review.package} {review.version}, content {review.subject}. Source: {regulator['source']}.\n"
    yield "| item | asked for | evidence | standing |\n| --- | --- | --- | --- |"
    for item in regulator["items"]:
        wanted = item.get("evidence", [])
        found = [evidence_of(name, package, review) for name in wanted]
        absent = [name for name, text in zip(wanted, found, strict=True) if not text]
        there = "<br>".join(_cell(text) for text in found if text)
        open_ = "OPEN / 待填写" if not there else f"to check; missing: {', '.join(absent)}" if absent else "to check"
        yield f"| {item['ref']} | {_cell(item['en'])}<br>{_cell(item['zh'])} | {there} | {open_} |"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
