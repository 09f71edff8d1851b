"""Fitted estimators as ONNX, checked against themselves: what a package holds instead of a pickle."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import InternalError
from vesalius.train.classical_models import needed

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

AGREEMENT: Final = 1e-4
"""Largest difference between an estimator and its ONNX model, of probabilities, scores, or relative to the values."""
OPSET: Final = 17
SCORES: Final = "scores"
TINY: Final = 1e-6


def exported(models: Sequence[Any], learner: str, kind: str, x: F32) -> bytes:
    """Return one ONNX model with one output `scores`, float32, that agrees with the estimators on `x`.

    Args:
        models: one estimator; for "grades" one for each threshold.
        kind: "classes" gives probabilities (an SVM its decision values), "grades" the logits of being above each
            threshold, "numbers" the value.

    Raises:
        InternalError: the ONNX model disagrees by more than AGREEMENT.
    """
    helper, compose = needed("onnx.helper"), needed("onnx.compose")
    parts = [_converted(model, learner, kind, x) for model in models]
    if kind == "grades":
        parts = [_logit(part, learner, f"{k}", helper) for k, part in enumerate(parts)]
        proto = _joined(parts, x.shape[1], helper, compose)
    else:
        proto = _single(parts[0], learner, kind, helper)
    content: bytes = proto.SerializeToString()
    expected, found = wanted(models, learner, kind, x), run(content, x)
    scale = max(1.0, float(np.abs(expected).max(initial=0.0))) if kind == "numbers" else 1.0
    largest = float(np.abs(_shares(expected, kind, learner) - _shares(found, kind, learner)).max(initial=0.0)) / scale
    if not largest <= AGREEMENT:
        raise InternalError(f"the ONNX model of {learner} disagrees with the fitted one", found=f"{largest:.2g}",
                            expected=f"at most {AGREEMENT:g}", fix="another learner")  # fmt: skip
    return content


def _shares(scores: F64, kind: str, learner: str) -> F64:
    """Return logits as probabilities, whose difference is what counts."""
    return 1 / (1 + np.exp(-np.clip(scores, -700, 700))) if kind == "grades" else scores


def wanted(models: Sequence[Any], learner: str, kind: str, x: F32) -> F64:
    """Return what the estimators themselves say: [n, outputs]."""
    if kind == "numbers":
        return np.asarray(models[0].predict(x), dtype=np.float64).reshape(-1, 1)
    if learner == "svm":
        columns = [np.asarray(one.decision_function(x), dtype=np.float64).reshape(len(x), -1) for one in models]
        return np.concatenate(columns, axis=1)
    found = [np.asarray(one.predict_proba(x), dtype=np.float64) for one in models]
    if kind == "classes":
        return found[0]
    above = np.clip(np.stack([one[:, 1] for one in found], axis=1), TINY, 1 - TINY)
    return np.asarray(np.log(above / (1 - above)))


def run(content: bytes, x: F32) -> F64:
    """Return the output `scores` of an ONNX model for many cases."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    blocks = [session.run([SCORES], {session.get_inputs()[0].name: x[k : k + 512]})[0] for k in range(0, len(x), 512)]
    return np.concatenate([np.asarray(one, dtype=np.float64).reshape(len(one), -1) for one in blocks])


def _converted(model: Any, learner: str, kind: str, x: F32) -> Any:
    width = x.shape[1]
    with warnings.catch_warnings():
        # the converters still read attributes that scikit-learn is about to drop
        warnings.simplefilter("ignore")
        if learner in ("boosting", "lightgbm"):
            types = needed("onnxmltools.convert.common.data_types")
            convert = needed("onnxmltools")
            shape = [("x", types.FloatTensorType([None, width]))]
            if learner == "lightgbm":
                extra = {} if kind == "numbers" else {"zipmap": False}
                return convert.convert_lightgbm(model, initial_types=shape, target_opset=15, **extra)
            return convert.convert_xgboost(model, initial_types=shape, target_opset=15)
        options: dict[str, Any] = {} if kind == "numbers" else {"zipmap": False}
        if learner == "svm" and kind != "numbers":
            options["raw_scores"] = True
        settings = {id(model): options} if options else None
        return needed("skl2onnx").to_onnx(model, x[:1], options=settings, target_opset=OPSET)


def _single(proto: Any, learner: str, kind: str, helper: Any) -> Any:
    """Return the model with the output `scores` alone."""
    if kind == "numbers":
        return _renamed(proto, proto.graph.output[0].name, [], helper)
    name = proto.graph.output[1].name
    classes = _width(proto)
    if learner == "svm" and classes == 2:
        return _renamed(proto, name, [("Gather", {"axis": 1}, [1])], helper, sign=True)
    return _renamed(proto, name, [], helper)


def _width(proto: Any) -> int:
    """Return the number of classes that the classifier inside knows."""
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("classlabels_ints", "classlabels_int64s"):
                return len(attribute.ints)
    return 0


def _renamed(proto: Any, name: str, extra: list[Any], helper: Any, *, sign: bool = False) -> Any:
    tensor = helper.TensorProto if hasattr(helper, "TensorProto") else needed("onnx").TensorProto
    last = name
    if sign:
        # the converter of a two-class SVM gives [d, -d]; the decision value is the first
        proto.graph.initializer.append(helper.make_tensor("first_column", tensor.INT64, [1], [0]))
        proto.graph.node.append(helper.make_node("Gather", [last, "first_column"], ["decision"], axis=1))
        last = "decision"
    proto.graph.node.append(helper.make_node("Identity", [last], [SCORES]))
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info(SCORES, tensor.FLOAT, [None, None]))
    return proto


def _logit(proto: Any, learner: str, prefix: str, helper: Any) -> Any:
    """Return a two-class model as the logit of its second class, [n, 1], under names of its own."""
    compose, tensor = needed("onnx.compose"), needed("onnx").TensorProto
    name = proto.graph.output[1].name
    add, node = proto.graph.initializer.append, proto.graph.node.append
    column = 0 if learner == "svm" else 1
    add(helper.make_tensor("column", tensor.INT64, [1], [column]))
    node(helper.make_node("Gather", [name, "column"], ["chosen"], axis=1))
    if learner == "svm":
        node(helper.make_node("Identity", ["chosen"], ["logit"]))
    else:
        for key, value in (("low", TINY), ("high", 1 - TINY), ("one", 1.0)):
            add(helper.make_tensor(key, tensor.FLOAT, [], [value]))
        # some converters declare an old opset, in which Clip takes no limits as inputs
        node(helper.make_node("Max", ["chosen", "low"], ["raised"]))
        node(helper.make_node("Min", ["raised", "high"], ["inside"]))
        node(helper.make_node("Sub", ["one", "inside"], ["rest"]))
        node(helper.make_node("Div", ["inside", "rest"], ["odds"]))
        node(helper.make_node("Log", ["odds"], ["logit"]))
    del proto.graph.output[:]
    proto.graph.output.append(helper.make_tensor_value_info("logit", tensor.FLOAT, [None, 1]))
    return compose.add_prefix(proto, prefix=f"above{prefix}_")


def _joined(parts: list[Any], width: int, helper: Any, compose: Any) -> Any:
    """Return models that share their input as one, their outputs side by side."""
    tensor = needed("onnx").TensorProto
    nodes: list[Any] = []
    values: list[Any] = []
    opsets: dict[str, int] = {}
    for part in parts:
        own = part.graph.input[0].name
        for one in part.graph.node:
            one.input[:] = ["x" if name == own else name for name in one.input]
        nodes += list(part.graph.node)
        values += list(part.graph.initializer)
        opsets.update({one.domain: max(one.version, opsets.get(one.domain, 0)) for one in part.opset_import})
    ends = [part.graph.output[0].name for part in parts]
    nodes.append(helper.make_node("Concat", ends, [SCORES], axis=1))
    graph = helper.make_graph(
        nodes, "grades", [helper.make_tensor_value_info("x", tensor.FLOAT, [None, width])],
        [helper.make_tensor_value_info(SCORES, tensor.FLOAT, [None, len(ends)])], values,
    )  # fmt: skip
    imports = [helper.make_opsetid(domain, version) for domain, version in sorted(opsets.items())]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)
