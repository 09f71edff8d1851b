"""The graph gives what NumPy gives, the golden check bites, and cases outside the contract are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax as scipy_softmax
from small_package import CARD, GRAPH, WEIGHTS, Maker, picture

from vesalius.core import Axis, AxisKind, Frame, Spacing, Volume
from vesalius.core.errors import ConfigError, GeometryError, TamperedError, UnknownNameError
from vesalius.models.graph import Graph, Step
from vesalius.models.operations import Files, check, images, probability, run_steps, tables
from vesalius.models.operations.clusters import mahalanobis, nearest
from vesalius.models.operations.survival import cox
from vesalius.models.package import open_package, write_package
from vesalius.models.runtime import Runner, objections


def test_a_package_predicts_what_numpy_says(maker: Maker) -> None:
    write_package(maker.folder / "p.vesalius", maker.parts())
    with open_package(maker.folder / "p.vesalius") as package:
        answer = Runner(package).predict({"image": picture(7)})
    small = images.resize(images.window(picture(7), low=0, high=255), rows=2, columns=2).array
    expected = scipy_softmax(small.reshape(1, -1) @ WEIGHTS, axis=1)[0]
    np.testing.assert_allclose(answer.values, expected, atol=1e-6)
    assert answer.outcome == "completed"
    assert answer.predicted == ("dark", "bright")[int(expected.argmax())]


def test_golden_outputs_that_do_not_come_out(maker: Maker) -> None:
    parts = maker.parts()
    wrong = replace(parts.golden[0], output=parts.golden[0].output[:, ::-1])
    write_package(maker.folder / "p", replace(parts, golden=[wrong]))
    with open_package(maker.folder / "p") as package, pytest.raises(TamperedError, match="golden outputs"):
        Runner(package).predict({"image": picture()})


def test_a_case_unlike_the_training_data_is_abstained(maker: Maker) -> None:
    flat = Step(id="vector", op="features.intensity", inputs=("scaled",), parameters={"bins": 1})
    far = Step(
        id="far", op="distance.mahalanobis", inputs=("vector",),
        parameters={"mean": [0.0] * 10, "components": [[1.0] + [0.0] * 9], "variances": [1.0]},
    )  # fmt: skip
    graph = Graph(inputs=("image",), steps=(*GRAPH.steps, flat, far), output="probability", distance="far")
    card = CARD.model_copy(update={"limits": {"distance": 0.2}})
    write_package(maker.folder / "p", maker.parts(card, graph))
    with open_package(maker.folder / "p") as package:
        answer = Runner(package).predict({"image": picture()})
        dark = replace(picture(), array=np.zeros((1, 6, 8), np.uint8))
        assert Runner(package).predict({"image": dark}).outcome == "completed"
    assert answer.outcome == "abstained"
    assert "unlike the training data" in answer.message


def volume(**parts: object) -> Volume:
    given = {"array": np.zeros((1, 8, 8), np.uint8), "affine": np.eye(4), "frame": Frame.IMAGE,
             "spacing": Spacing.UNKNOWN, **parts}  # fmt: skip
    return Volume(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "image is missing"),
        (5.0, "is no image"),
        (volume(array=np.zeros((3, 8, 8), np.uint8)), "3 slices"),
        (volume(array=np.zeros((1, 2, 8), np.uint8)), "2 x 8 pixels"),
        (volume(array=np.full((1, 8, 8), 300, np.int16)), "values from 300"),
        (volume(array=np.full((1, 8, 8), np.nan, np.float32)), "NaN"),
        (
            volume(array=np.zeros((1, 8, 8, 3), np.uint8), axis=Axis(AxisKind.RGB, ("r", "g", "b"))),
            "fourth axis",
        ),
    ],
)
def test_outside_the_contract(value: object, text: str) -> None:
    found = objections(CARD, {"image": value})  # type: ignore[dict-item]
    assert any(text in one for one in found)


def test_spacing_and_columns() -> None:
    card = CARD.model_validate(
        {
            **CARD.model_dump(),
            "inputs": [
                {"name": "image", "spacing_mm": [0.5, 2]},
                {"name": "age", "kind": "number", "values": [0, 120]},
                {"name": "sex", "kind": "text", "categories": ["F", "M"], "required": False},
            ],
        }
    )
    patient = volume(array=np.zeros((4, 8, 8), np.uint8), frame=Frame.PATIENT, spacing=Spacing.CALIBRATED)
    assert objections(card, {"image": patient, "age": 50.0}) == ()
    assert "does not tell its pixel size" in objections(card, {"image": volume(), "age": 50.0})[0]
    coarse = replace(patient, affine=np.diag([3.0, 1, 1, 1]))
    assert "3.00 x 1.00 x 1.00 mm" in objections(card, {"image": coarse, "age": 50.0})[0]
    assert objections(card, {"image": patient, "age": 150.0}) == ("age is outside 0 to 120",)
    assert "not among F, M" in objections(card, {"image": patient, "age": 5.0, "sex": "x"})[0]
    assert "no input" in objections(card, {"image": patient, "age": 5.0, "eyes": 2.0})[0]


def graph(*steps: Step) -> Graph:
    return Graph(inputs=("a",), steps=steps, output=steps[-1].id)


def test_a_graph_with_mistakes() -> None:
    with pytest.raises(UnknownNameError, match=r"imaging\.resize"):
        check(graph(Step(id="b", op="imaging.resise", inputs=("a",))))
    with pytest.raises(ConfigError, match="version 2"):
        check(graph(Step(id="b", op="table.join", version=2, inputs=("a",))))
    with pytest.raises(ConfigError, match="missing a required argument: 'high'"):
        check(graph(Step(id="b", op="imaging.window", inputs=("a",), parameters={"low": 0})))
    with pytest.raises(ValueError, match="no step before it gives"):
        graph(Step(id="b", op="table.join", inputs=("z",)))


def test_the_part_that_training_shares() -> None:
    part = GRAPH.until("x")
    assert [step.id for step in part.steps] == ["scaled", "small", "x"]
    values = run_steps(part, {"image": picture()}, Files(lambda name: b"", {}))
    assert values["x"].shape == (1, 1, 2, 2)


def test_columns_are_filled_scaled_and_joined() -> None:
    age, sex = tables.number(None), tables.category("F", values=["F", "M"])
    filled = tables.fill(age, values=[40.0], indicate=True)
    scaled = tables.scale(filled, mean=[30.0, 0.0], sd=[5.0, 1.0])
    np.testing.assert_allclose(tables.join(scaled, sex), [[2, 1, 1, 0]])
    with pytest.raises(ValueError, match="not among"):
        tables.category("x", values=["F"], unknown="refuse")


def test_probabilities() -> None:
    p = np.array([[0.2, 0.8]])
    np.testing.assert_allclose(probability.temperature(p, value=1.0), p)
    np.testing.assert_allclose(probability.sigmoid(np.array([-800.0])), [[1, 0]], atol=1e-12)
    np.testing.assert_allclose(probability.platt(p, slope=[1.0], intercept=[0.0]), p)
    np.testing.assert_allclose(probability.isotonic(p, x=[[0, 1]], y=[[0, 0.5]]), [[0.6, 0.4]])
    # equal class frequencies in training, 1 in 10 outside: Bayes by hand
    np.testing.assert_allclose(
        probability.prior(p, trained=[0.5, 0.5], target=[0.9, 0.1]), [[0.18 / 0.26, 0.08 / 0.26]]
    )
    grades = probability.ordinal(np.array([2.0, 3.0, -1.0]))
    assert grades.sum() == pytest.approx(1)
    assert (grades >= 0).all()


def test_survival_and_clusters() -> None:
    found = cox(np.array([[2.0]]), coefficients=[0.5], centre=[1.0], times=[1.0, 2.0], hazard=[0.1, 0.3])
    np.testing.assert_allclose(found[0], [0.5, np.exp(-0.1 * np.exp(0.5)), np.exp(-0.3 * np.exp(0.5))])
    np.testing.assert_array_equal(nearest(np.array([[1.0, 1.0]]), centroids=[[0, 0], [1, 2]]), [[0, 1]])
    far = mahalanobis(np.array([[3.0, 0.0]]), mean=[1.0, 0.0], components=[[1.0, 0.0]], variances=[4.0])
    assert far[0, 0] == pytest.approx(1.0)


def test_fitting_into_a_frame() -> None:
    wide = images.resize(picture(shape=(1, 10, 20)), rows=8, columns=8, keep_aspect=True)
    assert wide.array.shape == (1, 8, 8)
    assert (wide.array[0, :2] == wide.array.min()).all()
    assert (wide.array[0, 2:6] > wide.array.min()).any()
    whole = images.fit(picture(shape=(3, 5, 9)), shape=(5, 5, 5))
    np.testing.assert_array_equal(whole.array[1:4], picture(shape=(3, 5, 9)).array[:, :, 2:7])
    with pytest.raises(GeometryError, match="one slice"):
        images.tensor(picture(shape=(3, 5, 9)))
