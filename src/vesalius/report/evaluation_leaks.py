"""The self-test of the guards: HTML for people, JSON for programs."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from vesalius.report.evaluation_data import version
from vesalius.report.html import style
from vesalius.report.phrases import Phrases

SCHEMA = "vesalius.selftest/1"


class Planted(Protocol):
    """What became of one planted leak, as `train.validate_leaks` tells it."""

    @property
    def kind(self) -> str:
        """What was planted."""

    @property
    def expected(self) -> str:
        """What must be found."""

    @property
    def found(self) -> tuple[str, ...]:
        """What was said."""

    @property
    def caught(self) -> bool:
        """Whether the expected is among it."""

    @property
    def false_alarms(self) -> tuple[str, ...]:
        """What was said of the clean twin."""


def leak_data(found: Sequence[Planted], *, source: str, seed: int) -> dict[str, Any]:
    """Return the self-test as plain data."""
    return {
        "schema": SCHEMA, "version": version(), "source": source, "seed": seed, "planted": len(found),
        "caught": sum(one.caught for one in found), "false_alarms": sum(bool(one.false_alarms) for one in found),
        "leaks": [{"kind": one.kind, "expected": one.expected, "caught": one.caught, "found": list(one.found),
                   "false_alarms": list(one.false_alarms)} for one in found],
    }  # fmt: skip


def leak_files(
    found: Sequence[Planted], *, source: str, seed: int, languages: Sequence[str] = ("en",)
) -> Iterator[tuple[str, bytes]]:
    """Return the name and the content of every file; `self_test.json` comes last."""
    content = leak_data(found, source=source, seed=seed)
    for language in languages:
        yield f"self_test.{language}.html", _html(content, Phrases(language))
    yield "self_test.json", (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def _html(content: dict[str, Any], phrases: Phrases) -> bytes:
    names = ("planted", "expected", "caught", "said", "twin")
    head = "".join(f'<th scope="col">{_safe(phrases.text(f"evaluation.leak.column.{n}"))}</th>' for n in names)
    rows = []
    for one in content["leaks"]:
        mark, sign = ("good", "●") if one["caught"] else ("poor", "■")
        word = phrases.text(f"evaluation.leak.{'yes' if one['caught'] else 'no'}")
        twin = ", ".join(one["false_alarms"]) or phrases.text("evaluation.leak.silent")
        cells = [_safe(phrases.text(f"evaluation.leak.{one['kind']}")), _safe(one["expected"]),
                 f'<span class="mark {mark}"><span class="sign" aria-hidden="true">{sign}</span>{_safe(word)}</span>',
                 _safe(", ".join(one["found"])), _safe(twin)]  # fmt: skip
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    title = _safe(phrases.text("evaluation.leak.title"))
    summary = phrases.text("evaluation.leak.summary", caught=content["caught"], all=content["planted"],
                           alarms=content["false_alarms"])  # fmt: skip
    fine = content["caught"] == content["planted"] and not content["false_alarms"]
    language = "zh-Hans" if phrases.language == "zh" else phrases.language
    text = (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style()}</style></head><body><main><header><div class=\"title\"><h1>{title}</h1>"
        f'<span class="quiet">{_safe(content["source"])}</span></div></header>'
        f'<section class="answer {"completed" if fine else "refused"}"><p>{_safe(summary)}</p></section>'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"<footer>Vesalius {_safe(content['version'])}</footer></main></body></html>\n"
    )  # fmt: skip
    return text.encode("utf-8", "replace")


def _safe(text: str) -> str:
    return html.escape(str(text))
