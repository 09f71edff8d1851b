"""What each feature is: tag, IBSI identifier, unit and name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from vesalius.features.radiomics.settings import Family

__all__ = ["Definition", "definitions", "unit_of"]

ARBITRARY = "[arb'U]"
"""UCUM unit of intensities without a scale of their own."""

# Tag, identifier, unit (I is the unit of the image, I2 its square), name: IBSI reference manual,
# doi:10.17195/candat.2016.08.1, and the tags of its reference tables.
_TABLE = """
morph_volume RNU0 mm3 volume
morph_vol_approx YEKZ mm3 approximate volume
morph_area_mesh C0JK mm2 surface area
morph_av 2PR5 /mm surface to volume ratio
morph_comp_1 SKGS 1 compactness 1
morph_comp_2 BQWJ 1 compactness 2
morph_sph_dispr KRCK 1 spherical disproportion
morph_sphericity QCFX 1 sphericity
morph_asphericity 25C7 1 asphericity
morph_com KLMA mm centre of mass shift
morph_diam L0JK mm maximum 3D diameter
morph_pca_maj_axis TDIC mm major axis length
morph_pca_min_axis P9VJ mm minor axis length
morph_pca_least_axis 7J51 mm least axis length
morph_pca_elongation Q3CK 1 elongation
morph_pca_flatness N17B 1 flatness
morph_vol_dens_aabb PBX1 1 axis-aligned bounding box volume density
morph_area_dens_aabb R59B 1 axis-aligned bounding box area density
morph_vol_dens_ombb ZH1A 1 oriented minimum bounding box volume density
morph_area_dens_ombb IQYR 1 oriented minimum bounding box area density
morph_vol_dens_aee 6BDE 1 approximate enclosing ellipsoid volume density
morph_area_dens_aee RDD2 1 approximate enclosing ellipsoid area density
morph_vol_dens_mvee SWZ1 1 minimum volume enclosing ellipsoid volume density
morph_area_dens_mvee BRI8 1 minimum volume enclosing ellipsoid area density
morph_vol_dens_conv_hull R3ER 1 convex hull volume density
morph_area_dens_conv_hull 7T7F 1 convex hull area density
morph_integ_int 99N0 mm3.I integrated intensity
morph_moran_i N365 1 Moran's I index
morph_geary_c NPT7 1 Geary's C measure
loc_peak_loc VJGA I local intensity peak
loc_peak_glob 0F91 I global intensity peak
stat_mean Q4LE I mean
stat_var ECT3 I2 variance
stat_skew KE2A 1 skewness
stat_kurt IPH6 1 excess kurtosis
stat_median Y12H I median
stat_min 1GSF I minimum
stat_p10 QG58 I 10th percentile
stat_p90 8DWT I 90th percentile
stat_max 84IY I maximum
stat_iqr SALO I interquartile range
stat_range 2OJQ I range
stat_mad 4FUA I mean absolute deviation
stat_rmad 1128 I robust mean absolute deviation
stat_medad N72L I median absolute deviation
stat_cov 7TET 1 coefficient of variation
stat_qcod 9S40 1 quartile coefficient of dispersion
stat_energy N8CA I2 energy
stat_rms 5ZWQ I root mean square
ih_mean X6K6 1 mean
ih_var CH89 1 variance
ih_skew 88K1 1 skewness
ih_kurt C3I7 1 excess kurtosis
ih_median WIFQ 1 median
ih_min 1PR8 1 minimum
ih_p10 GPMT 1 10th percentile
ih_p90 OZ0C 1 90th percentile
ih_max 3NCY 1 maximum
ih_iqr WR0O 1 interquartile range
ih_range 5Z3W 1 range
ih_mad D2ZX 1 mean absolute deviation
ih_rmad WRZB 1 robust mean absolute deviation
ih_medad 4RNL 1 median absolute deviation
ih_cov CWYJ 1 coefficient of variation
ih_qcod SLWD 1 quartile coefficient of dispersion
ih_mode AMMC 1 mode
ih_entropy TLU2 1 entropy
ih_uniformity BJ5W 1 uniformity
ih_max_grad 12CE 1 maximum histogram gradient
ih_max_grad_g 8E6O 1 maximum histogram gradient grey level
ih_min_grad VQB3 1 minimum histogram gradient
ih_min_grad_g RHQZ 1 minimum histogram gradient grey level
ivh_v10 NK6P 1 volume fraction at 10 % intensity
ivh_v90 4279 1 volume fraction at 90 % intensity
ivh_i10 PWN1 I intensity at 10 % volume
ivh_i90 BOHI I intensity at 90 % volume
ivh_diff_v10_v90 WITY 1 volume fraction difference between 10 % and 90 % intensity
ivh_diff_i10_i90 JXJA I intensity difference between 10 % and 90 % volume
ivh_auc 9CMM 1 area under the IVH curve
cm_joint_max GYBY 1 joint maximum
cm_joint_avg 60VM 1 joint average
cm_joint_var UR99 1 joint variance
cm_joint_entr TU9B 1 joint entropy
cm_diff_avg TF7R 1 difference average
cm_diff_var D3YU 1 difference variance
cm_diff_entr NTRS 1 difference entropy
cm_sum_avg ZGXS 1 sum average
cm_sum_var OEEB 1 sum variance
cm_sum_entr P6QZ 1 sum entropy
cm_energy 8ZQL 1 angular second moment
cm_contrast ACUI 1 contrast
cm_dissimilarity 8S9J 1 dissimilarity
cm_inv_diff IB1Z 1 inverse difference
cm_inv_diff_norm NDRX 1 normalised inverse difference
cm_inv_diff_mom WF0Z 1 inverse difference moment
cm_inv_diff_mom_norm 1QCO 1 normalised inverse difference moment
cm_inv_var E8JP 1 inverse variance
cm_corr NI2N 1 correlation
cm_auto_corr QWB0 1 autocorrelation
cm_clust_tend DG8W 1 cluster tendency
cm_clust_shade 7NFM 1 cluster shade
cm_clust_prom AE86 1 cluster prominence
cm_info_corr1 R8DG 1 first measure of information correlation
cm_info_corr2 JN9H 1 second measure of information correlation
rlm_sre 22OV 1 short runs emphasis
rlm_lre W4KF 1 long runs emphasis
rlm_lgre V3SW 1 low grey level run emphasis
rlm_hgre G3QZ 1 high grey level run emphasis
rlm_srlge HTZT 1 short run low grey level emphasis
rlm_srhge GD3A 1 short run high grey level emphasis
rlm_lrlge IVPO 1 long run low grey level emphasis
rlm_lrhge 3KUM 1 long run high grey level emphasis
rlm_glnu R5YN 1 grey level non-uniformity
rlm_glnu_norm OVBL 1 normalised grey level non-uniformity
rlm_rlnu W92Y 1 run length non-uniformity
rlm_rlnu_norm IC23 1 normalised run length non-uniformity
rlm_r_perc 9ZK5 1 run percentage
rlm_gl_var 8CE5 1 grey level variance
rlm_rl_var SXLW 1 run length variance
rlm_rl_entr HJ9O 1 run entropy
szm_sze 5QRC 1 small zone emphasis
szm_lze 48P8 1 large zone emphasis
szm_lgze XMSY 1 low grey level zone emphasis
szm_hgze 5GN9 1 high grey level zone emphasis
szm_szlge 5RAI 1 small zone low grey level emphasis
szm_szhge HW1V 1 small zone high grey level emphasis
szm_lzlge YH51 1 large zone low grey level emphasis
szm_lzhge J17V 1 large zone high grey level emphasis
szm_glnu JNSA 1 grey level non-uniformity
szm_glnu_norm Y1RO 1 normalised grey level non-uniformity
szm_zsnu 4JP3 1 zone size non-uniformity
szm_zsnu_norm VB3A 1 normalised zone size non-uniformity
szm_z_perc P30P 1 zone percentage
szm_gl_var BYLV 1 grey level variance
szm_zs_var 3NSA 1 zone size variance
szm_zs_entr GU8N 1 zone size entropy
dzm_sde 0GBI 1 small distance emphasis
dzm_lde MB4I 1 large distance emphasis
dzm_lgze S1RA 1 low grey level zone emphasis
dzm_hgze K26C 1 high grey level zone emphasis
dzm_sdlge RUVG 1 small distance low grey level emphasis
dzm_sdhge DKNJ 1 small distance high grey level emphasis
dzm_ldlge A7WM 1 large distance low grey level emphasis
dzm_ldhge KLTH 1 large distance high grey level emphasis
dzm_glnu VFT7 1 grey level non-uniformity
dzm_glnu_norm 7HP3 1 normalised grey level non-uniformity
dzm_zdnu V294 1 zone distance non-uniformity
dzm_zdnu_norm IATH 1 normalised zone distance non-uniformity
dzm_z_perc VIWW 1 zone percentage
dzm_gl_var QK93 1 grey level variance
dzm_zd_var 7WT1 1 zone distance variance
dzm_zd_entr GBDU 1 zone distance entropy
ngt_coarseness QCDE 1 coarseness
ngt_contrast 65HE 1 contrast
ngt_busyness NQ30 1 busyness
ngt_complexity HDEZ 1 complexity
ngt_strength 1X9X 1 strength
ngl_lde SODN 1 low dependence emphasis
ngl_hde IMOQ 1 high dependence emphasis
ngl_lgce TL9H 1 low grey level count emphasis
ngl_hgce OAE7 1 high grey level count emphasis
ngl_ldlge EQ3F 1 low dependence low grey level emphasis
ngl_ldhge JA6D 1 low dependence high grey level emphasis
ngl_hdlge NBZI 1 high dependence low grey level emphasis
ngl_hdhge 9QMG 1 high dependence high grey level emphasis
ngl_glnu FP8K 1 grey level non-uniformity
ngl_glnu_norm 5SPA 1 normalised grey level non-uniformity
ngl_dcnu Z87G 1 dependence count non-uniformity
ngl_dcnu_norm OKJI 1 normalised dependence count non-uniformity
ngl_dc_perc 6XV8 1 dependence count percentage
ngl_gl_var 1PFV 1 grey level variance
ngl_dc_var DNX2 1 dependence count variance
ngl_dc_entr FCBV 1 dependence count entropy
ngl_dc_energy CAS9 1 dependence count energy
"""


_PARTS = {
    "morph_vol_dens_ombb": Family.ENCLOSING,
    "morph_area_dens_ombb": Family.ENCLOSING,
    "morph_vol_dens_mvee": Family.ENCLOSING,
    "morph_area_dens_mvee": Family.ENCLOSING,
    "morph_moran_i": Family.AUTOCORRELATION,
    "morph_geary_c": Family.AUTOCORRELATION,
}


@dataclass(frozen=True, slots=True)
class Definition:
    """One feature: tag without aggregation, IBSI identifier, family, unit pattern and name."""

    tag: str
    code: str
    family: Family
    unit: str
    name: str


@lru_cache(maxsize=1)
def definitions() -> dict[Family, tuple[Definition, ...]]:
    """Return the features of each family in the order in which they are computed."""
    result: dict[Family, list[Definition]] = {family: [] for family in Family}
    for line in _TABLE.strip().splitlines():
        tag, code, unit, name = line.split(" ", 3)
        family = _PARTS.get(tag) or Family(tag.split("_", 1)[0])
        result[family].append(Definition(tag, code, family, unit, name))
    return {family: tuple(found) for family, found in result.items()}


@lru_cache(maxsize=256)
def unit_of(pattern: str, intensity: str) -> str:
    """Return the UCUM unit of a feature of an image whose intensities have the unit `intensity`."""
    base = intensity or ARBITRARY
    if pattern == "I2":
        return "1" if base == "1" else f"({base})2"
    return ".".join(base if part == "I" else part for part in pattern.split("."))
