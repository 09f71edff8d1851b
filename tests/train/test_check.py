"""What is planted is found and named; clean twins stay silent; damage never ends a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cohorts import Bits, body, labels, made, saved

from vesalius.core.cohort import Cohort
from vesalius.io.cohort import read_cohort
from vesalius.train.check import CheckOptions, CheckReport, check

COUNT = 48
QUICK = CheckOptions(draws=1000, turned=False)
ILL = labels(COUNT)
BY_CHANCE = labels(COUNT, seed=5)
"""Marks that know nothing of the labels."""


def kinds(report: CheckReport) -> set[str]:
    return {one.kind for one in report.findings}


def sized(folder: Path, row: int, mark: bool) -> str:
    return saved(body(row, (40, 50) if mark else (40, 44)), folder / f"{row:03d}.png")


def with_alpha(folder: Path, row: int, mark: bool) -> str:
    grey = body(row)
    layers = [grey] * 3 + ([np.full_like(grey, 255)] if mark else [])
    return saved(np.stack(layers, axis=-1), folder / f"{row:03d}.png")


def in_palette(folder: Path, row: int, mark: bool) -> str:
    from PIL import Image

    image = Image.fromarray(body(row))
    (image.convert("P") if mark else image).save(folder / f"{row:03d}.png")
    return f"{row:03d}.png"


def compressed(folder: Path, row: int, mark: bool) -> str:
    return saved(body(row), folder / f"{row:03d}.jpg", quality=60 if mark else 95)


def once_compressed(folder: Path, row: int, mark: bool) -> str:
    from PIL import Image

    rough = np.clip(body(row, (64, 64)) + np.random.default_rng(row).normal(0, 12, (64, 64)), 0, 255).astype(np.uint8)
    if mark:
        saved(rough, folder / "once.jpg", quality=20)
        with Image.open(folder / "once.jpg") as image:
            rough = np.asarray(image)
    return saved(rough, folder / f"{row:03d}.png")


def suffixed(folder: Path, row: int, mark: bool) -> str:
    return saved(body(row), folder / f"{row:03d}.{'PNG' if mark else 'png'}")


def numbered(folder: Path, row: int, mark: bool) -> str:
    return saved(body(row), folder / f"image ({row + 1000 * mark}).png")


def written_on(folder: Path, row: int, mark: bool) -> str:
    picture = body(row, (64, 64))
    if mark:
        picture[2:8:2, 3:10] = 255
        picture[2:8, 4:10:3] = 0
    return saved(picture, folder / f"{row:03d}.png")


def framed(folder: Path, row: int, mark: bool) -> str:
    picture = body(row)
    if mark:
        picture[:3] = 0
    return saved(picture, folder / f"{row:03d}.png")


def spaced(folder: Path, row: int, mark: bool) -> str:
    from vesalius import io
    from vesalius.core import Volume
    from vesalius.phantoms import grid_affine

    array = np.stack([body(row, (20, 20))] * 3).astype(np.int16)
    affine = grid_affine(array.shape, spacing_mm=(5.0, 1.0, 1.0) if mark else (2.0, 1.0, 1.0))
    io.save(Volume(array, affine), folder / f"{row:03d}.nii.gz")
    return f"{row:03d}.nii.gz"


FILES: dict[str, tuple[str, Callable[[Path, int, bool], str]]] = {
    "size": ("size", sized),
    "alpha": ("mode", with_alpha),
    "palette": ("mode", in_palette),
    "quality": ("encoding", compressed),
    "hidden quality": ("encoding", once_compressed),
    "suffix": ("encoding", suffixed),
    "order": ("order", numbered),
    "writing": ("corner", written_on),
    "frame": ("border", framed),
    "spacing": ("geometry", spaced),
}


@pytest.mark.parametrize("name", FILES)
def test_a_planted_shortcut_is_named_and_its_clean_twin_is_silent(tmp_path: Path, name: str) -> None:
    mechanism, write = FILES[name]
    planted = check(made(tmp_path / "planted", ILL, ILL, write=write), QUICK)
    assert {test.mechanism for test in planted.shortcuts} == {mechanism}
    finding = next(one for one in planted.findings if one.kind == "shortcut")
    assert finding.mechanism == mechanism
    assert finding.column
    assert finding.p_value is not None
    assert finding.p_value < 0.01
    assert set(finding.cases) in (set(np.flatnonzero(ILL)), set(np.flatnonzero(~ILL)))
    assert "(24/24)" in finding.rule
    assert not check(made(tmp_path / "clean", BY_CHANCE, ILL, write=write), QUICK).shortcuts


def table_of(marked: Bits, name: str) -> Cohort:
    """Return a cohort without images in which a column tells the marks."""
    age = np.random.default_rng(3).normal(60, 9, COUNT).round()
    columns: dict[str, object] = {
        "label": np.where(ILL, "ill", "well"),
        "patient_id": np.arange(COUNT).astype(str),
        "basis": np.full(COUNT, "waiver:7"),
        "age": age,
    }
    told = {
        "site": np.where(marked, "north", "south"),
        "scanner_model": np.where(marked, "A", "B"),
        "licence": np.where(marked, "open", "research"),
        "age": np.where(marked, np.nan, age),
        "code": np.where(marked, "x1", "x2"),
    }
    return Cohort({**columns, name: told[name]})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("name", "mechanism"), [("site", "site"), ("scanner_model", "scanner"), ("licence", "source"), ("age", "missing")]
)
def test_a_column_that_betrays_the_label_is_named(name: str, mechanism: str) -> None:
    planted = check(table_of(ILL, name), QUICK)
    assert [test.mechanism for test in planted.shortcuts] == [mechanism]
    assert planted.shortcuts[0].column.partition("=")[0] == name
    assert not check(table_of(BY_CHANCE, name), QUICK).shortcuts


def test_a_copy_of_the_label_is_no_feature() -> None:
    told = [one for one in check(table_of(ILL, "code"), QUICK).findings if one.kind == "label_told"]
    assert [one.message.parameters["column"] for one in told] == ["code"]
    assert "label_told" not in kinds(check(table_of(BY_CHANCE, "code"), QUICK))


def scanned(folder: Path, *, alike: bool) -> Cohort:
    """Return two folders of numbered pictures; where alike, four neighbours at a time show one patient."""
    paths = []
    for row in range(COUNT):
        name = "ill" if row < COUNT // 2 else "well"
        (folder / name).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(row)
        base = body(1000 + row // 4 if alike else 1000 + row, (48, 48)).astype(float)
        picture = np.clip(0.7 * base + 0.3 * body(row, (48, 48)) + rng.normal(0, 4, base.shape), 0, 255)
        saved(picture.astype(np.uint8), folder / name / f"{name} ({row % 24 + 1}).png")
        paths.append(f"{name}/{name} ({row % 24 + 1}).png")
    return Cohort({"path": np.array(paths), "label": np.array([p.partition("/")[0] for p in paths])}, folder)


def test_neighbours_of_one_patient_are_seen_without_ids(tmp_path: Path) -> None:
    report = check(scanned(tmp_path / "alike", alike=True), QUICK)
    finding = next(one for one in report.findings if one.kind == "neighbours")
    assert finding.column == "number in the name"
    assert len(finding.cases) > 4
    assert "neighbours" not in kinds(check(scanned(tmp_path / "apart", alike=False), QUICK))


def test_neighbours_whose_labels_were_exchanged_betray_nothing(tmp_path: Path) -> None:
    one = scanned(tmp_path, alike=True)
    mixed = one.with_columns(label=np.random.default_rng(1).permutation(one.text("label")))
    assert not check(mixed, QUICK).shortcuts


def copied(folder: Path, second: Callable[[np.ndarray], np.ndarray], **options: object) -> Cohort:
    """Return a cohort whose last picture shows what the first does."""
    one = made(folder, np.zeros(12, bool), np.arange(12) % 2 == 0)
    saved(second(body(0)), folder / "case_011.png", **options)
    return one


def test_a_copy_across_splits_is_an_error(tmp_path: Path) -> None:
    one = copied(tmp_path, lambda picture: picture)
    split = np.array(["train"] * 9 + ["test"] * 3)
    report = check(one.with_columns(split=split), QUICK)
    assert [(pair.first, pair.second, pair.exact) for pair in report.pairs] == [(0, 11, True)]
    assert {f.kind for f in report.of("error")} == {"duplicate_split", "duplicate_label"}
    assert "duplicate_patient" in {f.kind for f in report.of("warning")}
    assert {0, 11} <= set(report.previews)


def test_copies_of_one_patient_are_a_note(tmp_path: Path) -> None:
    one = copied(tmp_path, lambda picture: picture)
    patients = [*one.text("patient_id")[:11], "p0"]
    report = check(one.with_columns(patient_id=patients, label=["ill"] * 6 + ["well"] * 5 + ["ill"]), QUICK)
    assert "duplicate_within" in {f.kind for f in report.of("note")}
    assert not report.of("error")


def test_a_mirrored_copy_is_found_when_looked_for(tmp_path: Path) -> None:
    one = copied(tmp_path, lambda picture: picture[:, ::-1])
    pair = check(one, replace(QUICK, turned=True)).pairs
    assert [(p.first, p.second, p.exact, p.turned) for p in pair] == [(0, 11, False, "mirrored")]


def test_a_patient_in_two_splits_is_an_error() -> None:
    one = table_of(BY_CHANCE, "site")
    twice = one.with_columns(patient_id=["p", "p", *map(str, range(COUNT - 2))], split=["train", "test"] * (COUNT // 2))
    finding = next(f for f in check(twice, QUICK).of("error") if f.kind == "patient_split")
    assert finding.cases == (0, 1)


def test_unreadable_files_are_listed_and_the_rest_is_checked(tmp_path: Path) -> None:
    one = made(tmp_path, ILL, ILL, write=sized)
    (tmp_path / "000.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    (tmp_path / "001.png").write_bytes(b"")
    (tmp_path / "002.png").unlink()
    report = check(one, QUICK)
    assert sorted(report.unreadable) == [0, 1, 2]
    assert next(f for f in report.of("error")).kind == "unreadable"
    assert [test.mechanism for test in report.shortcuts] == ["size"]


def test_workers_find_the_same(tmp_path: Path) -> None:
    from vesalius.train import facts_pool

    one = made(tmp_path, ILL, ILL, write=sized)
    (tmp_path / "003.png").write_bytes(b"no picture")
    alone = facts_pool.read_facts(one)
    told: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts_pool, "FEW", 1)
        together = facts_pool.read_facts(one, workers=2, progress=lambda done, count: told.append((done, count)))
    assert [(a.row, a.problem, a.pixels) for a in alone] == [(b.row, b.problem, b.pixels) for b in together]
    assert told[-1] == (COUNT, COUNT)


def masked(folder: Path, change: Callable[[int, np.ndarray], np.ndarray | None]) -> Cohort:
    one = made(folder, np.zeros(24, bool), labels(24))
    names = []
    for row in range(24):
        mask = change(row, (body(row) > 128).astype(np.uint8))
        if mask is not None:
            saved(mask, folder / f"mask_{row}.png")
        names.append(f"mask_{row}.png")
    return one.with_columns(mask=names)


@pytest.mark.parametrize(
    ("kind", "level", "change"),
    [
        ("mask_unreadable", "error", lambda mask: None),
        ("mask_size", "error", lambda mask: mask[:, :-4]),
        ("mask_empty", "warning", lambda mask: mask * 0),
        ("mask_values", "warning", lambda mask: mask * 7),
    ],
)
def test_a_mask_that_does_not_fit_is_found(
    tmp_path: Path, kind: str, level: str, change: Callable[[np.ndarray], np.ndarray | None]
) -> None:
    report = check(masked(tmp_path, lambda row, mask: change(mask) if row == 7 else mask), QUICK)
    assert [(f.level, f.cases) for f in report.findings if f.kind == kind] == [(level, (7,))]


def test_labels_patients_basis_and_geometry_of_the_table(tmp_path: Path) -> None:
    one = made(tmp_path, BY_CHANCE, ILL, write=sized)
    rare = np.where(np.arange(COUNT) < 2, "odd", one.text("label"))
    basis = ["", "development", *["licence:CC0"] * (COUNT - 2)]
    report = check(one.with_columns(label=rare, basis=basis).without("patient_id"), QUICK)
    found = {"label_rare", "patient_missing", "basis_missing", "basis_development", "mixed_size"}
    assert found <= {f.kind for f in report.of("warning")}
    assert report.mixed["size"] == {"1 x 40 x 44": 24, "1 x 40 x 50": 24}
    assert "label_constant" in {f.kind for f in check(one.with_columns(label=["a"] * COUNT), QUICK).of("error")}


def test_a_clean_cohort_has_nothing_to_say(tmp_path: Path) -> None:
    assert kinds(check(made(tmp_path, BY_CHANCE, ILL), QUICK)) == {"clean"}


@pytest.mark.slow
def test_head_ct_says_size_and_once_its_alpha_is_back_mode(data_root: Path, tmp_path: Path) -> None:
    from PIL import Image

    source = data_root / "head_ct_hemorrhage"
    if not source.is_dir():
        pytest.skip("head_ct_hemorrhage is not there")
    one = read_cohort(source)
    (tmp_path / "head_ct").mkdir()
    for row in range(0, len(one), 2):
        with Image.open(source / one.case_name(row)) as image:
            bands = "RGBA" if one.text("label")[row] == "normal" else "RGB"
            image.resize((image.width // 2, image.height // 2)).convert(bands).save(tmp_path / one.case_name(row))
    half = replace(one.take(range(0, len(one), 2)), root=tmp_path)
    found = {test.mechanism: test for test in check(half, QUICK).shortcuts}
    assert {"size", "mode"} <= set(found)
    assert {"hemorrhage", "normal"} == {found["mode"].rules[0].below, found["mode"].rules[0].above}


@pytest.mark.slow
def test_lung_ct_says_size_and_neighbours(data_root: Path) -> None:
    source = data_root / "iqothnccd_lung_ct"
    if not source.is_dir():
        pytest.skip("iqothnccd_lung_ct is not there")
    report = check(read_cohort(source))
    found = {test.mechanism: test for test in report.shortcuts}
    size = found["size"]
    assert "size ≠ 512 x 512 → malignant (6/6)" in str(size.rules[0])
    assert {str(report.cohort.text("label")[row]) for row in size.cases} == {"malignant"}
    assert found["neighbours"].column == "number in the name"


CLEAN = ("gallbladder_us_ba", "pneumoniamnist", "busi_breast_us", "ct_kidney_4class", "iqothnccd_lung_ct",
         "head_ct_hemorrhage", "mias_mammo")  # fmt: skip


def exchanged(cohort: Cohort, seed: int) -> Cohort:
    """Return a sample of about 150 cases whose labels are exchanged between patients."""
    rng = np.random.default_rng(seed)
    patients = cohort.text("patient_id") if cohort.groups() is not None else np.arange(len(cohort)).astype(str)
    names = np.unique(patients)
    few = rng.permutation(names)[: max(40, len(names) * 150 // len(cohort))]
    sample = cohort.take(np.flatnonzero(np.isin(patients, few)))
    own = patients[np.isin(patients, few)]
    first = {name: sample.text("label")[own == name][0] for name in few}
    given = dict(zip(few, rng.permutation([first[name] for name in few]), strict=True))
    return sample.with_columns(label=[given[name] for name in own]).without("split")


@pytest.mark.slow
def test_silent_on_clean_cohorts_of_real_images(data_root: Path) -> None:
    loud = []
    for seed in range(20):
        source = data_root / CLEAN[seed % len(CLEAN)]
        if not source.exists():
            pytest.skip(f"{source.name} is not there")
        source = next(source.glob("*.npz"), source)
        report = check(exchanged(read_cohort(source), seed), CheckOptions(turned=False))
        loud += [(source.name, seed, test.mechanism, test.corrected) for test in report.shortcuts]
    assert len({seed for _, seed, _, _ in loud}) <= 1, loud
