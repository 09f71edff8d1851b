"""Radiomics after the Image Biomarker Standardisation Initiative (IBSI), chapters 1 and 2."""

from vesalius.features.radiomics.extract import radiomics
from vesalius.features.radiomics.filters import (
    Filter,
    GaborFilter,
    LaplacianOfGaussianFilter,
    LawsFilter,
    MeanFilter,
    SimoncelliFilter,
    WaveletFilter,
    filter_response,
)
from vesalius.features.radiomics.pyradiomics import pyradiomics_settings, pyradiomics_values
from vesalius.features.radiomics.settings import (
    Aggregation,
    Family,
    FixedBinNumber,
    FixedBinSize,
    Interpolation,
    NoBinning,
    Resegmentation,
    Settings,
    ibsi_configuration,
    ibsi_filter_configuration,
)
from vesalius.features.radiomics.stability import (
    CohortTable,
    Perturbations,
    RadiomicsCase,
    Stability,
    cohort_csv,
    cohort_features,
    perturbed,
)
from vesalius.features.radiomics.table import Feature, RadiomicsTable, table_csv

__all__ = [
    "Aggregation",
    "CohortTable",
    "Family",
    "Feature",
    "Filter",
    "FixedBinNumber",
    "FixedBinSize",
    "GaborFilter",
    "Interpolation",
    "LaplacianOfGaussianFilter",
    "LawsFilter",
    "MeanFilter",
    "NoBinning",
    "Perturbations",
    "RadiomicsCase",
    "RadiomicsTable",
    "Resegmentation",
    "Settings",
    "SimoncelliFilter",
    "Stability",
    "WaveletFilter",
    "cohort_csv",
    "cohort_features",
    "filter_response",
    "ibsi_configuration",
    "ibsi_filter_configuration",
    "perturbed",
    "pyradiomics_settings",
    "pyradiomics_values",
    "radiomics",
    "table_csv",
]
