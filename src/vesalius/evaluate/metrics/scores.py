"""One table of metrics, what each gives when a mask is empty, and the typed table of scores."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from vesalius.core.errors import LabelError, UnknownNameError, UsageError
from vesalius.core.mask import Mask
from vesalius.evaluate.metrics import overlap
from vesalius.evaluate.metrics.pair import Pair, State
from vesalius.evaluate.metrics.surface import Definition, SurfaceDistances, distances

NAN, INF = float("nan"), float("inf")
COLUMNS = ("segment", "label", "metric", "value", "unit", "definition", "state")


@dataclass(frozen=True, slots=True)
class Options:
    """How metrics are computed.

    Args:
        definition: of surface distances.
        tolerance_mm: of the surface Dice; without one it is not computed.
        width_mm: of the rim of the boundary IoU; without one it is not computed.
    """

    definition: Definition = "deepmind"
    tolerance_mm: float | None = None
    width_mm: float | None = None


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric of two masks.

    Args:
        unit: UCUM.
        value: of a pair of which neither is empty.
        empty: value without a prediction, without a reference, without either; NaN is "not defined".
        surface: takes the definition of surface distances.
        needs: name of the option without which there is no value.
    """

    unit: str
    value: Callable[[Pair, Surfaces, Options], float]
    empty: tuple[float, float, float]
    surface: bool = False
    needs: str = ""


@dataclass
class Surfaces:
    """Surface distances of one pair, computed once when first asked for."""

    pair: Pair
    definition: Definition
    found: SurfaceDistances | None = None

    def __call__(self) -> SurfaceDistances:
        """Return them."""
        if self.found is None:
            self.found = distances(self.pair, self.definition)
        return self.found


def _plain(value: Callable[[Pair], float]) -> Callable[[Pair, Surfaces, Options], float]:
    return lambda pair, surfaces, options: value(pair)


def _of_surface(value: Callable[[SurfaceDistances], float]) -> Callable[[Pair, Surfaces, Options], float]:
    return lambda pair, surfaces, options: value(surfaces())


def _surface_dice(pair: Pair, surfaces: Surfaces, options: Options) -> float:
    if options.definition in ("pooled", "medpy"):
        raise UsageError("MedPy has no surface Dice", expected="definition deepmind or monai")
    if options.tolerance_mm is None or not options.tolerance_mm >= 0:
        raise UsageError("a tolerance is zero or more", found=f"{options.tolerance_mm} mm")
    return surfaces().share_within(options.tolerance_mm)


def _boundary_iou(pair: Pair, surfaces: Surfaces, options: Options) -> float:
    return overlap.boundary_iou(pair, options.width_mm or 0.0)


_FAR = (INF, INF, NAN)
_NONE = (0.0, 0.0, NAN)
METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "dice": Metric("1", _plain(overlap.dice), _NONE),
        "iou": Metric("1", _plain(overlap.iou), _NONE),
        "sensitivity": Metric("1", _plain(overlap.sensitivity), (0.0, NAN, NAN)),
        "precision": Metric("1", _plain(overlap.precision), (NAN, 0.0, NAN)),
        "volume_error": Metric("1", _plain(overlap.volume_error), (-1.0, INF, NAN)),
        "volume_error_ml": Metric("mL", _plain(overlap.volume_error_ml), (NAN, NAN, 0.0)),
        "surface_dice": Metric("1", _surface_dice, _NONE, surface=True, needs="tolerance_mm"),
        "hd": Metric("mm", _of_surface(lambda found: found.largest()), _FAR, surface=True),
        "hd95": Metric("mm", _of_surface(lambda found: found.percentile(95)), _FAR, surface=True),
        "assd": Metric("mm", _of_surface(lambda found: found.pooled_mean()), _FAR, surface=True),
        "masd": Metric("mm", _of_surface(lambda found: found.mean_of_means()), _FAR, surface=True),
        "boundary_iou": Metric("1", _boundary_iou, _NONE, needs="width_mm"),
        "centreline_dice": Metric("1", _plain(overlap.centreline_dice), _NONE),
    }
)
DEFAULT = ("dice", "iou", "sensitivity", "precision", "volume_error", "volume_error_ml", "hd", "hd95", "assd", "masd")
"""What `compare` computes besides the metrics whose option is given."""


@dataclass(frozen=True, slots=True)
class Score:
    """One value.

    Args:
        segment: name in the reference.
        metric: a name of `METRICS`.
        value: NaN where the metric is not defined, infinite where one of the two surfaces is missing.
        unit: UCUM.
        definition: of the surface distance, "" for other metrics.
        state: which of the masks holds a voxel.
    """

    segment: str
    label: int
    metric: str
    value: float
    unit: str
    definition: str
    state: State


@dataclass(frozen=True)
class ScoreTable:
    """The scores of one prediction, segment by segment."""

    scores: tuple[Score, ...]
    _index: Mapping[tuple[str, str], float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index by segment and metric."""
        index = {(score.segment, score.metric): score.value for score in self.scores}
        object.__setattr__(self, "_index", MappingProxyType(index))

    def __iter__(self) -> Iterator[Score]:
        """Yield the scores in order."""
        return iter(self.scores)

    def __len__(self) -> int:
        """Return the number of scores."""
        return len(self.scores)

    def __getitem__(self, segment_and_metric: tuple[str, str]) -> float:
        """Return one value.

        Raises:
            UnknownNameError: there is none.
        """
        if segment_and_metric not in self._index:
            known = ", ".join(f"{segment} {metric}" for segment, metric in list(self._index)[:8])
            raise UnknownNameError("no such score in this table", found=str(segment_and_metric), expected=known)
        return self._index[segment_and_metric]

    def to_csv(self) -> str:
        """Return comma-separated text with one header line; NaN is an empty field."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for score in self.scores:
            value = "" if np.isnan(score.value) else repr(score.value)
            place = (score.segment, score.label, score.metric)
            writer.writerow((*place, value, score.unit, score.definition, score.state.value))
        return text.getvalue()


def compare(
    prediction: Mask,
    reference: Mask,
    *,
    segments: Sequence[str | int] | None = None,
    metrics: Sequence[str] | None = None,
    options: Options | None = None,
) -> ScoreTable:
    """Return the scores of each segment of the reference.

    Args:
        segments: names in the reference, or labels meant in both; all by default, by name (see `Pair.of`).
        metrics: names of `METRICS`; by default all that are quick and whose option is given.

    Raises:
        GeometryError: the masks are not on one grid.
        LabelError: the reference names no segment, or the prediction does not know one.
        UnknownNameError: no such metric or definition.
        UnknownSpacingError: a metric in mm or mL, and the pixel size is not known.
    """
    options = options or Options()
    names = _wanted(metrics, options)
    wanted = _every(reference) if segments is None else segments
    if not wanted:
        raise LabelError("the reference names no segment", fix="give the mask its `segments`")
    scores: list[Score] = []
    for segment in wanted:
        pair = Pair.of(prediction, reference, segment)
        surfaces = Surfaces(pair, options.definition)
        for name in names:
            scores.append(_score(name, pair, surfaces, options))
    return ScoreTable(tuple(scores))


def score(name: str, pair: Pair, options: Options | None = None) -> float:
    """Return one metric of a pair, empty masks included."""
    options = options or Options()
    return _score(_wanted([name], options)[0], pair, Surfaces(pair, options.definition), options).value


def _every(reference: Mask) -> list[str | int]:
    """Return the name of each segment, its label where the name stands twice."""
    names = [segment.name for segment in reference.segments.values()]
    return [s.name if names.count(s.name) == 1 else label for label, s in reference.segments.items()]


def _score(name: str, pair: Pair, surfaces: Surfaces, options: Options) -> Score:
    metric = METRICS[name]
    value = _value(metric, pair, surfaces, options)
    definition = options.definition if metric.surface else ""
    return Score(pair.segment, pair.label, name, value, metric.unit, definition, pair.state)


def _value(metric: Metric, pair: Pair, surfaces: Surfaces, options: Options) -> float:
    if metric.unit in ("mm", "mL"):
        pair.masks[1].require_spacing()
    if pair.state is State.BOTH or metric.unit == "mL":
        return metric.value(pair, surfaces, options)
    return metric.empty[(State.NO_PREDICTION, State.NO_REFERENCE, State.NEITHER).index(pair.state)]


def _wanted(metrics: Sequence[str] | None, options: Options) -> list[str]:
    """Return names of metrics that are known and whose options are given."""
    if metrics is None:
        extra = [
            name for name, metric in METRICS.items() if metric.needs and getattr(options, metric.needs) is not None
        ]
        return [*DEFAULT, *extra]
    for name in metrics:
        if name not in METRICS:
            raise UnknownNameError("no such metric", found=repr(name), expected=", ".join(METRICS))
        needs = METRICS[name].needs
        if needs and getattr(options, needs) is None:
            raise UsageError(f"{name} needs {needs}", fix=f"Options({needs}=...), chosen for the clinical task")
    return list(metrics)
