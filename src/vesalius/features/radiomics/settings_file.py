"""Radiomics settings from a YAML file, a preset's name or short texts, and back to plain numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from vesalius.config.yaml import load_yaml
from vesalius.core import registry
from vesalius.core.errors import ConfigError, UsageError
from vesalius.features.radiomics.filters import (
    Filter,
    GaborFilter,
    LaplacianOfGaussianFilter,
    LawsFilter,
    MeanFilter,
    SimoncelliFilter,
    WaveletFilter,
)
from vesalius.features.radiomics.settings import (
    Aggregation,
    Discretisation,
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
from vesalius.features.radiomics.stability import Perturbations

__all__ = ["FILTERS", "PRESETS", "Plan", "as_mapping", "filter_name", "load_plan", "parse_filter", "preset"]

FILTERS: dict[str, type[Any]] = {
    "mean": MeanFilter,
    "log": LaplacianOfGaussianFilter,
    "laws": LawsFilter,
    "gabor": GaborFilter,
    "wavelet": WaveletFilter,
    "simoncelli": SimoncelliFilter,
}
"""Filters by their short names."""
_CHAPTER_1 = ("A", "B", "C", "D", "E", "digital")
PRESETS = (
    "default",
    "pyradiomics",
    *(f"ibsi-{letter}" for letter in _CHAPTER_1),
    *(f"ibsi2-{number}.{letter}" for number in range(1, 10) for letter in "AB"),
)
"""Settings by name."""
_FOREIGN = ("imageType", "featureClass", "setting", "voxelSetting")
_TRUE, _FALSE = ("yes", "true", "1"), ("no", "false", "0")


@dataclass(frozen=True)
class Plan:
    """What to measure: settings, filters and perturbations.

    Args:
        filters: None stands for the image itself; each gives a table of its own.
        perturbations: None computes no stability.
    """

    settings: Settings = field(default_factory=Settings)
    filters: tuple[Filter | None, ...] = (None,)
    perturbations: Perturbations | None = field(default_factory=Perturbations)

    def each(self) -> tuple[Settings, ...]:
        """Return the settings of every filter."""
        return tuple(replace(self.settings, filter=one) for one in self.filters)


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)


class _Bins(_Form):
    bins: int | None = None
    width: float | None = None
    origin: Literal["range", "zero"] = "range"
    none: bool = False


class _Grid(_Form):
    spacing_mm: list[float | None]
    image: Literal["nearest", "linear", "cubic"] = "cubic"
    mask: Literal["nearest", "linear"] = "linear"
    mask_threshold: float = 0.5
    round_to: float | None = None


class _Kept(_Form):
    lower: float | None = None
    upper: float | None = None
    outlier_sigma: float | None = None


class _Changes(_Form):
    count: int = 6
    rotation_deg: float = 6.0
    translation_voxels: float = 0.5
    contour_voxels: float = 0.5
    noise: float = 1.0
    seed: int = 0


class _Content(_Form):
    """The keys of a settings file; every one may be left out."""

    preset: str | None = None
    families: list[str] | None = None
    aggregations: list[str] | None = None
    discretisation: _Bins | None = None
    volume_histogram: _Bins | None = None
    interpolation: _Grid | None = None
    resegmentation: _Kept | None = None
    distance: int | None = None
    coarseness: int | None = None
    lone_voxels: bool | None = None
    filters: list[str | dict[str, dict[str, Any]]] | None = None
    perturbations: _Changes | Literal["none"] | None = None


def load_plan(path: Path) -> Plan:
    """Return what a YAML file asks for; what it leaves out is the preset's, else the default.

    Raises:
        ConfigError: the file cannot be read, holds an unknown key or value, or is PyRadiomics' own.
    """
    _check_own(path)
    content = load_yaml(path, _Content)
    try:
        return _plan(content)
    except UsageError as error:
        if isinstance(error, ConfigError):
            raise
        parts = {"found": error.found, "expected": error.expected, "fix": error.fix}
        raise ConfigError(f"{path}: {error.message}", **parts) from error


def _check_own(path: Path) -> None:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return
    foreign = [key for key in _FOREIGN if isinstance(data, dict) and key in data]
    if foreign:
        raise ConfigError(
            f"{path} is a parameter file of PyRadiomics",
            found=", ".join(foreign),
            expected="families, aggregations, discretisation, interpolation, resegmentation, filters ...",
            fix="--preset pyradiomics gives its definitions; docs/reference/features.md says key by key what is what",
        )


def _plan(content: _Content) -> Plan:
    start = preset(content.preset or "default")
    given: dict[str, Any] = {}
    if content.families is not None:
        given["families"] = tuple(content.families)
    if content.aggregations is not None:
        given["aggregations"] = tuple(content.aggregations)
    if content.discretisation is not None:
        given["discretisation"] = _binning(content.discretisation)
    if content.volume_histogram is not None:
        given["volume_histogram"] = _binning(content.volume_histogram)
    if content.interpolation is not None:
        given["interpolation"] = _interpolation(content.interpolation)
    if content.resegmentation is not None:
        given["resegmentation"] = Resegmentation(**content.resegmentation.model_dump())
    plain = ("distance", "coarseness", "lone_voxels")
    given |= {name: getattr(content, name) for name in plain if getattr(content, name) is not None}
    plan = replace(start, settings=replace(start.settings, **given))
    if content.filters is not None:
        plan = replace(plan, filters=tuple(_filter(one) for one in content.filters) or (None,))
    if content.perturbations == "none":
        return replace(plan, perturbations=None)
    if content.perturbations is not None:
        return replace(plan, perturbations=Perturbations(**content.perturbations.model_dump()))
    return plan


def _binning(how: _Bins) -> Discretisation:
    said = [how.bins is not None, how.width is not None, how.none]
    if sum(said) != 1:
        raise UsageError("bins are given in one way", found=str(how), expected="bins: N, width: W or none: true")
    if how.bins is not None:
        return FixedBinNumber(how.bins)
    return FixedBinSize(how.width, how.origin) if how.width is not None else NoBinning()


def _interpolation(how: _Grid) -> Interpolation:
    sizes = how.spacing_mm * 3 if len(how.spacing_mm) == 1 else how.spacing_mm
    if len(sizes) != 3 or sizes[1] is None or sizes[2] is None:
        raise UsageError(
            "spacing_mm is one number or three", found=str(how.spacing_mm), expected="[slice or null, row, column]"
        )
    return Interpolation((sizes[0], sizes[1], sizes[2]), how.image, how.mask, how.mask_threshold, how.round_to)


def _filter(given: str | dict[str, dict[str, Any]]) -> Filter | None:
    if isinstance(given, str):
        return parse_filter(given)
    if len(given) != 1:
        raise UsageError("a filter is one name with its options", found=", ".join(given))
    (name, options), *_ = given.items()
    return _made(name, options)


def parse_filter(text: str) -> Filter | None:
    """Return the filter of a text such as "log sigma_mm=3" or "laws kernels=L5E5S5 energy_distance=7"; None for "none".

    Raises:
        UnknownNameError: no such filter or option.
        UsageError: an option is missing or has a value it cannot have.
    """
    name, *words = text.split()
    if name in ("none", "original") and not words:
        return None
    options: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        options[key] = _typed(value)
    return _made(name, options)


def _typed(text: str) -> Any:
    if text.lower() in (*_TRUE[:2], *_FALSE[:2], ""):
        return text.lower() not in _FALSE
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _made(name: str, options: dict[str, Any]) -> Filter:
    if name not in FILTERS:
        raise registry.unknown("radiomics filter", name, (*FILTERS, "none"))
    known = {one.name: one for one in fields(FILTERS[name])}
    for key, value in options.items():
        if key not in known:
            raise registry.unknown(f"option of the filter {name}", key, tuple(known))
        numeric = str(known[key].type).split(" ")[0] in ("float", "int")
        if numeric and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UsageError(f"{key} of the filter {name} is a number", found=str(value))
    try:
        made: Filter = FILTERS[name](**options)
    except TypeError as error:
        raise UsageError(f"the filter {name} needs more", expected=", ".join(known), found=str(options)) from error
    return made


def filter_name(how: Filter | None) -> str:
    """Return a filter as `parse_filter` reads it, "none" for the image itself."""
    if how is None:
        return "none"
    name = next(name for name, kind in FILTERS.items() if isinstance(how, kind))
    usual = {one.name: one.default for one in fields(how)}
    given = [f"{key}={value}" for key, value in asdict(how).items() if usual[key] != value]
    return " ".join([name, *given])


def preset(name: str) -> Plan:
    """Return the plan of this name, one of `PRESETS`.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in PRESETS:
        raise registry.unknown("preset", name, PRESETS)
    if name.startswith("ibsi-"):
        return Plan(ibsi_configuration(name.removeprefix("ibsi-")))
    if name.startswith("ibsi2-"):
        settings = ibsi_filter_configuration(name.removeprefix("ibsi2-"))
        return Plan(settings, (settings.filter,))
    if name == "pyradiomics":
        from vesalius.features.radiomics.pyradiomics import pyradiomics_settings

        return Plan(pyradiomics_settings(FixedBinSize(25.0, "zero"), Aggregation.VOLUME_AVERAGED))
    return Plan()


def as_mapping(settings: Settings) -> dict[str, Any]:
    """Return settings as plain numbers and texts, with the hash that every row carries."""
    told = asdict(settings)
    told["families"] = [str(Family(one)) for one in settings.families]
    told["aggregations"] = [str(Aggregation(one)) for one in settings.aggregations]
    for name in ("discretisation", "volume_histogram"):
        how = getattr(settings, name)
        told[name] = None if how is None else {"kind": type(how).__name__, **asdict(how)}
    told["filter"] = filter_name(settings.filter)
    return {"sha256": settings.sha256, **told}
