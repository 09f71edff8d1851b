"""`vesalius enhance` as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from calling import Called, call
from scipy import ndimage

from vesalius.core import Volume
from vesalius.imaging.methods import METHODS

Environment = Mapping[str, str]
Run = Callable[..., Called]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Return the environment of a user with a home of their own."""
    for name, value in (("VESALIUS_HOME", str(tmp_path / "home")), ("COLUMNS", "200"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.fixture
def run(environment: Environment, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the program, run in this process: most calls need no other one."""

    def program(*arguments: object) -> Called:
        from vesalius.cli import main

        capsys.readouterr()
        code = main([str(one) for one in arguments])
        shown = capsys.readouterr()
        return Called(code, shown.out, shown.err)

    return program


def image(path: Path, seed: int = 0, level: float = 30.0, modality: str = "CT") -> Path:
    """Write a bright box with noise, 1.5 x 1 x 1 mm."""
    from vesalius import io

    array = np.full((10, 40, 36), 100.0)
    array[3:8, 10:30, 8:28] = 400
    array += np.random.default_rng(seed).normal(0, level, array.shape) if level else 0
    io.save(Volume(array.astype(np.int16), np.diag([1.5, 1.0, 1.0, 1.0]), modality=modality), path)
    return path


def voxels(path: Path) -> np.ndarray:
    """Return what a file holds, [slice, row, column]."""
    from vesalius import io

    with io.scan(path) as found:
        return io.load(found.studies[0].series[0]).array


def test_an_image_is_smoothed_and_never_overwritten(environment: Environment, tmp_path: Path) -> None:
    source, out = image(tmp_path / "in.nii.gz"), tmp_path / "out.nrrd"
    called = call(environment, "enhance", "gaussian", source, out, "--sigma-mm", 1.5, "--json")
    assert called.code == 0
    assert called.answer["data"] == {"files": [str(out)], "steps": [["gaussian", "sigma_mm=1.5"]]}
    given = voxels(source)
    expected = ndimage.gaussian_filter(given.astype(float), (1.0, 1.5, 1.5), mode="nearest")
    result = voxels(out)
    assert result.dtype == np.int16
    assert np.abs(result - expected).max() <= 0.51
    again = call(environment, "enhance", "gaussian", source, out, "--sigma-mm", 1, "--json")
    assert (again.code, again.answer["error"]["code"]) == (2, "output_exists")
    assert np.array_equal(voxels(out), result)
    assert call(environment, "enhance", "gaussian", source, out, "--sigma-mm", 1, "--force").code == 0


def test_dicom_in_and_dicom_out_are_a_series_of_its_own(run: Run, tmp_path: Path) -> None:
    from pydicom import dcmread

    source = image(tmp_path / "in.nii.gz")
    assert run("convert", source, tmp_path / "dicom", "--to", "dicom", "--modality", "CT").code == 0
    for name, width in (("a", 3), ("b", 5)):
        arguments = ("enhance", "median", tmp_path / "dicom", tmp_path / name, "--to", "dicom", "--width-mm", width)
        assert run(*arguments).code == 0
    headers = [dcmread(next((tmp_path / name).iterdir())) for name in ("dicom", "a", "b")]
    assert len({header.SOPInstanceUID for header in headers}) == 3
    assert len({header.SeriesInstanceUID for header in headers}) == 3
    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert headers[1].SeriesDescription == "median width_mm=3.0"
    expected = ndimage.median_filter(voxels(tmp_path / "dicom"), size=(3, 3, 3), mode="nearest")
    assert np.array_equal(voxels(tmp_path / "a"), expected)


def test_a_picture_of_unknown_spacing_needs_a_spacing(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "us.png")
    arguments = ("enhance", "lee", tmp_path / "us.png", tmp_path / "out.nrrd", "--width-mm", 5, "--json")
    refused = run(*arguments)
    assert (refused.code, refused.answer["error"]["code"]) == (1, "unknown_spacing")
    assert run(*arguments, "--spacing-mm", "1").code == 0
    wrong = run(*arguments, "--spacing-mm", "1,2")
    assert (wrong.code, wrong.answer["error"]["code"]) == (2, "usage")


def test_a_chain_and_a_missing_value(run: Run, tmp_path: Path) -> None:
    source = image(tmp_path / "in.nii.gz")
    chain = "median width_mm=3 slicewise | window centre=250 width=400"
    called = run("enhance", "chain", source, tmp_path / "o.mha", "--steps", chain, "--json")
    assert called.code == 0
    assert [step[0] for step in called.answer["data"]["steps"]] == ["median", "window"]
    result = voxels(tmp_path / "o.mha")
    assert result.min() >= 0
    assert result.max() <= 255


def test_nan_is_refused_and_filled_when_told(run: Run, tmp_path: Path) -> None:
    import nibabel

    array = np.random.default_rng(0).normal(100, 5, (9, 9, 9)).astype(np.float32)
    array[4, 4, 4] = np.nan
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), tmp_path / "in.nii.gz")
    arguments = ("enhance", "mean", tmp_path / "in.nii.gz", tmp_path / "o.nii.gz", "--width-mm", 3, "--json")
    refused = run(*arguments)
    assert (refused.code, refused.answer["error"]["code"]) == (1, "image_content")
    assert "--fill-nan" in refused.answer["error"]["fix"]
    assert run(*arguments, "--fill-nan", 100).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("gausian", "a", "b"), "unknown_name", "did you mean 'gaussian'?"),
        (("gaussian", "IN", "o.nii.gz"), "usage", "--sigma-mm"),
        (("gaussian", "IN", "o.nii.gz", "--sigma-mm", "-1"), "usage", "sigma_mm"),
        (("gaussian", "IN", "o.nii.gz", "--sigma-mm", "wide"), "usage", "--sigma-mm"),
        (("gaussian", "IN", "o.nii.gz", "--sigma", "1"), "usage", "--help"),
        (("window", "IN", "o.nii.gz", "--preset", "lungs"), "unknown_name", "did you mean 'lung'?"),
        (("gaussian", "absent.nii.gz", "o.nii.gz", "--sigma-mm", "1"), "usage", ""),
        (("gaussian", "IN", "o.png", "--sigma-mm", "1"), "usage", ""),
        (("chain", "IN", "o.nii.gz", "--steps", "median widthmm=3"), "unknown_name", "width_mm"),
        (("gaussian", "IN", "o.nii.gz", "--sigma-mm", "1", "--geometry", "guess"), "unknown_name", ""),
    ],
)
def test_wrong_usage_is_one_clear_error(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], code: str, part: str
) -> None:
    source = image(tmp_path / "in.nii.gz")
    placed = [str(source) if a == "IN" else str(tmp_path / a) if a.startswith("o.") else a for a in arguments]
    called = run("enhance", *placed, "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, code)
    assert part in called.answer["error"]["fix"] + called.answer["error"]["message"]


def test_list_tells_every_method_with_units(run: Run) -> None:
    told = run("enhance", "list", "--json").answer["data"]["methods"]
    assert [one["name"] for one in told] == list(METHODS)
    assert told[2]["parameters"][0] == {
        "name": "sigma_mm", "kind": "number", "help": "standard deviation of the smoothing", "unit": "mm",
        "default": None, "required": True, "choices": [], "option": "--sigma-mm",
    }  # fmt: skip
    plain = run("enhance", "list")
    assert plain.code == 0
    assert all(name in plain.out for name in METHODS)


@pytest.mark.parametrize("name", ["gaussian", "wavelet", "window", "nyul", "chain", "compare", "list"])
def test_every_method_has_its_own_help(run: Run, name: str) -> None:
    called = run("enhance", name, "--help")
    assert called.code == 0
    for parameter in METHODS[name].parameters if name in METHODS else ():
        assert parameter.option in called.out
    assert "in mm" in called.out or name not in ("gaussian", "wavelet")


def test_help_imports_no_numpy(environment: Environment) -> None:
    for line in (["enhance", "--help"], ["enhance", "median", "--help"]):
        code = f"import sys; from vesalius.cli import main; main({line!r}); sys.exit('numpy' in sys.modules)"
        ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)
        assert ended.returncode == 0


def test_compare_flags_the_chain_that_hurts(run: Run, tmp_path: Path) -> None:
    source, clean = image(tmp_path / "in.nii.gz", level=60), image(tmp_path / "clean.nii.gz", level=0)
    truth = tmp_path / "truth.nii.gz"
    from vesalius import io

    io.save(Volume((voxels(clean) > 250).astype(np.int16), np.diag([1.5, 1.0, 1.0, 1.0])), truth)
    arguments = (
        "enhance", "compare", source, "--reference", clean, "--task", "otsu", "--mask", truth,
        "--chain", "median width_mm=3", "--chain", "gaussian sigma_mm=12",
    )  # fmt: skip
    called = run(*arguments, "--json")
    assert called.code == 0
    good, bad = called.answer["data"]["comparisons"]
    assert (good["flagged"], bad["flagged"]) == (False, True)
    assert good["after"]["psnr_db"] > good["before"]["psnr_db"] + 3
    assert bad["task"]["change"] < -0.1
    assert any("do not use it here" in warning for warning in called.answer["warnings"])
    plain = run(*arguments)
    assert "HURTS" in plain.out
    alone = run("enhance", "compare", source, "--chain", "median width_mm=3", "--json")
    assert (alone.code, alone.answer["error"]["code"]) == (2, "usage")


def test_nyul_learns_from_images_and_normalise_gives_float(run: Run, tmp_path: Path) -> None:
    paths = [image(tmp_path / f"{n}.nii.gz", seed=n) for n in range(2)]
    out = tmp_path / "n.nii.gz"
    both = f"{paths[0]},{paths[1]}"
    assert run("enhance", "nyul", paths[0], out, "--scale", both).code == 0
    assert voxels(out).dtype == np.float32
    assert run("enhance", "normalise", paths[0], tmp_path / "z.nrrd", "--method", "percentile").code == 0
