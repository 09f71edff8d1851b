"""Networks that MONAI keeps, in 2-D and 3-D, without their last layer."""

from __future__ import annotations

from typing import Any

from torch import nn

from vesalius.core.errors import ConfigError, MissingDependencyError
from vesalius.models.networks.stages import Body, Wrapped

SMALL_VIT = (192, 6)
"""Width and layers of a vision transformer by default: 2.7 million parameters."""


def _nets() -> Any:
    try:
        import einops  # noqa: F401 - MONAI's transformers need it and do not ask for it
        from monai.networks import nets
    except ImportError as error:
        raise MissingDependencyError(
            "this network needs MONAI and einops", found=f"no {error.name}", fix="pip install 'vesalius[networks]'"
        ) from None
    return nets


def resnet(dimensions: int, channels: int, depth: int | None) -> Body:
    """Return a residual network of 10, 18, 34 or 50 layers (He et al. 2016, arXiv:1512.03385)."""
    # shortcuts of kind A pad with zeros for a fixed number of cases, which no export survives
    made = getattr(_nets(), f"resnet{depth or 18}")(
        spatial_dims=dimensions, n_input_channels=channels, num_classes=1, shortcut_type="B", bias_downsample=False
    )
    features = made.fc.in_features
    made.fc = nn.Identity()
    return Wrapped(made, features, [["conv1", "bn1"], ["layer1"], ["layer2"], ["layer3"], ["layer4"]])


def densenet(dimensions: int, channels: int, depth: int | None) -> Body:
    """Return a densely connected network of 121, 169 or 201 layers (Huang et al. 2017, arXiv:1608.06993)."""
    made = getattr(_nets(), f"DenseNet{depth or 121}")(spatial_dims=dimensions, in_channels=channels, out_channels=1)
    features = made.class_layers.out.in_features
    made.class_layers.out = nn.Identity()
    blocks = [name for name, _ in made.features.named_children() if name.startswith("denseblock")]
    cuts = [["features.conv0", "features.norm0"]]
    for number, block in enumerate(blocks, start=1):
        last = "norm5" if number == len(blocks) else f"transition{number}"
        cuts.append([f"features.{block}", f"features.{last}"])
    return Wrapped(made, features, cuts)


def efficientnet(dimensions: int, channels: int, depth: int | None) -> Body:
    """Return an EfficientNet b0 to b7 (Tan and Le 2019, arXiv:1905.11946)."""
    made = _nets().EfficientNetBN(
        f"efficientnet-b{depth or 0}", pretrained=False, spatial_dims=dimensions, in_channels=channels, num_classes=1
    )
    # a swish with a backward pass of its own, which saves memory, cannot be exported
    made.set_swish(memory_efficient=False)
    features = made._fc.in_features
    made._fc = nn.Identity()
    cuts = [["_conv_stem", "_bn0"], *([f"_blocks.{n}"] for n in range(len(made._blocks))), ["_conv_head", "_bn1"]]
    return Wrapped(made, features, cuts)


def vit(
    channels: int, size: tuple[int, ...], patch: int | None, hidden: int | None, layers: int | None
) -> Body:  # fmt: skip
    """Return a vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929).

    Raises:
        ConfigError: the patches do not fill the image, or the heads the width.
    """
    patch = patch or max(1, min(size) // 8)
    width, depth = hidden or SMALL_VIT[0], layers or SMALL_VIT[1]
    heads = max(1, width // 32)
    if any(edge % patch for edge in size) or width % heads:
        shape = " x ".join(map(str, size))
        raise ConfigError(
            f"patches of {patch} do not fill an image of {shape}, or {heads} heads a width of {width}",
            expected="edges that are multiples of patch, and a hidden width that is a multiple of 32",
            fix="set patch, or resize the image",
        )
    made = _nets().ViT(
        in_channels=channels, img_size=size, patch_size=patch, hidden_size=width, mlp_dim=4 * width,
        num_layers=depth, num_heads=heads, classification=True, num_classes=1, spatial_dims=len(size),
    )  # fmt: skip
    made.classification_head = nn.Identity()
    return Wrapped(made, width, [["patch_embedding"], *([f"blocks.{n}"] for n in range(depth)), ["norm"]])
