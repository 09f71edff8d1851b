"""Input that cannot be measured says what it is and what to do; odd input that can be measured gives numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from _radiomics_data import LESION, ball, pair

from vesalius.core import Axis, AxisKind, Frame, Mask, Spacing, Volume
from vesalius.core.errors import (
    GeometryError,
    ImageContentError,
    LabelError,
    LimitError,
    UnknownNameError,
    UnknownSpacingError,
    UsageError,
    VesaliusError,
)
from vesalius.features.radiomics import (
    Aggregation,
    Family,
    FixedBinNumber,
    FixedBinSize,
    Interpolation,
    NoBinning,
    Resegmentation,
    Settings,
    ibsi_configuration,
    radiomics,
)

INSIDE = ball(3, (1, 1, 1), margin=2)
IMAGE = np.random.default_rng(0).integers(0, 100, INSIDE.shape).astype(np.int16)
Broken = Callable[[Volume, Mask], tuple[Volume, Mask, Settings]]


def with_labels(mask: Mask, array: np.ndarray) -> Mask:
    return replace(mask, array=array.astype(np.uint8))


def one_voxel(mask: Mask) -> Mask:
    array = np.zeros(mask.shape)
    array[4, 4, 4] = 1
    return with_labels(mask, array)


def spoiled(volume: Volume) -> Volume:
    array = volume.array.astype(np.float32)
    array[5, 5, 5] = np.nan
    return replace(volume, array=array)


def sheared(image: Volume | Mask) -> Volume | Mask:
    affine = image.affine.copy()
    affine[1, 0] += 0.3
    return replace(image, affine=affine)


CASES: dict[str, tuple[type[VesaliusError], str, Broken]] = {
    "empty": (ImageContentError, "empty", lambda v, m: (v, with_labels(m, np.zeros(m.shape)), Settings())),
    "one voxel": (ImageContentError, "at least two voxels", lambda v, m: (v, one_voxel(m), Settings())),
    "NaN inside": (ImageContentError, "not finite.*1 of 123", lambda v, m: (spoiled(v), m, Settings())),
    "other shape": (GeometryError, "resample_like", lambda v, m: (v.crop((0, 0, 0), (9, 11, 11)), m, Settings())),
    "other place": (
        GeometryError,
        "different affines",
        lambda v, m: (v, replace(m, affine=m.affine + np.eye(4, k=3) * 5), Settings()),
    ),
    "unknown spacing": (
        UnknownSpacingError,
        "calibrated",
        lambda v, m: (replace(v, spacing=Spacing.UNKNOWN), replace(m, spacing=Spacing.UNKNOWN), Settings()),
    ),
    "tilted gantry": (GeometryError, "to_orthogonal", lambda v, m: (sheared(v), sheared(m), Settings())),
    "one slice": (
        GeometryError,
        r"settings\.flat\(\)",
        lambda v, m: (v.crop((5, 0, 0), (6, 11, 11)), m.crop((5, 0, 0), (6, 11, 11)), Settings()),
    ),
    "fourth axis": (
        GeometryError,
        "element",
        lambda v, m: (
            replace(v, array=np.stack([v.array] * 2, axis=3), axis=Axis(AxisKind.TIME, (0.0, 1.0))),
            m,
            Settings(),
        ),
    ),
    "nothing in range": (
        ImageContentError,
        "widen the range",
        lambda v, m: (v, m, Settings(resegmentation=Resegmentation(500, 900))),
    ),
    "fractions without bins": (
        ImageContentError,
        "FixedBinNumber",
        lambda v, m: (replace(v, array=v.array + 0.5), m, Settings(discretisation=NoBinning())),
    ),
    "too many levels": (
        LimitError,
        "larger FixedBinSize",
        lambda v, m: (v, m, Settings(discretisation=FixedBinSize(1e-4))),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_names_the_fix(name: str) -> None:
    kind, words, broken = CASES[name]
    volume, mask, settings = broken(*pair(IMAGE, INSIDE))
    with pytest.raises(kind, match=words) as caught:
        radiomics(volume, mask, settings=settings)
    assert caught.value.fix


def test_segments_are_found_by_name_label_or_alone() -> None:
    volume, mask = pair(IMAGE, INSIDE)
    by_name, by_label = radiomics(volume, mask, segment="lesion"), radiomics(volume, mask, segment=1)
    assert np.array_equal(by_name.values, by_label.values, equal_nan=True)
    assert by_name.segment == "lesion"
    with pytest.raises(LabelError, match="1 lesion"):
        radiomics(volume, mask, segment=7)
    with pytest.raises(LabelError, match="node"):
        radiomics(volume, mask, segment="node")
    both = replace(mask, segments={1: LESION, 2: replace(LESION, name="node")})
    with pytest.raises(LabelError, match="segment="):
        radiomics(volume, both)
    with pytest.raises(ImageContentError, match="empty"):
        radiomics(volume, both, segment="node")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Settings(families=("texture",)), "morph"),
        (lambda: Settings(families=()), "no feature family"),
        (lambda: Settings(aggregations=()), "need an aggregation"),
        (lambda: Settings(distance=0), "at least 1"),
        (lambda: FixedBinNumber(0), "at least 1"),
        (lambda: FixedBinSize(-1), "positive"),
        (lambda: Resegmentation(5, 1), "empty"),
        (lambda: Resegmentation(outlier_sigma=0), "positive"),
        (lambda: Interpolation((1, 0, 1)), "positive"),
        (lambda: Interpolation((1, 1, 1), mask_threshold=0), "threshold"),
    ],
)
def test_settings_refuse_what_makes_no_sense(build: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build()


def test_a_flat_picture_is_measured_without_pixel_size() -> None:
    picture = Volume(IMAGE[5:6], np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN, modality="XC")
    mask = Mask(INSIDE[5:6].astype(np.uint8), np.eye(4), Frame.IMAGE, Spacing.UNKNOWN, segments={1: LESION})
    found = radiomics(picture, mask, settings=Settings().flat())
    assert np.isfinite(found["cm_contrast_2D_avg"])
    assert "morph_volume" not in found.tags


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_region_of_one_intensity_gives_numbers_without_warnings(dtype: type) -> None:
    image = np.full(INSIDE.shape, 7, dtype=dtype)
    for settings in (Settings(), replace(ibsi_configuration("digital"), volume_histogram=None)):
        found = radiomics(*pair(image, INSIDE), settings=settings)
        assert found["stat_var"] == 0
        assert found["cm_joint_entr_3D_avg"] == pytest.approx(0)
        assert found["cm_corr_3D_avg"] == 1
        assert found["ngt_coarseness_3D"] == 1e6
        assert found["morph_moran_i"] == 1


@pytest.mark.parametrize("place", [(4, 4, 4), (0, 0, 0), (10, 10, 9)])
def test_two_voxels_are_enough(place: tuple[int, int, int]) -> None:
    inside = np.zeros(INSIDE.shape, dtype=bool)
    inside[place] = inside[place[0], place[1], place[2] + 1] = True
    found = radiomics(*pair(IMAGE, inside), settings=Settings(aggregations=tuple(Aggregation)))
    assert found["morph_vol_approx"] == 2
    assert np.isfinite(found["cm_contrast_3D_comb"])


def test_two_voxels_that_do_not_touch_have_no_pairs() -> None:
    inside = np.zeros(INSIDE.shape, dtype=bool)
    inside[1, 1, 1] = inside[8, 8, 8] = True
    found = radiomics(*pair(IMAGE, inside), settings=Settings(aggregations=tuple(Aggregation)))
    assert np.isnan(found["cm_contrast_3D_avg"])
    assert np.isnan(found["ngt_contrast_3D"])
    assert found["rlm_sre_3D_avg"] == 1
    assert np.isfinite(found["morph_diam"])


def test_wide_ranges_of_integers_do_not_fill_the_memory() -> None:
    image = IMAGE.astype(np.int64) * 10_000_000
    found = radiomics(*pair(image, INSIDE))
    assert found["stat_max"] == pytest.approx(float(image[INSIDE].max()))
    assert np.isfinite(found["ivh_v10"])
    assert radiomics(*pair(image, INSIDE), settings=Settings(families=("ivh",), volume_histogram=NoBinning()))


def test_an_unknown_tag_suggests_its_aggregations() -> None:
    found = radiomics(*pair(IMAGE, INSIDE), settings=Settings(families=(Family.COOCCURRENCE,)))
    with pytest.raises(UnknownNameError, match="cm_contrast_3D_avg, cm_contrast_3D_comb"):
        found["cm_contrast"]
