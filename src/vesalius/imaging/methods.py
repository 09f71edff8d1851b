"""Every enhancement by name: its function, its parameters with units, and for which images it is meant.

One table serves `vesalius enhance`, `enhance list`, the documentation and chains of several steps. Importing it loads
no NumPy; a function is imported when it runs.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vesalius.core.errors import UnknownNameError, UsageError
    from vesalius.core.volume import Volume


class Kind(StrEnum):
    """What a parameter is."""

    NUMBER = "number"
    WHOLE = "whole number"
    FLAG = "yes or no"
    WORD = "word"
    IMAGE = "image file"
    SCALE = "histogram file (.json) or image files, separated by commas"
    MASK = "mask file"
    SEEDS = "places x,y,z;x,y,z in LPS mm, index:slice,row,column;..., or a mask file"
    BOX = "two opposite corners x,y,z;x,y,z in LPS mm, or index:slice,row,column;..."


@dataclass(frozen=True, slots=True)
class Parameter:
    """One keyword of a function.

    Args:
        unit: "mm", "image units", "" for none.
        default: the function's own; None may also mean that the function finds a value.
        required: there is no default.
        choices: the words allowed, () for any.
    """

    name: str
    kind: Kind
    help: str
    unit: str = ""
    default: float | int | bool | str | None = None
    required: bool = False
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """Return its name on the command line."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True, slots=True)
class Method:
    """One way to enhance or to segment an image.

    Args:
        function: "module of the room:function"; takes an image and the parameters as keywords.
        modalities: DICOM modalities it is meant for, () for any.
        dimensions: "2-D", "3-D" or both.
        result: "same type", "float32" or "mask".
        takes: "image", or "mask" for what cleans masks up.
        room: where the function lives.
    """

    name: str
    family: str
    function: str
    help: str
    parameters: tuple[Parameter, ...] = ()
    modalities: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ("2-D", "3-D")
    result: str = "same type"
    takes: str = "image"
    room: str = "imaging"

    def load(self) -> Callable[..., Any]:
        """Return the function, imported now."""
        module, _, name = self.function.partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(f"vesalius.{self.room}.{module}"), name)
        return function


@dataclass(frozen=True)
class Step:
    """A method and the parameters given to it, typed."""

    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the step as `parse_step` reads it."""
        words = [f"{name}={value}" for name, value in self.parameters.items() if value is not None]
        return " ".join([self.method, *words])


_SIZE, _SIGMA = "edge length of the window", "standard deviation of the smoothing"
_SLICEWISE = Parameter("slicewise", Kind.FLAG, "treat each slice by itself", default=False)
_WINDOW = Parameter("window", Kind.WORD, "shape of the step", default="gaussian",
                    choices=("gaussian", "butterworth", "hann"))  # fmt: skip
_KEEP_MEAN = Parameter("keep_mean", Kind.FLAG, "add the image's mean again", default=True)
_GRAIN = Parameter("grain", Kind.NUMBER, "standard deviation over mean of pure speckle; default estimated")
_NOISE = Parameter("noise", Kind.NUMBER, "its standard deviation; default estimated", "image units")
_LOW = Parameter("low", Kind.NUMBER, "values below count as this; default the lowest", "image units")
_HIGH = Parameter("high", Kind.NUMBER, "values above count as this; default the highest", "image units")
_CONTRAST = Parameter("contrast", Kind.NUMBER, "of a marker to its surroundings, part of the range", default=0.25)


def _mm(name: str, text: str, default: float | None = None, *, required: bool = True) -> Parameter:
    return Parameter(name, Kind.NUMBER, text, "mm", default, required and default is None)


_NOISE_FAMILY = (
    Method("mean", "noise", "denoise:mean", "Mean over a box.", (_mm("width_mm", _SIZE), _SLICEWISE)),
    Method("median", "noise", "denoise:median", "Median over a box.", (_mm("width_mm", _SIZE), _SLICEWISE)),
    Method("gaussian", "noise", "denoise:gaussian", "Gaussian smoothing.", (_mm("sigma_mm", _SIGMA), _SLICEWISE)),
    Method(
        "bilateral", "noise", "denoise:bilateral", "Gaussian means of neighbours that are alike; keeps edges.",
        (
            _mm("sigma_mm", _SIGMA),
            Parameter("sigma_value", Kind.NUMBER, "over brightness; default three times the noise", "image units"),
            _SLICEWISE,
        ),
    ),
    Method(
        "non-local-means", "noise", "denoise:non_local_means",
        "Mean of voxels whose surroundings look alike; keeps texture. Rician noise of MR is corrected.",
        (
            Parameter("strength", Kind.NUMBER, "decay of the weights in multiples of the noise", default=1.0),
            _mm("patch_mm", "edge length of the surroundings that are compared", 3.0),
            _mm("search_mm", "edge length of the box in which alike voxels are looked for", 11.0),
            _NOISE,
            Parameter("rician", Kind.FLAG, "noise of a magnitude image; default for modality MR"),
            _SLICEWISE,
        ),
    ),
    Method(
        "total-variation", "noise", "denoise:total_variation", "Even areas with sharp borders.",
        (
            Parameter("weight", Kind.NUMBER, "a ball of radius R loses contrast 3 weight / R", "image units x mm",
                      required=True),
            Parameter("iterations", Kind.WHOLE, "of the scheme", default=100),
            _SLICEWISE,
        ),
    ),
    Method(
        "anisotropic-diffusion", "noise", "denoise:anisotropic_diffusion", "Diffusion that stops at edges.",
        (
            _mm("sigma_mm", "smoothing of even areas, as a Gaussian's standard deviation"),
            Parameter("edge", Kind.NUMBER, "slope at which the flow falls to 1/e; default 3 x the median",
                      "image units per mm"),
            _SLICEWISE,
        ),
    ),
    Method(
        "wavelet", "noise", "wavelet:wavelet", "Wavelet coefficients below the noise removed.",
        (
            Parameter("family", Kind.WORD, "any discrete PyWavelets family: haar, db4, sym4, coif2 ...",
                      default="sym4"),
            Parameter("method", Kind.WORD, "threshold per band or one for all", default="bayes",
                      choices=("bayes", "visu")),
            Parameter("shrinkage", Kind.WORD, "of coefficients", default="soft", choices=("soft", "hard")),
            _mm("coarsest_mm", "sampling of the coarsest cleaned level; default 8 voxels", required=False),
            _NOISE,
            _SLICEWISE,
        ),
    ),
)  # fmt: skip

_SPECKLE_FAMILY = (
    Method(
        "speckle-diffusion", "speckle", "speckle:speckle_diffusion", "SRAD: diffusion that stops where speckle ends.",
        (_mm("sigma_mm", "smoothing of pure speckle, as a Gaussian's standard deviation"), _GRAIN, _SLICEWISE),
        ("US",),
    ),
    Method("lee", "speckle", "speckle:lee", "Lee filter.", (_mm("width_mm", _SIZE), _GRAIN, _SLICEWISE), ("US",)),
    Method(
        "frost", "speckle", "speckle:frost", "Frost filter.",
        (
            _mm("width_mm", _SIZE),
            Parameter("damping_per_mm", Kind.NUMBER, "fall of the weights in pure speckle", "1/mm", 1.0),
            _GRAIN,
            _SLICEWISE,
        ),
        ("US",),
    ),
)  # fmt: skip

_FREQUENCY_FAMILY = (
    Method(
        "low-pass", "frequency", "frequency:low_pass", "Keeps wavelengths longer than the cutoff.",
        (_mm("cutoff_mm", "wavelength that keeps half its amplitude"), _WINDOW, _SLICEWISE),
    ),
    Method(
        "high-pass", "frequency", "frequency:high_pass", "Keeps wavelengths shorter than the cutoff.",
        (_mm("cutoff_mm", "wavelength that keeps half its amplitude"), _WINDOW, _KEEP_MEAN, _SLICEWISE),
    ),
    Method(
        "band-pass", "frequency", "frequency:band_pass", "Keeps wavelengths between two.",
        (_mm("shortest_mm", "wavelength"), _mm("longest_mm", "wavelength"), _WINDOW, _KEEP_MEAN, _SLICEWISE),
    ),
)  # fmt: skip

_CONTRAST_FAMILY = (
    Method(
        "window", "contrast", "contrast:window", "Display values of a window: a named CT preset, or centre and width.",
        (
            Parameter("preset", Kind.WORD, "CT window by name", choices=(
                "abdomen", "angiography", "bone", "brain", "head-soft-tissue", "liver", "lung", "mediastinum",
                "spine-soft-tissue", "stroke", "stroke-wide", "subdural", "temporal-bone",
            )),
            Parameter("centre", Kind.NUMBER, "of the window", "image units"),
            Parameter("width", Kind.NUMBER, "of the window", "image units"),
            Parameter("shape", Kind.WORD, "DICOM function", default="linear", choices=("linear", "sigmoid")),
            Parameter("brightest", Kind.NUMBER, "display value of white", default=255.0),
        ),
    ),
    Method(
        "clahe", "contrast", "contrast:clahe", "Adaptive histogram equalisation with limited noise.",
        (
            Parameter("clip", Kind.NUMBER, "most of a tile in one grey level, 0 to 1", default=0.01),
            _mm("tile_mm", "edge length of a tile; default an eighth of each side", required=False),
            _LOW, _HIGH, _SLICEWISE,
        ),
    ),
    Method(
        "gamma", "contrast", "contrast:gamma", "Power law: below 1 brightens, above 1 darkens.",
        (Parameter("exponent", Kind.NUMBER, "of the power law", required=True), _LOW, _HIGH),
    ),
    Method(
        "match-histogram", "contrast", "contrast:match_histogram", "The histogram of another image.",
        (Parameter("reference", Kind.IMAGE, "whose histogram is taken", required=True),),
    ),
)  # fmt: skip

_SCALE_FAMILY = (
    Method(
        "normalise", "scale", "intensity:normalise", "Comparable brightness of MR images.",
        (Parameter("method", Kind.WORD, "what sets the scale", default="z-score",
                   choices=("z-score", "percentile", "white-stripe")),),
        ("MR",), ("2-D", "3-D"), "float32",
    ),
    Method(
        "nyul", "scale", "standardise:nyul", "Nyul's standard histogram.",
        (Parameter("scale", Kind.SCALE, "the standard, or images it is learnt from", required=True),),
        ("MR",), ("2-D", "3-D"), "float32",
    ),
    Method(
        "remove-bias", "scale", "standardise:remove_bias", "N4: slow shade divided out.",
        (Parameter("shrink", Kind.WHOLE, "reduction for the fit", default=4),), ("MR",), ("3-D",), "float32",
    ),
)  # fmt: skip

_PICTURE_FAMILY = (
    Method(
        "radiograph-crop", "pictures", "radiograph:crop_collimation", "Cuts shutters, film edges and padding away.",
        (
            Parameter("tolerance", Kind.NUMBER, "spread of values in a strip, part of the range", default=0.03),
            Parameter("outliers", Kind.NUMBER, "share of other pixels in its rows or columns", default=0.05),
        ),
        ("CR", "DX", "MG"), ("2-D",),
    ),
    Method(
        "radiograph-markers", "pictures", "radiograph:remove_markers", "Fills lead letters, labels and burned-in text.",
        (_CONTRAST,), ("CR", "DX", "MG"), ("2-D",),
    ),
    Method(
        "fundus-crop", "pictures", "fundus:crop_field", "The lit disc of a retinal photograph, black outside.",
        (), ("OP",), ("2-D",),
    ),
    Method(
        "fundus-illumination", "pictures", "fundus:even_illumination", "Even light over a retinal photograph.",
        (
            Parameter("scale", Kind.NUMBER, "what counts as slow, part of the field's diameter", default=0.12),
            Parameter("contrast", Kind.FLAG, "also even the local spread", default=False),
        ),
        ("OP",), ("2-D",),
    ),
)  # fmt: skip

METHODS: Mapping[str, Method] = {
    method.name: method
    for family in (
        _NOISE_FAMILY, _SPECKLE_FAMILY, _FREQUENCY_FAMILY, _CONTRAST_FAMILY, _SCALE_FAMILY, _PICTURE_FAMILY
    )
    for method in family
}  # fmt: skip
"""All methods by name, family by family."""

Reader = Callable[[str], Any]
"""Gives the object that a file parameter names."""


def get(name: str) -> Method:
    """Return a method.

    Raises:
        UnknownNameError: there is none of this name; the nearest is suggested.
    """
    if name not in METHODS:
        raise _unknown("enhancement method", name, tuple(METHODS))
    return METHODS[name]


def run(volume: Volume, name: str, **parameters: Any) -> Volume:
    """Return the image enhanced by the method of this name.

    Raises:
        UnknownNameError: no such method or parameter.
        UsageError: a parameter is missing or out of range.
        VesaliusError: what the method itself raises.
    """
    from vesalius.imaging.filtering import check_voxels

    method = get(name)
    check_names(method, parameters)
    check_voxels(volume, method.name)
    given = {key: value for key, value in parameters.items() if value is not None}
    enhanced: Volume = method.load()(volume, **given)
    return enhanced


def run_chain(volume: Volume, chain: Iterable[Step]) -> Volume:
    """Return the image after every step of a chain, in order."""
    for step in chain:
        volume = run(volume, step.method, **step.parameters)
    return volume


def parse_chain(text: str, read: Reader | None = None) -> tuple[Step, ...]:
    """Return the steps of a chain such as "median width_mm=3 | clahe clip=0.02".

    Args:
        read: opens the files that parameters name.

    Raises:
        UnknownNameError: no such method or parameter.
        UsageError: a value that cannot be read, a parameter without value, no step at all.
    """
    steps = tuple(parse_step(part, read) for part in text.split("|") if part.strip())
    if not steps:
        raise _usage("a chain has at least one step", found=repr(text), expected='such as "gaussian sigma_mm=1"')
    return steps


def parse_step(text: str, read: Reader | None = None) -> Step:
    """Return one step such as "gaussian sigma_mm=1 slicewise"; see `parse_chain`."""
    words = re.split(r"\s+", text.strip())
    method = get(words[0])
    given = dict[str, Any]()
    for word in words[1:]:
        name, separator, value = word.partition("=")
        parameter = parameter_of(method, name)
        given[parameter.name] = parse_value(parameter, value if separator else "", read)
    check_names(method, given)
    return Step(method.name, given)


def parameter_of(method: Method, name: str) -> Parameter:
    """Return a parameter by its name, with dashes or underscores.

    Raises:
        UnknownNameError: the method has no such parameter.
    """
    wanted = name.strip("-").replace("-", "_")
    for parameter in method.parameters:
        if parameter.name == wanted:
            return parameter
    raise _unknown(f"parameter of {method.name}", wanted, tuple(p.name for p in method.parameters))


def parse_value(parameter: Parameter, text: str, read: Reader | None = None) -> Any:
    """Return the typed value of what was typed.

    Raises:
        UsageError: it is not of the parameter's kind.
        UnknownNameError: it is not among the parameter's words.
    """
    if parameter.kind is Kind.FLAG:
        return _flag(parameter, text)
    if parameter.kind in (Kind.NUMBER, Kind.WHOLE):
        return _number(parameter, text)
    if parameter.kind in (Kind.IMAGE, Kind.SCALE):
        if read is None:
            raise _usage(f"{parameter.name} names a file, and files are not read here", found=text)
        return _scale(text, read) if parameter.kind is Kind.SCALE else read(text)
    if parameter.choices and text not in parameter.choices:
        raise _unknown(parameter.name, text, parameter.choices)
    return text


def _usage(message: str, **parts: str) -> UsageError:
    """Return a usage error; importing errors loads NumPy, and the table must not."""
    from vesalius.core.errors import UsageError

    return UsageError(message, **parts)


def _unknown(what: str, name: str, known: tuple[str, ...]) -> UnknownNameError:
    from vesalius.core.registry import unknown

    return unknown(what, name, known)


def _flag(parameter: Parameter, text: str) -> bool:
    known = {"": True, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in known:
        raise _usage(f"{parameter.name} is yes or no", found=text, expected="yes, no")
    return known[text.lower()]


def _number(parameter: Parameter, text: str) -> float | int:
    try:
        return int(text) if parameter.kind is Kind.WHOLE else float(text)
    except ValueError as error:
        unit = f" in {parameter.unit}" if parameter.unit else ""
        raise _usage(
            f"{parameter.name} is a {parameter.kind}{unit}", found=repr(text), fix=f"{parameter.option} 1"
        ) from error


def _scale(text: str, read: Reader) -> Any:
    from pathlib import Path

    from vesalius.imaging.standardise import NyulScale, learn_scale

    if not text.lower().endswith(".json"):
        return learn_scale(read(name) for name in text.split(",") if name)
    try:
        return NyulScale.from_json(Path(text).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _usage("the histogram file cannot be read", found=text, fix="check the path") from error


def check(step: Step) -> None:
    """Raise unless the step names a method and its parameters, none missing.

    Raises:
        UnknownNameError: no such method or parameter.
        UsageError: a parameter is missing.
    """
    check_names(get(step.method), step.parameters)


def check_names(method: Method, given: Mapping[str, Any]) -> None:
    """Raise unless these are parameters of the method, none missing; see `check`."""
    for name in given:
        parameter_of(method, name)
    missing = [p for p in method.parameters if p.required and given.get(p.name) is None]
    if missing:
        raise _usage(
            f"{method.name} needs {', '.join(p.name for p in missing)}",
            expected="; ".join(f"{p.name}: {p.help}{f' ({p.unit})' if p.unit else ''}" for p in missing),
            fix=f"add {missing[0].option} VALUE on the command line, {missing[0].name}=VALUE in Python and in a chain",
        )
