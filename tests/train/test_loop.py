"""The loop: schedules, moving average, early stopping, balance, and a fit that can be left and taken up anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from network_cases import blobs, halves, job  # noqa: E402 - after the skip

from vesalius.core.errors import OutputError, ReadError  # noqa: E402
from vesalius.models.networks.build import Specification, build  # noqa: E402
from vesalius.models.networks.heads import Loss  # noqa: E402
from vesalius.train import checkpoint  # noqa: E402
from vesalius.train.diverged import DivergedError  # noqa: E402
from vesalius.train.learner import BudgetSpent  # noqa: E402
from vesalius.train.loop import CHECKPOINT, Outcome, Samples, Training, deterministic, rate_factor  # noqa: E402
from vesalius.train.network_options import AugmentOptions, NetworkOptions  # noqa: E402

EVERYTHING: dict[str, Any] = {
    "name": "residual", "widths": (4, 8), "epochs": 3, "batch": 16, "accumulate": 2, "dropout": 0.2, "mixup": 0.3,
    "ema": 0.9, "balance": "sampler", "early_stop": 5, "save_seconds": 0.0, "clip": 1.0,
    "augment": AugmentOptions(rotate_deg=10, noise=0.1, flip=("columns",)),
}  # fmt: skip


def training(place: Path, options: dict[str, Any], scale: float = 1.0, **more: Any) -> Training:
    chosen = NetworkOptions(**options)
    prepared = blobs()
    rows = halves(prepared)
    values = prepared.target.values.astype(np.float32)
    train, val = (Samples(prepared.values["image"] * scale, part, values[part]) for part in rows)
    network = build(
        Specification(name=chosen.name, channels=1, size=(12, 12), outputs=3, widths=chosen.widths,
                      dropout=chosen.dropout), seed=1,
    )  # fmt: skip
    return Training(network, train, val, Loss("cross_entropy"), chosen, job(place, **more))


def fitted(place: Path, options: dict[str, Any], **more: Any) -> Outcome:
    with deterministic(1):
        return training(place, options, **more).run()


def same(first: Outcome, second: Outcome) -> bool:
    return all(torch.equal(value, second.weights[name]) for name, value in first.weights.items())


class LeftError(Exception):
    pass


@pytest.mark.parametrize("step", [1, 3, 4, 6, 11])
def test_a_fit_left_at_any_step_ends_in_the_same_weights(tmp_path: Path, step: int) -> None:
    whole = fitted(tmp_path / "whole", EVERYTHING)

    def leave(done: int, count: int) -> None:
        if done >= step:
            raise LeftError

    with pytest.raises(LeftError):
        fitted(tmp_path / "left", EVERYTHING, progress=leave)
    again = fitted(tmp_path / "left", EVERYTHING, resume=True)
    assert same(whole, again)
    assert (whole.epochs, whole.best_epoch, whole.val) == (again.epochs, again.best_epoch, again.val)


def test_checkpoints_change_nothing_and_another_seed_does(tmp_path: Path) -> None:
    whole = fitted(tmp_path / "a", EVERYTHING)
    assert same(whole, fitted(tmp_path / "b", {**EVERYTHING, "save_seconds": 1e6}))
    assert not same(whole, fitted(tmp_path / "c", EVERYTHING, seed=4))


def test_a_finished_fit_is_taken_up_without_another_step(tmp_path: Path) -> None:
    whole = fitted(tmp_path, EVERYTHING)
    steps: list[int] = []
    again = fitted(tmp_path, EVERYTHING, resume=True, progress=lambda done, count: steps.append(done))
    assert same(whole, again)
    assert not steps


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path, EVERYTHING)
    with pytest.raises(ReadError, match="another fit"):
        training(tmp_path, {**EVERYTHING, "rate": 0.5}, resume=True)


def test_a_loss_that_is_not_a_number_names_epoch_and_step_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    options = {**EVERYTHING, "clip": 0.0, "accumulate": 1}
    run = training(tmp_path, options)
    run.state["epoch"], run.state["batch"], run.order = 1, 2, np.arange(72)
    run._save()
    kept = (tmp_path / CHECKPOINT).read_bytes()
    run.train.images[:] = np.nan
    with pytest.raises(DivergedError, match="epoch 2, step 3 of 5"):
        run.run()
    assert (tmp_path / CHECKPOINT).read_bytes() == kept
    assert all(np.isfinite(value).all() for value in checkpoint.load(tmp_path / CHECKPOINT).arrays.values())


def test_a_full_disk_while_saving_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = training(tmp_path, EVERYTHING)
    run._save()
    kept = (tmp_path / CHECKPOINT).read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vesalius.io.atomic.os.fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run.run()
    assert (tmp_path / CHECKPOINT).read_bytes() == kept


def test_a_spent_budget_leaves_a_checkpoint_that_goes_on(tmp_path: Path) -> None:
    class Guard:
        def check(self) -> None:
            raise BudgetSpent

    with pytest.raises(BudgetSpent):
        fitted(tmp_path / "a", EVERYTHING, energy=Guard())
    assert checkpoint.load(tmp_path / "a" / CHECKPOINT).state["epoch"] == 1
    assert same(fitted(tmp_path / "a", EVERYTHING, resume=True), fitted(tmp_path / "b", EVERYTHING))


def test_early_stopping_keeps_the_best_epoch(tmp_path: Path) -> None:
    told: dict[int, float] = {}
    options = {"name": "plain", "widths": (8,), "epochs": 60, "early_stop": 3, "rate": 0.05, "schedule": "constant"}
    found = fitted(tmp_path, options, log=lambda epoch, figures: told.update({epoch: figures["val_loss"]}))
    assert found.epochs < 60
    assert found.epochs == found.best_epoch + 3
    assert found.monitor == pytest.approx(min(told.values()))
    assert told[found.best_epoch] == pytest.approx(min(told.values()))


def test_the_rate_rises_and_falls_as_a_cosine() -> None:
    options = NetworkOptions(name="plain", epochs=11, warm_up=1)
    assert rate_factor(0, options) < 0.02
    assert rate_factor(1, options) == pytest.approx(1)
    assert rate_factor(6, options) == pytest.approx(0.505)
    assert rate_factor(11, options) == pytest.approx(0.01)
    assert rate_factor(9, NetworkOptions(name="plain", schedule="constant")) == 1


def test_stages_nearer_to_the_image_learn_slower_or_not_at_all(tmp_path: Path) -> None:
    options = {**EVERYTHING, "rate_decay": 0.5, "freeze": 1}
    run = training(tmp_path, options)
    rates = sorted({group["highest"] for group in run.optimiser.param_groups}, reverse=True)
    assert rates[:3] == pytest.approx([1e-3, 5e-4, 2.5e-4])
    before = {name: value.clone() for name, value in run.network.state_dict().items()}
    with deterministic(1):
        run.run()
    after = run.network.state_dict()
    assert torch.equal(before["body.chain.0.weight"], after["body.chain.0.weight"])
    assert not torch.equal(before["head.weight"], after["head.weight"])
    assert not {id(p) for p in run.network.body.chain[0].parameters()} & {
        id(p) for group in run.optimiser.param_groups for p in group["params"]
    }


def test_the_sampler_draws_the_classes_equally_often(tmp_path: Path) -> None:
    run = training(tmp_path, {"name": "plain", "balance": "sampler"})
    run.train.values[:] = np.arange(len(run.train)) < 4
    drawn = np.concatenate([run._drawn() for _ in range(40)])
    assert np.mean(run.train.values[drawn]) == pytest.approx(0.5, abs=0.03)


def test_bfloat16_learns_too(tmp_path: Path) -> None:
    options = {"name": "residual", "widths": (8, 16), "epochs": 12, "batch": 16, "bf16": True, "rate": 5e-3}
    found = fitted(tmp_path, options)
    assert found.val["val_rank"] > 0.9


def test_settings_of_pytorch_come_back() -> None:
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state())
    with deterministic(1):
        assert torch.are_deterministic_algorithms_enabled()
        torch.rand(3)
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])
