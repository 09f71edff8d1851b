"""The families of classical learners: estimators of scikit-learn, XGBoost and LightGBM, and the values that are tried.

Imported when something is fitted; scikit-learn and the boosters are in the extra `train`.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import MissingDependencyError, UsageError

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

GRIDS: Final[Mapping[str, Mapping[str, Sequence[Any]]]] = {
    "logistic": {"C": (0.001, 0.01, 0.1, 1.0)},
    "svm": {"C": (1.0, 10.0)},
    "tree": {"max_depth": (2, 4, 8)},
    "forest": {"min_samples_leaf": (1, 5)},
    "boosting": {"max_depth": (2, 4)},
    "lightgbm": {"num_leaves": (7, 31)},
    "knn": {"n_neighbors": (3, 7, 15)},
    "ridge": {"alpha": (0.1, 1.0, 10.0, 100.0, 1000.0)},
    "cox": {"penalty": (0.001, 0.1, 1.0, 10.0, 100.0)},
}
"""Learner -> hyper-parameter -> values that are tried when the task says nothing."""

SMALL: Final = 200_000
"""Numbers of a training table below which linear algebra runs on one thread."""

SCALED: Final = ("logistic", "svm", "knn", "ridge")
"""Learners to which the unit of a feature matters."""


def needed(module: str) -> Any:
    """Return a module of the extra `train`.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        name = {"sklearn": "scikit-learn", "xgboost": "xgboost-cpu"}.get(module.partition(".")[0], module)
        extra = "lightgbm" if module == "lightgbm" else "'vesalius[train]'"
        raise MissingDependencyError(
            f"{name} is needed to train this model", found="not installed", fix=f"pip install {extra}"
        ) from None


def candidates(
    learner: str, fixed: Mapping[str, Any], search: Mapping[str, Sequence[Any]] | None
) -> list[dict[str, Any]]:
    """Return the hyper-parameters to try, the fixed ones in each."""
    tried = {name: values for name, values in (GRIDS.get(learner, {}) if search is None else search).items()
             if name not in fixed}  # fmt: skip
    return [{**fixed, **dict(zip(tried, values, strict=True))} for values in product(*tried.values())]


def estimator(learner: str, kind: str, parameters: Mapping[str, Any], seed: int, *, balance: bool, threads: int) -> Any:
    """Return an estimator that is not fitted; `kind` is "classes" or "numbers".

    Raises:
        UsageError: a hyper-parameter with a value that is not allowed.
        MissingDependencyError: its library is not installed.
    """
    build = {
        "logistic": _logistic, "ridge": _ridge, "svm": _svm, "tree": _tree, "forest": _forest, "knn": _knn,
        "boosting": _boosting, "lightgbm": _lightgbm,
    }[learner]  # fmt: skip
    common = {"seed": seed, "threads": threads, "weight": "balanced" if balance and kind == "classes" else None}
    try:
        model = build(kind, dict(parameters), common)
    except TypeError as error:
        raise UsageError(f"{learner} refuses its hyper-parameters", found=str(error)) from None
    if learner not in SCALED:
        return model
    pipeline, scaling = needed("sklearn.pipeline"), needed("sklearn.preprocessing")
    return pipeline.make_pipeline(scaling.StandardScaler(), model)


def _logistic(kind: str, given: dict[str, Any], common: dict[str, Any]) -> Any:
    return needed("sklearn.linear_model").LogisticRegression(
        **{"max_iter": 2000, **given}, class_weight=common["weight"], random_state=common["seed"]
    )


def _ridge(kind: str, given: dict[str, Any], common: dict[str, Any]) -> Any:
    return needed("sklearn.linear_model").Ridge(**given)


def _svm(kind: str, given: dict[str, Any], common: dict[str, Any]) -> Any:
    module = needed("sklearn.svm")
    if kind == "numbers":
        return module.SVR(**given)
    return module.SVC(**given, class_weight=common["weight"], random_state=common["seed"], cache_size=500)


def _tree(kind: str, given: dict[str, Any], common: dict[str, Any]) -> Any:
    module = needed("sklearn.tree")
    if kind == "numbers":
        return module.DecisionTreeRegressor(**given, random_state=common["seed"])
    return module.DecisionTreeClassifier(**given, class_weight=common["weight"], random_state=common["seed"])


def _forest(kind: str, given: dict[str, Any], common: dict[str, Any]) -> Any:
    module = needed("sklearn.ensemble")
    own = {"n_estimators": 300, **given, "random_state": common["seed"], "n_jobs": common["threads"]}
    if kind == "numbers":
        return module.RandomForestRegressor(**own)
    return module.RandomForestClassifier(**own, class_weight=common["weight"])


def _knn(kind: str, given: dict[str, Any], common: dict[str, Any]) -> Any:
    module = needed("sklearn.neighbors")
    return module.KNeighborsRegressor(**given) if kind == "numbers" else module.KNeighborsClassifier(**given)


def _boosting(kind: str, given: dict[str, Any], common: dict[str, Any]) -> Any:
    module = needed("xgboost")
    own = {"n_estimators": 200, "learning_rate": 0.1, **given, "random_state": common["seed"],
           "n_jobs": common["threads"], "tree_method": "hist"}  # fmt: skip
    return module.XGBRegressor(**own) if kind == "numbers" else module.XGBClassifier(**own)


def _lightgbm(kind: str, given: dict[str, Any], common: dict[str, Any]) -> Any:
    module = needed("lightgbm")
    own = {"n_estimators": 200, "learning_rate": 0.1, **given, "random_state": common["seed"],
           "n_jobs": common["threads"], "deterministic": True, "force_row_wise": True, "verbose": -1}  # fmt: skip
    return module.LGBMRegressor(**own) if kind == "numbers" else module.LGBMClassifier(**own)


def fitted(model: Any, learner: str, x: F32, truth: F64, *, balance: bool) -> Any:
    """Return the estimator fitted; boosters get the weights of balanced classes by hand.

    Raises:
        UsageError: a hyper-parameter with a value that is not allowed.
    """
    extra: dict[str, Any] = {}
    classes = any(name.endswith(("Classifier", "SVC", "LogisticRegression")) for name in _names(model))
    y = truth.astype(np.int64) if classes else truth
    if balance and learner in ("boosting", "lightgbm"):
        _, place, counts = np.unique(y, return_inverse=True, return_counts=True)
        extra["sample_weight"] = (len(y) / (len(counts) * counts))[place]
    # on small tables the threads of a matrix product only wait for each other
    few = needed("threadpoolctl").threadpool_limits(1) if x.size < SMALL else contextlib.nullcontext()
    try:
        with few:
            return model.fit(x, y, **extra)
    except (ValueError, TypeError) as error:
        if type(error).__name__ == "InvalidParameterError" or isinstance(error, TypeError):
            raise UsageError(f"{learner} refuses its hyper-parameters", found=str(error)[:200]) from None
        raise


def _names(model: Any) -> list[str]:
    """Return the class names of an estimator, or of the steps of a pipeline."""
    steps = getattr(model, "steps", None)
    return [type(one).__name__ for _, one in steps] if steps else [type(model).__name__]


def inner_folds(
    groups: NDArray[np.int64], strata: NDArray[np.int64], folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (training rows, judged rows) of grouped, stratified inner folds; those that lack a stratum are left out."""
    from vesalius.train.split import assign

    count = min(folds, len(np.unique(groups)))
    if count < 2:
        return
    strata = np.unique(strata, return_inverse=True)[1].astype(np.int64)
    place = assign(groups, strata, count, seed)
    for k in range(count):
        train, judged = np.flatnonzero(place != k), np.flatnonzero(place == k)
        if len(judged) and set(strata[train].tolist()) == set(strata.tolist()):
            yield train, judged
