"""Networks as learners of the training engine: starts compared, members trained, one ONNX file at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import ConfigError, LabelError, MissingDependencyError
from vesalius.models.graph import Step
from vesalius.train import checkpoint
from vesalius.train.checkpoint import Checkpoint
from vesalius.train.learner import Job, Prepared, Target
from vesalius.train.network_options import AugmentOptions, NetworkOptions

if TYPE_CHECKING:
    from vesalius.models.networks.build import Specification
    from vesalius.models.networks.export import Ensemble
    from vesalius.models.networks.heads import Loss
    from vesalius.train.loop import Outcome, Samples

__all__ = ["AugmentOptions", "NetworkFitted", "NetworkLearner", "NetworkOptions", "learner"]

FITTED: Final = "fitted.safetensors"
"""The finished fit; it is written last, so that it marks the end too."""
NETWORK: Final = "network.onnx"
WEIGHTS: Final = "weights.safetensors"
SPECIFICATION: Final = "network.json"
KINDS: Final = ("classification", "ordinal", "regression", "survival")
_IMAGE_AXES: Final = (4, 5)
_SEED: Final = 1_000_003
"""Between the seeds of two members."""


def learner(options: NetworkOptions, target: Target) -> NetworkLearner:
    """Return the learner of a network for a target.

    Raises:
        ConfigError: networks do not learn such a target, or the loss is of another kind.
        MissingDependencyError: PyTorch is not installed.
    """
    try:
        import torch  # noqa: F401 - only whether it is there
    except ImportError:
        raise MissingDependencyError("networks need PyTorch", fix="pip install 'vesalius[train,networks]'") from None
    if target.kind not in KINDS:
        raise ConfigError("networks do not learn this kind", found=target.kind, expected=", ".join(KINDS))
    losses = {"classification": ("cross_entropy", "focal"), "regression": ("squared", "huber")}.get(target.kind, ())
    if options.loss is not None and options.loss not in losses:
        raise ConfigError(
            f"loss {options.loss} is not one of {target.kind}",
            expected=", ".join(losses) or "no choice",
            fix="leave loss out",
        )
    _refuse_idle(options, target.kind)
    return NetworkLearner(options)


def _refuse_idle(options: NetworkOptions, kind: str) -> None:
    """Refuse options that would do nothing for a kind of task."""
    classes = kind in ("classification", "ordinal")
    idle = {
        "balance": options.balance != "none" and not classes,
        "mixup": options.mixup > 0 and kind == "survival",
        "label_smoothing": options.label_smoothing > 0 and (kind != "classification" or options.loss == "focal"),
    }
    for name in (name for name, found in idle.items() if found):
        loss = f" with loss {options.loss}" if options.loss else ""
        raise ConfigError(f"{name} does nothing for {kind}{loss}", fix=f"leave {name} out")


@dataclass(frozen=True, eq=False)
class NetworkFitted:
    """A fitted network."""

    ensemble: Ensemble
    kind: str
    value: str
    facts: Mapping[str, object]
    samples: NDArray[np.float32]
    threads: int = 1

    def scores(self, prepared: Prepared, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return [n, labels] probabilities before calibration, or [n] values or risks."""
        from vesalius.models.networks.export import scores
        from vesalius.models.operations import probability
        from vesalius.train.loop import deterministic

        with deterministic(self.threads):
            raw: NDArray[np.float64] = scores(self.ensemble, prepared.values[self.value], rows)
        if self.kind in ("regression", "survival"):
            return raw[:, 0]
        last = probability.softmax if self.kind == "classification" else probability.ordinal
        width = raw.shape[1] + (self.kind == "ordinal")
        return np.concatenate([np.zeros((0, width)), *(last(row[None]) for row in raw)])

    def parts(self) -> tuple[tuple[Step, ...], str, dict[str, bytes]]:
        """Return the steps after the preparing ones, the id of their output, and their files."""
        from vesalius.models.networks.export import onnx_bytes, weights_bytes

        files = {
            NETWORK: onnx_bytes(self.ensemble, self.samples),
            WEIGHTS: weights_bytes(self.ensemble),
            SPECIFICATION: self.ensemble.specification.model_dump_json(indent=1).encode() + b"\n",
        }
        network = Step(id="network", op="onnx", inputs=(self.value,), file=NETWORK)
        last = {"classification": "calibrate.softmax", "ordinal": "calibrate.ordinal"}.get(self.kind)
        if last is None:
            return (network,), "network", files
        return (network, Step(id="probabilities", op=last, inputs=("network",))), "probabilities", files

    def told(self) -> Mapping[str, object]:
        """Return what the run records."""
        return self.facts


class NetworkLearner:
    """Fits networks of one set of options."""

    def __init__(self, options: NetworkOptions) -> None:
        """Keep the options."""
        self.options = options

    def fit(self, prepared: Prepared, train: NDArray[np.int64], val: NDArray[np.int64], job: Job) -> NetworkFitted:
        """Return a network fitted on the rows `train`; epochs and starts are chosen on `val`.

        Raises:
            ConfigError: the images or the weights to begin with do not fit the network.
            DivergedError: the loss is not a number; the last checkpoint stays.
            OutputError: a checkpoint cannot be written; the last one stays.
            BudgetSpent: the energy budget is spent.
        """
        from vesalius.train.loop import deterministic

        value = image_value(prepared)
        done = job.place / FITTED
        if job.resume and done.is_file():
            return self._loaded(done, prepared, value, train, job.threads)
        done.unlink(missing_ok=True)
        with deterministic(job.threads):
            fit = _Fit(self.options, prepared, value, (train, val), job)
            found, facts = fit.run()
        specification = fit.specification.model_dump(mode="json")
        arrays = {f"{n}/{name}": one.numpy() for n, each in enumerate(found) for name, one in each.items()}
        checkpoint.save(done, Checkpoint(arrays, {"specification": specification, "told": facts}))
        # the fit is whole: the states of the optimiser are no longer needed
        for one in job.place.rglob("checkpoint.safetensors"):
            one.unlink()
        return self._loaded(done, prepared, value, train, job.threads)

    def _loaded(
        self, path: Path, prepared: Prepared, value: str, train: NDArray[np.int64], threads: int
    ) -> NetworkFitted:  # fmt: skip
        import torch

        from vesalius.models.networks.build import Specification
        from vesalius.models.networks.export import assemble, weights_bytes

        found = checkpoint.load(path)
        members: dict[str, dict[str, torch.Tensor]] = {}
        for name, array in found.arrays.items():
            member, _, key = name.partition("/")
            members.setdefault(member, {})[key] = torch.from_numpy(array.copy())
        specification = Specification.model_validate(found.state["specification"])
        weights = [members[name] for name in sorted(members, key=int)]
        ensemble = assemble(specification, weights)
        facts = {**found.state["told"], "weights_sha256": hashlib.sha256(weights_bytes(ensemble)).hexdigest()}
        samples = np.array(prepared.values[value][train[:4]])
        return NetworkFitted(ensemble, prepared.target.kind, value, facts, samples, threads)


class _Fit:
    """One fit: all starts, all members."""

    def __init__(
        self, options: NetworkOptions, prepared: Prepared, value: str,
        rows: tuple[NDArray[np.int64], NDArray[np.int64]], job: Job,
    ) -> None:  # fmt: skip
        self.options, self.job, self.target = options, job, prepared.target
        self.images, self.rows = prepared.values[value], rows
        self.specification = _specification(options, prepared.target, self.images.shape, rows[0])
        self.starts = _starts(options, len(rows[1]))
        self.taken: dict[str, object] = {}
        self._step = 0

    def run(self) -> tuple[list[dict[str, Any]], dict[str, object]]:
        """Return the weights of the members of the best start, and what to tell."""
        tried: dict[str, list[Outcome]] = {}
        for start in self.starts:
            tried[start] = [self._member(start, member) for member in range(self.options.members)]
        figures = {start: float(np.mean([one.monitor or 0.0 for one in found])) for start, found in tried.items()}
        chosen = min(figures, key=lambda start: (figures[start], self.starts.index(start)))
        best = tried[chosen]
        facts: dict[str, object] = {
            "network": self.options.name,
            "parameters": self._parameters(),
            "start": chosen,
            "epochs": [one.epochs for one in best],
            "best_epoch": [one.best_epoch for one in best],
            "validation": [one.val for one in best],
        }
        if self.taken:
            facts["init"] = {"from": str(self.options.init), **self.taken}
        if len(tried) > 1:
            facts["starts"] = {start: [one.val for one in found] for start, found in tried.items()}
            facts["chosen_by"] = self.options.monitor
        return [one.weights for one in best], facts

    def _member(self, start: str, member: int) -> Outcome:
        from vesalius.models.networks.build import build
        from vesalius.train.loop import Training

        seed = self.job.seed + _SEED * member
        place = self.job.place / start / f"member-{member}"
        place.mkdir(parents=True, exist_ok=True)
        network = build(self.specification, seed=seed)
        options = self.options
        if start != "scratch" and options.init is not None:
            from vesalius.models.networks import weights

            source = weights.read(options.init, accept_licence=options.accept_licence)
            self.taken = weights.begin_with(network, source, options.init.name)
        if start == "probe":
            options = options.model_copy(update={"freeze": len(network.stages()) - 1})
        if start == "scratch":
            options = options.model_copy(update={"freeze": 0, "rate_decay": 1.0})
        prefix = "" if len(self.starts) * self.options.members == 1 else f"{start}/{member}/"
        job = replace(self.job, place=place, seed=seed, progress=self._progress())
        return Training(network, *self._samples(), self._loss(), options, job, prefix).run()

    def _progress(self) -> Any:
        """Return a progress that counts all fits as one."""
        if self.job.progress is None:
            return None
        told, number, fits = self.job.progress, self._step, len(self.starts) * self.options.members
        self._step += 1
        return lambda done, count: told(number * count + done, fits * count)

    def _samples(self) -> tuple[Samples, Samples]:
        from vesalius.train.loop import Samples

        values = self.target.values
        if self.target.kind == "regression":
            values = (values - self.specification.centre) / self.specification.scale
        made = []
        for rows in self.rows:
            event = None if self.target.event is None else self.target.event[rows].astype(np.float32)
            made.append(Samples(self.images, np.asarray(rows), values[rows].astype(np.float32), event))
        return made[0], made[1]

    def _loss(self) -> Loss:
        import torch

        from vesalius.models.networks.heads import Loss

        default = {"classification": "cross_entropy", "ordinal": "cumulative", "regression": "squared"}
        name = self.options.loss or default.get(self.target.kind, "cox")
        weights = None
        if self.options.balance == "weights" and self.target.kind in ("classification", "ordinal"):
            counts = np.bincount(self.target.values[self.rows[0]].astype(int), minlength=len(self.target.labels))
            # an absent class has no case to weigh
            each = counts.sum() / (np.maximum(counts, 1) * (counts > 0).sum())
            weights = torch.from_numpy(each.astype(np.float32)).to("cuda" if torch.cuda.is_available() else "cpu")
        return Loss(name, weights, self.options.focal_gamma, self.options.label_smoothing)

    def _parameters(self) -> int:
        from vesalius.models.networks.build import build

        return sum(one.numel() for one in build(self.specification, seed=0).parameters())


def image_value(prepared: Prepared) -> str:
    """Return the name of the image tensor among the prepared values.

    Raises:
        ConfigError: there is none, or more than one.
    """
    names = [name for name, value in prepared.values.items() if value.ndim in _IMAGE_AXES]
    if len(names) != 1:
        raise ConfigError(
            "a network reads one image tensor",
            found=", ".join(names) or "none among " + ", ".join(prepared.values),
            expected="one value [case, channel, (slice,) row, column]",
            fix="end prepare with imaging.tensor",
        )
    return names[0]


def _specification(
    options: NetworkOptions, target: Target, shape: tuple[int, ...], train: NDArray[np.int64]
) -> Specification:
    from vesalius.models.networks import heads
    from vesalius.models.networks.build import NORMALISED, Specification

    values = target.values[train]
    if not len(train) or not np.isfinite(values).all():
        raise LabelError("a case to learn from has no value", found=f"{int((~np.isfinite(values)).sum())} missing")
    if target.kind in ("classification", "ordinal") and len(np.unique(values)) < 2:
        raise LabelError("only one class is there to learn from", found=f"{len(train)} cases of one class")
    spread = float(values.std()) if target.kind == "regression" else 1.0
    return Specification(
        name=options.name, channels=shape[1], size=shape[2:], outputs=heads.outputs(target.kind, len(target.labels)),
        widths=options.widths, depth=options.depth, patch=options.patch, hidden=options.hidden, blocks=options.blocks,
        dropout=options.dropout,
        normalise=options.name in NORMALISED if options.normalise is None else options.normalise,
        centre=float(values.mean()) if target.kind == "regression" else 0.0, scale=spread or 1.0,
        flips=options.flips,
    )  # fmt: skip


def _starts(options: NetworkOptions, validation: int) -> tuple[str, ...]:
    if options.init is None or options.start == "scratch":
        return ("scratch",)
    if options.start != "auto":
        return (options.start,)
    # without a validation part there is nothing to choose by
    return ("tune", "probe", "scratch") if validation else ("tune",)
