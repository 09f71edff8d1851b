"""Folders of results: whole or absent, done, incomplete or of other content, one run at a time."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from vesalius.core.errors import OutputBusyError, OutputError
from vesalius.pipeline import store, summary
from vesalius.pipeline.store import Row, State

HASH, OTHER_HASH = "a" * 64, "b" * 64


def row(key: str = "study", application: str = "trivial", **parts: object) -> Row:
    return Row(key, "source", application, "completed", 1.25, {"volume.bright [mL]": 612.3456}, "fine", **parts)  # type: ignore[arg-type]


def written(target: Path, content_hash: str = HASH, *names: str) -> store.Marker:
    with store.staging(target, content_hash) as place:
        for name in names or ("report.json", "masks/a.nii.gz"):
            place.write(name, name.encode())
        return store.commit(place, row(target.parent.name, target.name, report="study/trivial"))


def interrupted(target: Path) -> None:
    with store.staging(target, HASH) as place:
        place.write("report.json", b"{}")
        raise OutputError("disk full")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return store.folder_of(tmp_path, "study", "trivial")


def test_a_report_appears_whole(target: Path) -> None:
    with store.staging(target, HASH) as place:
        place.write("report.json", b"{}")
        assert not target.exists()
        store.commit(place, row())
    assert sorted(p.name for p in target.iterdir()) == [".done.json", ".run.json", "report.json"]
    assert [p.name for p in target.parent.iterdir()] == ["trivial"]


def test_states(target: Path) -> None:
    assert store.state_of(target, HASH) is State.ABSENT
    target.mkdir(parents=True)
    assert store.state_of(target, HASH) is State.ABSENT
    (target / "notes.txt").write_text("somebody's")
    assert store.state_of(target, HASH) is State.OTHER
    written(target)
    assert store.state_of(target, HASH) is State.DONE
    assert store.state_of(target, OTHER_HASH) is State.OTHER


@pytest.mark.parametrize("name", [".done.json", "report.json", "masks/a.nii.gz"])
def test_a_report_that_lost_a_file_is_incomplete_and_keeps_its_id(target: Path, name: str) -> None:
    before = written(target)
    (target / name).unlink()
    assert store.state_of(target, HASH) is State.INCOMPLETE
    assert written(target).run_id == before.run_id
    assert store.state_of(target, HASH) is State.DONE


def test_a_truncated_file_or_marker_is_incomplete(target: Path) -> None:
    written(target)
    (target / "report.json").write_text("")
    assert store.state_of(target, HASH) is State.INCOMPLETE
    (target / ".done.json").write_text("{")
    assert store.state_of(target, HASH) is State.INCOMPLETE


def test_an_interrupted_run_keeps_its_id_only_for_the_same_content(target: Path) -> None:
    with store.staging(target, HASH) as place:
        first = place.run_id
        kept = (place.path / ".run.json").read_bytes()
    assert uuid.UUID(first)
    # a killed process leaves this behind
    work = target.parent / ".trivial.partial"
    work.mkdir(exist_ok=True, parents=True)
    (work / ".run.json").write_bytes(kept)
    (work / "report.json").write_text("old")
    with store.staging(target, OTHER_HASH) as place:
        assert place.run_id != first
    (work / ".run.json").write_bytes(kept) if work.exists() else None
    work.mkdir(exist_ok=True, parents=True)
    (work / ".run.json").write_bytes(kept)
    with store.staging(target, HASH) as place:
        assert place.run_id == first
        assert not (place.path / "report.json").exists()


def test_a_failure_leaves_nothing_and_keeps_the_old_report(target: Path) -> None:
    with pytest.raises(OutputError):
        interrupted(target)
    assert not target.parent.exists()
    written(target)
    with pytest.raises(OutputError), store.staging(target, OTHER_HASH):
        raise OutputError("disk full")
    assert store.state_of(target, HASH) is State.DONE
    assert [p.name for p in target.parent.iterdir()] == ["trivial"]


def test_a_report_replaces_another_whole(target: Path) -> None:
    written(target, HASH, "report.json", "old.txt")
    written(target, OTHER_HASH, "report.json")
    assert not (target / "old.txt").exists()
    assert store.state_of(target, OTHER_HASH) is State.DONE


def test_a_file_in_the_place_of_a_report_is_replaced_too(target: Path) -> None:
    target.parent.mkdir()
    target.write_text("a file")
    assert store.state_of(target, HASH) is State.OTHER
    written(target)
    assert [p.name for p in target.parent.iterdir()] == ["trivial"]


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../escape"])
def test_no_file_leaves_the_folder(target: Path, name: str) -> None:
    with pytest.raises(OutputError, match="leaves"), store.staging(target, HASH) as place:
        place.write(name, b"")


def test_one_run_at_a_time(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom vesalius.pipeline import store\nwith store.locked(pathlib.Path(sys.argv[1])): pass"
    )
    with store.locked(tmp_path):
        with pytest.raises(OutputBusyError, match="another run"), store.locked(tmp_path):
            pass
        ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, check=False)
        assert b"OutputBusyError" in ended.stderr
        assert (tmp_path / store.LOCK).exists()
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_dead_run_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / store.LOCK).touch()
    with store.locked(tmp_path):
        pass


def test_the_summary_is_the_union_of_what_stands_and_what_failed(tmp_path: Path) -> None:
    written(tmp_path / "one" / "trivial")
    summary.rewrite(tmp_path, [Row("two", "b.dcm", "trivial", "failed", message='broken, "really"')])
    lines = (tmp_path / "summary.csv").read_text().splitlines()
    assert lines[0] == "key,source,application,outcome,seconds,volume.bright [mL],message"
    assert lines[1] == "one,source,trivial,completed,1.25,612.346,fine"
    assert lines[2] == 'two,b.dcm,trivial,failed,,,"broken, ""really"""'
    written(tmp_path / "two" / "trivial")
    assert [r.outcome for r in summary.rewrite(tmp_path, [])] == ["completed", "completed"]
