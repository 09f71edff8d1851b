"""Radiomics, slices, crops and intervals as steps of a graph."""

from __future__ import annotations

import numpy as np
import pytest
from small_package import picture

from vesalius.core import Frame, Mask, Segment, Spacing, Volume
from vesalius.core.code import OWN_SCHEME, Code
from vesalius.core.errors import GeometryError, ImageContentError, UnknownSpacingError
from vesalius.features.radiomics import Aggregation, Family, Settings, radiomics
from vesalius.models.graph import Graph, Step
from vesalius.models.operations import Files, check, images, masks, probability, run_steps
from vesalius.models.operations import radiomics as step


def segment(name: str) -> Segment:
    return Segment(name, Code(name, OWN_SCHEME, name), (230, 60, 60))


def ball(shape: tuple[int, int, int] = (12, 20, 18), labels: int = 1) -> tuple[Volume, Mask]:
    """Return noise in millimetres, and a ball in it; with two labels its lower half is the second one."""
    array = np.random.default_rng(3).normal(100, 20, shape).astype(np.float32)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    inside = (np.sum(np.square(grid), axis=0) < 0.5).astype(np.uint8)
    if labels == 2:
        inside[grid[1] > 0] *= 2
    affine = np.diag([3.0, 1.0, 1.0, 1.0])
    named = {label: segment(f"part {label}") for label in range(1, labels + 1)}
    return Volume(array, affine), Mask(inside, affine, segments=named)


def test_radiomics_gives_what_ibsi_gives() -> None:
    image, mask = ball()
    settings = Settings(families=(Family.STATISTICS, Family.COOCCURRENCE), aggregations=(Aggregation.VOLUME_MERGED,))
    expected = radiomics(image, mask, settings=settings)
    found = step.radiomics(image, mask, families=["stat", "cm"])
    assert step.names(3, families=["stat", "cm"]) == expected.tags
    np.testing.assert_array_equal(found[0], expected.values.astype(np.float32))


@pytest.mark.parametrize("shape", [(1, 30, 26), (9, 30, 26)])
def test_radiomics_has_fixed_names_and_finite_values(shape: tuple[int, int, int]) -> None:
    names = step.names(2 if shape[0] == 1 else 3)
    flat = Volume(np.full(shape, 7, np.uint8), np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN)
    for image in (picture(1, shape), picture(2, shape), flat):
        found = step.radiomics(image)
        assert found.shape == (1, len(names))
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
    by_name = dict(zip(names, step.radiomics(picture(1, shape))[0].tolist(), strict=True))
    assert by_name["stat_mean"] == pytest.approx(picture(1, shape).array.mean(), rel=1e-6)


def test_radiomics_of_a_segment_and_with_options() -> None:
    image, mask = ball(labels=2)
    upper, lower = step.radiomics(image, mask, segment="part 1"), step.radiomics(image, mask, segment=2)
    assert not np.array_equal(upper, lower)
    both = step.radiomics(image, mask, families=["morph"])
    volume = step.names(3, families=["morph"]).index("morph_vol_approx")
    assert both[0, volume] == pytest.approx(np.count_nonzero(mask.array) * 3.0)
    coarse = step.radiomics(image, mask, bins=4, spacing_mm=[3.0, 2.0, 2.0])
    fine = step.radiomics(image, mask, width=5.0)
    assert coarse.shape == fine.shape == upper.shape


def test_radiomics_refuses_what_it_cannot_measure() -> None:
    image, mask = ball()
    empty = Mask(np.zeros(mask.shape, np.uint8), mask.affine, segments=mask.segments)
    with pytest.raises(ImageContentError):
        step.radiomics(image, empty)
    with pytest.raises(UnknownSpacingError):
        step.radiomics(picture(0, (5, 9, 9)), families=["morph"])
    with pytest.raises(GeometryError, match="three edges"):
        step.radiomics(image, mask, spacing_mm=[1.0])


def test_a_mask_that_is_not_there_reaches_the_step_as_nothing() -> None:
    parameters = {"families": ["stat"]}
    graph = Graph(
        inputs=("image", "mask"),
        steps=(Step(id="f", op="features.radiomics", inputs=("image", "mask"), parameters=parameters),), output="f",
    )  # fmt: skip
    check(graph)
    image, mask = ball()
    files = Files(lambda name: b"", {})
    whole = run_steps(graph, {"image": image}, files)["f"]
    assert whole[0, 0] == pytest.approx(image.array.mean(), rel=1e-6)
    part = run_steps(graph, {"image": image, "mask": mask}, files)["f"]
    assert part[0, 0] == pytest.approx(image.array[mask.array > 0].mean(), rel=1e-6)


@pytest.mark.parametrize(("slices", "expected"), [(9, [0, 4, 8]), (3, [0, 1, 2]), (2, [0, 0, 1]), (1, [0, 0, 0])])
def test_slices_are_evenly_spaced(slices: int, expected: list[int]) -> None:
    image = picture(5, (slices, 4, 6))
    found = images.slices(image, count=3)
    assert found.shape == (1, 3, 1, 4, 6)
    np.testing.assert_array_equal(found[0, :, 0], image.array[expected].astype(np.float32))
    assert images.slices(image, count=1).shape == (1, 1, 1, 4, 6)


def test_slices_of_colour_channels_and_scale() -> None:
    found = images.slices(picture(5, (4, 4, 6)), count=2, channels=3, mean=[1.0, 2.0, 3.0], sd=[2.0, 2.0, 2.0])
    assert found.shape == (1, 2, 3, 4, 6)
    np.testing.assert_allclose(found[0, :, 0] - found[0, :, 2], 1.0)


def test_crop_keeps_the_margin_inside_the_image() -> None:
    image, mask = ball()
    places = np.argwhere(mask.array)
    tight = masks.crop(image, mask)
    assert tight.shape == tuple((places.max(axis=0) - places.min(axis=0) + 1).tolist())
    wide = masks.crop(image, mask, margin_mm=3.0)
    assert wide.shape == (tight.shape[0] + 2, tight.shape[1] + 6, tight.shape[2] + 6)
    assert masks.crop(image, mask, margin=5.0).shape == image.shape
    corner = wide.index_to_world([0, 0, 0])
    np.testing.assert_allclose(corner, image.index_to_world(places.min(axis=0) - [1, 3, 3]))
    assert masks.crop(image, None) is image


def test_crop_and_keep_refuse_other_grids_and_empty_masks() -> None:
    image, mask = ball()
    empty = Mask(np.zeros(mask.shape, np.uint8), mask.affine, segments=mask.segments)
    with pytest.raises(ImageContentError, match="empty"):
        masks.crop(image, empty)
    with pytest.raises(GeometryError, match="different grids"):
        masks.keep(image, ball((12, 20, 20))[1])
    np.testing.assert_array_equal(masks.keep(image, mask, outside=-1).array == -1, mask.array == 0)


def test_an_interval_lies_around_its_value() -> None:
    np.testing.assert_allclose(probability.interval(np.array([[2.5]]), half_width=0.5), [[2.5, 2.0, 3.0]])
    with pytest.raises(ValueError, match="half width"):
        probability.interval(np.array([[2.5]]), half_width=-1.0)
