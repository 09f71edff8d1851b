"""Which series is read and why the others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesalius.core import Case, Frame, Geometry, Instance, Series, Study, Verdict
from vesalius.segment.head_series import select_t1_head

T1_3D = {"ScanningSequence": ["GR", "IR"], "RepetitionTime": 2300, "EchoTime": 3, "InversionTime": 900,
         "MRAcquisitionType": "3D", "ImageType": ["ORIGINAL", "PRIMARY"]}  # fmt: skip
T1_2D = {"ScanningSequence": "SE", "RepetitionTime": 500, "EchoTime": 10, "MRAcquisitionType": "2D"}


def series(key: str, attributes: dict[str, Any] | None = None, **changes: Any) -> Series:
    spacing = changes.pop("spacing", (1.0, 1.0, 1.0))
    shape = changes.pop("shape", (180, 240, 240))
    verdict = changes.pop("verdict", Verdict.REGULAR)
    frame = changes.pop("frame", Frame.PATIENT)
    geometry = Geometry(shape, np.diag([*spacing, 1.0]), verdict, frame)
    values = {"format": "dicom", "modality": "MR", "attributes": attributes or {}} | changes
    return Series(key, key, instances=(Instance(Path(f"{key}.dcm")),), geometry=geometry, **values)


def study(*found: Series) -> Case:
    return Case(Study("study", Path("study"), found))


def chosen(*found: Series) -> tuple[str, dict[str, str]]:
    selection = select_t1_head(study(*found))
    return selection.chosen["t1"].key, {s.key: m.id for s, m in selection.left_out}


THICK = {"spacing": (6.0, 0.9, 0.9), "shape": (24, 256, 256)}


def test_the_3d_t1_without_agent_is_preferred_and_every_other_has_a_reason() -> None:
    best, why = chosen(
        series("thick", T1_2D, **THICK),
        series("post", T1_3D, description="MPRAGE +C"),
        series("best", T1_3D, description="MPRAGE"),
        series("reformat", T1_3D | {"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, description="MPRAGE"),
        series("flair", {"RepetitionTime": 9000, "EchoTime": 120, "InversionTime": 2500}),
        series("t2", description="T2 TSE"),
        series("scout", description="localizer"),
        series("ct", modality="CT"),
        series("adc", {"ImageType": ["DERIVED", "PRIMARY", "ADC"]}),
        series("dwi", description="ep2d_diff"),
        series("crop", T1_3D, shape=(40, 50, 34)),
        series("series7"),
        series("knee", T1_3D, body_part="KNEE"),
        series("picture", frame=Frame.IMAGE, format="raster", modality=""),
        series("empty", verdict=Verdict.NO_IMAGE),
    )
    assert best == "best"
    assert why == {
        "thick": "select.worse.thick",
        "post": "select.worse.enhanced",
        "reformat": "select.worse.derived",
        "flair": "select.weighting",
        "t2": "select.weighting",
        "scout": "select.localizer",
        "ct": "select.modality",
        "adc": "select.processed",
        "dwi": "select.weighting",
        "crop": "select.field_of_view",
        "series7": "select.worse.unknown",
        "knee": "select.body_part",
        "picture": "select.picture",
        "empty": "select.no_image",
    }


def test_a_fine_enhanced_series_goes_before_a_thick_plain_one() -> None:
    assert chosen(series("thick", T1_2D, **THICK), series("fine", T1_3D, description="MPRAGE post"))[0] == "fine"


def test_more_slices_and_finer_voxels_win() -> None:
    best, why = chosen(series("coarse", T1_3D, spacing=(1.2, 1.2, 1.2)), series("few", T1_3D, shape=(150, 240, 240)),
                       series("fine", T1_3D))  # fmt: skip
    assert best == "fine"
    assert why == {"coarse": "select.worse.coarse", "few": "select.worse.fewer"}


def test_a_regular_series_goes_before_an_irregular_one() -> None:
    best, why = chosen(series("gap", T1_3D, verdict=Verdict.MISSING_SLICES), series("thick", T1_2D, **THICK))
    assert best == "thick"
    assert why == {"gap": "select.worse.geometry"}


def test_a_file_without_attributes_is_a_candidate_whatever_it_holds() -> None:
    selection = select_t1_head(study(series("scan", format="nifti", modality="", components=30)))
    assert selection.chosen["t1"].key == "scan"
    assert selection.reasons["t1"].id == "select.chosen.only"


def test_a_series_asked_for_is_taken_and_an_unknown_one_takes_none() -> None:
    case = study(series("best", T1_3D), series("flair", description="FLAIR"))
    forced = select_t1_head(case, "flair")
    assert forced.chosen["t1"].key == "flair"
    assert [m.id for _, m in forced.left_out] == ["select.not_requested"]
    missing = select_t1_head(case, "9.9.9")
    assert not missing.chosen
    assert len(missing.left_out) == 2


def test_no_candidate_no_choice() -> None:
    selection = select_t1_head(study(series("ct", modality="CT")))
    assert not selection.chosen
    assert [m.id for _, m in selection.left_out] == ["select.modality"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_series_does_not_matter(order: int) -> None:
    found = [series("b", T1_3D), series("a", T1_3D), series("c", T1_2D, **THICK)]
    assert chosen(*found[::order])[0] == "a"


def test_the_real_study(data_root: Path) -> None:
    from vesalius import io

    with io.scan(data_root / "brain_mri_dicom_udacity") as found:
        selection = select_t1_head(Case(found.studies[0]))
    best = selection.chosen["t1"]
    assert best.description == "T1post"
    reason = selection.reasons["t1"]
    assert reason.id == "select.chosen.t1"
    assert reason.parameters["contrast"] == "@select.word.enhanced"
    assert reason.parameters["mm"] == 6.5
    assert {s.description: m.id for s, m in selection.left_out} == {
        "FLAIR_reg": "select.weighting",
        "HippoCrop": "select.field_of_view",
    }
