"""TASK.yaml: what is accepted, and what every mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tasks import as_yaml, table, task

from vesalius.core.errors import ConfigError, UsageError
from vesalius.train.task import Task, budgeted, read_task, task_text

CONTENT: dict[str, Any] = {
    "name": "busi",
    "kind": "classification",
    "data": {"table": "cases.csv", "labels": {0: "normal", 1: "pneumonia"}},
    "prepare": [{"op": "imaging.grey"}, {"op": "imaging.resize", "rows": 32, "columns": 32}],
    "features": ["hog", {"op": "lbp", "grid": 2}],
    "model": {"classical": {"learner": "svm"}},
}


def changed(**parts: Any) -> dict[str, Any]:
    return {**CONTENT, **parts}


def test_a_task_is_read_and_its_table_starts_from_its_own_folder(tmp_path: Path) -> None:
    found = read_task(as_yaml(tmp_path / "task.yaml", CONTENT))
    assert found.data.table == tmp_path / "cases.csv"
    assert found.data.labels == {"0": "normal", "1": "pneumonia"}
    assert [one.op for one in found.features] == ["features.hog", "features.lbp"]
    assert found.features[1].parameters == {"grid": 2}


def test_the_text_of_a_task_reads_back_as_the_same_task(tmp_path: Path) -> None:
    first = read_task(as_yaml(tmp_path / "task.yaml", CONTENT))
    (tmp_path / "again.yaml").write_text(task_text(first))
    assert read_task(tmp_path / "again.yaml") == first


MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"modle": {}}, "modle", "model"),
    ({"kind": "clasification"}, "clasification", "classification"),
    ({"prepare": [{"op": "imaging.resise", "rows": 3}]}, "imaging.resise", "imaging.resize"),
    ({"prepare": [{"op": "imaging.resize", "row": 3}]}, "'row'", "rows"),
    ({"prepare": [{"op": "imaging.resize", "rows": 3}]}, "columns", "needs"),
    ({"features": ["hogg"]}, "features.hogg", "features.hog"),
    ({"features": ["clinical"]}, "clinical", "data: clinical"),
    ({"model": {"classical": {"learner": "svn"}}}, "svn", "svm"),
    ({"model": {"classical": {"learner": "cox"}}}, "cox", "logistic"),
    ({"model": {"classical": {"learner": "svm", "parameters": {"c": 1}}}}, "'c'", "C"),
    ({"model": {}}, "network or classical", ""),
    ({"baseline": "none"}, "refused", "classical"),
    ({"prior": {"normal": 0.5, "pneumonia": 0.6}}, "sum to one", ""),
    ({"split": {"fold": 3}}, "split.fold", "folds"),
    ({"model": {"network": {"name": "plian"}}}, "plian", "plain"),
]


@pytest.mark.parametrize(("parts", "said", "hint"), MISTAKES)
def test_a_mistake_names_file_line_and_the_nearest_word(
    tmp_path: Path, parts: dict[str, Any], said: str, hint: str
) -> None:
    path = as_yaml(tmp_path / "task.yaml", changed(**parts))
    with pytest.raises(ConfigError) as caught:
        read_task(path)
    text = str(caught.value)
    assert f"{path}, line " in text
    assert said in text
    assert hint in text


def test_a_mistake_names_its_own_line(tmp_path: Path) -> None:
    path = as_yaml(tmp_path / "task.yaml", changed(split={"folds": 3, "repeatz": 2}))
    line = 1 + next(n for n, text in enumerate(path.read_text().splitlines()) if "repeatz" in text)
    with pytest.raises(ConfigError, match=f"line {line}:"):
        read_task(path)


def test_a_budget_limits_epochs_and_never_raises_them(tmp_path: Path) -> None:
    source = table(tmp_path)
    content = {"model": {"network": {"name": "plain", "epochs": 20}}, "budget": {"small": {"epochs": 3, "cases": 50}}}
    small, limits = budgeted(task(source, **content), "small")
    assert small.model.network is not None
    assert (small.model.network.epochs, limits.cases) == (3, 50)
    assert budgeted(small, "full")[0] == small
    with pytest.raises(UsageError, match="no budget"):
        budgeted(small, "tiny")


def test_the_reference_page_lists_every_key_of_every_part() -> None:
    from pydantic import BaseModel

    page = (Path(__file__).parents[2] / "docs" / "reference" / "task.md").read_text()
    seen: set[type[BaseModel]] = set()

    def parts(model: type[BaseModel]) -> None:
        if model in seen:
            return
        seen.add(model)
        for name, field in model.model_fields.items():
            assert f"`{name}`" in page, f"{model.__name__}.{name} is not in task.md"
            for inner in _models(field.annotation):
                parts(inner)

    parts(Task)


def _models(annotation: Any) -> list[Any]:
    import typing

    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for part in typing.get_args(annotation) for one in _models(part)]
