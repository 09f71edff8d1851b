"""The two PP-OCR networks of the package rapidocr, run by ONNX Runtime: where text may be, and what a line says.

Only the model files are used, read from the installed wheel: nothing is fetched, and neither rapidocr nor OpenCV is
imported. What a line says stays in memory: it decides whether there is text, and is never written anywhere.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vesalius.core.errors import MissingDependencyError

Picture = NDArray[np.uint8]
Array = NDArray[Any]

_STRIDE: Final = 32
_LINE_ROWS: Final = 48
_WIDEST_LINE: Final = 1200
TILE: Final = 960
OVERLAP: Final = 128
THREADS: Final = 1


@lru_cache(maxsize=4)
def _session(part: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False
    return onnxruntime.InferenceSession(str(_file(part)), options, providers=["CPUExecutionProvider"])


def _file(part: str) -> Path:
    found = util.find_spec("rapidocr")
    folders = list(found.submodule_search_locations or ()) if found else []
    files = sorted(file for folder in folders for file in Path(folder, "models").glob(f"*_{part}_*.onnx"))
    if not files:
        raise MissingDependencyError(
            "text in pixels cannot be looked for: the package rapidocr with its models is not installed",
            fix="pip install 'vesalius[ocr]'",
        )
    return files[-1]


def versions() -> dict[str, str]:
    """Return the package and the model files that look for text, for the record of what was done."""
    files = (_file("det"), _file("rec"))
    return {"rapidocr": metadata.version("rapidocr"), "models": ", ".join(file.stem for file in files)}


def text_map(picture: Picture, scale: float, threads: int = THREADS) -> Array:
    """Return for every pixel how probably it lies in the kernel of a line of text, 0 to 1, float32.

    Args:
        scale: the picture is enlarged by this factor before the network sees it; small text needs it.
    """
    rows, columns = picture.shape
    result = np.zeros((rows, columns), np.float32)
    step = max(_STRIDE, int(TILE / scale))
    shared = min(step // 2, int(OVERLAP / scale) + 1)
    for top in _starts(rows, step, shared):
        for left in _starts(columns, step, shared):
            part = np.s_[top : top + step, left : left + step]
            np.maximum(result[part], _tile_map(picture[part], scale, threads), out=result[part])
    return result


def _starts(length: int, step: int, shared: int) -> list[int]:
    """Return where tiles start, as equal as they come; neighbours share at least so many pixels."""
    if length <= step:
        return [0]
    count = -(-(length - shared) // (step - shared))
    return [round(index * (length - step) / (count - 1)) for index in range(count)]


def _tile_map(tile: Picture, scale: float, threads: int) -> Array:
    from PIL import Image

    rows, columns = (max(_STRIDE, round(side * scale / _STRIDE) * _STRIDE) for side in tile.shape)
    large = Image.fromarray(tile).resize((columns, rows), Image.Resampling.BICUBIC)
    found = _session("det", threads).run(None, {"x": _as_input(np.asarray(large))})[0][0, 0]
    small = Image.fromarray(found).resize((tile.shape[1], tile.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(small)


def _as_input(picture: Picture) -> Array:
    grey = picture.astype(np.float32) / 127.5 - 1
    return np.repeat(grey[None, None], 3, axis=1)


@lru_cache(maxsize=1)
def _characters() -> tuple[str, ...]:
    listed = _session("rec", THREADS).get_modelmeta().custom_metadata_map["character"]
    return ("", *listed.splitlines(), " ")


def read(line: Picture, threads: int = THREADS) -> tuple[str, float]:
    """Return what a line of text says and the mean probability of its characters, 0 to 1; ("", 0) for no text.

    Args:
        line: the line upright and alone, of any height.
    """
    from PIL import Image

    low, high = np.percentile(line, (1, 99))
    stretched = np.clip((line - low) / max(high - low, 1) * 255, 0, 255).astype(np.uint8)
    columns = min(_WIDEST_LINE, max(_LINE_ROWS, round(line.shape[1] * _LINE_ROWS / line.shape[0])))
    scaled = Image.fromarray(stretched).resize((columns, _LINE_ROWS), Image.Resampling.BICUBIC)
    steps = _session("rec", threads).run(None, {"x": _as_input(np.asarray(scaled))})[0][0]
    best, certain = steps.argmax(axis=1), steps.max(axis=1)
    # Connectionist temporal classification: 0 is no character, and a repeated one is the same character going on.
    new = (best != 0) & np.concatenate(([True], best[1:] != best[:-1]))
    letters = _characters()
    text = "".join(letters[index] for index in best[new] if index < len(letters))
    return text.strip(), float(certain[new].mean()) if new.any() else 0.0
