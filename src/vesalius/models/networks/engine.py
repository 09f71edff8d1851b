"""PyTorch as a runtime: the network of a package from its specification and weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesalius.core.errors import ReadError
from vesalius.models.networks.build import parse
from vesalius.models.networks.export import OUTPUT, assemble
from vesalius.models.networks.weights import SPECIFICATION, WEIGHTS

NETWORK: Final = "network.onnx"
_MEMBER: Final = "members."


class TorchEngine:
    """A network that is ready to compute in 32-bit floats."""

    outputs = (OUTPUT,)

    def __init__(self, read: Callable[[str], bytes], file: str, threads: int) -> None:
        """Load the network that the ONNX file was made of.

        Raises:
            ReadError: the package does not hold what PyTorch needs.
        """
        from safetensors.torch import load

        if file != NETWORK:
            raise ReadError(f"{file} is no network that PyTorch can compute", expected=NETWORK)
        torch.set_num_threads(threads)
        try:
            specification = parse(read(SPECIFICATION), SPECIFICATION)
            named = load(read(WEIGHTS))
        except OSError:
            raise ReadError("the package does not hold what PyTorch needs", expected=f"{SPECIFICATION}, {WEIGHTS}",
                            fix="--runtime onnxruntime") from None  # fmt: skip
        members: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for name, value in named.items():
            number, _, own = name.removeprefix(_MEMBER).partition(".")
            members[int(number)][own] = value
        flips = getattr(specification, "flips", ())
        self.file = file
        self.ensemble = assemble(specification, [members[number] for number in sorted(members)], flips)

    def run(self, value: NDArray[Any]) -> dict[str, Any]:
        """Return every output by name.

        Raises:
            ReadError: it refuses the input.
        """
        try:
            with torch.inference_mode():
                found = self.ensemble(torch.from_numpy(np.array(value, dtype=np.float32)))
        except (RuntimeError, ValueError, IndexError) as error:
            shown = f"{value.dtype} {value.shape}; {error}"[:200]
            raise ReadError(f"{self.file} refuses the input", found=shown) from None
        return {OUTPUT: found.numpy()}
