"""`vesalius features` as a user calls it."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from calling import call
from in_process import Run, ball_mask, own_home, run, saved, textured

from vesalius.core import errors

sys.path.insert(0, str(Path(__file__).parents[1] / "features"))

from _radiomics_data import references

__all__ = ["own_home", "run"]

QUICK = ("--families", "stat,ih", "--perturbations", 0)


def rows(path: Path) -> list[dict[str, str]]:
    """Return a table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_reference_values_of_the_digital_phantom(run: Run, tmp_path: Path, data_root: Path) -> None:
    folder, out = data_root / "ibsi_1_digital_phantom", tmp_path / "t.csv"
    image, mask = folder / "nifti/image/phantom.nii.gz", folder / "nifti/mask/mask.nii.gz"
    called = run("features", image, mask, "--preset", "ibsi-digital", "--perturbations", 0, "--out", out)
    assert called.code == 0, called.err
    ours = {row["tag"]: float(row["value"]) for row in rows(out)}
    scored = [line for line in references(data_root) if line[1] is not None]
    assert [tag for tag, value, apart in scored if value is None or not abs(ours[tag] - value) <= apart] == []
    assert len(scored) >= 480


def test_a_table_names_definition_unit_settings_and_stability(run: Run, tmp_path: Path) -> None:
    image, mask, out = textured(tmp_path / "i.nii.gz"), ball_mask(tmp_path / "m.nii.gz", 7, 6), tmp_path / "t.csv"
    called = run("features", image, mask, "--out", out, "--families", "stat", "--perturbations", 2, "--json", "-q")
    assert called.code == 0, called.err
    table = rows(out)
    assert list(table[0]) == [
        *("image", "segment", "label", "filter", "tag", "code", "name", "family", "aggregation", "value", "unit"),
        *("icc", "icc_low", "icc_high", "spread", "volume_correlation", "settings"),
    ]
    mean = next(row for row in table if row["tag"] == "stat_mean" and row["label"] == "2")
    assert (mean["code"], mean["image"], mean["segment"]) == ("Q4LE", "i.nii.gz", "label 2")
    assert -1 <= float(mean["icc"]) <= 1
    assert float(mean["spread"]) > 0
    about = json.loads((tmp_path / "t.settings.json").read_text())
    assert about["settings"][0]["sha256"] == mean["settings"]
    assert about["stability"]["count"] == 2
    told = called.answer["data"]
    assert len(told["rows"]) == len(table) == 2 * 18
    assert told["rows"][0]["value"] == float(table[0]["value"])


def test_the_same_call_repeats_and_another_does_not_overwrite(run: Run, tmp_path: Path) -> None:
    image, mask, out = textured(tmp_path / "i.nii.gz"), ball_mask(tmp_path / "m.nii.gz", 7), tmp_path / "t.csv"
    assert run("features", image, mask, "--out", out, "--families", "stat", "--perturbations", 2).code == 0
    before = out.read_bytes()
    assert run("features", image, mask, "--out", out, "--families", "stat", "--perturbations", 2).code == 0
    changed = run("features", image, mask, "--out", out, *QUICK, "--json")
    assert (changed.code, changed.answer["error"]["code"]) == (2, "output_exists")
    assert out.read_bytes() == before
    assert run("features", image, mask, "--out", out, *QUICK, "--force").code == 0


def test_layouts_and_formats_hold_the_same_numbers(run: Run, tmp_path: Path) -> None:
    image, mask = textured(tmp_path / "i.nii.gz"), ball_mask(tmp_path / "m.nii.gz", 7, 5)
    common = ("features", "radiomics", image, mask, *QUICK, "--filter", "none", "--filter", "log sigma_mm=2")
    assert run(*common, "--out", tmp_path / "long.tsv").code == 0
    assert run(*common, "--out", tmp_path / "wide.csv", "--layout", "wide").code == 0
    assert run(*common, "--out", tmp_path / "all.json").code == 0
    with (tmp_path / "long.tsv").open() as file:
        long = list(csv.DictReader(file, delimiter="\t"))
    wide = {row["label"]: row for row in rows(tmp_path / "wide.csv")}
    content = json.loads((tmp_path / "all.json").read_text())
    assert content["schema"] == "vesalius.features/1"
    assert len(content["settings"]) == 2
    for row, same in zip(long, content["rows"], strict=True):
        prefix = "" if row["filter"] == "none" else f"{row['filter']}: "
        assert row["value"] == wide[row["label"]][prefix + row["tag"]] == repr(same["value"])
    assert (tmp_path / "wide.stability.csv").is_file()


def test_a_settings_file_says_what_options_say(run: Run, tmp_path: Path) -> None:
    image, mask = textured(tmp_path / "i.nii.gz"), ball_mask(tmp_path / "m.nii.gz", 7)
    text = """
families: [stat, cm]
aggregations: [3D_avg]
discretisation: {width: 20}
interpolation: {spacing_mm: [1.5]}
resegmentation: {lower: -200, upper: 400}
filters: [none, {mean: {support: 3}}, laws kernels=L5E5S5]
perturbations: none
"""
    (tmp_path / "s.yaml").write_text(text)
    assert run("features", image, mask, "--settings", tmp_path / "s.yaml", "--out", tmp_path / "a.csv").code == 0
    options = ("--families", "stat,cm", "--merging", "averaged", "--bin-width", 20, "--resample-mm", 1.5)
    more = ("--within=-200,400", "--filter", "none", "--filter", "mean support=3", "--filter", "laws kernels=L5E5S5")
    called = run("features", image, mask, *options, *more, "--perturbations", 0, "--out", tmp_path / "b.csv")
    assert called.code == 0, called.err
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("familys: [stat]", ("unknown key", "families")),
        ("families: [glcm]", ("glcm",)),
        ("imageType: {Original: {}}", ("PyRadiomics", "--preset pyradiomics")),
        ("discretisation: {bins: 8, width: 3}", ("one way",)),
        ("filters: [lgo]", ("log",)),
        ("filters: [log]", ("sigma_mm",)),
        ("filters: ['log sigma=3']", ("sigma_mm",)),
    ],
)
def test_a_wrong_settings_file_says_what_is_right(run: Run, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    image, mask = textured(tmp_path / "i.nii.gz"), ball_mask(tmp_path / "m.nii.gz", 7)
    (tmp_path / "s.yaml").write_text(text)
    called = run("features", image, mask, "--settings", tmp_path / "s.yaml", "--out", tmp_path / "t.csv")
    assert called.code == 2
    assert all(word in called.err for word in words), called.err
    assert not (tmp_path / "t.csv").exists()


def test_a_table_of_cases_gives_stability_and_names_what_failed(run: Run, tmp_path: Path) -> None:
    for number, radius in enumerate((5, 6, 7)):
        textured(tmp_path / f"i{number}.nii.gz", number)
        ball_mask(tmp_path / f"m{number}.nii.gz", radius)
    saved(tmp_path / "empty.nii.gz", np.zeros((12, 30, 28), np.uint8))
    lines = "".join(f"i{n}.nii.gz,m{n}.nii.gz\n" for n in range(3))
    (tmp_path / "cases.csv").write_text("path,mask\n" + lines)
    common = ("--families", "stat,morph", "--perturbations", 3)
    called = run("features", tmp_path / "cases.csv", "--out", tmp_path / "t.csv", *common)
    assert called.code == 0, called.err
    volume = next(row for row in rows(tmp_path / "t.csv") if row["tag"] == "morph_vol_approx")
    assert float(volume["volume_correlation"]) == pytest.approx(1.0)
    assert float(volume["icc"]) > 0.75
    (tmp_path / "cases.csv").write_text("path,mask\n" + lines + "i0.nii.gz,empty.nii.gz\n")
    called = run("features", tmp_path / "cases.csv", "--out", tmp_path / "u.csv", *common, "--json")
    assert called.code == 1
    assert called.answer["error"]["code"] == "incomplete"
    assert [one["code"] for one in called.answer["data"]["failed"]] == ["image_content"]
    assert len(rows(tmp_path / "u.csv")) == len(rows(tmp_path / "t.csv"))


def test_every_kind_of_mask_gives_the_same_values(run: Run, tmp_path: Path) -> None:
    image, mask = textured(tmp_path / "i.nii.gz"), tmp_path / "m.nii.gz"
    assert run("convert", image, tmp_path / "ct", "--to", "dicom", "--modality", "CT").code == 0
    bright = ("segment", "range", "--low", 150)
    for kind, out in (("nifti", mask), ("seg", tmp_path / "seg"), ("rtstruct", tmp_path / "rt")):
        assert run(*bright, tmp_path / "ct", out, "--to", kind).code == 0
    assert run("convert", tmp_path / "ct", tmp_path / "ct.nrrd").code == 0
    found = {}
    for name, given in {
        "nifti": (tmp_path / "ct.nrrd", mask),
        "seg": (tmp_path / "ct", tmp_path / "seg/range_seg.dcm"),
        "seg folder": (tmp_path / "ct", tmp_path / "seg"),
        "rtstruct": (tmp_path / "ct", tmp_path / "rt/range_rtstruct.dcm"),
    }.items():
        called = run("features", *given, *QUICK, "--families", "stat,morph", "--out", tmp_path / f"{name}.csv", "-q")
        assert called.code == 0, (name, called.err)
        found[name] = [float(row["value"]) for row in rows(tmp_path / f"{name}.csv")]
    for name, values in found.items():
        np.testing.assert_allclose(values, found["nifti"], rtol=1e-6, err_msg=name)


def test_pyradiomics_definitions_by_a_preset(run: Run, tmp_path: Path, data_root: Path) -> None:
    folder = data_root / "pyradiomics_refs"
    given = (folder / "brain1_image.nrrd", folder / "brain1_label.nrrd")
    called = run("features", *given, "--preset", "pyradiomics", "--perturbations", 0, "--out", tmp_path / "t.csv")
    assert called.code == 0, called.err
    ours = {row["tag"]: float(row["value"]) for row in rows(tmp_path / "t.csv")}
    with (folder / "baseline" / "baseline_glcm.csv").open(encoding="utf-8-sig") as file:
        lines = {line["featureName"]: line["brain1"] for line in csv.DictReader(file)}
    for theirs, tag in (("JointEntropy", "cm_joint_entr"), ("Contrast", "cm_contrast"), ("Imc2", "cm_info_corr2")):
        name = next(key for key in lines if key.endswith(f"glcm_{theirs}"))
        assert ours[f"{tag}_3D_avg"] == pytest.approx(float(lines[name]), rel=1e-6)


def bad_inputs(folder: Path) -> dict[str, tuple[tuple[object, ...], str, int, str]]:
    """Return arguments, error code, exit code and a word of the advice, by name."""
    image, mask = textured(folder / "i.nii.gz"), ball_mask(folder / "m.nii.gz", 7)
    lone = np.zeros((12, 30, 28), np.uint8)
    empty = saved(folder / "empty.nii.gz", lone)
    lone[5, 5, 5] = 1
    holes = np.ones((12, 30, 28), np.float32)
    holes[6, 8, 14] = np.nan
    soft = saved(folder / "soft.nii.gz", np.full((12, 30, 28), 0.5, np.float32))
    return {
        "empty mask": ((image, empty), "image_content", 1, "at least one voxel"),
        "one voxel": ((image, saved(folder / "one.nii.gz", lone)), "image_content", 1, "at least two voxels"),
        "no such label": ((image, mask, "--segment", "9"), "label", 1, "label 1"),
        "NaN inside": ((saved(folder / "nan.nii.gz", holes), mask), "image_content", 1, "finite"),
        "soft mask": ((image, soft), "image_content", 1, "threshold"),
        "other grid": ((image, saved(folder / "g.nii.gz", lone[:, ::2], (2, 2.1, 1))), "geometry", 1, "--fit-mask"),
        "no mask": ((image,), "usage", 2, "MASK"),
        "no file": ((image, folder / "none.nii.gz"), "usage", 2, "none.nii.gz"),
        "no preset": ((image, mask, "--preset", "ibsi-Z"), "unknown_name", 2, "ibsi-A"),
        "two binnings": ((image, mask, "--bins", 8, "--bin-width", 3), "usage", 2, "exclude"),
        "no dimension": ((image, mask, "--dimension", "4D"), "unknown_name", 2, "2.5D"),
        "no layout": ((image, mask, "--layout", "fat"), "unknown_name", 2, "wide"),
    }


def test_bad_input_names_what_to_do(run: Run, tmp_path: Path) -> None:
    for name, (arguments, code, exit_code, word) in bad_inputs(tmp_path).items():
        called = run("features", *arguments, "--perturbations", 0, "--out", tmp_path / "t.csv", "--json", "-q")
        assert (called.code, called.answer["error"]["code"]) == (exit_code, code), (name, called.out)
        assert word in called.err, (name, called.err)
        assert not (tmp_path / "t.csv").exists(), name
    called = run("features", tmp_path / "i.nii.gz", tmp_path / "m.nii.gz", "--out", tmp_path / "t.xlsx", "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "usage")


def test_a_mask_on_another_grid_is_resampled_on_request(run: Run, tmp_path: Path) -> None:
    image = textured(tmp_path / "i.nii.gz")
    fine = np.zeros((24, 30, 28), np.uint8)
    fine[8:17, 10:20, 10:20] = 1
    mask = saved(tmp_path / "m.nii.gz", fine, (1.0, 1.0, 1.0))
    called = run("features", image, mask, "--fit-mask", *QUICK, "--out", tmp_path / "t.csv")
    assert called.code == 0, called.err


def test_a_flat_picture_gets_two_dimensional_features(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 255, (40, 50)).astype(np.uint8)
    Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(tmp_path / "i.png")
    Image.fromarray(np.where(np.mgrid[:40, :50][0] > 20, 255, 0).astype(np.uint8)).save(tmp_path / "m.png")
    called = run("features", tmp_path / "i.png", tmp_path / "m.png", "--out", tmp_path / "t.csv", "--json")
    assert called.code == 0, called.err
    found = {row["tag"]: float(row["value"]) for row in rows(tmp_path / "t.csv")}
    assert found["stat_mean"] == pytest.approx(grey[21:].mean())
    assert any(tag.endswith("_2D_avg") for tag in found)
    assert not any(tag.startswith("morph") for tag in found)
    assert "pixel size" in " ".join(called.answer["warnings"])
    spaced = ("--spacing-mm", 0.5, "--perturbations", 2, "--families", "stat")
    assert run("features", tmp_path / "i.png", tmp_path / "m.png", *spaced, "--out", tmp_path / "u.csv").code == 0
    called = run("features", tmp_path / "i.png", tmp_path / "m.png", "--dimension", "3D", "--out", tmp_path / "v.csv")
    assert called.code == 1
    assert "--dimension 2D" in called.err


def test_metrics_of_two_masks(run: Run, tmp_path: Path) -> None:
    from vesalius.evaluate import metrics
    from vesalius.features.masks import read_mask_file

    one, two = ball_mask(tmp_path / "a.nii.gz", 7, 5), ball_mask(tmp_path / "b.nii.gz", 6, 5)
    options = ("--tolerance-mm", 1, "--lesions")
    called = run("features", "metrics", one, two, *options, "--out", tmp_path / "t.csv", "--json")
    assert called.code == 0, called.err
    found = {(row["segment"], row["metric"]): row["value"] for row in called.answer["data"]["rows"]}
    masks = [read_mask_file(path).masks[0] for path in (one, two)]
    assert found["label 1", "dice"] == metrics.dice(*masks, "label 1") < 1
    assert found["label 1", "hd95"] == metrics.hd95(*masks, "label 1")
    assert found["label 2", "dice"] == found["label 2", "lesion_f1"] == 1
    assert found["label 1", "surface_dice"] <= 1
    empty = saved(tmp_path / "e.nii.gz", np.zeros((12, 30, 28), np.uint8))
    called = run("features", "metrics", empty, two, "--metrics", "dice,hd95", "--json")
    assert called.code == 0, called.err
    first, second, *_ = called.answer["data"]["rows"]
    assert (first["value"], first["state"], second["value"]) == (0.0, "prediction_empty", None)
    lone = ball_mask(tmp_path / "l.nii.gz", 7)
    crossed = run("features", "metrics", lone, two, "--segment", "label 1=label 2", "--metrics", "dice", "--json")
    assert [row["value"] for row in crossed.answer["data"]["rows"]] == [0.0]
    joined = run("features", "metrics", one, two, "--joined", "--metrics", "volume_error_ml", "--json")
    inside = [sum(np.count_nonzero(mask.array == k) for k in (1, 2)) for mask in masks]
    assert joined.answer["data"]["rows"][0]["value"] == pytest.approx((inside[0] - inside[1]) * 2 / 1000)
    missing = run("features", "metrics", lone, two, "--json")
    assert (missing.code, missing.answer["error"]["code"]) == (1, "label")
    assert "--joined" in missing.err
    called = run("features", "metrics", one, two, "--definition", "mine", "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "unknown_name")
    called = run("features", "metrics", one, empty, "--json")
    assert (called.code, called.answer["error"]["code"]) == (1, "label")


def test_lesions_vessels_and_relations(run: Run, tmp_path: Path) -> None:
    array = np.zeros((20, 40, 60), np.uint8)
    array[5:10, 10:20, 10:40] = 1
    array[15:17, 30:33, 50:53] = 1
    mask = saved(tmp_path / "m.nii.gz", array)
    body = saved(tmp_path / "body.nii.gz", np.ones((20, 40, 60), np.uint8))
    called = run("features", "lesions", mask, "--reference", body, "--json")
    large, small = called.answer["data"]["rows"]
    assert large["volume_ml"] == pytest.approx(5 * 10 * 30 * 2 / 1000)
    assert large["longest_mm"] == pytest.approx(np.hypot(10, 30), abs=0.5)
    assert (small["voxels"], small["left_right"], small["up_down"]) == (18, "left", "superior")
    called = run("features", "lesions", mask, "--smallest-ml", 0.1, "--out", tmp_path / "l.csv")
    assert len(rows(tmp_path / "l.csv")) == 1
    z, y, _ = np.mgrid[:21, :21, :60]
    tube = saved(tmp_path / "t.nrrd", ((z - 10) ** 2 + (y - 10) ** 2 <= 16).astype(np.uint8), (1, 1, 1))
    called = run("features", "vessels", tube, "--json")
    (row,) = called.answer["data"]["rows"]
    assert row["length_mm"] == pytest.approx(60, abs=2)
    assert row["diameter_mm"] == pytest.approx(8, abs=1)
    assert row["tortuosity"] == pytest.approx(1, abs=0.02)
    assert len(run("features", "vessels", tube, "--branches", "--json").answer["data"]["rows"]) == 1
    called = run("features", "relations", mask, body, "--json")
    (row,) = called.answer["data"]["rows"]
    assert (row["inside"], row["gap_mm"], row["enclosed"]) == (1.0, 0.0, True)
    called = run("features", "relations", body, "--json")
    assert (called.code, called.answer["error"]["code"]) == (2, "usage")


def test_help_and_list(own_home: Mapping[str, str], run: Run) -> None:
    for command in ("radiomics", "metrics", "lesions", "vessels", "relations", "list"):
        assert run("features", command, "--help").code == 0
    assert "radiomics" in run("features", "--help").out
    called = call(own_home, "features", "list", "--json")
    data = called.answer["data"]
    assert sum(len(family["features"]) for family in data["families"]) >= 170
    assert "hd95" in data["metrics"]
    assert issubclass(errors.IncompleteError, RuntimeError)
