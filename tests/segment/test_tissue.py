"""The tissue engine: analytic parts, then whole heads at 3 mm, then two heads at 1 mm with an atlas without them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vesalius.core import Axis, AxisKind, Code, Mask, Segment, Volume
from vesalius.core.errors import GeometryError, ImageContentError
from vesalius.phantoms.heads import HeadOptions, SimulatedHead, simulate_head
from vesalius.segment.tissue import (
    TissueOptions,
    TissueSegmentation,
    estimate_memory,
    load_atlas,
    read_atlas,
    segment_tissue,
    tissue_volumes,
)
from vesalius.segment.tissue.atlas import CLASSES, label_lookup, save_atlas
from vesalius.segment.tissue.bias import CosineBasis, fit
from vesalius.segment.tissue.border import Levels, settle_border
from vesalius.segment.tissue.deformation import Level, deform, expand, mapped, pyramid_of, shrink, warp
from vesalius.segment.tissue.labels import without_outgrowths

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "head_atlas" / "build.py"
QUICK = TissueOptions(reruns=0)


def dice(found: np.ndarray, truth: np.ndarray, label: int) -> float:
    a, b = found == label, truth == label
    return float(2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b)))


def read_labels(path: Path) -> Mask:
    import nibabel

    image = nibabel.load(path)
    array = np.asarray(image.dataobj).astype(np.int16)
    names = {int(v): Segment(str(v), Code(str(v), "99T", str(v)), (0, 0, 0)) for v in np.unique(array) if v}
    return Mask(array, TO_LPS @ image.affine, segments=names)


def thinned(labels: Mask, step: int) -> Mask:
    affine = labels.affine.copy()
    affine[:3, :3] *= step
    return Mask(labels.array[::step, ::step, ::step], affine, segments=labels.segments)


@pytest.fixture(scope="module")
def head(data_root: Path) -> SimulatedHead:
    labels = read_labels(next((data_root / "synthseg_label_maps").rglob("training_seg_08.nii.gz")))
    return simulate_head(thinned(labels, 3), HeadOptions(seed=8, blur_mm=0))


@pytest.fixture(scope="module")
def segmented(head: SimulatedHead) -> TissueSegmentation:
    return segment_tissue(head.image, TissueOptions(reruns=1))


# --- parts -----------------------------------------------------------------------------------------------------------


def test_atlas_is_a_symmetric_probability_map_under_3_mb() -> None:
    from importlib import resources

    atlas = load_atlas()
    assert atlas.probabilities.shape == (len(CLASSES), *atlas.shape)
    np.testing.assert_allclose(atlas.probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(atlas.probabilities, atlas.probabilities[..., ::-1])
    middle = atlas.affine[:3, :3] @ ((np.array(atlas.shape) - 1) / 2) + atlas.affine[:3, 3]
    assert middle[0] == pytest.approx(0)
    assert 1000 < (atlas.brain > 0.5).sum() * atlas.spacing_mm**3 / 1000 < 1800
    with resources.as_file(resources.files("vesalius.segment.data") / "head_atlas_2mm.npz") as path:
        assert path.stat().st_size < 3e6


def test_atlas_survives_writing(tmp_path: Path) -> None:
    atlas = load_atlas()
    save_atlas(atlas, tmp_path / "atlas.npz")
    again = read_atlas(tmp_path / "atlas.npz")
    np.testing.assert_allclose(again.probabilities, atlas.probabilities, atol=0.01)
    np.testing.assert_array_equal(again.known, atlas.known)


def test_every_label_has_a_channel_and_unknown_numbers_are_soft_tissue() -> None:
    table = label_lookup()
    assert CLASSES[table[3]] == "cortex"
    assert CLASSES[table[13]] == "deep_grey"
    assert CLASSES[table[16]] == "stem"
    assert CLASSES[table[514]] == "dura"
    assert CLASSES[table[999]] == "soft"


def test_gram_matrix_of_the_bias_basis_equals_the_direct_sum() -> None:
    basis = CosineBasis((20, 24, 18), 10.0)
    rng = np.random.default_rng(0)
    weight = rng.random((10, 12, 9))
    parts = [basis._cosines(i, n, 2) for i, n in enumerate(basis.orders)]
    rows = np.einsum("ia,jb,kc->ijkabc", *parts).reshape(weight.size, -1)
    np.testing.assert_allclose(basis.gram(weight), (rows * weight.ravel()[:, None]).T @ rows, atol=1e-9)
    coefficients = rng.normal(size=basis.count)
    np.testing.assert_allclose(basis.field(coefficients, lattice=True).ravel(), rows @ coefficients, atol=1e-4)


def test_bias_is_found_again() -> None:
    basis = CosineBasis((40, 48, 40), 5.0)
    truth = np.zeros(basis.count)
    truth[[1, basis.orders[2], 2 * basis.orders[1] * basis.orders[2]]] = (0.1, -0.15, 0.08)
    field = np.exp(basis.field(truth, lattice=True)).astype(np.float64)
    found = np.zeros(basis.count)
    for _ in range(20):
        value = field / np.exp(basis.field(found, lattice=True))
        found = fit(basis, value, np.ones_like(field), np.full(field.shape, 1e4), found, 0.2)
    difference = basis.field(found - truth)
    assert np.std(difference) < 0.005


def test_deformation_recovers_a_shift() -> None:
    index = np.stack(np.meshgrid(*[np.arange(40.0)] * 3, indexing="ij"))
    ball = 1 / (1 + np.exp(np.sqrt(((index - 19.5) ** 2).sum(axis=0)) - 10))
    prior = np.stack([ball, 1 - ball]).astype(np.float32)
    truth = np.zeros((3, 40, 40, 40), dtype=np.float32)
    truth[0] = 3
    inside = warp(prior, truth)[0] > 0.5
    like = np.stack([inside, ~inside]).astype(np.float32) + np.float32(0.02)
    levels = (Level(2, 10), Level(1, 10))
    field, _ = deform(pyramid_of(like, prior + np.float32(1e-3), levels), np.zeros_like(truth), levels)
    wrong = [np.count_nonzero((warp(prior, f)[0] > 0.5) != inside) for f in (np.zeros_like(truth), field)]
    assert wrong[1] < 0.15 * wrong[0]


def test_shrink_and_expand_keep_places() -> None:
    ramp = np.broadcast_to(np.arange(24, dtype=np.float32)[:, None, None], (24, 24, 24))
    small = shrink(np.ascontiguousarray(ramp)[None], 2) / 2
    again = expand(np.repeat(small, 3, axis=0), (24, 24, 24), 2)[0]
    np.testing.assert_allclose(again[1:-1], ramp[1:-1], atol=1e-4)


def test_mapped_equals_the_matrix_product() -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", (10, 20, 30), degrees=True).as_matrix()
    matrix[:3, 3] = (1, 2, 3)
    points = np.random.default_rng(0).random((3, 50)).astype(np.float32)
    np.testing.assert_allclose(mapped(points, matrix), matrix[:3, :3] @ points + matrix[:3, 3:], atol=1e-4)


def test_the_inner_table_places_the_border(shells: dict[str, np.ndarray]) -> None:
    """Where fluid and bone are equally dark, the thickness of the band up to the marrow says where the fluid ends."""
    settled = settle_border(
        shells["labels"], shells["image"], shells["fluid"], shells["near"], Levels(25.0, 65.0), np.diag([1.0, 1, 1, 1])
    )
    size = [np.cbrt(np.count_nonzero(a) / np.count_nonzero(shells["truth"])) for a in (shells["labels"], settled)]
    assert abs(size[1] - 1) < 0.3 * abs(size[0] - 1)
    assert ((settled == 1) == (shells["labels"] == 1)).all()


def test_marrow_as_dark_as_fluid_does_not_move_the_border(shells: dict[str, np.ndarray]) -> None:
    image = shells["image"].copy()
    image[(image > 50) & (shells["radius"] > 41) & (shells["radius"] < 47)] = 26
    found = settle_border(
        shells["labels"], image, shells["fluid"], shells["near"], Levels(25.0, 65.0), np.diag([1.0, 1, 1, 1])
    )
    assert abs(np.count_nonzero(found > 0) / np.count_nonzero(shells["labels"] > 0) - 1) < 0.02


@pytest.fixture(scope="module")
def shells() -> dict[str, np.ndarray]:
    """Return a ball of cortex in fluid, inner table, marrow, outer table and scalp; the labels lack 1.5 mm of fluid."""
    index = np.stack(np.meshgrid(*[np.arange(120.0)] * 3, indexing="ij")) - 59.5
    radius = np.sqrt((index**2).sum(axis=0))
    image = np.select([radius < 36, radius < 42, radius < 45, radius < 48, radius < 54], [65.0, 25, 90, 25, 80], 0)
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    labels = np.select([radius < 36, radius < 38.5], [1, 3], 0).astype(np.uint8)
    truth = np.select([radius < 36, radius < 40], [1, 3], 0).astype(np.uint8)
    fluid = (1 / (1 + np.exp(2 * (radius - 38.5)))).astype(np.float32)
    return {"image": (image + noise).astype(np.float32), "labels": labels, "truth": truth, "fluid": fluid,
            "near": radius < 50, "radius": radius, "height": index[2]}  # fmt: skip


def test_what_hangs_on_a_thin_neck_is_cut_off() -> None:
    index = np.stack(np.meshgrid(*[np.arange(90.0)] * 3, indexing="ij")) - 45
    ball = (index**2).sum(axis=0) < 30**2
    neck = (np.abs(index[1]) < 2) & (np.abs(index[2]) < 2) & (index[0] > 0) & (index[0] < 40)
    blob = ((index - np.array([40, 0, 0])[:, None, None, None]) ** 2).sum(axis=0) < 4**2
    part = np.where(ball, 1, np.where(neck | blob, 3, 0)).astype(np.uint8)
    found = without_outgrowths(part, np.zeros(part.shape, dtype=bool), np.ones(3))
    assert (found[ball] == 1).all()
    assert not found[blob].any()
    assert (without_outgrowths(part, np.ones(part.shape, dtype=bool), np.ones(3)) == part).all()


# --- refusals --------------------------------------------------------------------------------------------------------


def test_flat_and_small_images_are_refused() -> None:
    affine = np.diag([3.0, 3, 3, 1])
    with pytest.raises(ImageContentError, match="no contrast"):
        segment_tissue(Volume(np.zeros((60, 60, 60), np.float32), affine))
    with pytest.raises(ImageContentError, match="no contrast"):
        segment_tissue(Volume(np.full((60, 60, 60), np.nan, np.float32), affine))
    with pytest.raises(GeometryError, match="too small"):
        segment_tissue(Volume(np.ones((10, 10, 10), np.float32), affine))
    with pytest.raises(GeometryError, match="3-D"):
        segment_tissue(Volume(np.ones((60, 60, 60, 2), np.float32), affine, axis=Axis(AxisKind.TIME, (0.0, 1.0))))


# --- heads at 3 mm ---------------------------------------------------------------------------------------------------


def test_head_at_3_mm(head: SimulatedHead, segmented: TissueSegmentation) -> None:
    truth = head.tissue.array
    assert segmented.tissue.same_grid(head.image)
    assert dice(segmented.tissue.array, truth, 1) > 0.90
    assert dice(segmented.tissue.array, truth, 2) > 0.93
    assert dice(segmented.tissue.array, truth, 3) > 0.85
    error = segmented.intracranial.volume_ml(1) / head.intracranial.volume_ml(1) - 1
    assert abs(error) < 0.05
    assert segmented.skull_present


def test_results_belong_together(segmented: TissueSegmentation) -> None:
    tissue, brain = segmented.tissue.array, segmented.brain.array
    np.testing.assert_array_equal(tissue > 0, brain > 0)
    np.testing.assert_array_equal(segmented.hemispheres.array > 0, brain > 0)
    assert not (segmented.intracranial.array & ~(brain > 0)).any()
    total = sum(v.array for v in segmented.probabilities.values())
    assert total.min() >= 0
    assert total.max() < 1.0001
    product = segmented.bias_corrected.array * segmented.bias_field.array
    assert np.abs(product).max() > 0
    sides = segmented.hemispheres
    left = sides.index_to_world(np.argwhere(sides.array == 1)).mean(axis=0)
    right = sides.index_to_world(np.argwhere(sides.array == 2)).mean(axis=0)
    assert left[0] > right[0] + 30


def test_diagnostics_of_a_good_head(segmented: TissueSegmentation) -> None:
    found = segmented.diagnostics
    assert found.affine_log_likelihood > 0.6
    assert found.contrast_order == ("csf", "gray_matter", "white_matter")
    assert found.separation > 2
    assert found.brain_coverage > 0.98
    assert 0.85 < found.zoom < 1.15
    assert found.scalp_fraction > 0.6


def test_same_voxels_on_rerun(head: SimulatedHead, segmented: TissueSegmentation) -> None:
    assert segment_tissue(head.image, QUICK).tissue.sha256 == segmented.tissue.sha256


def test_orientation_and_turn_do_not_matter(head: SimulatedHead, segmented: TissueSegmentation) -> None:
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", (20, -15, 10), degrees=True).as_matrix()
    turn[:3, 3] = (120, -300, 80)
    turned = replace(head.image, affine=turn @ head.image.affine).reorient("SAR")
    found = segment_tissue(turned, QUICK)
    back = found.tissue.reorient(replace(head.image, affine=turn @ head.image.affine).orientation)
    for label in (1, 2, 3):
        assert dice(back.array, segmented.tissue.array, label) > 0.97


def test_stripped_head_has_no_intracranial_volume(head: SimulatedHead) -> None:
    stripped = head.image.with_array(np.where(head.tissue.array > 0, head.image.array, 0), "strip")
    found = segment_tissue(stripped, QUICK)
    assert not found.skull_present
    rows = {q.name: q for q in tissue_volumes(found)}
    assert rows["intracranial_volume"].value is None
    assert rows["intracranial_volume"].reason == "skull_absent"
    assert rows["brain_parenchymal_fraction"].value is None
    share = rows["parenchymal_share_of_stripped_head"].value
    assert share is not None
    assert 0.6 < share < 0.9
    assert dice(found.tissue.array, head.tissue.array, 2) > 0.93


def test_volumes_have_intervals_that_hold_them(head: SimulatedHead, segmented: TissueSegmentation) -> None:
    rows = {q.name: q for q in tissue_volumes(segmented)}
    for row in rows.values():
        if row.value is not None and row.low is not None and row.high is not None:
            assert row.low < row.value < row.high
    icv = rows["intracranial_volume"]
    assert icv.low is not None
    assert icv.high is not None
    assert icv.low < head.intracranial.volume_ml(1) < icv.high


def test_a_lost_orientation_lowers_the_likelihood(head: SimulatedHead, segmented: TissueSegmentation) -> None:
    lost = replace(head.image, affine=np.diag([3.0, 3.0, 3.0, 1.0]))
    found = segment_tissue(lost, QUICK)
    assert found.affine_log_likelihood < segmented.affine_log_likelihood - 0.15


def test_progress_rises(head: SimulatedHead) -> None:
    seen: list[tuple[str, float]] = []
    segment_tissue(head.image, QUICK, progress=lambda stage, done: seen.append((stage, done)))
    assert [done for _, done in seen] == sorted(done for _, done in seen)
    assert seen[0][0] == "align"
    assert seen[-1] == ("volumes", 1.0)


def test_memory_estimate_grows_with_the_image() -> None:
    small, large = estimate_memory((85, 85, 85), (3.0, 3.0, 3.0)), estimate_memory((256, 256, 256), (1.0, 1.0, 1.0))
    assert small < large
    assert large <= 500e6 + 12 * 4 * 256**3


# --- whole heads at 1 mm, atlas without them -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("head_atlas_recipe", RECIPE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["head_atlas_recipe"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_heads_with_an_atlas_without_them(data_root: Path, recipe: ModuleType, tmp_path: Path) -> None:
    paths = sorted((data_root / "synthseg_label_maps").rglob("training_seg_*.nii.gz"))
    name_of: Callable[[Path], str] = recipe.name_of
    left_out = ("02", "10")
    atlas = recipe.build([recipe.read_head(p) for p in paths if name_of(p) not in left_out])
    save_atlas(atlas, tmp_path / "atlas.npz")
    shipped = read_atlas(tmp_path / "atlas.npz")
    for path in (p for p in paths if name_of(p) in left_out):
        head = simulate_head(read_labels(path), HeadOptions(seed=int(name_of(path))))
        found = segment_tissue(head.image, QUICK, atlas=shipped)
        scores = [dice(found.tissue.array, head.tissue.array, k) for k in (1, 2, 3)]
        error = found.intracranial.volume_ml(1) / head.intracranial.volume_ml(1) - 1
        assert scores[0] >= 0.94, scores
        assert scores[1] >= 0.95, scores
        assert scores[2] >= 0.85, scores
        assert abs(error) <= 0.05, error


@pytest.mark.slow
def test_icbm_template() -> None:
    datasets = pytest.importorskip("nilearn.datasets")
    image = datasets.load_mni152_template(resolution=1)
    grey = datasets.load_mni152_gm_template(resolution=1).get_fdata()
    white = datasets.load_mni152_wm_template(resolution=1).get_fdata()
    array = np.asarray(image.dataobj).astype(np.float32)
    truth = np.array([3, 1, 2])[np.stack([1 - grey - white, grey, white]).argmax(axis=0)]
    truth[array <= 0] = 0
    found = segment_tissue(Volume(array, TO_LPS @ image.affine, modality="MR"))
    assert not found.skull_present
    assert dice(found.tissue.array, truth, 1) >= 0.94
    assert dice(found.tissue.array, truth, 2) >= 0.94
    for row in tissue_volumes(found):
        if row.unit == "mL" and row.value is not None:
            assert row.low is not None
            assert row.high is not None
            assert row.high - row.low < 0.3 * row.value, row
