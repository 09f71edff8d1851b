"""Settings by name, text and file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vesalius.core.errors import ConfigError, UnknownNameError, UsageError
from vesalius.features.radiomics import (
    FixedBinSize,
    GaborFilter,
    Interpolation,
    LaplacianOfGaussianFilter,
    LawsFilter,
    MeanFilter,
    Resegmentation,
    Settings,
    SimoncelliFilter,
    WaveletFilter,
    ibsi_configuration,
    ibsi_filter_configuration,
)
from vesalius.features.radiomics.settings_file import PRESETS, as_mapping, filter_name, load_plan, parse_filter, preset

WHOLE = """
preset: ibsi-C
families: [stat]
discretisation: {width: 25, origin: zero}
interpolation: {spacing_mm: [null, 1, 1], image: linear}
resegmentation: {upper: 400, outlier_sigma: 3}
filters: [none, {log: {sigma_mm: 3}}]
perturbations: {count: 3, seed: 7}
distance: 2
"""


def test_a_file_changes_its_preset(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(WHOLE)
    plan = load_plan(tmp_path / "s.yaml")
    expected = replace(
        ibsi_configuration("C"),
        families=("stat",),
        discretisation=FixedBinSize(25, "zero"),
        interpolation=Interpolation((None, 1, 1), image="linear"),
        resegmentation=Resegmentation(upper=400, outlier_sigma=3),
        distance=2,
    )
    assert plan.settings == expected
    assert plan.filters == (None, LaplacianOfGaussianFilter(3))
    assert plan.perturbations is not None
    assert (plan.perturbations.count, plan.perturbations.seed) == (3, 7)
    assert [one.filter for one in plan.each()] == list(plan.filters)


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("")
    assert load_plan(tmp_path / "s.yaml") == preset("default")
    assert preset("default").settings == Settings()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_settings_with_a_hash(name: str) -> None:
    for settings in preset(name).each():
        told = as_mapping(settings)
        assert told["sha256"] == settings.sha256
        assert told["families"]


def test_presets_are_those_of_ibsi() -> None:
    assert preset("ibsi-E").settings == ibsi_configuration("E")
    assert preset("ibsi2-6.B").each() == (ibsi_filter_configuration("6.B"),)


@pytest.mark.parametrize(
    "how",
    [
        None,
        MeanFilter(5, planar=True),
        LaplacianOfGaussianFilter(1.5),
        LawsFilter("L5E5S5", rotation_invariant=True, energy_distance=7),
        GaborFilter(5, 2, 1.5, theta_step_rad=0.5, orthogonal=True),
        WaveletFilter("db3", "LLH", 2, pooling="max"),
        SimoncelliFilter(2),
    ],
)
def test_the_name_of_a_filter_reads_back(how: object) -> None:
    assert parse_filter(filter_name(how)) == how  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("blur", UnknownNameError),
        ("log sigma=3", UnknownNameError),
        ("log", UsageError),
        ("log sigma_mm=wide", UsageError),
        ("mean support=4", UsageError),
    ],
)
def test_a_wrong_filter_is_told(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_filter(text)


@pytest.mark.parametrize(
    "text",
    [
        "interpolation: {spacing_mm: [1, 2]}",
        "interpolation: {spacing_mm: [1, null, 1]}",
        "preset: ibsi-F",
        "discretisation: {bins: 0}",
        "setting: {binWidth: 25}",
        "a: &x 1",
    ],
)
def test_a_wrong_file_is_a_configuration_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"s\.yaml"):
        load_plan(tmp_path / "s.yaml")
