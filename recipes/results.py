"""Write what the recipes reached into `docs/reference/results.md`, from the folders that `recipes/run.py` left.

python recipes/results.py recipe-output
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "results.md"
START, END = "<!-- figures: written by recipes/results.py -->", "<!-- end of figures -->"
SHOWN = {
    "classification": ("auc", "balanced_accuracy", "accuracy"),
    "survival": ("uno_c", "harrell_c", "integrated_brier"),
}
WORDS = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "uno_c": "Uno's C",
    "harrell_c": "Harrell's C",
    "integrated_brier": "integrated Brier",
}


def main(out: Path) -> int:
    """Replace the tables of the page."""
    found = [one.parent.parent for one in sorted(out.glob("*/evaluation/evaluation.json"))]
    kinds: dict[str, list[str]] = {}
    for place in found:
        run = json.loads((place / "run" / "run.json").read_text())
        judged = json.loads((place / "evaluation" / "evaluation.json").read_text())
        kinds.setdefault(run["kind"], []).extend(_rows(place, run, judged))
    tables = [_table(kind, rows) for kind, rows in kinds.items()]
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{START}\n\n{chr(10).join(tables)}\n{END}{after}", encoding="utf-8")
    return 0


def _table(kind: str, rows: list[str]) -> str:
    names = [WORDS[one] for one in SHOWN[kind]]
    head = ["recipe", "cases / patients", "model", *names, "difference", "minutes"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *rows]
    return "\n".join(lines) + "\n"


def _rows(place: Path, run: Mapping[str, Any], judged: Mapping[str, Any]) -> list[str]:
    rows = []
    took = json.loads((place / "seconds.json").read_text()) if (place / "seconds.json").is_file() else {}
    for number, part in enumerate(one for one in judged["parts"] if one["data"] == "cross-validation"):
        figures = {one["name"]: one for one in part["figures"] if not one["of"]}
        cells = [_interval(figures.get(name)) for name in SHOWN[run["kind"]]]
        people = str(part["patients"]) if run["patients"] else "no ids"
        first = [place.name, f"{part['cases']} / {people}"] if not number else ["", ""]
        last = [_difference(judged), _minutes(took, run)] if not number else ["", ""]
        rows.append(f"| {' | '.join([*first, part['candidate'], *cells, *last])} |")
    return rows


def _interval(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return ""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _difference(judged: Mapping[str, Any]) -> str:
    for one in judged["contests"]:
        if one["figure"] == "balanced_accuracy":
            verdict = f"{one['winner']} wins" if one["winner"] else "no winner"
            return f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}], {verdict}"
    return ""


def _minutes(took: Mapping[str, float], run: Mapping[str, Any]) -> str:
    # a resumed training tells its whole time in the run alone
    return f"{(run['seconds'] + sum(v for step, v in took.items() if step != 'train')) / 60:.1f}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "recipe-output")))
