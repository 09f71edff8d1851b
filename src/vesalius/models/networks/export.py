"""Networks as one ONNX file: members averaged, mirrored views averaged, the unit of a regression put back."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vesalius.core.errors import InternalError, MissingDependencyError
from vesalius.models.networks.build import Network, Specification, build

OPSET: Final = 17
TOLERANCE: Final = 1e-4
"""Largest difference of ONNX Runtime and PyTorch, per unit of the largest output."""
AXES: Final[Mapping[str, int]] = {"slices": -3, "rows": -2, "columns": -1}
INPUT, OUTPUT = "image", "scores"
MOST_CASES: Final = 256
MOST_VOXELS: Final = 2**22
"""Of a batch that is scored; a layer of 32 channels of it takes half a gigabyte."""


class Ensemble(nn.Module):
    """The mean over networks and mirrored views of their outputs."""

    def __init__(self, members: Sequence[Network], flips: Sequence[str] | None = None) -> None:
        """Keep the members, all of one specification; `flips` replace those that it tells."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self.specification: Specification = members[0].specification
        told = self.specification.flips if flips is None else flips
        axes = [AXES[name] for name in told if -AXES[name] <= self.specification.dimensions]
        # every combination of the axes, the image as it is first
        self.views = [[a for n, a in enumerate(axes) if code >> n & 1] for code in range(2 ** len(axes))]

    def forward(self, image: Tensor) -> Tensor:
        """Return [cases, outputs]."""
        views = [image.flip(view) if view else image for view in self.views]
        found = torch.stack([member(view) for member in self.members for view in views])
        return found.mean(dim=0) * self.specification.scale + self.specification.centre


def assemble(
    specification: Specification, weights: Sequence[Mapping[str, Tensor]], flips: Sequence[str] | None = None
) -> Ensemble:  # fmt: skip
    """Return the networks with these weights, ready to score."""
    members = []
    for one in weights:
        network = build(specification, seed=0)
        network.load_state_dict(dict(one))
        members.append(network)
    return Ensemble(members, flips).eval()


def scores(ensemble: Ensemble, images: NDArray[np.float32], rows: NDArray[np.int64]) -> Any:
    """Return the outputs for cases, float64 [cases, outputs]."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found, size = [np.zeros((0, ensemble.specification.outputs))], cases_at_once(images.shape)
    ensemble.to(device)
    with torch.inference_mode():
        for start in range(0, len(rows), size):
            batch = np.ascontiguousarray(images[rows[start : start + size]], dtype=np.float32)
            found.append(ensemble(torch.from_numpy(batch).to(device)).cpu().double().numpy())
    ensemble.to("cpu")
    return np.concatenate(found)


def cases_at_once(shape: tuple[int, ...]) -> int:
    """Return how many cases are scored together, so that the layers of large images fit into memory."""
    return max(1, min(MOST_CASES, MOST_VOXELS // prod(shape[1:])))


def onnx_bytes(ensemble: Ensemble, samples: NDArray[np.float32] | None = None) -> bytes:
    """Return the network as ONNX with any number of cases, checked against PyTorch with one case and with three.

    Args:
        samples: real images to check with; noise without them.

    Raises:
        InternalError: ONNX Runtime gives something else.
        MissingDependencyError: onnx is not installed.
    """
    specification = ensemble.eval().specification
    shape = (specification.channels, *specification.size)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((4, *shape), generator=generator)
    if samples is not None and len(samples):
        real = torch.from_numpy(np.ascontiguousarray(samples[:4], dtype=np.float32))
        images[: len(real)] = real
    data = _exported(ensemble, images[:2])
    _check(ensemble, data, (images[:1], images[1:]))
    return data


def _exported(ensemble: Ensemble, images: Tensor) -> bytes:
    try:
        import onnx  # noqa: F401 - PyTorch's exporter needs it
    except ImportError:
        raise MissingDependencyError("the export needs onnx", fix="pip install 'vesalius[train,networks]'") from None
    stream = io.BytesIO()
    # this exporter writes into streams too, whatever its annotations say
    exporter: Any = torch.onnx.export
    moving = {INPUT: {0: "batch"}, OUTPUT: {0: "batch"}}
    with warnings.catch_warnings(), torch.no_grad():
        # the exporter of TorchScript is the one whose graphs hold neither paths nor code; it warns of its age
        warnings.simplefilter("ignore")
        exporter(
            ensemble, (images,), stream, dynamo=False, opset_version=OPSET, input_names=[INPUT],
            output_names=[OUTPUT], dynamic_axes=moving,
        )  # fmt: skip
    return stream.getvalue()


def _check(ensemble: Ensemble, data: bytes, batches: Sequence[Tensor]) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for batch in batches:
        with torch.inference_mode():
            expected = ensemble(batch).numpy()
        (found,) = session.run([OUTPUT], {INPUT: batch.numpy()})
        unit = max(1.0, float(np.abs(expected).max(initial=0.0)))
        if found.shape != expected.shape or not np.abs(found - expected).max(initial=0.0) <= TOLERANCE * unit:
            raise InternalError(
                "the exported network does not give what PyTorch gives",
                found=f"largest difference {np.abs(found - expected).max():.3g}"
                if found.shape == expected.shape
                else f"shape {found.shape}",
                expected=f"at most {TOLERANCE:g}",
            )


def weights_bytes(ensemble: Ensemble) -> bytes:
    """Return the weights of all members as safetensors, without anything that changes from run to run."""
    from safetensors.torch import save

    data: bytes = save({name: value.contiguous() for name, value in ensemble.state_dict().items()})
    return data
