"""The random-label control: the same training on labels exchanged between patients must find nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vesalius.core.errors import UsageError
from vesalius.evaluate import classification, regression, timetoevent
from vesalius.evaluate.evaluation import Control, Options, draws_of
from vesalius.evaluate.figures import made, spec
from vesalius.evaluate.predictions import Figure, Predictions

if TYPE_CHECKING:
    from vesalius.train.validate import RunFolder


def judged(predictions: Predictions, options: Options | None = None) -> Figure:
    """Return the figure that must be at chance: AUC, concordance, or R2 of predictions on random labels."""
    options = options or Options()
    drawn = draws_of(predictions, options)
    if predictions.categorical:
        one = spec("auc", classification.area(predictions, options.positive_of(predictions.labels)))
    elif predictions.kind == "survival":
        one = spec("uno_c", timetoevent.concordance(predictions, uno=True))
    elif predictions.kind == "regression":
        every = regression.errors(predictions.truth, predictions.scores)
        one = spec("r2", lambda weights: every(weights)[:, 0])
    else:
        raise UsageError("clusters have no labels that could be exchanged", found=predictions.kind)
    return made([one], predictions, drawn)[0]


def is_leak(figure: Figure) -> bool:
    """Return whether the interval leaves out chance: 0.5 for a concordance on either side, anything above 0 for R2."""
    if figure.name == "r2":
        return figure.low > 0
    return not figure.low <= 0.5 <= figure.high


def controlled(run: RunFolder, options: Options | None = None) -> Control:
    """Return the verdict on a run that was made with random labels: of its candidates, the one farthest above chance.

    Raises:
        UsageError: the run was made on the true labels.
    """
    if not run.run.get("control"):
        raise UsageError(
            f"{run.folder} was not trained on random labels", expected="a run of the same task with --random-labels",
            fix="vesalius train TASK.yaml --out CONTROL --random-labels",
        )  # fmt: skip
    found = [judged(one, options) for name in run.candidates if (one := run.predictions(name)) is not None]
    if not found:
        raise UsageError(f"{run.folder} holds no predictions", expected="<candidate>/predictions.csv")
    leaking = [figure for figure in found if is_leak(figure)]
    return Control(max(leaking or found, key=lambda figure: figure.value), len(found), bool(leaking))


def random_label_control(
    task: Path, out: Path, options: Options | None = None, *, train: Callable[[Path, Path], object] | None = None
) -> Control:
    """Return what the same training finds in labels that were exchanged between patients.

    Args:
        task: TASK.yaml.
        out: new folder of the control run.
        train: makes the run; `vesalius.train.run.train` with random labels by default.
    """
    from vesalius.train.validate import read_run

    (train or _trained)(task, out)
    return controlled(read_run(out), options)


def _trained(task: Path, out: Path) -> object:
    from vesalius.train.run import RunOptions
    from vesalius.train.run import train as trained

    return trained(task, out, options=RunOptions(random_labels=True))
