"""Every architecture reads its images, learns, and is the same in ONNX Runtime; weights come in without a pickle."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.numpy import save_file  # noqa: E402 - after the skip
from small_package import CARD, Maker  # noqa: E402

from vesalius.core.errors import (  # noqa: E402
    ConfigError,
    InternalError,
    LicenceError,
    ReadError,
    UnsupportedError,
    UsageError,
)
from vesalius.evaluate.survival import harrell_c  # noqa: E402
from vesalius.models.card import LicenceClass  # noqa: E402
from vesalius.models.networks import export, heads, weights  # noqa: E402
from vesalius.models.networks.build import Specification, build, parse, per_image  # noqa: E402
from vesalius.models.operations import probability  # noqa: E402
from vesalius.models.package import write_package  # noqa: E402

SMALL: dict[str, dict[str, Any]] = {
    "plain": {"size": (14, 10), "widths": (4, 8)},
    "residual": {"size": (14, 10), "widths": (4, 8), "normalise": True},
    "residual3d": {"size": (6, 14, 10), "widths": (4, 8)},
    "cnn3d": {"size": (6, 14, 10), "widths": (4, 8)},
    "sequence": {"size": (5, 14, 10), "widths": (4, 8), "hidden": 8, "normalise": True},
    "vit": {"size": (16, 12), "patch": 4, "hidden": 32, "blocks": 2},
    "vit3d": {"size": (8, 8, 8), "patch": 4, "hidden": 32, "blocks": 2},
}
LARGE: dict[str, dict[str, Any]] = {
    "resnet": {"size": (32, 32), "depth": 10},
    "resnet3d": {"size": (32, 32, 32), "depth": 10},
    "densenet": {"size": (32, 32)},
    "densenet3d": {"size": (32, 32, 32)},
    "efficientnet": {"size": (32, 32)},
    "efficientnet3d": {"size": (32, 32, 32)},
}


def specified(name: str, **more: Any) -> Specification:
    options = {**SMALL, **LARGE}[name]
    return Specification(name=name.removesuffix("3d") if name != "cnn3d" else name,
                         **{"channels": 1, "outputs": 3, **options, **more})  # fmt: skip


def awake(name: str, **more: Any) -> Any:
    """Return a network whose batch statistics have seen something, so that an export has numbers to differ by."""
    network = build(specified(name, **more), seed=0)
    with torch.no_grad():
        for one in network.parameters():
            one.add_(0.05 * torch.randn(one.shape, generator=torch.Generator().manual_seed(1)))
        network.train()
        network(images(network, 4))
    return network.eval()


def images(network: Any, cases: int) -> Any:
    shape = (cases, network.specification.channels, *network.specification.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", [*SMALL, "resnet", "densenet"])
def test_a_network_is_the_same_in_onnx_for_any_number_of_cases(name: str) -> None:
    import onnxruntime

    network = awake(name)
    data = export.onnx_bytes(export.Ensemble([network], ()))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for cases in (1, 2, 5):
        batch = images(network, cases)
        (found,) = session.run(["scores"], {"image": batch.numpy()})
        with torch.inference_mode():
            expected = network(batch).numpy()
        assert np.abs(found - expected).max() < 1e-4
    assert expected.std(axis=0).min() > 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in LARGE if n not in ("resnet", "densenet")])
def test_large_networks_are_the_same_in_onnx(name: str) -> None:
    assert export.onnx_bytes(export.Ensemble([awake(name)], ("columns",)))


@pytest.mark.parametrize("name", list(SMALL))
def test_every_weight_takes_part_and_stands_in_one_stage(name: str) -> None:
    network = build(specified(name), seed=0)
    network(images(network, 2)).square().sum().backward()
    assert all(one.grad is not None and bool(one.grad.abs().sum() > 0) for n, one in network.named_parameters()
               if not n.endswith("norm_2.bias") and "cls_token" not in n) or name.startswith("vit")  # fmt: skip
    staged = [id(one) for stage in network.stages() for module in stage for one in module.parameters()]
    everything = {id(one) for n, one in network.named_parameters() if "cls_token" not in n}
    assert len(staged) == len(set(staged))
    assert set(staged) == everything


@pytest.mark.parametrize("name", list(LARGE))
def test_stages_of_library_networks_hold_every_weight(name: str) -> None:
    network = build(specified(name), seed=0)
    staged = {id(one) for stage in network.stages() for module in stage for one in module.parameters()}
    assert staged == {id(one) for one in network.parameters()}
    assert len(network.stages()) >= 5


def test_the_textbook_network_has_its_layers_and_its_number_of_weights() -> None:
    network = build(Specification(name="plain", channels=1, size=(28, 28), outputs=2), seed=0)
    counted = sum(one.numel() for one in network.parameters())
    # 3x3 filters with a bias, then a dense layer on 3 x 3 places of 128 filters
    assert counted == (9 * 1 + 1) * 32 + (9 * 32 + 1) * 64 + (9 * 64 + 1) * 128 + (9 * 128 + 1) * 2
    kinds = [type(one).__name__ for one in network.body.modules() if not list(one.children())]
    assert kinds == ["Conv2d", "ReLU", "MaxPool2d"] * 3 + ["Flatten"]


def test_the_small_residual_network_has_about_300_000_weights() -> None:
    network = build(Specification(name="residual", channels=1, size=(28, 28), outputs=2), seed=0)
    assert 250_000 < sum(one.numel() for one in network.parameters()) < 350_000


def test_normalisation_per_image_removes_brightness_and_contrast() -> None:
    network = awake("residual")
    batch = images(network, 3)
    with torch.inference_mode():
        assert torch.allclose(network(batch), network(batch * 7 - 30), atol=1e-4)
    assert torch.equal(per_image(torch.full((1, 1, 4, 4), 5.0)), torch.zeros(1, 1, 4, 4))


def test_attention_over_slices_sees_where_a_finding_lies() -> None:
    network = awake("sequence", normalise=False)
    batch = images(network, 1)
    moved = batch.flip(2)
    with torch.inference_mode():
        assert not torch.allclose(network(batch), network(moved), atol=1e-5)


def test_views_and_members_are_averaged_and_a_unit_is_put_back() -> None:
    first, second = awake("residual", outputs=1, centre=5.0, scale=2.0), awake("residual", outputs=1)
    ensemble = export.Ensemble([first, second], ("columns", "rows", "slices")).eval()
    assert len(ensemble.views) == 4
    batch = images(first, 2)
    with torch.inference_mode():
        views = [batch, batch.flip(-1), batch.flip(-2), batch.flip(-1, -2)]
        expected = torch.stack([one(view) for one in (first, second) for view in views]).mean(dim=0) * 2 + 5
        assert torch.allclose(ensemble(batch), expected, atol=1e-5)
        assert torch.allclose(ensemble(batch), ensemble(batch.flip(-1)), atol=1e-5)
    assert export.onnx_bytes(ensemble, batch.numpy())


def test_an_export_repeats_to_the_byte_and_names_no_place() -> None:
    ensemble = export.Ensemble([awake("sequence")], ("columns",))
    data = export.onnx_bytes(ensemble)
    assert data == export.onnx_bytes(ensemble)
    assert str(Path.cwd()).encode() not in data
    assert b"site-packages" not in data


def test_an_export_that_differs_is_an_error() -> None:
    network = awake("plain")
    data = export.onnx_bytes(export.Ensemble([network], ()))
    with torch.no_grad():
        network.head.bias += 1
    with pytest.raises(InternalError, match="does not give what PyTorch gives"):
        export._check(export.Ensemble([network], ()), data, [images(network, 1)])


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    scores, classes = torch.randn(20, 4), torch.randint(0, 4, (20,))
    for each in (None, torch.tensor([1.0, 2.0, 3.0, 4.0])):
        plain = torch.nn.functional.cross_entropy(scores, classes, each)
        assert torch.allclose(heads.focal_loss(scores, classes, each, 0.0), plain, atol=1e-6)
    sure = torch.tensor([[9.0, -9.0]])
    assert float(heads.focal_loss(sure, torch.tensor([0]), None, 2.0)) < 1e-12


def test_cumulative_loss_is_least_at_the_true_grade() -> None:
    for grade in range(4):
        goal = torch.tensor([grade])
        above = [torch.tensor([[6.0 if k < g else -6.0 for k in range(3)]]) for g in range(4)]
        losses = [float(heads.cumulative_loss(one, goal, None)) for one in above]
        assert int(np.argmin(losses)) == grade
        assert int(probability.ordinal(above[grade].numpy()).argmax()) == grade


def test_cox_loss_equals_its_formula_and_falls_with_the_order_of_risks() -> None:
    times, event = torch.tensor([3.0, 1.0, 2.0, 5.0]), torch.tensor([1.0, 1.0, 0.0, 1.0])
    risks = torch.tensor([0.2, 1.0, -0.3, 0.5])
    r = [math.exp(value) for value in risks.tolist()]
    terms = [math.log(sum(r)) - 1.0, math.log(r[0] + r[3]) - 0.2, math.log(r[3]) - 0.5]
    goal = heads.Goal(times, event)
    assert float(heads.cox_loss(risks, goal)) == pytest.approx(sum(terms) / 3, abs=1e-6)
    assert heads.cox_loss(-times, goal) < heads.cox_loss(times, goal)
    assert harrell_c(times.numpy(), event.numpy(), -times.numpy()) == 1.0
    assert float(heads.cox_loss(risks, heads.Goal(times, torch.zeros(4)))) == 0


def test_a_specification_comes_back_and_nonsense_is_told() -> None:
    one = specified("vit")
    assert parse(one.model_dump_json(), "network.json") == one
    for text in ("{}", "not json", '{"name": 3}'):
        with pytest.raises(ConfigError, match="does not describe a network"):
            parse(text, "network.json")


@pytest.mark.parametrize(
    ("name", "size", "match"),
    [("cnn3d", (28, 28), "does not read such images"), ("sequence", (28, 28), "does not read such images"),
     ("vit", (30, 28), "do not fill"), ("nothing", (28, 28), "unknown network")],
)  # fmt: skip
def test_networks_that_do_not_fit_the_images_are_told(name: str, size: tuple[int, ...], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        build(Specification(name=name, channels=1, size=size, outputs=2, patch=8), seed=0)


def arrays(network: Any, prefix: str = "") -> dict[str, Any]:
    return {prefix + name: value.numpy().copy() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "members.0.", "module.", "backbone."])
def test_weights_are_found_under_usual_prefixes(tmp_path: Path, prefix: str) -> None:
    source = awake("residual")
    save_file(arrays(source, prefix), tmp_path / "weights.safetensors")
    for place in (tmp_path, tmp_path / "weights.safetensors"):
        network = build(specified("residual"), seed=9)
        found = weights.read(place)
        taken = weights.begin_with(network, found, "weights")
        assert taken["last_layer"]
        assert found.specification is None
        assert all(torch.equal(value, source.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_library_network_takes_the_names_of_its_library(tmp_path: Path) -> None:
    source = awake("resnet")
    inner = {name.removeprefix("body.inner."): one for name, one in arrays(source).items() if name.startswith("body")}
    network = build(specified("resnet", outputs=5), seed=9)
    taken = weights.begin_with(network, weights.Source(inner), "weights")
    assert not taken["last_layer"]
    assert torch.equal(network.body.inner.conv1.weight, source.body.inner.conv1.weight)


def test_colour_weights_serve_grey_images_alike() -> None:
    colour = awake("plain", channels=3)
    grey = build(specified("plain"), seed=9)
    taken = weights.begin_with(grey, weights.Source(arrays(colour)), "weights")
    assert taken["channels_changed"] == ["body.chain.0.0.weight"]
    batch = images(grey, 2)
    with torch.inference_mode():
        assert torch.allclose(grey.eval()(batch), colour(batch.expand(-1, 3, -1, -1)), atol=1e-5)


def test_weights_of_another_network_are_told() -> None:
    network = build(specified("residual"), seed=0)
    with pytest.raises(ConfigError, match="does not fit the network residual"):
        weights.begin_with(network, weights.Source(arrays(awake("plain"))), "weights")
    with pytest.raises(ConfigError, match="another network"):
        weights.begin_with(network, weights.Source({}, specified("plain")), "weights")


def package_of(network: Any, maker: Maker, licence: LicenceClass) -> Path:
    parts = maker.parts(CARD.model_copy(update={"licence": licence}))
    extra = {
        "weights.safetensors": export.weights_bytes(export.Ensemble([network], ())),
        "network.json": network.specification.model_dump_json().encode(),
    }
    target = maker.folder / "package"
    write_package(target, replace(parts, files={**parts.files, **extra}))
    return target


def test_a_package_can_be_trained_further_if_its_licence_is_accepted(maker: Maker) -> None:
    source = awake("residual")
    place = package_of(source, maker, "research")
    with pytest.raises(LicenceError):
        weights.read(place)
    found = weights.read(place, accept_licence=("research",))
    assert found.specification == source.specification
    network = build(specified("residual"), seed=9)
    taken = weights.begin_with(network, found, "package")
    assert taken["licence"] == "research"
    assert taken["name"].startswith("two-labels")
    assert torch.equal(network.head.weight, source.head.weight)


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    for name in ("weights.pt", "weights.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(UnsupportedError, match="never loaded"):
        weights.read(tmp_path / "weights.pt")
    with pytest.raises(ReadError, match="no safetensors file"):
        weights.read(tmp_path / "weights.safetensors")
    with pytest.raises(UsageError, match="no weights to begin with"):
        weights.read(tmp_path / "absent")
    assert not (tmp_path / "exploded").exists()
