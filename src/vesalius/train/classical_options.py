"""What a task can say of a classical learner; typed, and free of scikit-learn."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vesalius.config.yaml import nearest
from vesalius.core.errors import VesaliusError
from vesalius.models import operations
from vesalius.models.graph import Step

CLINICAL: Final = "clinical"
EMBEDDING: Final = "embedding"
FEATURE_ROOM: Final = "features."

Learners = Literal[
    "logistic", "svm", "tree", "forest", "boosting", "lightgbm", "knn", "ridge", "cox", "kmeans", "hierarchical"
]
BY_KIND: Final[dict[str, tuple[str, ...]]] = {
    "classification": ("logistic", "svm", "tree", "forest", "boosting", "lightgbm", "knn"),
    "ordinal": ("logistic", "svm", "tree", "forest", "boosting", "lightgbm", "knn"),
    "regression": ("ridge", "svm", "tree", "forest", "boosting", "lightgbm", "knn"),
    "survival": ("cox",),
    "clustering": ("kmeans", "hierarchical"),
}
"""Kind of a task -> the learners that fit it."""

PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "logistic": ("C",),
    "svm": ("C", "gamma", "kernel"),
    "tree": ("max_depth", "min_samples_leaf"),
    "forest": ("n_estimators", "max_depth", "min_samples_leaf", "max_features"),
    "boosting": ("n_estimators", "max_depth", "learning_rate", "subsample", "colsample_bytree", "reg_lambda"),
    "lightgbm": ("n_estimators", "num_leaves", "max_depth", "learning_rate", "min_child_samples", "reg_lambda"),
    "knn": ("n_neighbors", "weights"),
    "ridge": ("alpha",),
    "cox": ("penalty",),
    "kmeans": ("clusters",),
    "hierarchical": ("clusters",),
}
"""Learner -> the hyper-parameters that a task may fix or search."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Operation(BaseModel):
    """An operation of the package's graph with its parameters, as `{op: imaging.resize, rows: 64, columns: 64}`.

    Args:
        op: name of the operation; the short name of a feature is enough in `features`.
        version: of the operation.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    op: str
    version: int = Field(default=1, ge=1)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters."""
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _worded(cls, value: Any) -> Any:
        return {"op": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exists(self) -> Operation:
        check_operation(self.op, self.version, self.parameters)
        return self


class Feature(Operation):
    """A feature: hog, lbp, intensity, radiomics, clinical (the columns `data.clinical`) or embedding (`file:` ONNX)."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        given = {"op": value} if isinstance(value, str) else value
        if isinstance(given, dict) and isinstance(given.get("op"), str) and "." not in given["op"]:
            name = given["op"]
            return given if name in (CLINICAL, EMBEDDING) else {**given, "op": FEATURE_ROOM + name}
        return given

    @model_validator(mode="after")
    def _exists(self) -> Feature:
        if self.op == CLINICAL:
            _only(self.parameters, (), self.op)
        elif self.op == EMBEDDING:
            _only(self.parameters, ("file", "output", "channels"), self.op)
            if "file" not in self.parameters:
                raise ValueError("embedding needs file: an ONNX model that gives one vector per image")
        elif not self.op.startswith(FEATURE_ROOM):
            raise ValueError(f"{self.op} is no feature; known: {', '.join(feature_names())}")
        else:
            check_operation(self.op, self.version, self.parameters)
        return self


def feature_names() -> tuple[str, ...]:
    """Return the short names of the features."""
    known = [name.removeprefix(FEATURE_ROOM) for name in operations.TABLE if name.startswith(FEATURE_ROOM)]
    return (*known, CLINICAL, EMBEDDING)


def _only(given: dict[str, Any], allowed: tuple[str, ...], name: str) -> None:
    for one in given:
        if one not in allowed:
            raise ValueError(f"{name} has no parameter {one!r}; known: {', '.join(allowed) or 'none'}")


def check_operation(op: str, version: int, parameters: dict[str, Any]) -> None:
    """Check that an operation exists and knows these parameters.

    Raises:
        ValueError: it does not; the nearest name is suggested.
    """
    try:
        function = operations.load(Step(id="step", op=op, version=version, inputs=("image",)))
    except VesaliusError as error:
        raise ValueError(f"{op}: {error.message}; {error.fix or error.expected}") from None
    known = [name for name, one in inspect.signature(function).parameters.items() if one.kind is one.KEYWORD_ONLY]
    for name in parameters:
        if name not in known:
            hint = nearest(name, known)
            raise ValueError(
                f"{op} has no parameter {name!r}; known: {', '.join(known) or 'none'}; {hint}".rstrip("; ")
            )
    needed = inspect.signature(function).parameters
    for name in known:
        if needed[name].default is inspect.Parameter.empty and name not in parameters:
            raise ValueError(f"{op} needs the parameter {name!r}")


class ClassicalOptions(_Part):
    """A classical learner and how its hyper-parameters are found.

    Args:
        learner: the family.
        features: of each case; the task's own `features` when empty.
        prepare: steps on the image before the features; the task's own `prepare` when empty.
        parameters: hyper-parameters that are fixed.
        search: hyper-parameter -> values to try; a small grid of the learner by default. `{}` tries nothing.
        inner_folds: grouped folds within the training part on which the values are judged.
        search_cases: the search looks at so many cases at most, by whole patients.
        balance: classes weigh the same, whatever their number.
        missing: clinical values that are missing take the median of the training part, or are refused.
    """

    learner: Learners
    features: tuple[Feature, ...] = ()
    prepare: tuple[Operation, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, tuple[Any, ...]] | None = None
    inner_folds: Annotated[int, Field(ge=2, le=20)] = 3
    search_cases: Annotated[int, Field(ge=20)] = 1500
    balance: bool = True
    missing: Literal["median", "refuse"] = "median"

    @field_validator("parameters", "search")
    @classmethod
    def _words(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and any(not isinstance(name, str) for name in value):
            raise ValueError("names of hyper-parameters are words")
        return value

    @model_validator(mode="after")
    def _known(self) -> ClassicalOptions:
        known = PARAMETERS[self.learner]
        for name in (*self.parameters, *(self.search or {})):
            if name not in known:
                hint = nearest(name, known)
                raise ValueError(f"{self.learner} has no hyper-parameter {name!r}; known: {', '.join(known)}; {hint}")
        for name, values in (self.search or {}).items():
            if not values:
                raise ValueError(f"search: {name} lists no value")
        return self
