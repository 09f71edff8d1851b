"""What the attributes of usual protocols mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vesalius.core import Geometry, Instance, Series
from vesalius.imaging.mr_sequence import Weighting, mr_sequence


def series(description: str = "", **attributes: Any) -> Series:
    geometry = Geometry((20, 256, 256), np.diag([5.0, 1, 1, 1]))
    return Series("1", "1", "dicom", (Instance(Path("a.dcm")),), geometry, modality="MR", description=description,
                  attributes=attributes)  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "description", "attributes"),
    [
        ("T1", "MPRAGE", {"ScanningSequence": ["GR", "IR"], "RepetitionTime": 2530, "EchoTime": 4.1,
                          "InversionTime": 1100}),
        ("T1", "Ax +C", {"ScanningSequence": "SE", "RepetitionTime": 500, "EchoTime": 9.5}),
        ("T1", "Sag BRAVO", {"ScanningSequence": "GR", "RepetitionTime": 8.2, "EchoTime": 3.2, "InversionTime": 450}),
        ("T1", "T1 FLAIR", {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 2200, "EchoTime": 20,
                            "InversionTime": 860}),
        ("FLAIR", "tir2d", {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 10000, "EchoTime": 90,
                            "InversionTime": 2600}),
        ("FLAIR", "T1", {"ScanningSequence": "SE\\IR", "RepetitionTime": "9000", "EchoTime": "120",
                         "InversionTime": "2500"}),
        ("STIR", "", {"ScanningSequence": ["SE", "IR"], "RepetitionTime": 4000, "EchoTime": 60, "InversionTime": 160}),
        ("T2", "Ax T2 TSE", {"ScanningSequence": "SE", "RepetitionTime": 4500, "EchoTime": 100}),
        ("PD", "", {"ScanningSequence": "SE", "RepetitionTime": 3000, "EchoTime": 12}),
        ("T2*", "", {"ScanningSequence": "GR", "RepetitionTime": 600, "EchoTime": 20}),
        ("DWI", "ep2d_diff_3scan", {"ScanningSequence": "EP", "RepetitionTime": 5000, "EchoTime": 90}),
        ("bSSFP", "", {"ScanningSequence": "GR", "SequenceVariant": "SS", "RepetitionTime": 3.3, "EchoTime": 1.5,
                       "FlipAngle": 45}),
        ("angiography", "TOF_3D", {"ScanningSequence": "GR", "RepetitionTime": 22, "EchoTime": 4}),
        ("T1", "t1_mprage_sag", {}),
        ("", "series 3", {}),
    ],
)  # fmt: skip
def test_weighting(expected: str, description: str, attributes: dict[str, Any]) -> None:
    assert mr_sequence(series(description, **attributes)).weighting == Weighting(expected)


@pytest.mark.parametrize(
    ("description", "agent", "enhanced"),
    [("T1 post", "", True), ("T1", "10ml multihance", True), ("posterior fossa T1", "", False), ("T1", "NONE", False),
     ("T1 +C", "", True), ("T1 gad", "", True), ("MPRAGE", "", False)],
)  # fmt: skip
def test_contrast_agent(description: str, agent: str, enhanced: bool) -> None:
    assert mr_sequence(series(description, ContrastBolusAgent=agent)).enhanced is enhanced


def test_image_type_tells_localizers_maps_and_derived_images() -> None:
    assert mr_sequence(series(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])).localizer
    assert mr_sequence(series("3-plane loc")).localizer
    assert mr_sequence(series(ImageType="DERIVED\\PRIMARY\\ADC")).processed == "ADC"
    found = mr_sequence(series("MPRAGE", ImageType=["DERIVED", "SECONDARY", "MPR"]))
    assert not found.original
    assert not found.processed


def test_the_name_of_a_plain_file_tells_the_agent_but_not_the_weighting() -> None:
    found = mr_sequence(replace(series("flair_t1_post"), format="nifti"))
    assert found.weighting is Weighting.UNKNOWN
    assert found.enhanced


def test_numbers_that_are_not_numbers_tell_nothing() -> None:
    assert mr_sequence(series(EchoTime="", RepetitionTime="n/a")).weighting is Weighting.UNKNOWN
