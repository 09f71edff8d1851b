"""IBSI's reference values of chapter 1 (digital phantom) and chapter 2 (response maps)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from _radiomics_data import digital_phantom, filter_phantom, filter_reference, references, with_mask

from vesalius.core import Mask, Volume
from vesalius.core.errors import UsageError
from vesalius.features.radiomics import (
    Filter,
    GaborFilter,
    LaplacianOfGaussianFilter,
    LawsFilter,
    MeanFilter,
    RadiomicsTable,
    WaveletFilter,
    filter_response,
    ibsi_configuration,
    ibsi_filter_configuration,
    radiomics,
)

WITHOUT_REFERENCE = {
    "morph_vol_dens_ombb",
    "morph_area_dens_ombb",
    "morph_vol_dens_mvee",
    "morph_area_dens_mvee",
    "ivh_auc",
}


@pytest.fixture(scope="module")
def table(data_root: Path) -> RadiomicsTable:
    volume, mask = digital_phantom(data_root)
    return radiomics(volume, mask, segment="lesion", settings=ibsi_configuration("digital"))


def test_every_reference_value_of_the_digital_phantom(data_root: Path, table: RadiomicsTable) -> None:
    rows = references(data_root)
    scored = [row for row in rows if row[1] is not None]
    wrong = [(tag, value, table[tag]) for tag, value, apart in scored if not abs(table[tag] - value) <= apart]
    assert wrong == []
    assert len(scored) == 482


def test_the_five_rows_without_a_reference_are_computed(data_root: Path, table: RadiomicsTable) -> None:
    unscored = {tag for tag, value, _ in references(data_root) if value is None}
    assert unscored == WITHOUT_REFERENCE
    assert all(np.isfinite(table[tag]) for tag in unscored)
    # The oriented box is no larger than the aligned one, the ellipsoid encloses the mesh.
    assert table["morph_vol_dens_ombb"] >= table["morph_vol_dens_aabb"] - 1e-9
    assert 0 < table["morph_vol_dens_mvee"] < 1


def test_the_table_holds_exactly_the_tags_of_the_reference(data_root: Path, table: RadiomicsTable) -> None:
    assert set(table.tags) == {tag for tag, _, _ in references(data_root)}


MAPS: dict[str, tuple[str, Filter]] = {
    "1_a_1": ("checkerboard", MeanFilter(15, boundary="zero")),
    "1_b_1": ("impulse", MeanFilter(15, planar=True, boundary="zero")),
    "2_a": ("impulse", LaplacianOfGaussianFilter(3.0, boundary="zero")),
    "3_a_1": ("impulse", LawsFilter("E5L5S5", boundary="zero")),
    "3_c_1": ("checkerboard", LawsFilter("L5S5")),
    "4_a_1": ("impulse", GaborFilter(10.0, 4.0, 0.5, math.pi / 3, boundary="zero")),
    "5_a_1": ("impulse", WaveletFilter("db2", "LHL", boundary="zero")),
    "6_a_1": ("sphere", WaveletFilter("coif1", "HHL", boundary="periodic")),
}


@pytest.mark.parametrize("test", MAPS)
def test_response_maps(data_root: Path, test: str) -> None:
    phantom, how = MAPS[test]
    reference = filter_reference(data_root, test)
    response = filter_response(filter_phantom(data_root, phantom), how)
    span = float(reference.max() - reference.min())
    assert response.array.dtype == np.float32
    # IBSI asks for 1 % of the range.
    assert float(np.abs(response.array - reference).max()) < 1e-4 * span


@pytest.fixture(scope="module")
def sarcoma(data_root: Path) -> tuple[Volume, Mask]:
    folder = data_root / "ibsi_sts_petctmr" / "STS_005"
    return with_mask(folder / "CT_image.nii.gz", folder / "CT_mask.nii.gz")


# Values of MIRP 2.7.0, an implementation that IBSI's authors keep, on the same files with the same configuration.
MIRP = {
    "A": {
        "morph_volume": 584701.11,
        "morph_area_mesh": 42363.9468,
        "morph_diam": 167.982766,
        "loc_peak_glob": 299.040253,
        "stat_mean": 54.2311897,
        "stat_kurt": 1.99612141,
        "ih_entropy": 2.93787355,
        "ih_max_grad": 15690.5,
        "ivh_v10": 1,
        "ivh_i90": 1,
        "cm_joint_entr_2D_avg": 5.17613594,
        "cm_info_corr1_2_5D_comb": -0.102733853,
        "rlm_rl_entr_2D_comb": 3.87928742,
        "szm_zs_var_2_5D": 35.0200037,
        "dzm_zd_entr_2D": 7.27293715,
        "ngt_strength_2D": 0.248283822,
        "ngl_dc_energy_2D": 0.0381181162,
    },
    "B": {
        "morph_volume": 583540.762,
        "morph_com": 13.4681374,
        "loc_peak_loc": 264.605621,
        "stat_var": 1853.86877,
        "ih_mode": 12,
        "ivh_i10": 107,
        "cm_corr_2_5D_avg": 0.468918834,
        "rlm_r_perc_2D_avg": 0.84458345,
        "szm_lze_2D": 9.77578278,
        "dzm_ldhge_2_5D": 11040.8103,
        "ngt_contrast_2D": 0.08665366,
        "ngl_hdlge_2_5D": 0.0436071781,
    },
    "C": {
        "morph_area_dens_conv_hull": 1.07194161,
        "morph_integ_int": 31648988.3,
        "loc_peak_glob": 295.910583,
        "stat_qcod": 0.425742567,
        "ih_uniformity": 0.206339645,
        "ivh_v90": 0.00098460192,
        "ivh_i90": 13.75,
        "cm_clust_prom_3D_avg": 446.701847,
        "rlm_lrhge_3D_comb": 4933.24968,
        "szm_glnu_3D": 424.024614,
        "dzm_zdnu_3D": 342.701346,
        "ngt_busyness_3D": 7.7201611,
        "ngl_dcnu_3D": 4809.73536,
    },
    "D": {
        "morph_pca_least_axis": 69.0291916,
        "stat_rmad": 17.747509,
        "ih_min_grad": -1334,
        "ivh_i10": 99,
        "cm_inv_var_3D_comb": 0.261831609,
        "rlm_gl_var_3D_avg": 22.8190391,
        "szm_szhge_3D": 196.351568,
        "dzm_sdlge_3D": 0.00268001923,
        "ngt_complexity_3D": 1085.06341,
        "ngl_lde_3D": 0.242444893,
    },
    "E": {
        "morph_sphericity": 0.823035354,
        "loc_peak_loc": 245.902435,
        "stat_p10": 3,
        "ih_p90": 22,
        "ivh_v10": 0.996689246,
        "ivh_i10": 689,
        "cm_sum_entr_3D_avg": 4.94217822,
        "rlm_sre_3D_comb": 0.942054799,
        "szm_z_perc_3D": 0.314881769,
        "dzm_gl_var_3D": 37.7082901,
        "ngt_coarseness_3D": 9.16485695e-05,
        "ngl_hdhge_3D": 3221.41668,
    },
}
MIRP_FILTERS = {
    "2.B": {"stat_mean": 53.9773216, "stat_var": 1067.92981, "stat_p90": 92.3759995, "stat_iqr": 27.3040009},
    "3.B": {"stat_mean": -0.224710595, "stat_var": 49.6761815, "stat_p90": 8.13200458, "stat_iqr": 8.37965444},
    "4.B": {"stat_mean": 76.1647263, "stat_var": 357.420197, "stat_p90": 94.9558334, "stat_iqr": 19.1440125},
}


@pytest.mark.parametrize("letter", "ABCDE")
def test_configurations_of_the_ct_phantom_agree_with_mirp(sarcoma: tuple[Volume, Mask], letter: str) -> None:
    found = radiomics(*sarcoma, settings=ibsi_configuration(letter))
    assert len(found) == (351 if letter in "AB" else 215)
    assert np.isfinite(found.values).all()
    for tag, value in MIRP[letter].items():
        assert found[tag] == pytest.approx(value, rel=2e-6), tag


@pytest.mark.slow
@pytest.mark.parametrize("name", MIRP_FILTERS)
def test_filter_configurations_of_the_ct_phantom_agree_with_mirp(sarcoma: tuple[Volume, Mask], name: str) -> None:
    found = radiomics(*sarcoma, settings=ibsi_filter_configuration(name))
    for tag, value in MIRP_FILTERS[name].items():
        assert found[tag] == pytest.approx(value, rel=1e-5), tag


def test_unknown_configurations_name_the_known_ones() -> None:
    with pytest.raises(UsageError, match="A, B, C, D, E"):
        ibsi_configuration("F")
    with pytest.raises(UsageError, match=r"1\.A to 9\.B"):
        ibsi_filter_configuration("10.A")
    assert ibsi_filter_configuration("5.B").filter == GaborFilter(
        5, 2, 1.5, theta_step_rad=math.pi / 8, orthogonal=True
    )
