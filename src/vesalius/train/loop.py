"""The training loop of one network: batches, steps, moving average, validation, checkpoints.

With a seed the result is the same on the same machine, versions and threads, and it does not depend on when a run was
interrupted: a checkpoint holds the network, the optimiser, the moving average, the counters of schedule and early
stopping, every random state and the place in the order of the epoch.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vesalius.core.errors import ReadError
from vesalius.models.networks.build import Network
from vesalius.models.networks.export import cases_at_once
from vesalius.models.networks.heads import Goal, Loss
from vesalius.train import checkpoint
from vesalius.train.augment import Augment, mixed
from vesalius.train.checkpoint import Checkpoint
from vesalius.train.diverged import DivergedError
from vesalius.train.learner import BudgetSpent, Job
from vesalius.train.monitor import loss_of, rank
from vesalius.train.network_options import NetworkOptions

CHECKPOINT: Final = "checkpoint.safetensors"
LOWEST_RATE: Final = 0.01
"""The cosine schedule ends at this part of the highest rate."""
_LAYOUTS: Final = {4: torch.channels_last, 5: torch.channels_last_3d}
_NO_DECAY: Final = 2
"""Tensors with fewer axes are biases and normalisation."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Cases of a fit.

    Args:
        images: [cases, channel, (slice,) row, column] of the whole cohort; may lie on disk.
        rows: which of them are meant.
        values: [rows] class, grade, scaled value or time.
        event: [rows] survival only.
    """

    images: NDArray[np.float32]
    rows: NDArray[np.int64]
    values: NDArray[np.float32]
    event: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.rows)

    def batch(self, places: NDArray[np.int64]) -> Tensor:
        """Return the images at these places."""
        return torch.from_numpy(np.ascontiguousarray(self.images[self.rows[places]]))


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a fit came to.

    Args:
        weights: state of the network: the moving average or the last weights, of the best or the last epoch.
        monitor: the figure of the epoch that was kept on the validation part (smaller is better), None without one.
    """

    weights: dict[str, Tensor]
    epochs: int
    best_epoch: int
    monitor: float | None
    val: dict[str, float]


class Training:
    """One fit of one network; it can be left at any step and taken up again."""

    def __init__(
        self, network: Network, train: Samples, val: Samples | None, loss: Loss, options: NetworkOptions, job: Job,
        prefix: str = "",
    ) -> None:  # fmt: skip
        """Prepare a fit at its beginning, or where the checkpoint in `job.place` stands.

        Args:
            prefix: of the names in the log.

        Raises:
            ReadError: the checkpoint is damaged or belongs to another fit.
        """
        self.network, self.options, self.job, self.loss = network, options, job, loss
        self.train, self.val = train, val if val is not None and len(val) else None
        self.prefix = prefix
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        _lay_out(self.network.to(self.device))
        self._freeze()
        self.optimiser = _optimiser(network, options)
        self.augment = Augment(options.augment)
        self.generator = torch.Generator().manual_seed(job.seed)
        self.average = _copied(network) if options.ema else None
        self.best: dict[str, Tensor] | None = None
        self.order: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.state: dict[str, Any] = {
            "epoch": 0, "batch": 0, "update": 0, "sum": 0.0, "best": None, "best_epoch": 0, "finished": False,
            "val": {}, "identity": self._identity(),
        }  # fmt: skip
        torch.manual_seed(job.seed)
        self._saved = time.monotonic()
        self._resume()

    def run(self) -> Outcome:
        """Train to the end.

        Raises:
            DivergedError: the loss or a gradient is not finite; the last checkpoint stays.
            OutputError: a checkpoint cannot be written; the last one stays.
            BudgetSpent: the energy budget is spent; a checkpoint was written.
        """
        if not self.path.exists():
            self._save()
        while not self.state["finished"]:
            self._epoch()
        kept = self.best if self.best is not None else self._current()
        weights = {name: value.detach().cpu().contiguous().clone() for name, value in kept.items()}
        state = self.state
        return Outcome(weights, state["epoch"], state["best_epoch"] or state["epoch"], state["best"], state["val"])

    @property
    def path(self) -> Path:
        """Return where the checkpoint lies."""
        return self.job.place / CHECKPOINT

    @property
    def batches(self) -> int:
        """Return the batches of an epoch; a last batch of one case is left out, as it has no spread."""
        count, size = len(self.train), self.options.batch
        whole, rest = divmod(count, size)
        return max(1, whole + (rest > 1))

    def _epoch(self) -> None:
        state, options = self.state, self.options
        if state["batch"] == 0:
            self.order, state["sum"] = self._drawn(), 0.0
        self._train_mode()
        while state["batch"] < self.batches:
            last = min(state["batch"] + options.accumulate, self.batches)
            self._update(range(state["batch"], last))
            state["batch"] = last
            if self.job.progress:
                share = state["epoch"] * self.batches + last
                self.job.progress(share, options.epochs * self.batches)
            if last < self.batches and self._due():
                self._save()
        self._close_epoch()

    def _close_epoch(self) -> None:
        state, options = self.state, self.options
        state["epoch"], state["batch"] = state["epoch"] + 1, 0
        figures = {"loss": state["sum"] / self.batches, "rate": self.optimiser.param_groups[-1]["lr"]}
        figures |= self._validate()
        waited = state["epoch"] - state["best_epoch"]
        stop = bool(options.early_stop and self.val is not None and waited >= options.early_stop)
        state["finished"] = stop or state["epoch"] >= options.epochs
        if self.job.log:
            self.job.log(state["epoch"], {self.prefix + name: value for name, value in figures.items()})
        if state["finished"] or self._due():
            self._save()
        try:
            if self.job.energy and not state["finished"]:
                self.job.energy.check()
        except BudgetSpent:
            self._save()
            raise

    def _update(self, numbers: range) -> None:
        """Change the weights once, after one or several batches."""
        state = self.state
        self._set_rate(state["update"])
        self.optimiser.zero_grad(set_to_none=True)
        for number in numbers:
            scores, goal = self._forward(number)
            loss = self.loss(scores.float(), goal)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise self._diverged("the loss is not a number", number)
            (loss / len(numbers)).backward()  # type: ignore[no-untyped-call]
            state["sum"] += value
        gradients = [one.grad for one in self.network.parameters() if one.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if not math.isfinite(float(norm)):
            raise self._diverged("a gradient is not a number", numbers[-1])
        if self.options.clip:
            nn.utils.clip_grads_with_norm_(self.network.parameters(), self.options.clip, norm)
        self.optimiser.step()
        state["update"] += 1
        if self.average is not None:
            _move_average(self.average, self.network, self.options.ema, state["update"])

    def _forward(self, number: int) -> tuple[Tensor, Goal]:
        places = self.order[number * self.options.batch : (number + 1) * self.options.batch]
        images = self._placed(self.augment(self.train.batch(places).to(self.device), self.generator))
        goal = _goal(self.train, places, self.device)
        if self.options.mixup and self.loss.name != "cox":
            images, order, share = mixed(images, self.options.mixup, self.generator)
            goal = replace(goal, other=goal.values[order.to(self.device)], share=share)
        with self._precision():
            scores: Tensor = self.network(images)
        return scores, goal

    def _validate(self) -> dict[str, float]:
        """Return the figures on the validation part, and keep the weights if they are the best."""
        state = self.state
        if self.val is None:
            state["best_epoch"] = state["epoch"]
            return {}
        scores = score(self.network, self._current(), self.val, self.device)
        goal = _goal(self.val, np.arange(len(self.val)), torch.device("cpu"))
        figures = {"val_loss": loss_of(self.loss, scores, goal), "val_rank": rank(self.loss.name, scores, goal)}
        found = figures["val_loss"] if self.options.monitor == "loss" else -figures["val_rank"]
        better = math.isfinite(found) and (state["best"] is None or found < state["best"])
        if better or self.options.keep == "last":
            if better:
                state["best"], state["best_epoch"] = found, state["epoch"]
            state["val"] = figures
            self.best = {name: value.clone() for name, value in self._current().items()}
        return figures

    def _drawn(self) -> NDArray[np.int64]:
        """Return the order of the cases of an epoch."""
        count = len(self.train)
        if self.options.balance != "sampler":
            return torch.randperm(count, generator=self.generator).numpy()
        classes, place, sizes = np.unique(self.train.values, return_inverse=True, return_counts=True)
        weights = torch.from_numpy(1.0 / (len(classes) * sizes[place]))
        return torch.multinomial(weights, count, replacement=True, generator=self.generator).numpy()

    def _set_rate(self, update: int) -> None:
        each = math.ceil(self.batches / self.options.accumulate)
        factor = rate_factor(update / each, self.options)
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * factor

    def _train_mode(self) -> None:
        self.network.train()
        for stage in self.network.stages()[: self.options.freeze]:
            for module in stage:
                module.eval()

    def _freeze(self) -> None:
        stages = self.network.stages()
        for stage in stages[: min(self.options.freeze, len(stages) - 1)]:
            for module in stage:
                module.requires_grad_(False)

    def _precision(self) -> AbstractContextManager[Any]:
        if not self.options.bf16:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _placed(self, images: Tensor) -> Tensor:
        return images.to(self.device).contiguous(memory_format=_LAYOUTS[images.ndim])

    def _current(self) -> dict[str, Tensor]:
        return self.average if self.average is not None else dict(self.network.state_dict())

    def _diverged(self, message: str, number: int) -> DivergedError:
        return DivergedError(
            f"{message} in epoch {self.state['epoch'] + 1}, step {number + 1} of {self.batches}",
            expected="finite numbers",
            fix="a lower rate, clip: 1, a longer warm_up, or no bf16; the last good checkpoint is kept",
        )

    def _due(self) -> bool:
        return time.monotonic() - self._saved >= self.options.save_seconds

    def _identity(self) -> str:
        """Return a fingerprint of what must not change between two parts of one fit."""
        told = self.options.model_dump_json(exclude={"save_seconds"})
        digest = hashlib.sha256(f"{told}|{self.job.seed}|{self.network.specification.model_dump_json()}".encode())
        for samples in (self.train, self.val):
            if samples is not None:
                digest.update(samples.rows.tobytes() + samples.values.tobytes())
        return digest.hexdigest()

    def _save(self) -> None:
        arrays = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        for name, held in (("average", self.average), ("best", self.best)):
            arrays |= {f"{name}/{key}": value for key, value in (held or {}).items()}
        packed = self.optimiser.state_dict()["state"]
        arrays |= {f"optimiser/{one}/{key}": value for one, kept in packed.items() for key, value in kept.items()}
        arrays |= {"random/torch": torch.get_rng_state(), "random/data": self.generator.get_state()}
        if self.device.type == "cuda":
            arrays["random/cuda"] = torch.cuda.get_rng_state()
        ready = {name: value.detach().cpu().contiguous().numpy() for name, value in arrays.items()}
        checkpoint.save(self.path, Checkpoint({**ready, "order": self.order}, self.state))
        self._saved = time.monotonic()

    def _resume(self) -> None:
        checkpoint.clear_left_overs(self.job.place)
        if not self.job.resume:
            self.path.unlink(missing_ok=True)
        if not self.path.exists():
            return
        found = checkpoint.load(self.path)
        if found.state["identity"] != self.state["identity"]:
            raise ReadError(
                f"{self.path} belongs to another fit",
                expected="the options, cases and seed of the interrupted fit",
                fix="start again without --resume",
            )
        self.state = dict(found.state)
        self._take(found)

    def _take(self, found: Checkpoint) -> None:
        arrays = {name: torch.from_numpy(value.copy()) for name, value in found.arrays.items() if name != "order"}
        self.order = np.array(found.arrays["order"])
        shapes = dict(self.network.state_dict())
        self.network.load_state_dict(_under("network/", arrays, shapes))
        if self.average is not None:
            self.average = _under("average/", arrays, shapes)
        self.best = _under("best/", arrays, shapes) or None
        _load_optimiser(self.optimiser, _under("optimiser/", arrays, {}))
        torch.set_rng_state(arrays["random/torch"])
        self.generator.set_state(arrays["random/data"])
        if "random/cuda" in arrays and self.device.type == "cuda":
            torch.cuda.set_rng_state(arrays["random/cuda"])


def rate_factor(epoch: float, options: NetworkOptions) -> float:
    """Return the part of the highest rate at a moment, in epochs from the start: rising line, then half a cosine."""
    if epoch < options.warm_up:
        return float((epoch + 1e-2) / (options.warm_up + 1e-2))
    if options.schedule == "constant":
        return 1.0
    done = (epoch - options.warm_up) / max(options.epochs - options.warm_up, 1e-9)
    return LOWEST_RATE + (1 - LOWEST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def score(network: Network, weights: dict[str, Tensor], samples: Samples, device: torch.device) -> Tensor:
    """Return the scores of cases with other weights than the network's own, float32 [cases, outputs]."""
    network.eval()
    found, size = [], cases_at_once(samples.images.shape)
    layout = _LAYOUTS[samples.images.ndim]
    with torch.inference_mode():
        for start in range(0, len(samples), size):
            places = np.arange(start, min(start + size, len(samples)))
            images = samples.batch(places).to(device).contiguous(memory_format=layout)
            found.append(torch.func.functional_call(network, weights, (images,)).float().cpu())
    return torch.cat(found)


@contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """Make PyTorch repeat itself, with so many threads, and leave its settings and random state as they were."""
    memory: Any = torch.utils.deterministic
    before, fills = torch.get_num_threads(), memory.fill_uninitialized_memory
    was, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(max(1, threads))
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    memory.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(was, warn_only=warned)
        memory.fill_uninitialized_memory = fills


def _lay_out(network: Network) -> None:
    """Put the channel last in memory, which convolutions on a CPU prefer; `Module.to` cannot mix 2-D and 3-D."""
    for one in network.parameters():
        if one.ndim in _LAYOUTS:
            one.data = one.data.contiguous(memory_format=_LAYOUTS[one.ndim])


def _goal(samples: Samples, places: NDArray[np.int64], device: torch.device) -> Goal:
    event = None if samples.event is None else torch.from_numpy(samples.event[places]).to(device)
    return Goal(torch.from_numpy(samples.values[places]).to(device), event)


def _copied(network: Network) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _move_average(average: dict[str, Tensor], network: Network, decay: float, update: int) -> None:
    # the first updates count more, so that the average forgets the weights it began with
    now = min(decay, (1 + update) / (10 + update))
    kept, fresh = [], []
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                kept.append(average[name])
                fresh.append(value)
            else:
                average[name].copy_(value)
        torch._foreach_lerp_(kept, fresh, 1 - now)


def _optimiser(network: Network, options: NetworkOptions) -> torch.optim.Optimizer:
    """Return the optimiser, with lower rates nearer to the image and no decay of biases."""
    stages = network.stages()
    depth = {id(one): n for n, stage in enumerate(stages) for module in stage for one in module.parameters()}
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            # what stands in no stage, as a class token, belongs to the first
            key = (depth.get(id(parameter), 0), parameter.ndim >= _NO_DECAY)
            groups.setdefault(key, []).append(parameter)
    told: list[dict[str, Any]] = []
    for (stage, decays), parameters in sorted(groups.items(), key=lambda one: one[0]):
        rate = options.rate * options.rate_decay ** (len(stages) - 1 - stage)
        decay = options.weight_decay if decays else 0.0
        told.append({"params": parameters, "lr": rate, "highest": rate, "weight_decay": decay})
    makers: dict[str, Callable[..., torch.optim.Optimizer]] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    if options.optimiser == "sgd":
        return torch.optim.SGD(told, lr=options.rate, momentum=0.9, nesterov=True)
    return makers[options.optimiser](told, lr=options.rate)


def _under(prefix: str, arrays: dict[str, Tensor], shapes: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the arrays below a prefix, laid out in memory as their models are: a kernel may depend on it."""
    found = {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
    return {
        name: torch.empty_like(shapes[name]).copy_(value) if name in shapes else value for name, value in found.items()
    }


def _load_optimiser(optimiser: torch.optim.Optimizer, packed: dict[str, Tensor]) -> None:
    parameters = [one for group in optimiser.param_groups for one in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in packed.items():
        number, key = name.split("/", 1)
        like = parameters[int(number)]
        state.setdefault(int(number), {})[key] = (
            torch.empty_like(like).copy_(value).detach() if value.shape == like.shape else value
        )
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
