"""What is trained on what, and how: the typed content of TASK.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from vesalius.config.yaml import load_yaml
from vesalius.core.errors import UsageError
from vesalius.models.card import LicenceClass
from vesalius.train.classical_options import BY_KIND, CLINICAL, ClassicalOptions, Feature, Operation
from vesalius.train.network_options import NetworkOptions

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
TaskKind = Literal["classification", "ordinal", "regression", "survival", "clustering"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataOptions(_Part):
    """The cases.

    Args:
        table: table, folder per class, MedMNIST archive or nnU-Net raw folder; relative to the task's own file.
        columns: standard name -> name in the table, as {patient_id: Subject ID}.
        layout: how the cases are stored; found by default.
        label: column of the label, grade or value.
        labels: which labels count and in which order, as a list, or as value in the table -> name; cases of other
            labels are left out and counted. Grades: from the lowest to the highest.
        time: column of the time of survival. event: column that is 1 where the event was seen.
        clinical: columns that the model takes in; numbers, or words.
        image: whether the model takes in the image of a case; by default when there is one.
        mask: the model takes in the mask of a case, as radiomics do.
        name: of the data set on the card; the table's name by default. source: where it comes from.
        licence: class of cases that do not tell theirs: open, research or unclear. licence_text: its words.
        basis: consent basis of cases that do not tell theirs.
        modality: of the images, as CT, US, DX. body_part: that they show.
    """

    table: Path
    columns: dict[str, str] = Field(default_factory=dict)
    layout: str | None = None
    label: str = "label"
    labels: dict[str, str] = Field(default_factory=dict)
    time: str = "time"
    event: str = "event"
    clinical: tuple[str, ...] = ()
    image: bool | None = None
    mask: bool = False
    name: str = ""
    source: str = ""
    licence: LicenceClass | None = None
    licence_text: str = ""
    basis: str | None = None
    modality: str = ""
    body_part: str = ""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not isinstance(value.get("labels"), list | dict):
            return value
        labels = value["labels"]
        pairs = labels.items() if isinstance(labels, dict) else ((one, one) for one in labels)
        return {**value, "labels": {str(raw): str(name) for raw, name in pairs}}


class SplitOptionsOfTask(_Part):
    """How the cases are divided; what the table itself holds (`split`, `fold`) stands.

    Args:
        ignore_table: drop what the table says of the division, as the parts of a benchmark that share images.
        folds: of the cross-validation; 0: one part for validation, see `val`.
        test: share of one test set. val: share for validation, without folds.
        repeats: draw the folds so many times.
        stratify: columns with the same shares everywhere; the label by default.
        leave_one_out: a column such as site: each of its values is one fold.
        no_patient_ids: take every case for a patient of its own; every report then warns.
        duplicates: auto finds copies of an image and keeps them together; none; or the check.json of an earlier check.
        early_stopping: share of each training part that a network keeps for early stopping.
    """

    ignore_table: bool = False
    folds: Annotated[int, Field(ge=0, le=100)] = 5
    test: Share = 0.0
    val: Share = 0.0
    repeats: Annotated[int, Field(ge=1, le=100)] = 1
    stratify: tuple[str, ...] | None = None
    leave_one_out: str = ""
    no_patient_ids: bool = False
    duplicates: str = "auto"
    early_stopping: Annotated[float, Field(ge=0, le=0.5)] = 0.1


class ModelOptions(_Part):
    """The model: one of the two."""

    network: NetworkOptions | None = None
    classical: ClassicalOptions | None = None

    @model_validator(mode="after")
    def _one(self) -> ModelOptions:
        if (self.network is None) == (self.classical is None):
            raise ValueError("model holds either network or classical")
        return self


class BudgetOptions(_Part):
    """What a budget allows.

    Args:
        epochs: of a network. cases: so many at most, by whole patients, labels in their shares.
    """

    epochs: Annotated[int, Field(ge=1)] | None = None
    cases: Annotated[int, Field(ge=10)] | None = None


class EnergyOptions(_Part):
    """What energy may be used and where it comes from.

    Args:
        country: three-letter code of the grid; unknown stays unknown, and then no CO2 is stated.
        limit_kwh: the run stops, marked, when so much is used.
    """

    country: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] | None = None
    limit_kwh: Annotated[float, Field(gt=0)] | None = None


class CardOptions(_Part):
    """What the card says beside what the run finds out."""

    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")] = "0.1.0"
    summary: str = ""
    intended_use: str = ""
    not_for: tuple[Words, ...] = ()
    risk_class: str = ""
    known_failures: tuple[Words, ...] = ()
    unit: str = ""


class Task(_Part):
    """A task.

    Args:
        name: of the package. title: for people; the name by default.
        kind: what is predicted.
        prepare: operations on the image, one after the other.
        features: of a classical model.
        model: network or classical.
        baseline: the classical model beside a network.
        calibrate: the map from scores to probabilities; auto takes the one that helps on other patients, if any does.
        prior: label -> share in the population that is meant, when it differs from the training data's.
        budget: name -> what `--budget` NAME allows.
        draws: resamples of each interval.
        seed: of every random choice.
    """

    name: Annotated[str, StringConstraints(pattern="^[a-z0-9][a-z0-9-]{1,63}$")]
    title: str = ""
    kind: TaskKind
    data: DataOptions
    split: SplitOptionsOfTask = SplitOptionsOfTask()
    prepare: tuple[Operation, ...] = ()
    features: tuple[Feature, ...] = ()
    model: ModelOptions
    baseline: ClassicalOptions | None = None
    calibrate: Literal["auto", "none", "temperature", "platt", "isotonic"] = "auto"
    prior: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    budget: dict[str, BudgetOptions] = Field(default_factory=dict)
    energy: EnergyOptions = EnergyOptions()
    card: CardOptions = CardOptions()
    draws: Annotated[int, Field(ge=200, le=100_000)] = 2000
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="before")
    @classmethod
    def _has_baseline(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("baseline") == "none":
            raise ValueError("baseline: none is refused; every network is trained beside a classical model")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        for part, options in (("model.classical", self.model.classical), ("baseline", self.baseline)):
            if options is not None and options.learner not in BY_KIND[self.kind]:
                known = ", ".join(BY_KIND[self.kind])
                raise ValueError(f"{part}: {options.learner} does not fit the kind {self.kind}; known: {known}")
        if self.model.network is not None and self.kind == "clustering":
            raise ValueError("model: clusters are found by kmeans or hierarchical, not by a network")
        if self.prior and (self.kind != "classification" or abs(sum(self.prior.values()) - 1) > 1e-6):
            raise ValueError("prior: shares of the labels of a classification that sum to one")
        features = (*self.features, *(self.model.classical.features if self.model.classical else ()))
        if any(one.op == CLINICAL for one in features) and not self.data.clinical:
            raise ValueError("features: clinical needs data: clinical, the columns")
        return self


def read_task(path: str | Path) -> Task:
    """Return the task in a file; the table's path starts from the file's folder.

    Raises:
        ConfigError: with file, line, what was given, what is allowed and the nearest name.
    """
    path = Path(path)
    task = load_yaml(path, Task)
    table = task.data.table
    network = task.model.network
    if network is not None and network.init is not None and not network.init.is_absolute():
        network = network.model_copy(update={"init": path.parent / network.init})
        task = task.model_copy(update={"model": task.model.model_copy(update={"network": network})})
    if table.is_absolute():
        return task
    return task.model_copy(update={"data": task.data.model_copy(update={"table": path.parent / table})})


def task_text(task: Task) -> str:
    """Return a task as YAML, defaults left out."""
    content = task.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def budgeted(task: Task, name: str) -> tuple[Task, BudgetOptions]:
    """Return the task within a budget, and the budget; "" and an unnamed "full" allow everything.

    Raises:
        UsageError: the task names no such budget.
    """
    if not name:
        return task, BudgetOptions()
    if name not in task.budget:
        if name == "full":
            return task, BudgetOptions()
        raise UsageError(
            f"the task {task.name} has no budget {name!r}",
            expected=", ".join((*task.budget, "full")),
            fix=f"add budget: {{{name}: {{epochs: 10, cases: 1000}}}} to it",
        )
    budget, network = task.budget[name], task.model.network
    if network is not None and budget.epochs is not None:
        network = network.model_copy(update={"epochs": min(budget.epochs, network.epochs)})
        task = task.model_copy(update={"model": ModelOptions(network=network)})
    return task, budget
