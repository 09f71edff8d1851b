"""Classical learners: every family through ONNX, Cox against published coefficients, clusters that come again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import NOBODY, job, prepared

from vesalius.core.errors import ImageContentError, InternalError, LabelError, UsageError
from vesalius.evaluate.discrimination import macro_auc
from vesalius.train import classical, classical_clusters, classical_cox, classical_export, classical_models
from vesalius.train.classical_options import BY_KIND, ClassicalOptions
from vesalius.train.learner import Target

RNG = np.random.default_rng(4)
X = RNG.normal(size=(160, 6)).astype(np.float32)
SIGNAL = X[:, 0] - X[:, 1]
TRAIN, REST = np.arange(100), np.arange(100, 160)
SMALL: dict[str, dict[str, Any]] = {"forest": {"n_estimators": 20}, "boosting": {"n_estimators": 30},
                                    "lightgbm": {"n_estimators": 30}}  # fmt: skip


def target(kind: str) -> Target:
    if kind == "regression":
        return Target(kind, (), SIGNAL.astype(np.float64))
    edges = [0.0] if kind == "classification" else [-0.8, 0.8]
    labels = ("low", "high") if kind == "classification" else ("low", "middle", "high")
    return Target(kind, labels, np.digitize(SIGNAL, edges).astype(np.float64))


def options(learner: str, **more: Any) -> ClassicalOptions:
    fixed = {"parameters": SMALL.get(learner, {}), "search": {}}
    return ClassicalOptions.model_validate({"learner": learner, **fixed, **more})


@pytest.mark.parametrize("kind", ["classification", "ordinal", "regression"])
@pytest.mark.parametrize("learner", BY_KIND["classification"])
def test_every_family_learns_and_comes_back_from_its_files(kind: str, learner: str, tmp_path: Path) -> None:
    name = "ridge" if (kind, learner) == ("regression", "logistic") else learner
    cases = prepared(X, target(kind))
    made = classical.learner(options(name), cases.target)
    fitted = made.fit(cases, TRAIN, NOBODY, job(tmp_path))
    scores = fitted.scores(cases, REST)
    truth = cases.target.values[REST]
    if kind == "regression":
        assert np.corrcoef(scores, truth)[0, 1] > 0.6
    else:
        assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)
        assert macro_auc(truth.astype(int), scores) > 0.75
    again = made.fit(cases, TRAIN, NOBODY, job(tmp_path, resume=True))
    assert np.array_equal(again.scores(cases, REST), scores)


def test_a_fit_repeats_to_the_byte(tmp_path: Path) -> None:
    cases = prepared(X, target("classification"))
    made = [classical.learner(options("forest"), cases.target).fit(cases, TRAIN, NOBODY, job(tmp_path / str(k), seed=3))
            for k in range(2)]  # fmt: skip
    assert made[0].parts() == made[1].parts()


def test_values_are_chosen_on_inner_folds_of_whole_patients(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cases = prepared(X, target("classification"))
    seen: list[tuple[Any, Any]] = []
    true = classical_models.inner_folds

    def watched(*given: Any) -> Any:
        for train, judged in true(*given):
            seen.append((given[0][train], given[0][judged]))
            yield train, judged

    monkeypatch.setattr(classical.classical_models, "inner_folds", watched)
    tried = options("logistic", search={"C": (1e-6, 1.0)})
    fitted = classical.learner(tried, cases.target).fit(cases, TRAIN, NOBODY, job(tmp_path))
    assert fitted.told()["parameters"] == {"C": 1.0}
    assert seen
    assert all(not set(train.tolist()) & set(judged.tolist()) for train, judged in seen)
    assert max(max(one[1]) for one in seen) < 50, "groups of the held-out cases must not appear"


def test_a_label_that_is_absent_and_a_nan_are_named(tmp_path: Path) -> None:
    cases = prepared(X, target("classification"))
    learner = classical.learner(options("logistic"), cases.target)
    with pytest.raises(LabelError, match="holds no case of high"):
        learner.fit(cases, np.flatnonzero(cases.target.values == 0), NOBODY, job(tmp_path))
    holed = X.copy()
    holed[3, 2] = np.nan
    refusing = classical.learner(options("logistic", missing="refuse"), cases.target)
    with pytest.raises(ImageContentError, match="NaN"):
        refusing.fit(prepared(holed, cases.target), TRAIN, NOBODY, job(tmp_path))
    holed[:, 2] = np.nan
    with pytest.raises(ImageContentError, match="feature 3 of 6"):
        learner.fit(prepared(holed, cases.target), TRAIN, NOBODY, job(tmp_path))


def test_a_value_that_scikit_learn_refuses_is_a_usage_error(tmp_path: Path) -> None:
    cases = prepared(X, target("classification"))
    wrong = options("logistic", parameters={"C": -1.0})
    with pytest.raises(UsageError, match="refuses its hyper-parameters"):
        classical.learner(wrong, cases.target).fit(cases, TRAIN, NOBODY, job(tmp_path))


def test_an_onnx_model_that_disagrees_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = classical_models.estimator("tree", "classes", {}, 0, balance=False, threads=1)
    model.fit(X, target("classification").values.astype(int))
    true = classical_export.wanted
    monkeypatch.setattr(classical_export, "wanted", lambda *given: true(*given) + 2e-4)
    with pytest.raises(InternalError, match="disagrees"):
        classical_export.exported([model], "tree", "classes", X)


def test_cox_gives_the_published_coefficients_of_the_lung_trial(data_root: Path) -> None:
    """R's survival: coxph(Surv(time, status) ~ age + sex + ph.ecog, lung), Efron: 0.011067, -0.552612, 0.463728."""
    from vesalius.io.cohort import read_cohort

    cohort = read_cohort(data_root / "survival_tables" / "lifelines" / "lung.csv")
    x = np.stack([cohort.numbers(name) for name in ("age", "sex", "ph.ecog")], axis=1)
    whole = np.isfinite(x).all(axis=1)
    found = classical_cox.fit_cox(x[whole], cohort.numbers("time")[whole], cohort.numbers("status")[whole] > 0)
    assert whole.sum() == 227
    assert found.coefficients == pytest.approx([0.011067, -0.552612, 0.463728], abs=2e-6)
    assert found.errors == pytest.approx([0.009267, 0.167739, 0.113577], abs=2e-6)


def test_cox_without_covariates_that_matter_gives_the_nelson_aalen_hazard() -> None:
    time = np.array([1.0, 2.0, 3.0, 4.0])
    event = np.array([True, True, False, True])
    found = classical_cox.fit_cox(np.zeros((4, 1)), time, event, penalty=1.0)
    assert found.hazard == pytest.approx([1 / 4, 1 / 4 + 1 / 3, 1 / 4 + 1 / 3 + 1])


def test_survival_orders_patients_and_its_package_gives_curves(tmp_path: Path) -> None:
    time = RNG.exponential(np.exp(-SIGNAL))
    cases = prepared(X, Target("survival", (), time, np.ones(len(X), dtype=bool)))
    fitted = classical.learner(options("cox", search={"penalty": (0.1, 10.0)}), cases.target).fit(
        cases, TRAIN, NOBODY, job(tmp_path)
    )
    assert np.corrcoef(fitted.scores(cases, REST), SIGNAL[REST])[0, 1] > 0.8
    steps, last, files = fitted.parts()
    assert (steps[-1].op, last, files) == ("survival.cox", "answer", {})


@pytest.mark.parametrize("learner", ["kmeans", "hierarchical"])
def test_three_heaps_are_found_and_come_again(learner: str, tmp_path: Path) -> None:
    heaps = np.array([[0, 0], [8, 0], [0, 8]])[np.arange(60) % 3] + RNG.normal(0, 0.5, (60, 2))
    cases = prepared(heaps.astype(np.float32), Target("clustering", (), np.full(60, np.nan)))
    tried = ClassicalOptions.model_validate({"learner": learner, "search": {"clusters": [2, 3, 4]}})
    fitted = classical.learner(tried, cases.target).fit(cases, np.arange(60), NOBODY, job(tmp_path))
    assert fitted.told()["parameters"] == {"clusters": 3}
    found = fitted.scores(cases, np.arange(60)).argmax(axis=1)
    assert all(len(set(found[k::3].tolist())) == 1 for k in range(3))
    stable: Any = fitted.told()["stability"]
    assert stable[0]["ari"] == pytest.approx(1.0)


def test_noise_has_no_stable_clusters() -> None:
    noise = np.random.default_rng(0).normal(size=(80, 5))
    found = classical_clusters.stability(noise, np.arange(80), 4, "kmeans", seed=0, draws=20)
    assert found.value < 0.6
    with pytest.raises(UsageError, match="so many clusters"):
        classical_clusters.centroids(np.zeros((5, 2)), 2, "kmeans", 0)
