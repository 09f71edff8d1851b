"""The table of enhancements: it says what the functions take, and every method runs by its name."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filter_phantoms import ball, flat, noisy

from vesalius.core import Axis, AxisKind, Volume
from vesalius.core.errors import ImageContentError, UnknownNameError, UsageError
from vesalius.imaging import contrast, frequency, methods, wavelet
from vesalius.imaging.methods import METHODS, Kind, Method, Step
from vesalius.imaging.standardise import NyulScale
from vesalius.segment import methods as segmenting

NEEDED = {
    "width_mm": 3.0, "sigma_mm": 1.0, "weight": 20.0, "cutoff_mm": 6.0, "shortest_mm": 4.0, "longest_mm": 12.0,
    "exponent": 0.7, "scale": NyulScale((1.0, 99.0), (0.0, 100.0)), "reference": ball(),
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_the_table_is_what_the_function_takes(method: Method) -> None:
    signature = inspect.signature(method.load())
    keywords = {n: p for n, p in signature.parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    known = {p.name: p for p in method.parameters}
    assert set(known) <= set(keywords)
    assert set(keywords) - set(known) <= {"region"}, "a parameter is missing in the table"
    for name, parameter in known.items():
        default = keywords[name].default
        assert parameter.required == (default is inspect.Parameter.empty), name
        if not parameter.required:
            assert parameter.default == default, name
        assert parameter.help
        assert (name.endswith("_mm") and not name.endswith("_per_mm")) == (parameter.unit == "mm"), name


@pytest.mark.parametrize("name", METHODS)
def test_every_method_runs_by_its_name(name: str) -> None:
    method = METHODS[name]
    volume = noisy(ball().crop((16, 8, 8), (32, 40, 40)), 20)
    volume = volume.with_array(np.abs(volume.array), "abs")
    if method.dimensions == ("2-D",):
        rows, columns = np.mgrid[:160, :200]
        disc = ((rows - 80) ** 2 + (columns - 100) ** 2 < 70**2) * 100.0 + rows % 7
        volume = flat(disc.astype(np.float32), None)
    given = {p.name: NEEDED[p.name] for p in method.parameters if p.required}
    if name == "window":
        given = {"preset": "abdomen"}
    result = methods.run(volume, name, **given)
    assert result.array.dtype == (np.float32 if method.result == "float32" else volume.array.dtype)
    assert len(result.history) > len(volume.history)


def test_words_of_the_table_are_those_of_the_functions() -> None:
    assert methods.parameter_of(METHODS["window"], "preset").choices == tuple(contrast.PRESETS)
    assert methods.parameter_of(METHODS["low-pass"], "window").choices == frequency.WINDOWS
    assert methods.parameter_of(METHODS["wavelet"], "method").choices == wavelet.METHODS
    assert methods.parameter_of(METHODS["wavelet"], "shrinkage").choices == wavelet.SHRINKAGES


def test_a_chain_is_read_and_run_in_order() -> None:
    chain = methods.parse_chain("median width-mm=3 slicewise | gamma exponent=0.5")
    assert chain == (Step("median", {"width_mm": 3.0, "slicewise": True}), Step("gamma", {"exponent": 0.5}))
    assert methods.parse_chain(" | ".join(map(str, chain))) == chain
    volume = noisy(ball(), 20)
    result = methods.run_chain(volume, chain)
    assert [s.operation for s in result.history[-2:]] == ["median", "gamma"]


def test_files_of_a_chain_are_read_by_the_caller(tmp_path: Path) -> None:
    (step,) = methods.parse_chain("match-histogram reference=a.nii", lambda name: f"opened {name}")
    assert step.parameters["reference"] == "opened a.nii"
    (tmp_path / "s.json").write_text(NyulScale((1.0, 99.0), (0.0, 100.0)).to_json())
    (step,) = methods.parse_chain(f"nyul scale={tmp_path / 's.json'}", lambda name: None)
    assert step.parameters["scale"] == NyulScale((1.0, 99.0), (0.0, 100.0))
    (step,) = methods.parse_chain("nyul scale=a,b", lambda name: ball())
    assert step.parameters["scale"].images == 2


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        ("gausian sigma_mm=1", UnknownNameError, "did you mean 'gaussian'"),
        ("gaussian sigma=1", UnknownNameError, "did you mean 'sigma_mm'"),
        ("gaussian", UsageError, "gaussian needs sigma_mm"),
        ("gaussian sigma_mm=one", UsageError, "sigma_mm is a number in mm"),
        ("median width_mm=3 slicewise=perhaps", UsageError, "yes or no"),
        ("window preset=lungs", UnknownNameError, "did you mean 'lung'"),
        ("match-histogram reference=x", UsageError, "not read here"),
        (" | ", UsageError, "at least one step"),
    ],
)
def test_a_wrong_chain_is_refused_with_the_fix(text: str, kind: type[Exception], part: str) -> None:
    with pytest.raises(kind, match=part):
        methods.parse_chain(text)


def test_run_refuses_nan_before_any_method() -> None:
    array = np.ones((4, 9, 9), np.float32)
    array[0] = np.nan
    with pytest.raises(ImageContentError, match="81 of 324"):
        methods.run(Volume(array, np.eye(4), modality="MR"), "normalise")
    colour = Volume(np.ones((1, 9, 9, 3)), np.eye(4), axis=Axis(AxisKind.RGB, ("r", "g", "b")))
    with pytest.raises(Exception, match="one 3-D image"):
        methods.run(colour, "normalise")


def test_the_table_loads_no_numpy() -> None:
    code = "import sys, vesalius.imaging.methods; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_every_method_and_option_is_documented(method: Method) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "enhance.md").read_text()
    (line,) = (one for one in text.splitlines() if one.startswith(f"| `{method.name}` |"))
    assert method.help in line
    assert all(f"`{parameter.option}`" in line for parameter in method.parameters)


def test_every_window_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "enhance.md").read_text()
    for name, chosen in contrast.PRESETS.items():
        assert f"| `{name}` | {chosen.centre_hu:g} | {chosen.width_hu:g} | {chosen.source} |" in text


def test_kinds_are_all_used() -> None:
    both = [*METHODS.values(), *segmenting.METHODS.values()]
    assert {p.kind for m in both for p in m.parameters} == set(Kind)
