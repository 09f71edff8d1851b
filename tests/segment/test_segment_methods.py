"""The table of ways to segment: it says what the functions take, and every method runs by its name."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from segment_phantoms import MIDDLE, OUTSIDE, ball, disc, mask, truth

from vesalius.core import Mask
from vesalius.core.errors import ImageContentError, UnknownNameError, UsageError
from vesalius.segment import methods
from vesalius.segment.inputs import OKABE_ITO, Seeds
from vesalius.segment.methods import METHODS, Kind, Method

OWN = [m for m in METHODS.values() if m.family != "anatomy"]
GIVEN = {
    "range": {"low": 50.0}, "connected": {"low": 50.0}, "interactive": {"foreground": MIDDLE},
    "random-walker": {"foreground": MIDDLE, "background": OUTSIDE},
    "grow-cut": {"foreground": MIDDLE, "background": OUTSIDE},
    "correct": {"add": Seeds([[13.0, 0.0, 0.0]])}, "chan-vese": {"iterations": 2}, "geodesic-snake": {"iterations": 2},
}  # fmt: skip
NEEDED = {
    "window_mm": 30.0, "low": 40.0, "high": 60.0, "seeds": MIDDLE, "start": mask(truth()), "foreground": MIDDLE,
    "background": OUTSIDE, "mask": mask(truth()), "least_ml": 0.1, "radius_mm": 2.0, "sigma_mm": 1.0,
}  # fmt: skip


def page() -> list[str]:
    return (Path(__file__).parents[2] / "docs" / "reference" / "segment.md").read_text().splitlines()


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_the_table_is_what_the_function_takes(method: Method) -> None:
    if util.find_spec(f"vesalius.segment.{method.function.partition(':')[0]}") is None:
        pytest.skip("not written yet")
    signature = inspect.signature(method.load())
    keywords = {n: p for n, p in signature.parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    known = {p.name: p for p in method.parameters}
    assert set(known) == set(keywords)
    for name, parameter in known.items():
        default = keywords[name].default
        assert parameter.required == (default is inspect.Parameter.empty), name
        if not parameter.required:
            assert parameter.default == default, name
        assert parameter.help
        assert name.endswith("_mm") == (parameter.unit == "mm"), name
        assert name.endswith("_ml") == (parameter.unit == "mL"), name


@pytest.mark.parametrize("name", [m.name for m in OWN])
def test_every_method_runs_by_its_name(name: str) -> None:
    method = METHODS[name]
    given = {p.name: NEEDED[p.name] for p in method.parameters if p.required} | GIVEN.get(name, {})
    image = mask(truth()) if method.takes == "mask" else ball(noise=3)
    found = methods.run(image, name, **given)
    assert isinstance(found, Mask)
    assert found.same_grid(image)
    assert found.array.any()
    assert len(found.history) > len(image.history)
    assert all(s.colour in OKABE_ITO and s.name and s.code.scheme for s in found.segments.values())


@pytest.mark.parametrize("name", [m.name for m in OWN if "2-D" in m.dimensions and m.family != "clean-up"])
def test_every_method_takes_a_flat_picture(name: str) -> None:
    method, image = METHODS[name], disc(pixel_mm=1.0)
    flat = mask(truth()).crop((24, 0, 0), (25, 48, 48))
    seeds = {"foreground": Seeds([(30, 40)], "index"), "background": Seeds([(2, 2), (60, 70)], "index")}
    begin = Mask((image.array > 50).astype(np.uint8), image.affine, image.frame, image.spacing, (), flat.segments)
    every = NEEDED | seeds | {"seeds": seeds["foreground"], "start": begin, "mask": begin, "add": seeds["foreground"]}
    given = {p.name: every[p.name] for p in method.parameters if p.required}
    given |= {k: every[k] if isinstance(v, Seeds) else v for k, v in GIVEN.get(name, {}).items()}
    assert methods.run(image, name, **given).array[0, 30, 40] > 0


def test_values_are_read_as_they_are_typed() -> None:
    cut = METHODS["graph-cut"]
    seeds = methods.parse_value(methods.parameter_of(cut, "foreground"), "1,2,3;-4,5.5,6")
    assert np.asarray(seeds.points).tolist() == [[1, 2, 3], [-4, 5.5, 6]]
    assert (seeds.frame, seeds.joined) == ("mm", False)
    stroke = methods.parse_value(methods.parameter_of(cut, "foreground"), "index:1,2>3,4")
    assert (stroke.frame, stroke.joined) == ("index", True)
    opened = methods.parse_value(methods.parameter_of(cut, "within"), "a.nii", lambda name: ball().with_array(
        truth().astype(np.int16), name))  # fmt: skip
    assert np.array_equal(opened.array > 0, truth())
    assert opened.segments[1].name == "label_1"
    assert methods.parse_value(methods.parameter_of(cut, "balance"), "0.5") == 0.5
    box = methods.parse_value(methods.parameter_of(METHODS["interactive"], "box"), "index:0,0,0;5,5,5")
    assert box.frame == "index"


@pytest.mark.parametrize(
    ("method", "name", "text", "kind", "part"),
    [
        ("graph-cut", "foreground", "1,2;3", UsageError, "places x,y,z"),
        ("graph-cut", "model", "gauss", UnknownNameError, "did you mean 'gaussian'"),
        ("interactive", "box", "1,2,3", UsageError, "two opposite corners"),
        ("otsu", "within", "m.nii", UsageError, "mask file"),
        ("k-means", "classes", "three", UsageError, "whole number"),
    ],
)
def test_wrong_values_are_refused_with_the_fix(method: str, name: str, text: str, kind: type, part: str) -> None:
    with pytest.raises(kind, match=part):
        methods.parse_value(methods.parameter_of(METHODS[method], name), text)


def test_run_tells_what_is_wrong() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'otsu'"):
        methods.run(ball(), "ottsu")
    with pytest.raises(UsageError, match="open needs radius_mm"):
        methods.run(mask(truth()), "open")
    with pytest.raises(UsageError, match="works on an image"):
        methods.run(mask(truth()), "otsu")
    with pytest.raises(ImageContentError, match="is an image, not a mask"):
        methods.run(ball(noise=3), "largest")
    labels = ball().with_array(truth().astype(np.float32) * 3, "labels")
    assert methods.run(labels, "largest").segments[3].name == "label_3"


def test_the_table_loads_no_numpy() -> None:
    code = "import sys, vesalius.segment.methods; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_families_have_titles() -> None:
    assert {m.family for m in METHODS.values()} == set(methods.FAMILIES)
    assert all(f"### {title}" in page() for title in methods.FAMILIES.values())
    assert {p.kind for m in METHODS.values() for p in m.parameters} >= {Kind.MASK, Kind.SEEDS, Kind.BOX}


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_every_method_and_option_is_documented(method: Method) -> None:
    (line,) = (one for one in page() if one.startswith(f"| `{method.name}` |"))
    assert method.help in line
    for parameter in method.parameters:
        mark = "*" if parameter.required else ""
        assert f"`{parameter.option}`{mark}" in line, parameter.name
        if isinstance(parameter.default, int | float) and not isinstance(parameter.default, bool):
            assert f"{parameter.default:g})" in line, parameter.name
