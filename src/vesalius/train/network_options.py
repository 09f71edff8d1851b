"""What a task can say of a network and its training; typed, and free of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Literal["plain", "residual", "resnet", "densenet", "efficientnet", "vit", "sequence", "cnn3d"]
Start = Literal["auto", "scratch", "probe", "tune"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
FlipAxis = Literal["columns", "rows", "slices"]

_SHAPE: Final[dict[str, tuple[str, ...]]] = {
    "plain": ("widths",),
    "residual": ("widths", "blocks"),
    "cnn3d": ("widths",),
    "sequence": ("widths", "blocks", "hidden"),
    "resnet": ("depth",),
    "densenet": ("depth",),
    "efficientnet": ("depth",),
    "vit": ("patch", "hidden", "blocks"),
}
"""Options that fix the shape of each architecture."""


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class AugmentOptions(_Options):
    """Random changes of training images; all of them in one resampling pass. Everything is off by default.

    Args:
        share: of the images that are changed; the others pass as they are (flips always apply).
        flip: axes along which an image is mirrored with probability one half.
        rotate_deg: largest rotation either way, degrees, about every axis of a volume.
        scale: largest relative change of size, 0.1 = 90 % to 110 %.
        shift: largest shift, as a part of each edge.
        shear: largest shear, as a tangent.
        elastic: standard deviation of a smooth random displacement, as a part of the shortest edge.
        elastic_points: control points of that displacement along each edge.
        noise: largest standard deviation of Gaussian noise, in standard deviations of the image.
        brightness: largest shift of the values, in standard deviations of the image.
        contrast: largest relative change of the contrast about the mean.
        gamma: largest change of the logarithm of the exponent, on the image's own range.
        blur: largest standard deviation of a Gaussian blur, pixels.
        outside: what is seen beyond the edge: its nearest value, a mirror image, or zero.
    """

    share: Share = 1.0
    flip: tuple[FlipAxis, ...] = ()
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    shear: Annotated[float, Field(ge=0, lt=1)] = 0.0
    elastic: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    elastic_points: Annotated[int, Field(ge=2, le=32)] = 5
    noise: NotNegative = 0.0
    brightness: NotNegative = 0.0
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    gamma: Annotated[float, Field(ge=0, le=2)] = 0.0
    blur: Annotated[float, Field(ge=0, le=10)] = 0.0
    outside: Literal["border", "reflection", "zeros"] = "border"


class NetworkOptions(_Options):
    """A network and how it is trained; the defaults suit a few thousand small pictures on two cores.

    Args:
        name: the architecture.
        widths: filters of each stage (plain, residual, cnn3d, and the slice network of sequence).
        depth: of a resnet (10, 18, 34, 50), a densenet (121, 169, 201) or an efficientnet (0 to 7, its letter b).
        patch: edge of a patch of a vit, pixels; by default an eighth of the image.
        hidden: width of a vit or of the recurrent part of a sequence.
        blocks: residual blocks of a stage, or layers of a vit.
        dropout: before the last layer.
        normalise: each image gets mean 0 and standard deviation 1 inside the network, at training and in the package.
        init: weights to begin with: a model package, a safetensors file, or a folder that holds `weights.safetensors`.
        accept_licence: classes of licence of that package that you accept, beside open: research, unclear.
        start: scratch, probe (only the last layer learns), tune (all layers learn), or auto, which tries the three and
            keeps the best on the validation part; without `init` it is scratch.
        freeze: number of stages, counted from the image, that do not learn.
        rate: highest learning rate. rate_decay: factor on it from one stage to the one nearer to the image.
        schedule: of the rate after the warm-up. warm_up: epochs of rising rate.
        optimiser: of the weights; weight_decay acts on weight matrices, not on biases or normalisation.
        epochs: at most. batch: cases of a step. accumulate: batches of one change of the weights.
        clip: largest norm of the gradient, 0 for none.
        loss: of classes: cross_entropy or focal; of a regression: squared or huber. The other kinds have one loss.
        focal_gamma: exponent of the focal loss. label_smoothing: of the cross-entropy.
        balance: classes weighed in the loss, or drawn equally often, or neither.
        mixup: parameter of the beta distribution of mixed pairs, 0 for none.
        ema: decay of the moving average of the weights that is validated and kept, 0 for none.
        early_stop: epochs without progress on the validation part before training ends, 0 for never.
        monitor: what progress is: the validation loss, or the rank statistic of the kind (mean one-against-the-rest AUC
            of classes, Harrell's C of survival, Spearman's correlation of a regression or of grades).
        keep: the weights of the best epoch on the validation part, or of the last one.
        flips: axes along which the network also looks at the mirrored case; part of the exported network.
        members: networks trained with different seeds whose outputs are averaged inside the exported network.
        bf16: compute in bfloat16 where that is safe.
        save_seconds: at least so long between two checkpoints inside one fit; no result depends on it.
    """

    name: Name
    widths: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=8)] | None = None
    depth: int | None = None
    patch: Annotated[int, Field(ge=1, le=64)] | None = None
    hidden: Annotated[int, Field(ge=4, le=4096)] | None = None
    blocks: Annotated[int, Field(ge=1, le=48)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    normalise: bool | None = None
    init: Path | None = None
    accept_licence: tuple[Literal["research", "unclear"], ...] = ()
    start: Start = "auto"
    freeze: Annotated[int, Field(ge=0, le=100)] = 0
    rate: Positive = 1e-3
    rate_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    schedule: Literal["cosine", "constant"] = "cosine"
    warm_up: NotNegative = 1.0
    optimiser: Literal["adam", "adamw", "sgd"] = "adamw"
    weight_decay: NotNegative = 0.01
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    batch: Annotated[int, Field(ge=1, le=65_536)] = 64
    accumulate: Annotated[int, Field(ge=1, le=1024)] = 1
    clip: NotNegative = 0.0
    loss: Literal["cross_entropy", "focal", "squared", "huber"] | None = None
    focal_gamma: NotNegative = 2.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    balance: Literal["none", "weights", "sampler"] = "none"
    mixup: NotNegative = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    early_stop: Annotated[int, Field(ge=0)] = 0
    monitor: Literal["loss", "rank"] = "loss"
    keep: Literal["best", "last"] = "best"
    flips: tuple[FlipAxis, ...] = ()
    members: Annotated[int, Field(ge=1, le=20)] = 1
    bf16: bool = False
    augment: AugmentOptions = AugmentOptions()
    save_seconds: NotNegative = 20.0

    @model_validator(mode="after")
    def _fits(self) -> NetworkOptions:
        if self.start in ("probe", "tune") and self.init is None:
            raise ValueError(f"start: {self.start} needs init: the weights to begin with")
        for key in sorted({one for names in _SHAPE.values() for one in names} - set(_SHAPE[self.name])):
            if getattr(self, key) is not None:
                raise ValueError(f"{key} is no option of {self.name}; its own: {', '.join(_SHAPE[self.name])}")
        depths = {"resnet": (10, 18, 34, 50), "densenet": (121, 169, 201), "efficientnet": tuple(range(8))}
        if self.depth is not None and self.depth not in depths.get(self.name, ()):
            allowed = ", ".join(map(str, depths.get(self.name, ()))) or "none"
            raise ValueError(f"depth {self.depth} of {self.name}; allowed: {allowed}")
        return self
