"""Run a recipe from its data to a judged package: table, check, train, evaluate, package.

    python recipes/run.py busi_breast_us --data ../shared/data --out recipe-output [--budget small]

Each folder beside this file that holds a `task.yaml` is a recipe. The data sets are public and not part of the
repository; `--data` is the folder that holds them under the names in `tables.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import tables  # noqa: E402 - beside this file, not a package


def names() -> list[str]:
    """Return the recipes."""
    return sorted(one.parent.name for one in HERE.glob("*/task.yaml"))


def call(*words: object) -> int:
    """Run a command of the program and return its exit code."""
    vesalius = Path(sys.executable).parent / "vesalius"
    print("$ vesalius", *words, file=sys.stderr, flush=True)
    return subprocess.run([vesalius, *map(str, words)], check=False).returncode


def run(name: str, data: Path, out: Path, *, budget: str, check: bool) -> int:
    """Run one recipe and write what it took to `OUT/<recipe>/seconds.json`."""
    folder, maker = tables.MAKERS[name]
    place = out / name
    place.mkdir(parents=True, exist_ok=True)
    table, task = maker(data / folder, place), HERE / name / "task.yaml"
    took: dict[str, float] = {}
    commands = {
        # a finding is an answer: the recipe goes on and the page of the recipe tells it
        "check": ("check", table, "--out", place / "check", *_columns(task), "--force"),
        "train": ("train", task, "--data", table, "--out", place / "run", "--resume", *_budget(budget)),
        "evaluate": ("evaluate", place / "run", "--out", place / "evaluation", "--force"),
        "package": ("package", place / "run", "--out", place / f"{name}.vesalius", *_card(task), "--force"),
    }
    if not check:
        del commands["check"]
    for step, words in commands.items():
        started = time.monotonic()
        code = call(*words)
        took[step] = round(time.monotonic() - started, 1)
        (place / "seconds.json").write_text(json.dumps(took) + "\n")
        if code and step != "check":
            return code
    return 0


def _budget(name: str) -> tuple[str, ...]:
    return ("--budget", name) if name else ()


def _card(task: Path) -> tuple[str | Path, ...]:
    """Return the option for what people say of the model, where a recipe says it."""
    card = task.with_name("card.yaml")
    return ("--card", card) if card.is_file() else ()


def _columns(task: Path) -> tuple[str, ...]:
    """Return the options of `check` that a task says in its own words."""
    import yaml

    data = yaml.safe_load(task.read_text(encoding="utf-8"))["data"]
    named = ",".join(f"{key}={value}" for key, value in data.get("columns", {}).items())
    return (*(("--columns", named) if named else ()), "--basis", data["basis"])


def main() -> int:
    """Run the recipes named on the command line."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("recipe", nargs="+", choices=[*names(), "all"], metavar="RECIPE", help=", ".join(names()))
    told.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data", help="the public data sets")
    told.add_argument("--out", type=Path, default=Path("recipe-output"), help="folder of the results")
    told.add_argument("--budget", default="", help="small: minutes on two cores; the whole training by default")
    told.add_argument("--no-check", action="store_true", help="leave out the check of the data set")
    wish = told.parse_args()
    chosen = names() if "all" in wish.recipe else wish.recipe
    codes = [run(one, wish.data, wish.out, budget=wish.budget, check=not wish.no_check) for one in chosen]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
