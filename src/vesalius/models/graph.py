"""The graph of a package: named steps from the inputs to the output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from vesalius.config.yaml import load_yaml

Name = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,63}$")]
FileName = Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9_.-]{0,63}$")]


class Step(BaseModel):
    """One operation, by name and version, on values that stand before it.

    Args:
        id: name of the value that it gives.
        inputs: names of inputs of the package or of steps before this one.
        file: a file of the package that the operation reads, as an ONNX model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: Name
    op: Annotated[str, StringConstraints(pattern=r"^[a-z]+(\.[a-z_]+)?$")]
    version: int = Field(default=1, ge=1)
    inputs: tuple[Name, ...] = Field(min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict)
    file: FileName | None = None


class Graph(BaseModel):
    """Steps in an order in which they can run.

    Args:
        inputs: names that the caller hands in; they are the inputs of the card.
        output: the value that is the answer.
        distance: the value that tells how far a case lies from the training data, if any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: tuple[Name, ...] = Field(min_length=1)
    steps: tuple[Step, ...] = Field(min_length=1, max_length=200)
    output: Name
    distance: Name | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Graph:
        known = list(self.inputs)
        for step in self.steps:
            for name in step.inputs:
                if name not in known:
                    raise ValueError(f"step {step.id!r} reads {name!r}, which no step before it gives")
            if step.id in known:
                raise ValueError(f"two values are called {step.id!r}")
            known.append(step.id)
        for value in (self.output, self.distance):
            if value is not None and value not in known:
                raise ValueError(f"{value!r} is given by no step")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """Return the files that the steps read."""
        return tuple(dict.fromkeys(step.file for step in self.steps if step.file))

    def until(self, value: str) -> Graph:
        """Return the part that gives one value: what training shares with prediction.

        Raises:
            KeyError: no step gives it.
        """
        ids = [step.id for step in self.steps]
        if value not in ids:
            raise KeyError(value)
        needed, kept = {value}, []
        for step in reversed(self.steps[: ids.index(value) + 1]):
            if step.id in needed:
                needed.update(step.inputs)
                kept.append(step)
        inputs = tuple(name for name in self.inputs if name in needed)
        return Graph(inputs=inputs, steps=tuple(reversed(kept)), output=value)


def read_graph(path: Path) -> Graph:
    """Return the graph in a file.

    Raises:
        ConfigError: with file, line, what was given and what is allowed.
    """
    return load_yaml(path, Graph)


def graph_text(graph: Graph) -> str:
    """Return the graph as YAML, defaults left out."""
    return yaml.safe_dump(graph.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True)
