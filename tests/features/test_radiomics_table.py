"""The table, its hash and its comma-separated form."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from _radiomics_data import ball, pair

from vesalius.features.radiomics import (
    Aggregation,
    Family,
    FixedBinNumber,
    FixedBinSize,
    MeanFilter,
    NoBinning,
    Settings,
    radiomics,
    table_csv,
)
from vesalius.features.radiomics.settings import ALL_FAMILIES

INSIDE = ball(4, (1, 1, 1))
IMAGE = np.random.default_rng(1).normal(100, 20, INSIDE.shape).astype(np.float32)


def test_rows_carry_code_name_unit_and_settings() -> None:
    volume, mask = pair(IMAGE, INSIDE)
    settings = Settings(families=ALL_FAMILIES)
    table = radiomics(replace(volume, unit="[hnsf'U]"), mask, settings=settings)
    rows = {row.tag: row for row in table.to_rows()}
    assert rows["morph_volume"].code == "RNU0"
    assert rows["morph_volume"].unit == "mm3"
    assert rows["stat_mean"].unit == "[hnsf'U]"
    assert rows["stat_var"].unit == "([hnsf'U])2"
    assert rows["morph_integ_int"].unit == "mm3.[hnsf'U]"
    assert rows["cm_joint_max_3D_avg"].aggregation == "3D_avg"
    assert rows["szm_sze_3D"].family == "szm"
    assert rows["morph_moran_i"].family == "morph"
    assert {row.settings for row in rows.values()} == {settings.sha256}
    assert len({row.code for row in rows.values()}) == 174
    assert radiomics(volume, mask).to_rows()[0].unit == "mm3"
    assert {row.unit for row in radiomics(volume, mask) if row.tag == "stat_mean"} == {"[arb'U]"}


def test_bins_of_the_volume_histogram_have_no_unit() -> None:
    settings = Settings(families=(Family.VOLUME_HISTOGRAM,), volume_histogram=FixedBinNumber(100))
    assert {row.unit for row in radiomics(*pair(IMAGE, INSIDE), settings=settings)} == {"1"}


def test_every_option_changes_the_hash() -> None:
    base = Settings()
    others = [
        replace(base, discretisation=FixedBinNumber(31)),
        replace(base, discretisation=FixedBinSize(32)),
        replace(base, discretisation=NoBinning()),
        replace(base, volume_histogram=NoBinning()),
        replace(base, distance=2),
        replace(base, coarseness=1),
        replace(base, lone_voxels=True),
        replace(base, aggregations=(Aggregation.SLICE_AVERAGED,)),
        replace(base, families=(Family.STATISTICS,)),
        replace(base, filter=MeanFilter(3)),
    ]
    assert len({s.sha256 for s in [base, *others]}) == 1 + len(others)
    assert Settings().sha256 == base.sha256
    assert Settings(families=("stat",)) == Settings(families=(Family.STATISTICS,))


def test_families_come_in_the_order_asked_for() -> None:
    table = radiomics(*pair(IMAGE, INSIDE), settings=Settings(families=("ngl", "stat")))
    assert table.tags[0] == "ngl_lde_3D"
    assert table.tags[-1] == "stat_rms"


def test_csv_reads_back() -> None:
    table = radiomics(*pair(IMAGE, INSIDE))
    rows = list(csv.DictReader(io.StringIO(table_csv(table, table))))
    assert len(rows) == 2 * len(table)
    first = {row["tag"]: row for row in rows[: len(table)]}
    for tag in ("stat_mean", "rlm_sre_3D_avg"):
        assert float(first[tag]["value"]) == table[tag]
    assert first["stat_mean"]["segment"] == "lesion"
    empty = replace(table, values=np.full(len(table), np.nan))
    assert {row["value"] for row in csv.DictReader(io.StringIO(table_csv(empty)))} == {""}


def test_tables_are_frozen_and_short_to_print() -> None:
    table = radiomics(*pair(IMAGE, INSIDE))
    with pytest.raises(ValueError, match="read-only"):
        table.values[0] = 1
    assert str(len(table)) in repr(table)
    assert "lesion" in repr(table)
