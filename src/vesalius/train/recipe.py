"""From a task to the head of its package's graph: which steps make what a learner takes out of a case."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from vesalius.core.cohort import Cohort
from vesalius.core.errors import ConfigError, ReadError, UsageError
from vesalius.core.registry import unknown
from vesalius.models import operations
from vesalius.models.graph import Graph, Step
from vesalius.train.classical_options import CLINICAL, EMBEDDING, ClassicalOptions, Feature, Operation
from vesalius.train.task import Task

IMAGE: Final = "image"
MASK: Final = "mask"
TENSOR: Final = "tensor"
FEATURES: Final = "features"
MOVES: Final = ("imaging.resize", "imaging.spacing", "imaging.fit", "imaging.crop", "imaging.slices")
"""Operations after which a mask no longer lies on the image's grid."""
PROBES: Final = 12
"""Images that are looked at before the steps are chosen."""


@dataclass(frozen=True)
class Look:
    """What the images are like, from a few of them.

    Args:
        dimensions: 2, or 3 when one has several slices; 0 without images.
        colour: whether one has colour.
        edge: median of the shorter edge, pixels.
    """

    dimensions: int
    colour: bool = False
    edge: int = 0


@dataclass(frozen=True, eq=False)
class Recipe:
    """Steps, the value that they end in, and where the inputs stand in the cohort.

    Args:
        columns: input of the package -> column of the cohort ("path" and "mask" for files).
        texts: text input -> the words that it may be.
        files: what the steps read.
        own: steps whose values are finite for every readable case.
    """

    steps: tuple[Step, ...]
    output: str
    columns: Mapping[str, str]
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    own: tuple[str, ...] = ()

    @property
    def graph(self) -> Graph:
        """Return the steps as a graph."""
        return Graph(inputs=tuple(self.columns), steps=self.steps, output=self.output)


def look(task: Task, cohort: Cohort) -> Look:
    """Return what the images of a cohort are like."""
    from vesalius.io.cohort import load_case

    wanted = task.data.image if task.data.image is not None else cohort.has("path")
    if not wanted:
        return Look(0)
    if not cohort.has("path"):
        raise UsageError("the task takes in images and the table names none", expected="a column path")
    rows = np.unique(np.linspace(0, len(cohort) - 1, PROBES).astype(int))
    images = [load_case(cohort, int(row)) for row in rows]
    edges = [min(one.array.shape[1:3]) for one in images]
    return Look(
        3 if any(one.array.shape[0] > 1 for one in images) else 2,
        any(one.axis is not None for one in images),
        int(np.median(edges)),
    )


def input_name(column: str) -> str:
    """Return what a column is called as an input of a package: lower-case words with underscores.

    Raises:
        UsageError: nothing is left of it.
    """
    name = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")
    name = name if name[:1].isalpha() else f"c_{name}"
    if not re.fullmatch("[a-z][a-z0-9_]{0,63}", name) or name == "c_":
        raise UsageError("a column cannot be an input of a package", found=column, expected="letters and digits")
    return name


def network_recipe(task: Task, seen: Look) -> Recipe:
    """Return the steps from the image to the tensor of a network."""
    if not seen.dimensions:
        raise ConfigError("a network takes in images, and this task has none", fix="model: {classical: ...}")
    chain = list(task.prepare) or _usual(seen, 64)
    grey = not seen.colour or any(one.op == "imaging.grey" for one in chain)
    given: dict[str, Any] = {"dimensions": seen.dimensions, "channels": 1 if grey else 3}
    if chain[-1].op == "imaging.tensor":
        given = {**given, **chain.pop().parameters}
    steps, last, _ = _chained(chain, task)
    steps.append(Step(id=TENSOR, op="imaging.tensor", inputs=(last,), parameters=given))
    return Recipe(tuple(steps), TENSOR, _columns(task, steps), own=(TENSOR,))


def classical_recipe(task: Task, options: ClassicalOptions, seen: Look, cohort: Cohort) -> Recipe:
    """Return the steps from the case to the vector of a classical learner."""
    features = options.features or task.features or _usual_features(task, seen)
    if not features:
        raise ConfigError("the task names nothing to learn from", expected="features, or data: clinical: [columns]")
    steps: list[Step] = []
    last, still = IMAGE, IMAGE
    if any(one.op != CLINICAL for one in features):
        if not seen.dimensions:
            raise ConfigError("features of an image, and this task has none", found=features[0].op)
        chain = list(options.prepare or task.prepare) or _usual(seen, _edge(seen))
        steps, last, still = _chained([one for one in chain if one.op != "imaging.tensor"], task)
        if seen.colour and not any(one.op == "imaging.grey" for one in chain):
            steps.append(Step(id="grey", op="imaging.grey", inputs=(last,)))
            last = "grey"
    ends, files = [], {}
    for number, feature in enumerate(features):
        made = _feature(task, cohort, feature, (last, still), number)
        steps += made[0]
        ends.append(made[0][-1].id)
        files.update(made[1])
    own = tuple(end for end in ends if end != CLINICAL)
    steps.append(Step(id=FEATURES, op="table.join", inputs=tuple(ends)))
    columns = _columns(task, steps)
    return Recipe(tuple(steps), FEATURES, columns, _texts(task, cohort, columns), files, own)


def feature_names(recipe: Recipe, width: int) -> tuple[str, ...]:
    """Return what each value of a vector is: a column, a column and its word, or a feature and its number.

    Empty when two features share the vector and neither tells its length.
    """
    steps = {step.id: step for step in recipe.steps}
    if FEATURES not in steps:
        return ()
    ends = steps[FEATURES].inputs
    known = {CLINICAL: _clinical_names(recipe, steps)} if CLINICAL in ends else {}
    open_ends = [end for end in ends if end != CLINICAL]
    if len(open_ends) > 1:
        return ()
    rest = width - len(known.get(CLINICAL, ()))
    known.update({end: tuple(f"{end.partition('_')[2]} {k + 1}" for k in range(rest)) for end in open_ends})
    return tuple(name for end in ends for name in known[end])


def _clinical_names(recipe: Recipe, steps: Mapping[str, Step]) -> tuple[str, ...]:
    found: list[str] = []
    for end in steps[CLINICAL].inputs:
        column = recipe.columns[steps[end].inputs[0]]
        words = steps[end].parameters.get("values")
        found += [column] if words is None else [f"{column} = {word}" for word in words]
    return tuple(found)


def default_baseline(task: Task, seen: Look) -> ClassicalOptions:
    """Return the classical model that stands beside a network when the task names none."""
    learner = {"regression": "svm", "survival": "cox"}.get(task.kind, "svm")
    if seen.dimensions == 2:
        edge = _edge(seen)
        chain = [Operation(op="imaging.grey"), Operation.model_validate(
            {"op": "imaging.resize", "rows": edge, "columns": edge})]  # fmt: skip
        named = {"op": "hog", "cell": max(4, edge // 8)}
        if task.kind == "survival":
            named = {"op": "intensity"}
        return ClassicalOptions.model_validate({"learner": learner, "features": [named], "prepare": chain})
    plain = {"regression": "ridge", "survival": "cox"}.get(task.kind, "logistic")
    return ClassicalOptions.model_validate({"learner": plain, "features": ["intensity", "radiomics"]})


def _usual(seen: Look, edge: int) -> list[Operation]:
    size: dict[str, Any] = {"rows": edge, "columns": edge}
    if seen.dimensions == 3:
        size["slices"] = max(8, edge // 2)
    chain = [{"op": "imaging.resize", **size}, {"op": "imaging.zscore"}]
    return [Operation.model_validate(one) for one in ([{"op": "imaging.grey"}] if seen.colour else []) + chain]


def _usual_features(task: Task, seen: Look) -> tuple[Feature, ...]:
    names = {0: [], 2: ["hog"], 3: ["intensity", "radiomics"]}[seen.dimensions]
    return tuple(Feature.model_validate(one) for one in names + ([CLINICAL] if task.data.clinical else []))


def _edge(seen: Look) -> int:
    return 128 if seen.edge >= 96 else 64 if seen.edge >= 48 else 32


def _chained(chain: Sequence[Operation], task: Task) -> tuple[list[Step], str, str]:
    """Return the steps, the last value, and the last value that lies on the grid of the mask."""
    steps: list[Step] = []
    last, still, moved = IMAGE, IMAGE, False
    for number, one in enumerate(chain):
        name = f"p{number}_{one.op.partition('.')[2]}"
        moved = moved or one.op in MOVES
        steps.append(_step(name, one, (last,), task))
        last = name
        still = still if moved else name
    return steps, last, still


def _step(name: str, one: Operation, inputs: tuple[str, ...], task: Task) -> Step:
    if task.data.mask and takes_mask(one.op):
        inputs = (*inputs, MASK)
    return Step(id=name, op=one.op, version=one.version, inputs=inputs, parameters=one.parameters)


def takes_mask(op: str) -> bool:
    """Return whether an operation takes a mask beside the image."""
    function = operations.load(Step(id="step", op=op, inputs=(IMAGE,)))
    return MASK in inspect.signature(function).parameters


def _feature(
    task: Task, cohort: Cohort, feature: Feature, values: tuple[str, str], number: int
) -> tuple[list[Step], dict[str, bytes]]:
    last, still = values
    if feature.op == CLINICAL:
        return _clinical(task, cohort), {}
    if feature.op == EMBEDDING:
        return _embedding(feature, last, number)
    name = f"f{number}_{feature.op.partition('.')[2]}"
    # a mask lies on the grid of the image as it was read
    source = still if task.data.mask and takes_mask(feature.op) else last
    return [_step(name, feature, (source,), task)], {}


def _clinical(task: Task, cohort: Cohort) -> list[Step]:
    steps = []
    for column in task.data.clinical:
        if column not in cohort.names:
            raise unknown("column", column, cohort.names)
        name = input_name(column)
        if cohort.is_number(column):
            steps.append(Step(id=f"c_{name}"[:64], op="table.number", inputs=(name,)))
        else:
            words = _words(cohort, column)
            steps.append(Step(id=f"c_{name}"[:64], op="table.category", inputs=(name,), parameters={"values": words}))
    return [*steps, Step(id=CLINICAL, op="table.join", inputs=tuple(one.id for one in steps))]


def _words(cohort: Cohort, column: str) -> list[str]:
    words = sorted(set(cohort.text(column).tolist()) - {""})
    if len(words) > 50:
        raise UsageError(f"the column {column} holds too many words to learn from", found=str(len(words)),
                         expected="numbers, or at most 50 different words")  # fmt: skip
    return words


def _embedding(feature: Feature, last: str, number: int) -> tuple[list[Step], dict[str, bytes]]:
    given = feature.parameters
    path, name = Path(str(given["file"])), f"embedding_{number}.onnx"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ReadError(f"{path} cannot be read", found=error.strerror or "", expected="an ONNX model") from None
    tensor = Step(id=f"t{number}", op="imaging.tensor", inputs=(last,),
                  parameters={"channels": int(given.get("channels", 3))})  # fmt: skip
    output = {"output": str(given["output"])} if "output" in given else {}
    return [tensor, Step(id=f"f{number}_embedding", op="onnx", inputs=(tensor.id,), file=name, parameters=output)], {
        name: content
    }


def _columns(task: Task, steps: Sequence[Step]) -> dict[str, str]:
    """Return the inputs that the steps read, and where they stand."""
    read = {name for step in steps for name in step.inputs}
    files = {IMAGE: "path", MASK: "mask"}
    clinical: dict[str, str] = {}
    for column in task.data.clinical:
        name = input_name(column)
        if name in clinical or name in files:
            raise UsageError("two inputs of the package would have one name", found=f"{column}: {name}",
                             fix="rename one of the columns")  # fmt: skip
        clinical[name] = column
    return {name: column for name, column in {**files, **clinical}.items() if name in read}


def _texts(task: Task, cohort: Cohort, columns: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    return {
        name: tuple(_words(cohort, column))
        for name, column in columns.items()
        if name not in (IMAGE, MASK) and not cohort.is_number(column)
    }
