"""A small real package: a picture, scaled and averaged, through a linear ONNX model and a softmax."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Frame, Spacing, Volume
from vesalius.models.card import Card, Coded, InputContract, OutputContract
from vesalius.models.graph import Graph, Step
from vesalius.models.package import Parts
from vesalius.models.runtime import golden_cases

WEIGHTS = np.array([[1.0, -1.0], [0.5, 0.25], [-0.5, 0.75], [0.0, 1.0]], dtype=np.float32)


def linear_onnx(weights: NDArray[np.float32]) -> bytes:
    """Return an ONNX model: the picture's pixels in one row times the weights."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
    ]
    shape = [1, 1, 2, 2]
    graph = helper.make_graph(
        nodes, "linear", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, weights.shape[1]])],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def picture(seed: int = 0, shape: tuple[int, int, int] = (1, 6, 8)) -> Volume:
    array = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return Volume(array, np.eye(4), frame=Frame.IMAGE, spacing=Spacing.UNKNOWN)


CARD = Card(
    name="two-labels",
    kind="classification",
    title="A picture in two labels",
    licence="open",
    inputs=(InputContract(name="image", kind="image", dimensions=2, channels=1, values=(0, 255), size=(4, 64)),),
    output=OutputContract(labels=(Coded(name="dark"), Coded(name="bright")), score="probability"),
)
GRAPH = Graph(
    inputs=("image",),
    steps=(
        Step(id="scaled", op="imaging.window", inputs=("image",), parameters={"low": 0.0, "high": 255.0}),
        Step(id="small", op="imaging.resize", inputs=("scaled",), parameters={"rows": 2, "columns": 2}),
        Step(id="x", op="imaging.tensor", inputs=("small",)),
        Step(id="scores", op="onnx", inputs=("x",), file="linear.onnx"),
        Step(id="probability", op="calibrate.softmax", inputs=("scores",)),
    ),
    output="probability",
)


@dataclass(frozen=True)
class Maker:
    """Makes packages in a folder of their own."""

    folder: Path

    def parts(self, card: Card = CARD, graph: Graph = GRAPH) -> Parts:
        files = {"linear.onnx": linear_onnx(WEIGHTS)}
        return Parts(
            card, graph, files, golden_cases(graph, [{"image": picture(s)} for s in (1, 2)], files), "seed: 0\n"
        )

    def with_file(self, name: str, content: bytes) -> Parts:
        parts = self.parts()
        return replace(parts, files={**parts.files, name: content})
