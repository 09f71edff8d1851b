"""The main job on small images: outcomes, done and resume, conflicts, crashes, memory, order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installation import head

from vesalius.core.errors import (
    CrashError,
    MemoryLimitError,
    NothingFoundError,
    OutputBusyError,
    OutputExistsError,
    ReadError,
    UnknownNameError,
    UsageError,
)
from vesalius.pipeline import Options, Request, Summary, Watcher, analyze, perform, plan, plan_only, store, studies

pytestmark = pytest.mark.usefixtures("installed")
SMALL = Options(formats=("csv", "nifti"))


def asked(source: Path, out: Path, **parts: Any) -> Request:
    return Request(source, out, **{"applications": ("trivial",), "options": SMALL, "workers": 0, **parts})


def outcomes(summary: Summary) -> dict[str, str]:
    return {Path(row.source).name: row.outcome for row in summary.rows}


def report_of(summary: Summary, index: int = 0) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((summary.out / summary.rows[index].report / "report.json").read_text())
    return content


def nifti(path: Path, array: np.ndarray) -> Path:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array, np.diag([4.0, 4.0, 4.0, 1.0])), path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    folder = tmp_path / "cohort"
    head(folder / "one.nii.gz", level=100)
    head(folder / "two.nii.gz", level=200)
    nifti(folder / "zero.nii.gz", np.zeros((8, 8, 8), np.float32))
    nifti(folder / "nan.nii.gz", np.full((8, 8, 8), np.nan, np.float32))
    (folder / "cut.nii.gz").write_bytes((folder / "one.nii.gz").read_bytes()[:5000])
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_a_source_that_cannot_be_opened_is_a_line_of_the_summary(tmp_path: Path, out: Path) -> None:
    (tmp_path / "study.zip").write_bytes(b"PK\3\4 and then nothing")
    with pytest.raises(ReadError, match=r"study\.zip"):
        perform(asked(tmp_path / "study.zip", out))
    (_, line) = (out / "summary.csv").read_text().splitlines()
    assert "study.zip" in line
    assert "failed" in line
    assert [path.name for path in out.iterdir()] == ["summary.csv"]


def test_what_the_reader_doubts_stands_in_the_report(tmp_path: Path, out: Path) -> None:
    source = nifti(tmp_path / "one.nii.gz", np.random.default_rng(0).random((12, 12, 12)).astype(np.float32))
    summary = perform(asked(source, out))
    (check,) = report_of(summary)["quality"]
    assert (check["name"], check["mark"], check["message"]["id"]) == ("source", "caution", "nifti.units_unknown")
    assert any("millimetres are assumed" in warning for warning in summary.rows[0].warnings)


def test_a_study_without_a_fitting_series_says_why(tmp_path: Path, out: Path) -> None:
    array = np.random.default_rng(0).random((9, 9, 9, 6)).astype(np.float32)
    summary = perform(asked(nifti(tmp_path / "four.nii.gz", array), out))
    assert summary.rows[0].outcome == "refused"
    assert "it has 6 values per voxel" in summary.rows[0].message


def test_plain_arguments_do_the_same(tmp_path: Path) -> None:
    source, out = head(tmp_path / "one.nii.gz"), tmp_path / "out"
    summary = analyze(str(source), str(out), application="trivial", formats=("csv",))
    assert [row.outcome for row in summary.rows] == ["completed"]
    same = Options(formats=("csv",))
    assert perform(asked(source, out, options=same)).skipped
    with pytest.raises(UnknownNameError, match="cvs"):
        analyze(source, tmp_path / "other", application="trivial", formats="cvs")  # type: ignore[arg-type]


def test_a_cohort_of_good_and_bad(cohort: Path, out: Path) -> None:
    summary = perform(asked(cohort, out))
    wanted = {"one.nii.gz": "completed", "two.nii.gz": "completed", "zero.nii.gz": "refused", "nan.nii.gz": "refused"}
    assert outcomes(summary) == {**wanted, "cut.nii.gz": "failed"}
    lines = (out / "summary.csv").read_text().splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("key,source,application,outcome,seconds,volume.bright [mL],message")
    for row in summary.rows:
        folder = store.folder_of(out, row.key, "trivial")
        assert (folder / ".done.json").exists() is (row.outcome != "failed")
        assert folder.exists() is (row.outcome != "failed")
    error = summary.error()
    assert error is not None
    assert "1 of 5" in error.message


def test_a_report_says_where_everything_came_from(tmp_path: Path, out: Path) -> None:
    summary = perform(asked(head(tmp_path / "one.nii.gz"), out))
    report = report_of(summary)
    source = report["sources"][0]
    assert (source["role"], source["format"], source["shape"]) == ("image", "nifti", [26, 28, 24])
    assert source["reason"]["id"] == "trivial.chosen"
    assert source["sha256"] == report["provenance"]["inputs"]["image"]
    assert len(source["sha256"]) == 64
    assert report["provenance"]["parameters"]["formats"] == ["csv", "nifti"]
    assert report["provenance"]["versions"]["trivial"] == "1.0"
    assert {"numpy", "vesalius", "python", "pydicom"} <= set(report["provenance"]["versions"])
    assert report["provenance"]["seed"] == 0
    assert report["masks"][0]["path"] == "masks/bright.nii.gz"
    run = report["run"]
    assert run["seconds"] > 0
    assert run["energy_wh"] > 0
    assert run["peak_memory_bytes"] > 50e6
    assert "threshold" in run["stages"]
    assert report["id"]
    expected = 4**3 * np.count_nonzero(np.linspace(-1, 1, 3)) / 1000
    assert report["measurements"][0]["value"] > expected


def test_done_is_skipped_and_a_change_is_a_conflict(tmp_path: Path, out: Path) -> None:
    source = head(tmp_path / "one.nii.gz")
    first = perform(asked(source, out))
    stamp = (out / first.rows[0].report / "report.json").stat().st_mtime_ns
    again = perform(asked(source, out))
    assert again.skipped == {(first.rows[0].key, "trivial")}
    assert again.rows == first.rows
    assert (out / first.rows[0].report / "report.json").stat().st_mtime_ns == stamp
    with pytest.raises(OutputExistsError) as caught:
        perform(asked(source, out, options=Options(formats=("csv",))))
    assert "--force" in caught.value.fix
    head(source, level=50)
    with pytest.raises(OutputExistsError):
        perform(asked(source, out))
    assert (out / first.rows[0].report / "report.json").stat().st_mtime_ns == stamp
    forced = perform(asked(source, out, force=True))
    assert not forced.skipped
    assert (out / first.rows[0].report / "report.json").stat().st_mtime_ns != stamp


def test_threads_and_workers_are_no_other_content(tmp_path: Path, out: Path) -> None:
    source = head(tmp_path / "one.nii.gz")
    perform(asked(source, out))
    assert perform(asked(source, out, threads=1, workers=2)).skipped


def test_one_conflict_stops_everything_before_any_work(cohort: Path, out: Path) -> None:
    key = next(one.job.study.key for one in plan_only(asked(cohort, out)).jobs if one.job.study.key.startswith("two"))
    theirs = store.folder_of(out, key, "trivial") / "precious.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(OutputExistsError, match="nothing was started"):
        perform(asked(cohort, out))
    assert theirs.read_text() == "mine"
    assert [path.name for path in out.iterdir()] == [key]


def test_refused_counts_as_done_and_failed_is_tried_again(cohort: Path, out: Path) -> None:
    perform(asked(cohort, out))
    ended: list[str] = []

    class Ended(Watcher):
        def stage(self, label: str, stage: str, fraction: float) -> None:
            ended.append(label)

    head(cohort / "cut.nii.gz", level=70)
    summary = perform(asked(cohort, out), Ended())
    assert {label.split("-")[0] for label in ended} == {"cut"}
    assert outcomes(summary)["cut.nii.gz"] == "completed"
    assert len(summary.skipped) == 4
    assert "failed" not in (out / "summary.csv").read_text()


def test_the_summary_keeps_what_another_run_wrote(tmp_path: Path, out: Path) -> None:
    perform(asked(head(tmp_path / "a" / "one.nii.gz"), out))
    perform(asked(head(tmp_path / "b" / "two.nii.gz"), out))
    assert len((out / "summary.csv").read_text().splitlines()) == 3


def test_an_incomplete_report_is_made_again_with_its_uids(tmp_path: Path, out: Path) -> None:
    source = head(tmp_path / "one.nii.gz")
    summary = perform(asked(source, out))
    before = report_of(summary)
    (out / summary.rows[0].report / ".done.json").unlink()
    after = report_of(perform(asked(source, out)))
    assert after["run"]["id"] == before["run"]["id"]
    assert {**after, "run": None} == {**before, "run": None}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_is_one_line(cohort: Path, out: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    key = next(one.job.study.key for one in plan_only(asked(cohort, out)).jobs if one.job.study.key.startswith("two"))
    monkeypatch.setenv("VESALIUS_TEST_CRASH", key)
    summary = perform(asked(cohort, out, workers=workers))
    assert outcomes(summary)["two.nii.gz"] == "failed"
    assert outcomes(summary)["one.nii.gz"] == "completed"
    assert any(isinstance(error, CrashError) for error in summary.errors)
    assert not (out / key).exists()
    monkeypatch.delenv("VESALIUS_TEST_CRASH")
    assert outcomes(perform(asked(cohort, out)))["two.nii.gz"] == "completed"


def test_workers_change_nothing(cohort: Path, tmp_path: Path) -> None:
    found = []
    for workers in (0, 1, 3):
        out = tmp_path / f"out{workers}"
        summary = perform(asked(cohort, out, workers=workers))
        reports = [report_of(summary, i) for i, row in enumerate(summary.rows) if row.report]
        found.append(sorted(json.dumps({**r, "run": None}) for r in reports))
    assert found[0] == found[1] == found[2]


def test_memory_is_judged_before_work(cohort: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "available_memory_bytes", lambda: 100_000_000)
    summary = perform(asked(cohort, out))
    assert {row.outcome for row in summary.rows} == {"failed"}
    assert [type(error) for error in summary.errors] == [MemoryLimitError] * 5
    assert "0.1 GB available" in summary.rows[0].message
    monkeypatch.setattr(studies, "available_memory_bytes", lambda: 500_000_000)
    seen: list[int] = []

    class Workers(Watcher):
        def planned(self, planned: plan.Plan, workers: int) -> None:
            seen.append(workers)

    perform(asked(cohort, out, workers=8), Workers())
    assert seen == [2]


def test_a_study_that_no_application_takes(tmp_path: Path, out: Path) -> None:
    series = nifti(tmp_path / "four.nii.gz", np.zeros((8, 8, 8, 5), np.float32))
    named = perform(asked(series, out))
    assert outcomes(named) == {"four.nii.gz": "refused"}
    report = report_of(named)
    assert report["reasons"][0]["id"] == "pipeline.refused.only_series"
    assert report["left_out"][0]["reason"]["id"] == "trivial.not_3d"
    assert named.error() is None
    assert named.error(strict=True) is not None


def test_a_plan_says_what_stands_there(tmp_path: Path, out: Path) -> None:
    source = head(tmp_path / "one.nii.gz")
    (one,) = plan_only(asked(source, out)).jobs
    assert one.state is store.State.ABSENT
    assert one.memory_bytes is not None
    assert one.seconds is not None
    assert not out.exists()
    perform(asked(source, out))
    assert plan_only(asked(source, out)).jobs[0].state is store.State.DONE
    assert plan_only(asked(source, out, options=Options())).jobs[0].state is store.State.OTHER


def test_wrong_usage_writes_nothing(tmp_path: Path, out: Path) -> None:
    source = head(tmp_path / "in" / "one.nii.gz")
    wrong = [
        (asked(tmp_path / "absent", out), UsageError, "no such file"),
        (asked(source, out, applications=("trivail",)), UnknownNameError, "did you mean 'trivial'"),
        (asked(source.parent, source.parent / "out"), UsageError, "inside the input"),
        (asked(source.parent, source.parent), UsageError, "inside the input"),
        (asked(source, source), UsageError, "is a file"),
    ]
    for request, kind, said in wrong:
        with pytest.raises(kind, match=said):
            perform(request)
    for options in ({"formats": ("docx",)}, {"language": ("fr",)}, {"geometry": "guess"}):
        with pytest.raises(UnknownNameError):
            Options(**options)  # type: ignore[arg-type]
    assert not out.exists()
    with pytest.raises(UnknownNameError, match="series"):
        perform(asked(source, out, options=Options(series_uid="1.2.3")))
    assert not list(out.iterdir())


def test_nothing_found_still_writes_the_summary(tmp_path: Path, out: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingFoundError):
        perform(asked(tmp_path / "empty", out))
    assert (out / "summary.csv").read_text() == "key,source,application,outcome,seconds,message\n"


def test_two_runs_into_one_output(tmp_path: Path, out: Path) -> None:
    with store.locked(out), pytest.raises(OutputBusyError):
        perform(asked(head(tmp_path / "one.nii.gz"), out))
