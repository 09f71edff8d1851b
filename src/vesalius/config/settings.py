"""The settings: a few names, each an argument, an environment variable, a line of `config.yaml` or a default."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vesalius.config.yaml import describe_problem, load_yaml, nearest
from vesalius.core.errors import ConfigError

PREFIX = "VESALIUS_"
TEST_PREFIX = "VESALIUS_TEST_"
"""Names that belong to the test suite (where its data lie); never read here."""
LANGUAGES = ("en", "zh")


class Preferences(BaseModel):
    """What `config.yaml` may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language: tuple[Literal["en", "zh"], ...] = Field(
        ("en",), min_length=1, description="languages of the reports, comma separated: en, zh"
    )
    threads: int = Field(2, ge=1, le=256, description="threads per study; results do not depend on it")
    workers: int = Field(1, ge=1, le=256, description="studies analysed at the same time")
    log_level: Literal["debug", "info", "warning", "error"] = Field("warning", description="what is logged on stderr")
    runtime: Literal["auto", "onnxruntime", "openvino", "torch"] = Field(
        "auto", description="what computes the networks of a model package; auto: what its card measured as fastest"
    )
    audit: bool = Field(False, description="write an audit trail under VESALIUS_HOME/audit")
    audit_head: Path | None = Field(None, description="the signed head of the audit trail, kept apart from it")
    project: Path | None = Field(None, description="access file of the project in which commands act")
    purpose: Literal["care", "research", "training", "sharing", "commercial"] | None = Field(
        None, description="what the data are used for; access rules and the audit trail look at it"
    )

    @field_validator("language", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        return value


class Settings(Preferences):
    """Every setting, resolved."""

    home: Path = Field(description="folder of models, keys, consent, audit and run logs")
    break_glass: str | None = Field(None, description="reason for emergency access; always on record")


def default_home() -> Path:
    """Return the platform's folder for user data."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "vesalius"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "vesalius"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "vesalius"


def variables() -> tuple[str, ...]:
    """Return the names of the environment variables that are read."""
    return tuple(sorted(PREFIX + name.upper() for name in Settings.model_fields))


def resolve(arguments: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings: argument > environment > `VESALIUS_HOME/config.yaml` > default.

    Args:
        arguments: setting name -> value from the command line; None means not given.
        environment: the environment; the process's own by default.

    Raises:
        ConfigError: an unknown VESALIUS_ variable, an unknown key, or a value that is not allowed.
    """
    given = _from_environment(os.environ if environment is None else environment)
    flags = {name: value for name, value in (arguments or {}).items() if value is not None}
    for name, value in flags.items():
        _check(name, value, "--" + name.replace("_", "-"))
    home = Path(str(flags.get("home") or given.get("home") or default_home())).expanduser().absolute()
    return Settings.model_validate({**_from_file(home / "config.yaml"), **given, **flags, "home": home})


def _from_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return load_yaml(path, Preferences).model_dump(exclude_unset=True)


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or variable.startswith(TEST_PREFIX):
            continue
        if variable not in variables():
            raise ConfigError(
                f"the environment variable {variable} is no setting",
                found=variable,
                expected=", ".join(variables()),
                fix=nearest(variable, variables()) or f"unset {variable}",
            )
        if value:
            name = variable.removeprefix(PREFIX).lower()
            _check(name, value, f"the environment variable {variable}")
            found[name] = value
    return found


def _check(name: str, value: object, where: str) -> None:
    """Raise an error that names the source of a bad value."""
    try:
        Settings.model_validate({"home": Path(), name: value})
    except ValidationError as error:
        what, allowed, fix = describe_problem(error.errors(include_url=False)[0], Settings)
        raise ConfigError(f"{where}: {what}", found=repr(value), expected=allowed, fix=fix) from None
