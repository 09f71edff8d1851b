"""Networks as learners: every kind learns what is there, its parts predict the same, and a kill loses nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from network_cases import blobs, halves, job  # noqa: E402 - after the skip
from pydantic import ValidationError  # noqa: E402

from vesalius.core.errors import ConfigError, LabelError  # noqa: E402
from vesalius.evaluate.discrimination import macro_auc  # noqa: E402
from vesalius.evaluate.survival import harrell_c  # noqa: E402
from vesalius.models import operations  # noqa: E402
from vesalius.models.graph import Graph  # noqa: E402
from vesalius.train.learner import Prepared, Target  # noqa: E402
from vesalius.train.network import FITTED, NetworkFitted, NetworkOptions, learner  # noqa: E402

QUICK: dict[str, Any] = {"name": "residual", "widths": (8, 16), "epochs": 14, "batch": 16, "rate": 1e-2, "ema": 0.8}


def fit(place: Path, prepared: Prepared, options: dict[str, Any] = QUICK, **more: Any) -> NetworkFitted:
    made = learner(NetworkOptions(**options), prepared.target)
    return made.fit(prepared, *halves(prepared), job(place, **more))


def by_parts(fitted: NetworkFitted, prepared: Prepared, row: int) -> Any:
    """Return what the packaged steps give for one case."""
    steps, output, files = fitted.parts()
    graph = Graph(inputs=("image",), steps=steps, output=output)
    operations.check(graph)
    case = {"image": prepared.values["image"][row : row + 1]}
    return operations.run_steps(graph, case, operations.Files(lambda name: files[name], {}, 1))[output]


@pytest.mark.parametrize("kind", ["classification", "ordinal", "regression", "survival"])
def test_every_kind_learns_and_its_parts_predict_the_same(tmp_path: Path, kind: str) -> None:
    prepared = blobs(kind=kind)
    fitted = fit(tmp_path, prepared)
    rows = halves(prepared)[1]
    found, truth = fitted.scores(prepared, rows), prepared.target.values[rows]
    if kind in ("classification", "ordinal"):
        assert found.shape == (24, 3)
        assert np.allclose(found.sum(axis=1), 1)
        assert macro_auc(truth, found) > 0.95
    elif kind == "regression":
        assert np.abs(found - truth).mean() < 4
    else:
        assert prepared.target.event is not None
        assert harrell_c(truth, prepared.target.event[rows], found) > 0.65
    single = np.asarray(by_parts(fitted, prepared, int(rows[0]))).reshape(-1)
    assert np.abs(single - found[0]).max() < 1e-4 * max(1, np.abs(found[0]).max())


@pytest.mark.parametrize(
    ("name", "more"),
    [("sequence", {"widths": (8,), "hidden": 8}), ("cnn3d", {"widths": (4, 8)}),
     ("vit", {"patch": 2, "hidden": 32, "blocks": 1}), ("residual", {"widths": (4, 8)})],
)  # fmt: skip
def test_volumes_are_learnt_too(tmp_path: Path, name: str, more: dict[str, Any]) -> None:
    prepared = blobs(edge=6, dimensions=3)
    options = {"name": name, "normalise": False, "epochs": 20, "batch": 12, "rate": 5e-3, **more}
    fitted = fit(tmp_path, prepared, options)
    rows = halves(prepared)[1]
    assert macro_auc(prepared.target.values[rows], fitted.scores(prepared, rows)) > 0.85


def test_the_same_seed_gives_the_same_weights_and_a_finished_fit_is_loaded(tmp_path: Path) -> None:
    prepared = blobs()
    options = {**QUICK, "epochs": 2, "members": 2, "flips": ("columns",)}
    first = fit(tmp_path / "a", prepared, options)
    again = fit(tmp_path / "b", prepared, options)
    assert first.told()["weights_sha256"] == again.told()["weights_sha256"]
    assert (tmp_path / "a" / FITTED).read_bytes() == (tmp_path / "b" / FITTED).read_bytes()
    steps: list[int] = []
    assert len(first.ensemble.views) == 2
    loaded = fit(tmp_path / "a", prepared, options, resume=True, progress=lambda done, count: steps.append(done))
    assert not steps
    assert loaded.told() == first.told()
    rows = halves(prepared)[1]
    assert np.array_equal(loaded.scores(prepared, rows), first.scores(prepared, rows))
    anew = fit(tmp_path / "a", prepared, options, seed=4)
    assert anew.told()["weights_sha256"] != first.told()["weights_sha256"]
    assert not list(tmp_path.rglob("checkpoint.safetensors"))


def test_progress_counts_all_members_as_one(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    fit(tmp_path, blobs(), {**QUICK, "epochs": 2, "members": 2}, progress=lambda *told: steps.append(told))
    assert [done for done, _ in steps] == list(range(1, 21))
    assert {count for _, count in steps} == {20}


def test_starts_are_compared_on_the_validation_part_and_all_are_told(tmp_path: Path) -> None:
    prepared = blobs()
    source = fit(tmp_path / "source", prepared)
    place = tmp_path / "weights"
    place.mkdir()
    for name, data in source.parts()[2].items():
        (place / name).write_bytes(data)
    options = {**QUICK, "epochs": 1, "rate": 1e-3, "init": place}
    told = fit(tmp_path / "auto", prepared, options).told()
    assert set(told["starts"]) == {"tune", "probe", "scratch"}  # type: ignore[call-overload]
    losses = {start: found[0]["val_loss"] for start, found in told["starts"].items()}  # type: ignore[attr-defined]
    assert told["start"] == min(losses, key=lambda start: losses[start])
    assert told["start"] != "scratch"
    assert told["init"]["last_layer"]  # type: ignore[index]


def test_a_probe_changes_the_last_layer_only(tmp_path: Path) -> None:
    prepared = blobs()
    source = fit(tmp_path / "source", prepared, {**QUICK, "epochs": 2})
    place = tmp_path / "weights"
    place.mkdir()
    (place / "weights.safetensors").write_bytes(source.parts()[2]["weights.safetensors"])
    probe = fit(tmp_path / "probe", prepared, {**QUICK, "epochs": 2, "init": place, "start": "probe"})
    before, after = source.ensemble.state_dict(), probe.ensemble.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"members.0.head.weight", "members.0.head.bias"}


def test_without_a_validation_part_the_last_epoch_is_kept(tmp_path: Path) -> None:
    prepared = blobs()
    made = learner(NetworkOptions(**{**QUICK, "epochs": 2, "early_stop": 1}), prepared.target)
    fitted = made.fit(prepared, np.arange(96), np.arange(0), job(tmp_path))
    assert fitted.told()["best_epoch"] == [2]


def test_what_cannot_be_learnt_is_told(tmp_path: Path) -> None:
    prepared = blobs()
    target = Target("classification", ("a", "b"), np.zeros(96))
    constant = Prepared(prepared.values, target, prepared.groups, prepared.steps, prepared.inputs)
    with pytest.raises(LabelError, match="only one class"):
        fit(tmp_path, constant)
    with pytest.raises(ConfigError, match="one image tensor"):
        fit(tmp_path, Prepared({}, prepared.target, prepared.groups, (), ()))
    with pytest.raises(ConfigError, match="do not learn this kind"):
        learner(NetworkOptions(**QUICK), Target("clustering", (), np.zeros(3)))
    with pytest.raises(ConfigError, match="loss huber"):
        learner(NetworkOptions(**{**QUICK, "loss": "huber"}), prepared.target)
    with pytest.raises(ConfigError, match="balance does nothing for regression"):
        learner(NetworkOptions(**{**QUICK, "balance": "sampler"}), Target("regression", (), np.zeros(3)))
    smooth = NetworkOptions(**{**QUICK, "loss": "focal", "label_smoothing": 0.1})
    with pytest.raises(ConfigError, match="label_smoothing does nothing"):
        learner(smooth, prepared.target)
    for wrong in (
        {"depth": 18},
        {"patch": 4},
        {"name": "resnet", "widths": None, "depth": 19},
        {"start": "probe"},
        {"epoch": 3},
        {"flips": ("sideways",)},
    ):
        with pytest.raises(ValidationError):
            NetworkOptions(**{**QUICK, **wrong})


def test_options_need_no_pytorch() -> None:
    code = "import sys; import vesalius.train.network; assert not {'torch', 'monai', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


CHILD = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from network_cases import blobs
    from test_network import fit
    place, saves = Path(sys.argv[1]), int(sys.argv[2])
    if saves:
        sync, count = os.fsync, [0]
        def killed(handle):
            # every save syncs its file, then its folder
            count[0] += 1
            if count[0] == 2 * saves - 1:
                os.ftruncate(handle, os.fstat(handle).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            sync(handle)
        os.fsync = killed
    options = dict(
        name="residual", widths=(8, 16), epochs=6, batch=8, accumulate=2, dropout=0.2, mixup=0.3, ema=0.9,
        balance="sampler", early_stop=4, save_seconds=0.0, members=2,
        augment={{"rotate_deg": 10, "elastic": 0.02, "noise": 0.1, "flip": ("columns",)}},
    )
    print(fit(place, blobs(), options, resume=True).told()["weights_sha256"], flush=True)
""")


def child(place: Path, saves: int = 0) -> subprocess.Popen[str]:
    code = CHILD.format(tests=str(Path(__file__).parent))
    return subprocess.Popen([sys.executable, "-c", code, str(place), str(saves)], stdout=subprocess.PIPE, text=True)


def started(run: subprocess.Popen[str], place: Path) -> float:
    """Wait for the first checkpoint of a run, and return when it was there."""
    while not list(place.rglob("checkpoint.safetensors")) and run.poll() is None:
        time.sleep(0.01)
    return time.monotonic()


def ended(place: Path) -> tuple[str, float]:
    """Return the hash of a run to its end, and its seconds after the first checkpoint."""
    with child(place) as run:
        began = started(run, place)
        assert run.stdout is not None
        digest = run.stdout.readline().strip()
    assert run.returncode == 0
    return digest, time.monotonic() - began


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_in_the_same_weights(tmp_path: Path) -> None:
    whole, seconds = ended(tmp_path / "whole")
    assert len(whole) == 64
    for moment in (random.Random(os.getpid()).uniform(0, 0.4), random.Random(os.getpid()).uniform(0.4, 0.7)):
        place = tmp_path / f"{moment:.3f}"
        with child(place) as run:
            started(run, place)
            time.sleep(seconds * moment)
            run.kill()
        assert run.returncode == -signal.SIGKILL
        assert ended(place)[0] == whole
    place = tmp_path / "saving"
    with child(place, saves=random.Random(os.getpid()).randint(4, 30)) as run:
        pass
    assert run.returncode == -signal.SIGKILL
    assert list(place.rglob(".*.part"))
    assert list(place.rglob("checkpoint.safetensors"))
    assert ended(place)[0] == whole
