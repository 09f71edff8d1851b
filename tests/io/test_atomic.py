"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vesalius.core.errors import GeometryError, OutputError, OutputExistsError
from vesalius.io import atomic


def test_writes_and_replaces_and_makes_folders(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.txt"
    atomic.write_text(target, "één\n")
    atomic.write_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert os.listdir(target.parent) == ["b.txt"]


def write_half(target: Path) -> None:
    with atomic.writing(target) as stream:
        stream.write(b"half")
        raise GeometryError("stop")


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(b"old")
    with pytest.raises(GeometryError):
        write_half(target)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    atomic.write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EACCES, "not permitted"),
        (errno.EROFS, "read-only"),
    ],
)
def test_errors_of_the_system_are_told_clearly(
    number: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, "raw")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError, match=words) as caught:
        atomic.write_bytes(tmp_path / "x", b"data")
    assert caught.value.errno == number
    assert "x" in str(caught.value)
    assert caught.value.fix
    assert not list(tmp_path.iterdir())


def test_a_full_device_is_told(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with pytest.raises(OutputError, match="disk is full"), atomic.output_errors("x"), open("/dev/full", "wb") as file:
        file.write(b"1" * 100_000)


def test_folder_as_target_and_file_as_parent(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        atomic.write_bytes(tmp_path, b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="not a folder"):
        atomic.write_bytes(tmp_path / "file" / "x", b"")


def test_our_own_errors_pass_through(tmp_path: Path) -> None:
    """OutputExistsError is an OSError too; it must not become another error."""
    with pytest.raises(OutputExistsError), atomic.output_errors(tmp_path):
        raise OutputExistsError("there")


def test_the_folder_beside_is_on_the_same_disk_and_goes_away(tmp_path: Path) -> None:
    with atomic.folder_beside(tmp_path / "out" / "x.nii") as folder:
        assert folder.parent == tmp_path / "out"
        (folder / "part").write_bytes(b"1")
    assert os.listdir(tmp_path / "out") == []
