"""The page on packages tells every operation with its parameters, and every key of the card."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from vesalius.models import operations
from vesalius.models.card import Card
from vesalius.models.graph import Graph, Step, read_graph
from vesalius.models.runtime import HALF_WIDTH, QUANTILE

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "package.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z.]+)` \|([^|]*)\| [^|]+ \|$", re.MULTILINE)


def told() -> dict[str, list[str]]:
    return {name: re.findall(r"`(\w+)`", parameters) for name, parameters in ROW.findall(PAGE)}


def test_every_operation_is_told_and_no_other() -> None:
    assert set(told()) == set(operations.TABLE)


@pytest.mark.parametrize("name", operations.TABLE)
def test_the_parameters_are_those_of_the_operation(name: str) -> None:
    function = operations.load(Step(id="a", op=name, inputs=("x",)))
    known = [one.name for one in inspect.signature(function).parameters.values() if one.kind is one.KEYWORD_ONLY]
    assert told()[name] == [one for one in known if one not in ("file", "files")]


def test_every_key_of_the_card_is_told() -> None:
    absent = [name for name in Card.model_fields if f"`{name}`" not in PAGE and name != "schema_version"]
    assert absent == []
    assert f"`{HALF_WIDTH}`" in PAGE
    assert f"`{QUANTILE}`" in PAGE


def test_the_graph_of_the_page_is_a_graph(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / "graph.yaml").write_text(found[1], encoding="utf-8")
    graph: Graph = read_graph(tmp_path / "graph.yaml")
    operations.check(graph)
