"""Radiomics against PyRadiomics: time, peak memory and equality, on balls of 10^3 to 10^6 voxels.

    python benchmarks/radiomics.py [--peer PYTHON] [--sizes 3 4 5 6] [--outline WORD] [--repeat N]

PYTHON is the interpreter of an environment of its own that holds PyRadiomics 3.0.1 (or set PYRADIOMICS_PYTHON). Without
one, bench-output/pyradiomics is made on the first run, which needs a network and a C compiler; where that fails no
ratio is printed.

Both sides compute first-order, shape, GLCM, GLRLM, GLSZM, GLDM and NGTDM features of the same picture with bins of 25,
each run in a process of its own, taking turns. Seconds are of processor time: both use one thread, and other work on
the machine disturbs it less than the clock on the wall. The first call is timed apart: nothing is compiled in it.
PyRadiomics compares all pairs of vertices of the mesh, so the outline decides its time: --outline ragged is closer to
a drawn lesion than the smooth ball.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

TARGETS = {3: 0.3, 4: 0.3, 5: 0.1, 6: 0.015}
MEMORY_MIB = 200
PEER = "pyradiomics==3.0.1"
BUILD = ("numpy", "versioneer", "cython", "setuptools<82")
# The same definition in both; docs/reference/radiomics.md lists the others.
AGREE = 1e-6


def picture(exponent: int, outline: str) -> tuple[Any, Any]:
    """Return a ball of about 10^exponent voxels in smooth noise of 16-bit integers; its outline smooth or ragged."""
    from scipy import ndimage

    radius = (3 * 10**exponent / (4 * np.pi)) ** (1 / 3)
    size = int(np.ceil(2 * radius)) + 8
    z, y, x = np.mgrid[:size, :size, :size] - (size - 1) / 2
    grey = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((size, size, size)), 1.0)
    image = np.round(grey / grey.std() * 100 + 200).astype(np.int16)
    if outline == "ragged":
        shift = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(grey.shape), 1.0)
        radius = radius - 2 + 1.5 * shift / shift.std()
    return image, (z * z + y * y + x * x <= radius * radius).astype(np.uint8)


def peer(path: str, repeat: int) -> dict[str, Any]:
    """Time PyRadiomics; runs in its own environment."""
    import logging

    # This file's own name would hide the package.
    sys.path.remove(str(Path(__file__).resolve().parent))
    import radiomics
    import SimpleITK
    from radiomics import featureextractor

    radiomics.logger.setLevel(logging.ERROR)
    data = np.load(path)
    image, mask = SimpleITK.GetImageFromArray(data["image"]), SimpleITK.GetImageFromArray(data["mask"])
    extractor = featureextractor.RadiomicsFeatureExtractor(additionalInfo=False, binWidth=25)
    return measured(lambda: extractor.execute(image, mask), repeat)


def ours(path: str, repeat: int, everything: bool) -> dict[str, Any]:
    """Time Vesalius: PyRadiomics' classes, or every family with its default options."""
    from vesalius.core import Code, Mask, Segment, Volume
    from vesalius.features.radiomics import pyradiomics_values, radiomics

    data = np.load(path)
    segment = Segment("ball", Code("ball", "99VESALIUS", "ball"), (255, 0, 0))
    volume = Volume(data["image"], np.eye(4))
    mask = Mask(data["mask"], np.eye(4), segments={1: segment})
    if everything:
        return measured(lambda: radiomics(volume, mask).by_tag, repeat)
    return measured(lambda: pyradiomics_values(volume, mask), repeat)


def measured(call: Any, repeat: int) -> dict[str, Any]:
    """Return seconds of the first and the median further call, peak memory and the values."""
    seconds = []
    for _ in range(repeat + 1):
        start = time.process_time()
        values = call()
        seconds.append(time.process_time() - start)
    numbers = {name: float(value) for name, value in values.items()}
    return {"first": seconds[0], "seconds": seconds[1:] or seconds, "mib": peak_mib(), "values": numbers}


def peak_mib() -> float:
    """Return the peak resident memory of this process; on Linux without that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def environment(given: str | None) -> str | None:
    """Return a Python that has PyRadiomics, made when it is not there; None when it cannot be."""
    folder = Path(__file__).resolve().parents[1] / "bench-output" / "pyradiomics"
    python = given or str(folder / "bin" / "python")
    try:
        if not Path(python).exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        if subprocess.run([python, "-c", "import radiomics"], capture_output=True, check=False).returncode:
            install = [python, "-m", "pip", "install", "-q"]
            subprocess.run([*install, *BUILD], check=True, capture_output=True)
            subprocess.run([*install, "--no-build-isolation", "--no-cache-dir", PEER], check=True, capture_output=True)
    except (subprocess.CalledProcessError, OSError):
        return None
    return python


def run(python: str, who: str, path: str, repeat: int) -> dict[str, Any]:
    """Return what a worker process measured."""
    command = [python, __file__, "--worker", who, path, "--repeat", str(repeat)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{who} failed:\n{done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(exponent: int, outline: str, python: str | None, repeat: int, folder: Path) -> list[str]:
    """Return the line of the table for one size and the features that differ."""
    path = folder / f"ball{exponent}.npz"
    image, mask = picture(exponent, outline)
    np.savez(path, image=image, mask=mask)
    rounds = 3
    times: dict[str, list[float]] = {"ours": [], "all": [], "peer": []}
    last: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for who in ("ours", "all", *(["peer"] if python else [])):
            again = repeat if who != "peer" or exponent < 6 else 0
            last[who] = run(python if who == "peer" and python else sys.executable, who, str(path), again)
            times[who] += last[who]["seconds"]
    mine, everything = float(np.median(times["ours"])), float(np.median(times["all"]))
    cells = [f"{int(mask.sum()):>8}", f"{mine:8.4f}", f"{everything:8.4f}", f"{last['ours']['first']:8.4f}"]
    cells += [f"{last['ours']['mib']:6.0f}", f"{last['all']['mib']:6.0f}"]
    if not python:
        return ["  ".join(cells)]
    other = float(np.median(times["peer"]))
    differ = differences(last["ours"]["values"], last["peer"]["values"])
    cells += [f"{other:8.4f}", f"{mine / other:6.3f}", f"{TARGETS[exponent]:6.3f}", f"{everything / other:6.3f}"]
    cells.append("equal" if not differ else f"{len(differ)} differ")
    return ["  ".join(cells), *differ]


def differences(mine: dict[str, float], other: dict[str, float]) -> list[str]:
    """Return the features of both that differ by more than `AGREE`."""
    shared = mine.keys() & other.keys()
    return [
        f"    {name}: {mine[name]!r}, PyRadiomics {other[name]!r}"
        for name in sorted(shared)
        if not abs(mine[name] - other[name]) <= AGREE * abs(other[name]) + 1e-12
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", default=os.environ.get("PYRADIOMICS_PYTHON"), help="Python that has PyRadiomics")
    parser.add_argument("--sizes", type=int, nargs="+", default=[3, 4, 5, 6], choices=sorted(TARGETS))
    parser.add_argument("--outline", choices=["smooth", "ragged", "both"], default="both")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--worker", nargs=2, metavar=("WHO", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        who, path = options.worker
        result = peer(path, options.repeat) if who == "peer" else ours(path, options.repeat, who == "all")
        print(json.dumps(result))
        return
    options.peer = environment(options.peer)
    heads = ["  voxels", "    ours", "all fam.", "   first", "   MiB", "all MiB"]
    if options.peer:
        heads += ["PyRadiom.", " ratio", "target", "all/P.", "values"]
    else:
        print("PyRadiomics could not be installed: no ratio; give its Python with --peer or PYRADIOMICS_PYTHON.")
    for outline in ("smooth", "ragged") if options.outline == "both" else (options.outline,):
        print(f"{outline} balls, seconds of processor time, peak memory ({MEMORY_MIB} MiB asked for)")
        print("  ".join(heads))
        with tempfile.TemporaryDirectory() as folder:
            for exponent in options.sizes:
                lines = compare(exponent, outline, options.peer, options.repeat, Path(folder))
                print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
