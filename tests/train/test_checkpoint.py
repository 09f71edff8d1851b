"""Checkpoints: a round trip, repeatable bytes, nothing lost when the disk is full, nothing unpickled."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from vesalius.core.errors import OutputError, ReadError
from vesalius.train import checkpoint
from vesalius.train.checkpoint import Checkpoint


def sample(value: float = 1.0) -> Checkpoint:
    arrays = {
        "weights": np.full((2, 3), value, dtype=np.float32),
        "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "random": np.arange(5, dtype=np.uint8),
        "count": np.array(7, dtype=np.int64),
    }
    return Checkpoint(arrays, {"epoch": 3, "best": 0.1 + 0.2, "value": value})


def test_a_checkpoint_comes_back_exactly(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "c", sample())
    found = checkpoint.load(tmp_path / "c")
    assert found.state == sample().state
    assert set(found.arrays) == set(sample().arrays)
    for name, array in sample().arrays.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)


def test_the_same_content_gives_the_same_bytes() -> None:
    turned = Checkpoint(dict(reversed(sample().arrays.items())), dict(reversed(sample().state.items())))
    assert checkpoint.to_bytes(sample()) == checkpoint.to_bytes(turned)


def test_a_full_disk_is_told_and_the_old_checkpoint_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c"
    checkpoint.save(path, sample(1.0))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vesalius.io.atomic.os.fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        checkpoint.save(path, sample(2.0))
    monkeypatch.undo()
    assert checkpoint.load(path).state["value"] == 1.0
    assert [one.name for one in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("damage", ["cut", "pickle", "empty", "other"])
def test_what_is_no_checkpoint_is_told(tmp_path: Path, damage: str) -> None:
    data = checkpoint.to_bytes(sample())
    wrong = {"cut": data[:-7], "pickle": pickle.dumps({"a": 1}), "empty": b"", "other": data.replace(b"/1", b"/9")}
    path = tmp_path / "c"
    path.write_bytes(wrong[damage])
    with pytest.raises(ReadError, match="no checkpoint"):
        checkpoint.load(path)


def test_left_overs_of_a_killed_save_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".0123.part").write_bytes(b"half")
    (tmp_path / "kept").write_bytes(b"whole")
    checkpoint.clear_left_overs(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
