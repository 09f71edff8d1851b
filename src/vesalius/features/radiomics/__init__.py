"""Radiomics after the Image Biomarker Standardisation Initiative (IBSI), chapters 1 and 2."""

from vesalius.features.radiomics.extract import radiomics
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
)
from vesalius.features.radiomics.table import Feature, RadiomicsTable, table_csv

__all__ = [
    "Aggregation",
    "Family",
    "Feature",
    "FixedBinNumber",
    "FixedBinSize",
    "Interpolation",
    "NoBinning",
    "RadiomicsTable",
    "Resegmentation",
    "Settings",
    "ibsi_configuration",
    "radiomics",
    "table_csv",
]
