"""Which cases may be learned from: their basis, and the consent registry under VESALIUS_HOME."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.cohort import Cohort
from vesalius.core.errors import UsageError

REGISTRY: Final = "consent.sqlite"
NO_REGISTRY: Final = "no_consent"


@dataclass(frozen=True, eq=False)
class Permission:
    """Row numbers that may be used, and why others may not: reason -> how many."""

    rows: NDArray[np.int64]
    left_out: Mapping[str, int] = field(default_factory=dict)


def permitted(cohort: Cohort, home: Path) -> Permission:
    """Return the cases that may be trained on today.

    Left out are: cases without a basis; `registry:` cases without a consent in force; and, where a registry exists,
    whoever withdrew or objected, whatever the basis.

    Raises:
        UsageError: no case states a basis, or none may be used.
    """
    bases = cohort.text("basis").tolist()
    if not any(bases):
        raise UsageError(
            "no case states on what basis it may be used, so nothing trains",
            expected="a column basis: registry:<document>, licence:<name>, waiver:<reference> or development",
            fix="add the column, or say basis: in the task for all of them",
        )
    found = _judged(cohort.text("patient_id").tolist(), bases, home / REGISTRY)
    if not len(found.rows):
        told = ", ".join(f"{reason}: {count}" for reason, count in found.left_out.items())
        raise UsageError("no case may be used", found=told, fix="see: vesalius consent check TABLE --purpose training")
    return found


def _judged(patients: list[str], bases: list[str], path: Path) -> Permission:
    if not path.is_file():
        reasons = ["no_basis" if not one else NO_REGISTRY if one.startswith("registry:") else "" for one in bases]
        counts = {name: reasons.count(name) for name in sorted(set(reasons) - {""})}
        return Permission(np.flatnonzero([not one for one in reasons]).astype(np.int64), counts)
    from vesalius.governance.consent import Purpose, Registry

    with Registry(path) as registry:
        judgement = registry.judge(patients, bases, purpose=Purpose.TRAINING)
    return Permission(np.array(judgement.kept, dtype=np.int64), judgement.counts)


def register(home: Path, kind: str, name: str, patients: list[str], sha256: str = "") -> None:
    """Remember in the registry, where there is one, which patients a run or package contains."""
    path = home / REGISTRY
    if not path.is_file():
        return
    from vesalius.governance.consent import Artefact, Registry

    with Registry(path) as registry:
        registry.register(Artefact(kind), name, patients, sha256)
