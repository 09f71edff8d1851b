"""Settings: argument > environment > file > default, and errors that teach."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius.config import Settings, resolve
from vesalius.config.settings import variables
from vesalius.core.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def test_only_the_named_variables_exist() -> None:
    names = {"HOME", "LANGUAGE", "THREADS", "WORKERS", "LOG_LEVEL", "AUDIT"}
    names |= {"RUNTIME", "AUDIT_HEAD", "PROJECT", "PURPOSE", "BREAK_GLASS"}
    assert set(variables()) == {f"VESALIUS_{name}" for name in names}
    assert all(field.description for field in Settings.model_fields.values())


def test_every_setting_is_documented() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md").read_text()
    assert [name for name in variables() if f"| `{name}` |" not in text] == []


def test_an_emergency_is_no_habit(home: Path) -> None:
    (home / "config.yaml").write_text("break_glass: because I may\n")
    with pytest.raises(ConfigError, match="break_glass"):
        resolve({}, {"VESALIUS_HOME": str(home)})


def test_defaults(home: Path) -> None:
    settings = resolve({}, {"VESALIUS_HOME": str(home)})
    assert (settings.language, settings.threads, settings.workers) == (("en",), 2, 1)
    assert (settings.log_level, settings.audit, settings.home) == ("warning", False, home)


def test_argument_beats_environment_beats_file(home: Path) -> None:
    (home / "config.yaml").write_text("threads: 3\nworkers: 3\nlanguage: zh\naudit: on\n")
    environment = {"VESALIUS_HOME": str(home), "VESALIUS_THREADS": "4", "VESALIUS_WORKERS": "4"}
    settings = resolve({"threads": 5, "workers": None}, environment)
    assert (settings.threads, settings.workers, settings.language, settings.audit) == (5, 4, ("zh",), True)


@pytest.mark.parametrize("value", ["en,zh", " en , zh,en"])
def test_languages_are_a_list(home: Path, value: str) -> None:
    environment = {"VESALIUS_HOME": str(home), "VESALIUS_LANGUAGE": value}
    assert resolve({}, environment).language == ("en", "zh")


def test_an_empty_variable_is_not_set(home: Path) -> None:
    assert resolve({}, {"VESALIUS_HOME": str(home), "VESALIUS_THREADS": ""}).threads == 2


def test_an_unknown_variable_is_refused_with_the_nearest_name(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({}, {"VESALIUS_HOME": str(home), "VESALIUS_THREAD": "4"})
    assert caught.value.found == "VESALIUS_THREAD"
    assert "VESALIUS_WORKERS" in caught.value.expected
    assert "VESALIUS_THREADS" in caught.value.fix


def test_variables_of_the_tests_are_left_alone(home: Path) -> None:
    resolve({}, {"VESALIUS_HOME": str(home), "VESALIUS_TEST_DATA": "x"})


@pytest.mark.parametrize(
    ("arguments", "environment", "where"),
    [
        ({"threads": 0}, {}, "--threads"),
        ({"log_level": "loud"}, {}, "--log-level"),
        ({}, {"VESALIUS_THREADS": "many"}, "VESALIUS_THREADS"),
        ({}, {"VESALIUS_LANGUAGE": "en,fr"}, "VESALIUS_LANGUAGE"),
        ({}, {"VESALIUS_LANGUAGE": ","}, "VESALIUS_LANGUAGE"),
    ],
)
def test_a_bad_value_names_where_it_came_from(
    home: Path, arguments: dict[str, object], environment: dict[str, str], where: str
) -> None:
    with pytest.raises(ConfigError, match=where) as caught:
        resolve(arguments, {"VESALIUS_HOME": str(home), **environment})
    assert caught.value.found
    assert caught.value.expected


def test_a_bad_file_names_the_line(home: Path) -> None:
    (home / "config.yaml").write_text("threads: 2\n\nworker: 3\n")
    with pytest.raises(ConfigError, match=r"config\.yaml, line 3") as caught:
        resolve({}, {"VESALIUS_HOME": str(home)})
    assert "'workers'" in caught.value.fix


def test_home_is_not_read_from_the_file_that_lies_in_it(home: Path) -> None:
    (home / "config.yaml").write_text("home: /elsewhere\n")
    with pytest.raises(ConfigError, match="home"):
        resolve({}, {"VESALIUS_HOME": str(home)})
