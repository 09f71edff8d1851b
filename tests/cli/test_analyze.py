"""`vesalius analyze` as a user calls it: the table, the JSON, bad inputs, full disks, kills."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calling import Called, call
from installation import head

Environment = Mapping[str, str]
SMALL = ("--application", "trivial", "--formats", "csv,nifti")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return head(tmp_path / "in" / "one.nii.gz")


def files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def same(out: Path) -> dict[str, Any]:
    """Return what two runs that are the same agree on: reports outside `run`, and masks voxel for voxel."""
    import nibabel

    reports = {p.parts[-3]: {**json.loads(p.read_text()), "run": None} for p in out.glob("*/*/report.json")}
    images = {str(p.relative_to(out)): nibabel.load(p) for p in out.glob("*/*/masks/*.nii.gz")}
    masks = {name: (np.asarray(i.dataobj).tobytes(), i.affine.tobytes()) for name, i in images.items()}
    return {"reports": reports, "masks": masks}


def test_a_table_for_people_and_progress_apart(environment: Environment, study: Path, out: Path) -> None:
    called = call(environment, "analyze", study, "--out", out, *SMALL)
    assert called.code == 0, called.err
    assert "completed" in called.out
    assert "Volume of the bright part" in called.out
    assert str(out) in called.out
    for stage in ("reading headers", "check files", "read", "threshold", "write"):
        assert stage in called.err
    quiet = call(environment, "analyze", study, "--out", out, *SMALL, "-q")
    assert (quiet.code, quiet.err) == (0, "")
    assert "done before" in quiet.out


def test_json_is_one_object(environment: Environment, study: Path, out: Path) -> None:
    called = call(environment, "analyze", study, "--out", out, *SMALL, "--json")
    (row,) = called.answer["data"]["analyses"]
    assert row["outcome"] == "completed"
    assert row["numbers"]["volume.bright [mL]"] > 0
    assert (Path(row["report"]) / "report.json").is_file()
    assert not row["already_done"]
    again = call(environment, "analyze", study, "--out", out, *SMALL, "--json").answer
    assert again["data"]["analyses"][0]["already_done"]
    assert again["command"] == "analyze"


def test_every_format_in_two_languages(environment: Environment, study: Path, out: Path) -> None:
    called = call(
        environment, "analyze", study, "--out", out, "--application", "trivial", "--language", "en,zh",
        "--keep-intermediate", "--json",
    )  # fmt: skip
    folder = Path(called.answer["data"]["analyses"][0]["report"])
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    wanted = {"report.json", "report.en.html", "report.en.pdf", "report.zh.html", "measurements.csv", "fhir.json"}
    wanted |= {f"masks/bright.{suffix}" for suffix in ("nii.gz", "labels.json", "ctbl")}
    wanted |= {
        "dicom/bright_seg.dcm",
        "dicom/measurements_sr.dcm",
        "dicom/report_pdf.en.dcm",
        "dicom/capture_sc.en.dcm",
    }
    wanted |= {"intermediate/bright.nii.gz", "intermediate/notes.txt"}
    assert wanted <= found
    assert any(name.startswith("dicom/derived/") for name in found)


def test_dry_run_writes_nothing(environment: Environment, study: Path, out: Path) -> None:
    plain = call(environment, "analyze", study, "--out", out, *SMALL, "--dry-run")
    assert "would run" in plain.out
    assert "MB" in plain.out
    assert "the first three-dimensional MR series" in plain.out
    spoken = call(environment, "analyze", study, "--out", out, *SMALL, "--dry-run", "--json").answer
    (one,) = spoken["data"]["analyses"]
    assert one["memory_bytes"] > 0
    assert one["seconds"] > 0
    assert one["chosen"][0]["role"] == "image"
    assert not out.exists()


def text_named_dcm(folder: Path) -> None:
    (folder / "a.dcm").write_text("this is no picture")


def truncated(folder: Path) -> None:
    whole = head(folder / "a.nii.gz")
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def empty_file(folder: Path) -> None:
    (folder / "a.nii.gz").touch()


def broken_zip(folder: Path) -> None:
    (folder / "a.nrrd").write_bytes(b"PK\x03\x04 nonsense")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda folder: None, "nothing_found"),
        (lambda folder: (folder / "notes.txt").write_text("x"), "nothing_found"),
        (text_named_dcm, "unreadable"),
        (truncated, "unreadable"),
        (empty_file, "unreadable"),
        (broken_zip, "unreadable"),
    ],
)
def test_unreadable_input_exits_1_with_a_clear_error(
    environment: Environment, tmp_path: Path, out: Path, make: Any, code: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder)
    called = call(environment, "analyze", folder, "--out", out, *SMALL, "--json")
    error = called.answer["error"]
    assert called.code == 1
    assert error["code"] in (code, "limit", "unsupported")
    assert error["message"]
    assert error["found"] or error["expected"] or error["fix"]
    assert set(files(out)) == {"summary.csv"}


def volume(path: Path, array: np.ndarray, unit: int = 2, spacing: float = 4.0) -> Path:
    import nibabel

    image = nibabel.Nifti1Image(array.astype(np.float32), np.diag([spacing, spacing, spacing, 1.0]))
    image.header["xyzt_units"] = unit
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda path: volume(path, np.zeros((9, 9, 9))),
        lambda path: volume(path, np.full((9, 9, 9), np.nan)),
        lambda path: volume(path, np.random.default_rng(0).random((9, 9, 9, 6))),
        lambda path: volume(path, np.random.default_rng(0).random((9, 9, 9))),
    ],
    ids=["zeros", "nan", "4-D", "noise"],
)
def test_what_can_be_read_and_not_used_is_refused_with_a_report(
    environment: Environment, tmp_path: Path, out: Path, make: Any
) -> None:
    path = make(tmp_path / "image.nii.gz")
    called = call(environment, "analyze", path, "--out", out, *SMALL, "--json")
    (row,) = called.answer["data"]["analyses"]
    assert (called.code, row["outcome"]) == (0, "refused")
    assert row["message"]
    report = json.loads((Path(row["report"]) / "report.json").read_text())
    assert report["reasons"]
    strict = call(environment, "analyze", path, "--out", out, *SMALL, "--json", "--strict")
    assert (strict.code, strict.answer["error"]["code"]) == (1, "incomplete")


def test_wrong_units_are_told(environment: Environment, tmp_path: Path, out: Path) -> None:
    path = volume(tmp_path / "metres.nii.gz", np.random.default_rng(0).random((9, 9, 9)), unit=1, spacing=0.004)
    called = call(environment, "analyze", path, "--out", out, *SMALL, "--json")
    source = json.loads((Path(called.answer["data"]["analyses"][0]["report"]) / "report.json").read_text())["sources"][
        0
    ]
    assert source["spacing_mm"] == pytest.approx([4.0, 4.0, 4.0])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--application", "trivail"), "unknown_name", "trivial"),
        (("--formats", "html,docx"), "unknown_name", "pdf"),
        (("--language", "fr"), "config", "zh"),
        (("--geometry", "guess"), "unknown_name", "regrid"),
        (("--series", "1.2.3"), "unknown_name", "one-"),
        (("--workers", "0"), "config", "greater"),
    ],
)
def test_unknown_names_exit_2(
    environment: Environment, study: Path, out: Path, arguments: tuple[str, ...], code: str, said: str
) -> None:
    named = () if "--application" in arguments else ("--application", "trivial")
    called = call(environment, "analyze", study, "--out", out, *named, *arguments, "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, code)
    assert said in called.answer["error"]["expected"] + called.answer["error"]["fix"]
    assert not files(out) if out.exists() else True


def test_a_study_that_is_not_there_exits_2(environment: Environment, tmp_path: Path, out: Path) -> None:
    called = call(environment, "analyze", tmp_path / "absent", "--out", out, *SMALL, "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "usage")
    assert not out.exists()


def test_output_that_exists_needs_force(environment: Environment, study: Path, out: Path) -> None:
    call(environment, "analyze", study, "--out", out, *SMALL)
    before = files(out)
    other = ("--application", "trivial", "--formats", "csv")
    called = call(environment, "analyze", study, "--out", out, *other, "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "output_exists")
    assert files(out) == before
    assert call(environment, "analyze", study, "--out", out, *other, "--force").code == 0
    assert not any(name.endswith("nii.gz") for name in files(out))


def test_a_zip_is_a_study(environment: Environment, study: Path, tmp_path: Path, out: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        archive.write(study, "inside/one.nii.gz")
    called = call(environment, "analyze", tmp_path / "study.zip", "--out", out, *SMALL, "--json")
    assert called.answer["data"]["analyses"][0]["outcome"] == "completed"


def test_a_bad_study_does_not_spoil_the_rest(environment: Environment, study: Path, out: Path) -> None:
    head(study.parent / "two.nii.gz", level=70)
    (study.parent / "cut.nii.gz").write_bytes(study.read_bytes()[:3000])
    called = call(environment, "analyze", study.parent, "--out", out, *SMALL, "--workers", "2", "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "incomplete")
    found = sorted(row["outcome"] for row in called.answer["data"]["analyses"])
    assert found == ["completed", "completed", "failed"]
    assert len((out / "summary.csv").read_text().splitlines()) == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a disk of 256 kB."""
    yield from _mounted(tmp_path / "disk", "size=256k")


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder that nobody may write to."""
    folder = tmp_path / "sealed"
    if os.geteuid() != 0:
        folder.mkdir()
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    yield from _mounted(folder, "ro")


def _mounted(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(line, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def only_the_summary(out: Path) -> bool:
    return set(files(out)) <= {"summary.csv"} and not [p for p in out.rglob("*") if p.is_dir()]


def test_a_full_disk_leaves_nothing(environment: Environment, study: Path, small_disk: Path) -> None:
    out = small_disk / "out"
    called = call(environment, "analyze", study, "--out", out, "--application", "trivial", "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "output")
    assert "full" in called.answer["error"]["message"]
    assert called.answer["error"]["fix"]
    assert only_the_summary(out)


def limited(environment: Environment, *arguments: object) -> Called:
    """Run the program where no file may exceed 20 kB, which stands for a full disk without root."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    line = [sys.executable, "-m", "vesalius", *map(str, arguments)]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, preexec_fn=limit, check=False)
    return Called(ended.returncode, ended.stdout, ended.stderr)


def test_a_file_that_cannot_grow_leaves_nothing(environment: Environment, study: Path, out: Path) -> None:
    arguments = ("analyze", study, "--out", out, "--application", "trivial", "--formats", "html", "--json")
    called = limited(environment, *arguments)
    assert (called.code, called.answer["error"]["code"]) == (1, "output")
    assert only_the_summary(out)
    assert "failed" in (out / "summary.csv").read_text()
    assert call(environment, *arguments).code == 0


def test_a_read_only_output(environment: Environment, study: Path, read_only: Path) -> None:
    called = call(environment, "analyze", study, "--out", read_only / "out", *SMALL, "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "output")
    assert str(read_only) in called.answer["error"]["message"]
    assert called.answer["error"]["fix"]


def start(environment: Environment, *arguments: object, **extra: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "vesalius", *map(str, arguments)]
    return subprocess.Popen(
        line, env={**environment, **extra}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_exits_130_and_the_next_run_goes_on(environment: Environment, study: Path, out: Path) -> None:
    process = start(environment, "analyze", study, "--out", out, *SMALL, "--json", VESALIUS_TEST_SLEEP="60")
    assert process.stderr is not None
    assert any("threshold" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    said, error = process.communicate(timeout=300)
    assert process.returncode == 130
    assert json.loads(said)["error"]["code"] == "interrupted"
    assert "Traceback" not in error
    assert call(environment, "analyze", study, "--out", out, *SMALL).code == 0


def work_began(process: subprocess.Popen[str], out: Path) -> float:
    """Return when the first report was begun; its folder is there and not yet whole."""
    while process.poll() is None and not list(out.glob("*/.*.partial/.run.json")):
        time.sleep(0.005)
    return time.monotonic()


def killed(environment: Environment, out: Path, moment_s: float, arguments: tuple[object, ...]) -> None:
    """Kill a run so long after its work began; one that was faster this time is started anew and killed earlier."""
    while True:
        process = start(environment, *arguments)
        work_began(process, out)
        time.sleep(moment_s)
        process.kill()
        process.communicate()
        if process.returncode == -signal.SIGKILL:
            return
        assert process.returncode == 0
        shutil.rmtree(out)
        moment_s /= 2


def killed_three_times(environment: Environment, study: Path, folder: Path, options: tuple[str, ...]) -> None:
    """Kill a run at random moments of its first, second and last third, run it again, compare with one left alone."""
    whole = folder / "whole"
    process = start(environment, "analyze", study, "--out", whole, *options)
    began = work_began(process, whole)
    process.communicate()
    seconds = time.monotonic() - began
    assert process.returncode == 0
    interrupted = 0
    for number in range(3):
        out = folder / f"killed{number}"
        arguments = ("analyze", study, "--out", out, *options)
        moment_s = random.uniform(number, number + 1) / 3 * seconds
        killed(environment, out, moment_s, arguments)
        interrupted += bool(list(out.glob("*/.*.partial")))
        for report in out.glob("*/*/report.json"):
            assert report.parent.name.startswith(".") or (report.parent / ".done.json").is_file()
        assert call(environment, *arguments).code == 0
        assert not list(out.glob("*/.*.partial"))
        assert same(out) == same(whole), moment_s
        assert set(files(out)) == set(files(whole)), moment_s
    assert interrupted


@pytest.mark.slow
def test_killed_at_three_random_moments_and_run_again_is_the_same(
    environment: Environment, study: Path, tmp_path: Path
) -> None:
    head(study.parent / "two.nii.gz", level=70)
    options = ("--application", "trivial", "--formats", "csv,nifti,html,seg", "--workers", "2")
    killed_three_times(environment, study.parent, tmp_path, options)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_brain_mri_killed_at_three_random_moments_is_the_same(environment: Environment, tmp_path: Path) -> None:
    import nibabel

    nilearn = pytest.importorskip("nilearn")
    source = Path(nilearn.__file__).parent / "datasets" / "data" / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    coarse = nibabel.load(source).slicer[::2, ::2, ::2]
    (tmp_path / "in").mkdir()
    nibabel.save(coarse, tmp_path / "in" / "head.nii.gz")
    options = ("--application", "brain-mri", "--formats", "csv,nifti,html,seg,sr")
    killed_three_times(environment, tmp_path / "in", tmp_path, options)


def test_uids_of_an_interrupted_run_are_kept(environment: Environment, study: Path, out: Path) -> None:
    process = start(environment, "analyze", study, "--out", out, *SMALL, VESALIUS_TEST_SLEEP="60")
    pattern, until = "*/.*.partial/.run.json", time.monotonic() + 300
    while not list(out.glob(pattern)) and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=300)
    kept = json.loads(next(iter(out.glob(pattern))).read_text())["run_id"]
    assert call(environment, "analyze", study, "--out", out, *SMALL).code == 0
    report = json.loads(next(iter(out.glob("*/trivial/report.json"))).read_text())
    assert report["run"]["id"] == kept
    assert not list(out.glob("*/.*"))


def test_no_header_value_is_told(environment: Environment, tmp_path: Path, out: Path, data_root: Path) -> None:
    import pydicom

    folder = tmp_path / "dicom"
    folder.mkdir()
    for path in sorted((data_root / "brain_mprage_dicom").iterdir()):
        data = pydicom.dcmread(path)
        data.PatientName, data.PatientID = "Zebedee^Quixotic", "QX-4711-Z"
        data.save_as(folder / path.name)
    (folder / sorted(os.listdir(folder))[60]).unlink()
    called = call(environment, "analyze", folder, "--out", out, *SMALL, "-v", "--json")
    assert called.answer["data"]["analyses"][0]["outcome"] == "refused"
    written = b"".join(content for name, content in files(out).items() if not name.endswith(".html"))
    for secret in ("Zebedee", "Quixotic", "QX-4711"):
        assert secret not in called.out + called.err
        assert secret.encode() not in written
