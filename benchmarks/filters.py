"""Gaussian, median 3^3, non-local means, bilateral and N4 in 3-D against SciPy, SimpleITK and scikit-image.

    python benchmarks/filters.py [--size 96] [--rounds 3] [--threads N] [--json FILE]

Both sides start from an image in memory and end with one; rounds alternate, so that a busy machine slows both. Beside
every ratio stands how far the answers are apart. Non-local means has no equal peer: scikit-image's fast form compares
patches of an even edge length, so that the check is the error against the truth that both are left with.
Threads: ours and SimpleITK use what `--threads` says (default: all cores); SciPy and scikit-image have one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SPACING = (2.0, 1.0, 1.0)
NOISE = 30.0
TARGET = 1.0


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    work: str
    peer: str
    ours_s: float
    peer_s: float
    ratio: float
    check: str
    equal: bool


def scene(size: int) -> tuple[Array, Array]:
    """Return the truth and the same with noise: a soft ball with a hole, float32, HU-like values."""
    z, y, x = np.mgrid[: size // 2, :size, :size].astype(np.float32) / size
    radius = np.sqrt((2 * z - 0.5) ** 2 + (y - 0.5) ** 2 + (x - 0.5) ** 2)
    truth = 300 / (1 + np.exp((radius - 0.35) * 100)) - 200 / (1 + np.exp((radius - 0.1) * 100))
    truth = truth.astype(np.float32)
    noisy = truth + np.random.default_rng(0).normal(0, NOISE, truth.shape).astype(np.float32)
    return truth, noisy


def timed(ours: Callable[[], Array], peer: Callable[[], Array], rounds: int) -> tuple[float, float, Array, Array]:
    """Return median seconds of both, and both answers."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for work, kept in zip((ours, peer), seconds, strict=True):
            begin = time.perf_counter()
            answer = work()
            kept.append(time.perf_counter() - begin)
            if work is ours:
                one = answer
            else:
                other = answer
    return statistics.median(seconds[0]), statistics.median(seconds[1]), one, other


def rows(size: int, rounds: int) -> list[Row]:
    """Return every line."""
    import SimpleITK
    from scipy import ndimage
    from skimage.restoration import denoise_nl_means

    from vesalius.core import Volume
    from vesalius.imaging import denoise

    truth, noisy = scene(size)
    whole = np.rint(noisy).astype(np.int16)
    volume, counts = Volume(noisy, np.diag([*SPACING, 1.0])), Volume(whole, np.eye(4))
    cubic = Volume(noisy, np.eye(4))

    def picture(array: Array, spacing: tuple[float, float, float]) -> Any:
        image = SimpleITK.GetImageFromArray(array)
        image.SetSpacing(tuple(reversed(spacing)))
        return image

    def sitk(work: Callable[[Any], Any], image: Any) -> Callable[[], Array]:
        return lambda: np.asarray(SimpleITK.GetArrayFromImage(work(image)))

    found = []
    for sigma in (1.0, 3.0):
        steps = [sigma / s for s in SPACING]
        result = timed(
            lambda sigma=sigma: denoise.gaussian(volume, sigma_mm=sigma).array,
            lambda steps=steps: ndimage.gaussian_filter(noisy, steps, mode="nearest"),
            rounds,
        )
        found.append(apart(f"Gaussian, sigma {sigma:g} mm, float32", "SciPy", result, 1e-3))
    for name, image, array in (("int16", counts, whole), ("float32", cubic, noisy)):
        given = picture(array, (1.0, 1.0, 1.0))
        result = timed(
            lambda image=image: denoise.median(image, width_mm=3).array,
            sitk(lambda one: SimpleITK.Median(one, [1, 1, 1]), given),
            rounds,
        )
        found.append(apart(f"median 3^3, {name}", "SimpleITK", result, 0.0))
    for patch, search in ((3, 5), (3, 11)):
        result = timed(
            lambda p=patch, s=search: (
                denoise.non_local_means(cubic, patch_mm=p, search_mm=s, noise=NOISE, strength=0.8).array
            ),
            lambda p=patch, s=search: denoise_nl_means(
                noisy, patch_size=p, patch_distance=s // 2, h=0.8 * NOISE, sigma=NOISE, fast_mode=True
            ),
            max(1, rounds // 2),
        )
        found.append(better(f"non-local means 3-D, patch {patch}^3, search {search}^3", "scikit-image", result, truth))
    given = picture(noisy, SPACING)
    result = timed(
        lambda: denoise.bilateral(volume, sigma_mm=1.5, sigma_value=100).array,
        sitk(lambda one: SimpleITK.Bilateral(one, 1.5, 100.0, 1000), given),
        max(1, rounds // 2),
    )
    inner = tuple(slice(4, -4) for _ in range(3))
    cut = (result[0], result[1], result[2][inner], result[3][inner])
    found.append(apart("bilateral 3-D, sigma 1.5 mm", "SimpleITK", cut, 0.02 * 300))
    return [*found, bias_field(truth)]


def bias_field(truth: Array) -> Row:
    """Return the line of N4: fitted at a quarter of the size here, at full size by SimpleITK as it comes."""
    import SimpleITK

    from vesalius.core import Volume
    from vesalius.imaging.intensity import N4Options, n4

    size = truth.shape[2]
    slope = np.exp(0.3 * np.sin(np.linspace(-1.5, 1.5, size, dtype=np.float32)))
    body = np.where(truth > 100, truth, np.float32(0))[:, ::2, ::2]
    shaded = (body * slope[::2] + 1).astype(np.float32)
    volume = Volume(shaded, np.diag([2.0, 2.0, 2.0, 1.0]))

    def library() -> Array:
        image = SimpleITK.GetImageFromArray(shaded)
        image.SetSpacing((2.0, 2.0, 2.0))
        fit = SimpleITK.N4BiasFieldCorrectionImageFilter()
        fit.SetMaximumNumberOfIterations([50] * 3)
        return np.asarray(SimpleITK.GetArrayFromImage(fit.Execute(image, SimpleITK.OtsuThreshold(image, 0, 1))))

    result = timed(lambda: n4(volume, options=N4Options()).corrected.array, library, 1)
    inside = body > 100
    spread = [float(np.std(answer[inside]) / np.mean(answer[inside])) for answer in result[2:]]
    before = float(np.std(shaded[inside]) / np.mean(shaded[inside]))
    check = f"variation left {spread[0]:.4f}, peer {spread[1]:.4f}, before {before:.4f}"
    equal = spread[0] <= 1.1 * spread[1]
    return Row("N4 bias field", "SimpleITK", result[0], result[1], result[0] / result[1], check, equal)


def apart(work: str, peer: str, result: tuple[float, float, Array, Array], tolerance: float) -> Row:
    """Return a line whose check is the largest difference."""
    ours_s, peer_s, one, other = result
    difference = float(np.abs(one.astype(np.float64) - other).max())
    check = f"largest difference {difference:.3g}"
    return Row(work, peer, ours_s, peer_s, ours_s / peer_s, check, difference <= tolerance)


def better(work: str, peer: str, result: tuple[float, float, Array, Array], truth: Array) -> Row:
    """Return a line whose check is the error that is left."""
    ours_s, peer_s, one, other = result
    errors = [float(np.sqrt(np.mean((answer - truth) ** 2))) for answer in (one, other)]
    check = f"error left {errors[0]:.2f}, peer {errors[1]:.2f}, noise {NOISE:g}"
    return Row(work, peer, ours_s, peer_s, ours_s / peer_s, check, errors[0] <= 1.05 * errors[1])


def main() -> int:
    """Print the table; 1 when an answer is wrong. A busy machine may miss a ratio, which is said."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(options.threads)
    table = rows(options.size, options.rounds)
    print(f"{options.size // 2} x {options.size} x {options.size} voxels, {options.threads} threads")
    for row in table:
        verdict = "ok" if row.equal and row.ratio <= TARGET else "MISSED"
        print(
            f"{row.work:46} {row.ours_s:8.3f} s {row.peer_s:8.3f} s  {row.ratio:6.3f}x {row.peer:13} {verdict:7}"
            f" {row.check}"
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in table], indent=1) + "\n")
    return 0 if all(row.equal for row in table) else 1


if __name__ == "__main__":
    sys.exit(main())
