"""Which runtime computes: the one asked for, the one in use, the fastest that was right, one per process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_package import CARD, WEIGHTS, Maker, linear_onnx, picture

from vesalius.core.errors import MissingDependencyError, ReadError, TamperedError, UnknownNameError, UsageError
from vesalius.models import engines, runtime, store
from vesalius.models.card import Coded, InputContract, OutputContract, Runtime
from vesalius.models.graph import Graph, Step
from vesalius.models.package import open_package, write_package
from vesalius.models.runtime import Runner


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that no runtime is in use yet."""
    monkeypatch.setattr(engines, "_PROCESS", engines._Process())


def measured(**seconds_and_error: tuple[float, float]) -> tuple[Runtime, ...]:
    return tuple(
        Runtime(name=name, seconds_per_case=seconds, largest_error=error)  # type: ignore[arg-type]
        for name, (seconds, error) in seconds_and_error.items()
    )


@pytest.mark.usefixtures("fresh")
def test_the_fastest_that_was_right_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed", lambda: ("onnxruntime", "openvino"))
    figures = measured(onnxruntime=(0.02, 0.0), openvino=(0.01, 1e-6))
    assert engines.choose(CARD.model_copy(update={"runtimes": figures})) == "openvino"
    wrong = measured(onnxruntime=(0.02, 0.0), openvino=(0.01, 0.5))
    assert engines.choose(CARD.model_copy(update={"runtimes": wrong})) == "onnxruntime"
    assert engines.choose(CARD) == "onnxruntime"
    assert engines.choose(CARD.model_copy(update={"runtimes": figures}), "onnxruntime") == "onnxruntime"


@pytest.mark.usefixtures("fresh")
def test_runtimes_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed", lambda: ("onnxruntime",))
    figures = measured(openvino=(0.01, 0.0))
    assert engines.choose(CARD.model_copy(update={"runtimes": figures})) == "onnxruntime"
    with pytest.raises(MissingDependencyError, match=r"pip install vesalius\[openvino\]"):
        engines.choose(CARD, "openvino")
    with pytest.raises(UnknownNameError, match="did you mean 'onnxruntime'"):
        engines.choose(CARD, "onnx-runtime")
    monkeypatch.setattr(engines, "installed", lambda: ())
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime"):
        engines.choose(CARD)


@pytest.mark.usefixtures("fresh")
def test_one_runtime_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "installed", lambda: ("onnxruntime", "openvino"))
    engines.load("onnxruntime", lambda name: linear_onnx(WEIGHTS), "linear.onnx", 1)
    assert engines.choose(CARD.model_copy(update={"runtimes": measured(openvino=(0.01, 0.0))})) == "onnxruntime"
    with pytest.raises(UsageError, match="one runtime"):
        engines.choose(CARD, "openvino")


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_model_gives_what_numpy_gives(name: str) -> None:
    if name not in engines.installed():
        pytest.skip(f"{name} is not installed")
    engine = engines.load(name, lambda file: linear_onnx(WEIGHTS), "linear.onnx", 1)
    value = np.random.default_rng(0).normal(size=(1, 1, 2, 2)).astype(np.float32)
    np.testing.assert_allclose(engine.run(value)["scores"], value.reshape(1, -1) @ WEIGHTS, rtol=1e-5)
    with pytest.raises(ReadError, match="refuses the input"):
        engine.run(np.zeros((1, 1, 3, 3), np.float32))


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_file_that_is_no_model(name: str) -> None:
    if name not in engines.installed():
        pytest.skip(f"{name} is not installed")
    with pytest.raises(ReadError, match=r"x\.onnx"):
        engines.load(name, lambda file: b"no model", "x.onnx", 1)


@pytest.mark.usefixtures("fresh")
def test_pytorch_computes_the_network_of_a_package() -> None:
    pytest.importorskip("torch")
    from vesalius.models.networks.build import Specification, build
    from vesalius.models.networks.export import assemble, onnx_bytes, weights_bytes

    specification = Specification(name="residual", channels=1, size=(16, 16), outputs=2, widths=(4, 8), blocks=1)
    network = assemble(specification, [build(specification, seed=s).state_dict() for s in (0, 1)], ())
    files = {
        "network.onnx": onnx_bytes(network), "weights.safetensors": weights_bytes(network),
        "network.json": specification.model_dump_json().encode(),
    }  # fmt: skip
    value = np.random.default_rng(0).normal(size=(1, 1, 16, 16)).astype(np.float32)
    found = engines.load("torch", files.__getitem__, "network.onnx", 1).run(value)["scores"]
    engines._PROCESS.runtime = ""
    expected = engines.load("onnxruntime", files.__getitem__, "network.onnx", 1).run(value)["scores"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("fresh")
def test_pytorch_needs_specification_and_weights(maker: Maker) -> None:
    pytest.importorskip("torch")
    write_package(maker.folder / "p", maker.parts())
    engines._PROCESS.runtime = ""
    with open_package(maker.folder / "p") as package, pytest.raises(ReadError, match="PyTorch"):
        engines.load("torch", package.read, "linear.onnx", 1)
    with open_package(maker.folder / "p") as package, pytest.raises(ReadError, match="what PyTorch needs"):
        engines.load("torch", package.read, "network.onnx", 1)


def test_a_passed_golden_check_is_remembered(maker: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    write_package(maker.folder / "p", maker.parts())
    marks = store.marks(maker.folder)
    with open_package(maker.folder / "p") as package:
        Runner(package, marks=marks).predict({"image": picture()})
        assert len(list(marks.iterdir())) == 1
        monkeypatch.setattr(Runner, "golden_error", lambda self: float("inf"))
        assert Runner(package, marks=marks).predict({"image": picture()}).outcome == "completed"
        with pytest.raises(TamperedError, match="golden outputs"):
            Runner(package).predict({"image": picture()})
        monkeypatch.setattr(engines, "version", lambda name: "0.0.1")
        with pytest.raises(TamperedError, match="golden outputs"):
            Runner(package, marks=marks).predict({"image": picture()})


def test_a_failed_golden_check_leaves_no_mark(maker: Maker) -> None:
    parts = maker.parts()
    wrong = replace(parts.golden[0], output=parts.golden[0].output[:, ::-1])
    write_package(maker.folder / "p", replace(parts, golden=[wrong]))
    with open_package(maker.folder / "p") as package, pytest.raises(TamperedError, match="golden outputs"):
        Runner(package, marks=store.marks(maker.folder)).ready()
    assert not store.marks(maker.folder).exists()


def test_measuring_says_seconds_and_error(maker: Maker) -> None:
    write_package(maker.folder / "p", maker.parts())
    with open_package(maker.folder / "p") as package:
        found = runtime.measure(package, "onnxruntime", threads=1, repeats=3)
    assert found.name == "onnxruntime"
    assert 0 < found.seconds_per_case < 10
    assert found.largest_error == 0


NUMBER = CARD.model_copy(
    update={
        "name": "a-number", "kind": "regression", "output": OutputContract(unit="mm"),
        "inputs": (InputContract(name="x", kind="number"),),
    }
)  # fmt: skip


def numbers(output: str) -> Graph:
    """Return a graph that gives its input, or the input with an interval."""
    steps = (
        Step(id="value", op="table.number", inputs=("x",)),
        Step(id="around", op="interval.conformal", inputs=("value",), parameters={"half_width": 0.5}),
    )
    return Graph(inputs=("x",), steps=steps, output=output)


@pytest.mark.parametrize(("output", "limits", "ends"), [
    ("around", {}, (2.0, 3.0)), ("value", {"interval_half_width": 1.0}, (1.5, 3.5)), ("value", {}, None),
])  # fmt: skip
def test_numbers_come_with_their_interval(
    tmp_path: Path, output: str, limits: dict[str, float], ends: tuple[float, float] | None
) -> None:
    graph = numbers(output)
    golden = runtime.golden_cases(graph, [{"x": 1.0}], {})
    card = NUMBER.model_copy(update={"limits": limits})
    write_package(tmp_path / "p", Maker(tmp_path).parts().__class__(card, graph, {}, golden))
    with open_package(tmp_path / "p") as package:
        answer = Runner(package).predict({"x": 2.5})
    assert (answer.values[0], answer.interval) == (2.5, ends)


@pytest.mark.parametrize(("quantile", "count"), [(0.999, 2), (0.0, 1)])
def test_conformal_sets_hold_what_is_not_ruled_out(maker: Maker, quantile: float, count: int) -> None:
    labels = OutputContract(labels=(Coded(name="dark"), Coded(name="bright")), score="probability")
    card = CARD.model_copy(update={"limits": {"conformal_quantile": quantile}, "output": labels})
    write_package(maker.folder / "p", maker.parts(card))
    with open_package(maker.folder / "p") as package:
        answer = Runner(package).predict({"image": picture()})
    assert len(answer.candidates) == count
    assert answer.predicted in answer.candidates


def test_the_reason_of_openvino_names_the_operation() -> None:
    told = "Summary:\n-- No conversion rule found for operations: ai.onnx.ml.Scaler\nsee the documentation\n"
    assert engines._reason(RuntimeError(told)) == "No conversion rule found for operations: ai.onnx.ml.Scaler"
    assert engines._reason(RuntimeError("one\ntwo")) == "two"
    assert engines._reason(RuntimeError("")) == "RuntimeError"
