"""PyRadiomics' names and definitions for the features that both have.

Use it to compare with published PyRadiomics values or to continue a study that began with them.
"""

from __future__ import annotations

import math
from functools import lru_cache

from vesalius.core.errors import UsageError
from vesalius.core.mask import Mask
from vesalius.core.volume import Volume
from vesalius.features.radiomics.extract import measure
from vesalius.features.radiomics.region import prepare, segment_label
from vesalius.features.radiomics.settings import Aggregation, Discretisation, Family, FixedBinSize, Settings

__all__ = ["pyradiomics_settings", "pyradiomics_values"]

# Class and name in PyRadiomics, tag of IBSI.
_TABLE = """
shape_MeshVolume morph_volume
shape_VoxelVolume morph_vol_approx
shape_SurfaceArea morph_area_mesh
shape_SurfaceVolumeRatio morph_av
shape_Sphericity morph_sphericity
shape_Maximum3DDiameter morph_diam
shape_MajorAxisLength morph_pca_maj_axis
shape_MinorAxisLength morph_pca_min_axis
shape_LeastAxisLength morph_pca_least_axis
shape_Elongation morph_pca_elongation
shape_Flatness morph_pca_flatness
firstorder_Mean stat_mean
firstorder_Median stat_median
firstorder_Minimum stat_min
firstorder_Maximum stat_max
firstorder_Range stat_range
firstorder_InterquartileRange stat_iqr
firstorder_MeanAbsoluteDeviation stat_mad
firstorder_RobustMeanAbsoluteDeviation stat_rmad
firstorder_RootMeanSquared stat_rms
firstorder_Skewness stat_skew
firstorder_Kurtosis stat_kurt
firstorder_Variance stat_var
firstorder_Energy stat_energy
firstorder_Entropy ih_entropy
firstorder_Uniformity ih_uniformity
firstorder_10Percentile stat_p10
firstorder_90Percentile stat_p90
glcm_Autocorrelation cm_auto_corr
glcm_ClusterProminence cm_clust_prom
glcm_ClusterShade cm_clust_shade
glcm_ClusterTendency cm_clust_tend
glcm_Contrast cm_contrast
glcm_Correlation cm_corr
glcm_DifferenceAverage cm_diff_avg
glcm_DifferenceEntropy cm_diff_entr
glcm_DifferenceVariance cm_diff_var
glcm_Id cm_inv_diff
glcm_Idm cm_inv_diff_mom
glcm_Idmn cm_inv_diff_mom_norm
glcm_Idn cm_inv_diff_norm
glcm_Imc1 cm_info_corr1
glcm_Imc2 cm_info_corr2
glcm_InverseVariance cm_inv_var
glcm_JointAverage cm_joint_avg
glcm_JointEnergy cm_energy
glcm_JointEntropy cm_joint_entr
glcm_MaximumProbability cm_joint_max
glcm_SumAverage cm_sum_avg
glcm_SumEntropy cm_sum_entr
glcm_SumSquares cm_joint_var
glrlm_GrayLevelNonUniformity rlm_glnu
glrlm_GrayLevelNonUniformityNormalized rlm_glnu_norm
glrlm_GrayLevelVariance rlm_gl_var
glrlm_HighGrayLevelRunEmphasis rlm_hgre
glrlm_LongRunEmphasis rlm_lre
glrlm_LongRunHighGrayLevelEmphasis rlm_lrhge
glrlm_LongRunLowGrayLevelEmphasis rlm_lrlge
glrlm_LowGrayLevelRunEmphasis rlm_lgre
glrlm_RunEntropy rlm_rl_entr
glrlm_RunLengthNonUniformity rlm_rlnu
glrlm_RunLengthNonUniformityNormalized rlm_rlnu_norm
glrlm_RunPercentage rlm_r_perc
glrlm_RunVariance rlm_rl_var
glrlm_ShortRunEmphasis rlm_sre
glrlm_ShortRunHighGrayLevelEmphasis rlm_srhge
glrlm_ShortRunLowGrayLevelEmphasis rlm_srlge
glszm_GrayLevelNonUniformity szm_glnu
glszm_GrayLevelNonUniformityNormalized szm_glnu_norm
glszm_GrayLevelVariance szm_gl_var
glszm_HighGrayLevelZoneEmphasis szm_hgze
glszm_LargeAreaEmphasis szm_lze
glszm_LargeAreaHighGrayLevelEmphasis szm_lzhge
glszm_LargeAreaLowGrayLevelEmphasis szm_lzlge
glszm_LowGrayLevelZoneEmphasis szm_lgze
glszm_SizeZoneNonUniformity szm_zsnu
glszm_SizeZoneNonUniformityNormalized szm_zsnu_norm
glszm_SmallAreaEmphasis szm_sze
glszm_SmallAreaHighGrayLevelEmphasis szm_szhge
glszm_SmallAreaLowGrayLevelEmphasis szm_szlge
glszm_ZoneEntropy szm_zs_entr
glszm_ZonePercentage szm_z_perc
glszm_ZoneVariance szm_zs_var
gldm_DependenceEntropy ngl_dc_entr
gldm_DependenceNonUniformity ngl_dcnu
gldm_DependenceNonUniformityNormalized ngl_dcnu_norm
gldm_DependenceVariance ngl_dc_var
gldm_GrayLevelNonUniformity ngl_glnu
gldm_GrayLevelVariance ngl_gl_var
gldm_HighGrayLevelEmphasis ngl_hgce
gldm_LargeDependenceEmphasis ngl_hde
gldm_LargeDependenceHighGrayLevelEmphasis ngl_hdhge
gldm_LargeDependenceLowGrayLevelEmphasis ngl_hdlge
gldm_LowGrayLevelEmphasis ngl_lgce
gldm_SmallDependenceEmphasis ngl_lde
gldm_SmallDependenceHighGrayLevelEmphasis ngl_ldhge
gldm_SmallDependenceLowGrayLevelEmphasis ngl_ldlge
ngtdm_Busyness ngt_busyness
ngtdm_Coarseness ngt_coarseness
ngtdm_Complexity ngt_complexity
ngtdm_Contrast ngt_contrast
ngtdm_Strength ngt_strength
"""
_FAMILIES = (
    Family.MORPHOLOGY,
    Family.STATISTICS,
    Family.HISTOGRAM,
    Family.COOCCURRENCE,
    Family.RUN_LENGTH,
    Family.SIZE_ZONE,
    Family.TONE_DIFFERENCE,
    Family.DEPENDENCE,
)
_ALLOWED = (Aggregation.VOLUME_AVERAGED, Aggregation.VOLUME_MERGED, Aggregation.DIRECTION_MERGED)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return IBSI tag by PyRadiomics name."""
    pairs = (line.split() for line in _TABLE.strip().splitlines())
    return {f"original_{name}": tag for name, tag in pairs}


def pyradiomics_settings(
    discretisation: Discretisation | None = None, aggregation: Aggregation = Aggregation.VOLUME_AVERAGED
) -> Settings:
    """Return the settings that compute what PyRadiomics 3.0 computes by default.

    Args:
        discretisation: None is PyRadiomics' own, bins of 25 with edges at multiples of 25.
        aggregation: `3D_avg` is its default, `3D_comb` its `weightingNorm="no_weighting"`, `2_5D_avg` its `force2D`.

    Raises:
        UsageError: an aggregation that PyRadiomics does not have.
    """
    if aggregation not in _ALLOWED:
        raise UsageError("PyRadiomics has no such aggregation", found=aggregation, expected=", ".join(_ALLOWED))
    bins = FixedBinSize(25, origin="zero") if discretisation is None else discretisation
    return Settings(families=_FAMILIES, aggregations=(aggregation,), discretisation=bins, lone_voxels=True)


def pyradiomics_values(
    volume: Volume, mask: Mask, *, segment: str | int | None = None, settings: Settings | None = None
) -> dict[str, float]:
    """Return features under the names and by the definitions of PyRadiomics 3.0.

    Kurtosis is not reduced by 3, axis lengths divide by the number of voxels, and the total energy is the energy times
    the volume of a voxel. Features that IBSI does not have (MCC, 2-D diameters) are missing.

    Raises:
        VesaliusError: as for `radiomics`.
    """
    chosen = pyradiomics_settings() if settings is None else settings
    region = prepare(volume, mask, segment, chosen)
    # PyRadiomics has no feature of the convex hull.
    table = measure(region, mask.segments[segment_label(mask, segment)].name, chosen, hull=False)
    aggregation = chosen.aggregations[0]
    result = {}
    for name, tag in _names().items():
        for place in (tag, f"{tag}_{aggregation.value}", f"{tag}_{aggregation.dimension}"):
            if place in table.by_tag:
                result[name] = table.by_tag[place]
    if "original_firstorder_Kurtosis" in result:
        result["original_firstorder_Kurtosis"] += 3
    if "original_shape_VoxelVolume" in result:
        voxels = round(result["original_shape_VoxelVolume"] / math.prod(_spacing(volume, chosen)))
        for name in ("MajorAxisLength", "MinorAxisLength", "LeastAxisLength"):
            result[f"original_shape_{name}"] *= math.sqrt((voxels - 1) / voxels)
    if "original_firstorder_Energy" in result:
        size = math.prod(_spacing(volume, chosen))
        result["original_firstorder_TotalEnergy"] = result["original_firstorder_Energy"] * size
    return result


def _spacing(volume: Volume, settings: Settings) -> list[float]:
    own = volume.spacing_mm
    if settings.interpolation is None:
        return list(own)
    return [o if n is None else n for n, o in zip(settings.interpolation.spacing_mm, own, strict=True)]
