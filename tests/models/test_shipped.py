"""The packages that come with the program: small, open, intact, and giving what they gave when they were made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesalius.core import Frame, Spacing, Volume
from vesalius.models import store
from vesalius.models.package import open_package
from vesalius.models.runtime import Runner
from vesalius.models.trust import read_store

PACKAGES = sorted(store.SHIPPED.glob("*.vesalius"))


def test_all_are_listed_and_small(tmp_path: Path) -> None:
    entries = store.entries(tmp_path)
    assert [one.path for one in entries] == PACKAGES
    assert all(one.shipped and one.signature == "shipped" and one.card is not None for one in entries)
    assert sum(one.size for one in entries) < 30_000_000


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.stem)
def test_each_is_open_and_gives_its_golden_outputs(path: Path, tmp_path: Path) -> None:
    with open_package(path, trust=read_store(tmp_path)) as package:
        assert package.card.licence == "open"
        assert all(one.licence == "open" for one in package.card.training_data)
        assert (package.card.intended_use, package.card.not_for, package.card.known_failures) > ("", (), ())
        assert Runner(package).check_golden() <= package.card.tolerance


def test_a_name_is_enough(tmp_path: Path) -> None:
    picture = np.linspace(0, 255, 28 * 28).reshape(1, 28, 28).astype(np.uint8)
    image = Volume(picture, np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN, modality="")
    with store.open_named(tmp_path, "pneumoniamnist") as package:
        answer = Runner(package).predict({"image": image})
    assert answer.outcome == "completed"
    assert answer.labels == ("normal", "pneumonia")
    assert answer.values.sum() == pytest.approx(1)
