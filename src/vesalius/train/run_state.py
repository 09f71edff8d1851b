"""The folder of a run: what stands in it, and whether it may be taken up again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vesalius.core.errors import OutputExistsError, ReadError, UsageError
from vesalius.io.atomic import output_errors, write_text

SCHEMA: Final = "vesalius.run/1"
RUN: Final = "run.json"
TASK: Final = "task.yaml"
COHORT: Final = "cohort.csv"
COMPLETE, STOPPED, FAILED, RUNNING = "complete", "stopped", "failed", "running"
NETWORK, CLASSICAL, BASELINE = "network", "classical", "baseline"


@dataclass(frozen=True)
class RunOptions:
    """How a run works; nothing of it changes what is learned but `random_labels`.

    Args:
        threads: at most so many; the same number gives the same weights.
        folds_only: judge, and train no final model.
        random_labels: exchange the labels between patients: what is then found is chance, or a leak.
        force: begin anew where another run stands.
        home: VESALIUS_HOME with the consent registry; the user's by default.
    """

    threads: int = 2
    folds_only: bool = False
    random_labels: bool = False
    force: bool = False
    home: Path | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """A run as it stands on disk."""

    folder: Path
    info: Mapping[str, Any]

    @property
    def status(self) -> str:
        """Return complete, stopped, failed or running."""
        return str(self.info["status"])

    @property
    def candidates(self) -> tuple[str, ...]:
        """Return the models of the run, the task's own first."""
        return tuple(self.info["candidates"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of any figure of this run must know."""
        return tuple(self.info["warnings"])

    def package(self, candidate: str = "") -> Path:
        """Return the folder of a candidate's package, the task's own model by default."""
        return self.folder / (candidate or self.candidates[0]) / "final"


def read_run(folder: str | Path) -> Run:
    """Return a run.

    Raises:
        ReadError: the folder holds none.
    """
    folder = Path(folder)
    try:
        info = json.loads((folder / RUN).read_text(encoding="utf-8"))
        known = info["schema"] == SCHEMA
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadError(f"{folder} holds no run", found=type(error).__name__,
                        expected=f"the --out of vesalius train, with {RUN}") from None  # fmt: skip
    if not known:
        raise ReadError(f"{folder} holds a run of another kind", found=str(info["schema"])[:40], expected=SCHEMA)
    return Run(folder, info)


def opened(out: Path, key: Mapping[str, Any], *, resume: bool, force: bool) -> Run | None:
    """Return the run that is taken up in a folder, or None when it begins there.

    Args:
        key: what must be the same for a run to be taken up.

    Raises:
        OutputExistsError: the folder holds something and neither `resume` nor `force` is set.
        UsageError: the run there is of another task, other cases, or other options; or `force` on what is no run.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / RUN).is_file():
        if _only_ours(out):
            return None
        raise OutputExistsError(f"{out} exists and holds no run", found=str(out), fix="another --out")
    run = read_run(out)
    if resume:
        for name, value in key.items():
            if run.info.get(name) != value:
                raise UsageError(
                    f"the run in {out} cannot be taken up: another {name}", found=str(value)[:64],
                    expected=str(run.info.get(name))[:64], fix="the same task and options, or --force to begin anew",
                )  # fmt: skip
        return run
    if not force:
        raise OutputExistsError(f"a run stands in {out}", found=run.status,
                                fix="--resume takes it up, --force begins anew")  # fmt: skip
    with output_errors(out):
        for one in out.iterdir():
            shutil.rmtree(one) if one.is_dir() else one.unlink()
    return None


def _only_ours(out: Path) -> bool:
    """Return whether a folder holds nothing but what a run that was killed at its start left."""
    return out.is_dir() and all(one.name.endswith(".part") for one in out.iterdir())


def save(out: Path, info: Mapping[str, Any]) -> None:
    """Write run.json.

    Raises:
        OutputError: the disk is full.
    """
    write_text(out / RUN, json.dumps({"schema": SCHEMA, **info}, indent=1, ensure_ascii=False, default=str) + "\n")
