"""Memory of brain-mri per worker: estimate against measured peak, and both against what the project promises.

Promise: at most 500 MB + 12 x the input as float32, and the estimate right within 20 %. Run with the folder of real
data in VESALIUS_TEST_DATA, or beside the repository. Writes bench-output/memory.json; exit 1 when a promise is broken.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vesalius import io
from vesalius.core import Code, Mask, Segment, Volume
from vesalius.phantoms.heads import simulate_head
from vesalius.pipeline import Options, Request, perform, plan_only

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("VESALIUS_TEST_DATA", ROOT.parent / "shared" / "data"))
FIXED_BYTES, FACTOR, TOLERANCE = 500_000_000, 12, 0.20


@dataclass(frozen=True)
class Measured:
    """One run."""

    name: str
    input_mb: float
    estimate_mb: float
    peak_mb: float
    promised_mb: float
    outcome: str
    seconds: float

    @property
    def off(self) -> float:
        """Relative error of the estimate."""
        return self.estimate_mb / self.peak_mb - 1


def simulated(folder: Path) -> dict[str, Path]:
    """Write one simulated head at 2, 1 and 0.7 mm into the folder and return the files."""
    from scipy.ndimage import zoom

    path = next((DATA / "synthseg_label_maps").rglob("training_seg_08.nii.gz"), None)
    if path is None:
        return {}
    with io.scan(path) as case:
        labels = io.load(case.studies[0].series[0])
    names = {int(v): Segment(str(v), Code(str(v), "99V", str(v)), (0, 0, 0)) for v in np.unique(labels.array) if v}
    head = simulate_head(Mask(labels.array.astype(np.int16), labels.affine, segments=names)).image
    found = {}
    for spacing in (2.0, 1.0, 0.7):
        affine = head.affine.copy()
        affine[:3, :3] *= spacing
        image = Volume(zoom(head.array, 1 / spacing, order=1), affine, modality="MR")
        found[f"simulated head {spacing:g} mm"] = folder / f"head_{spacing:g}.nii.gz"
        io.save(image, folder / f"head_{spacing:g}.nii.gz")
    return found


def sources() -> dict[str, Path]:
    """Return the inputs that are there: three real heads, and the template that nilearn carries."""
    found = {
        "MPRAGE 1.3 x 1 x 1 mm": DATA / "brain_mprage_dicom",
        "whole head 0.88 mm": DATA / "niivue_images" / "chris_t1.nii.gz",
        "post-contrast 6.5 x 0.7 mm": DATA / "brain_mri_dicom_udacity",
    }
    try:
        import nilearn
    except ImportError:
        pass
    else:
        folder = Path(nilearn.__file__).parent / "datasets" / "data"
        found["ICBM152 1 mm"] = folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    return {name: path for name, path in found.items() if path.exists()}


def measure(name: str, source: Path, formats: tuple[str, ...] = ()) -> Measured:
    """Return estimate and peak of one analysis in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        request = Request(source, Path(folder) / "out", ("brain-mri",), Options(formats=formats))
        (planned,) = plan_only(request).jobs
        (row,) = perform(request).rows
    series = next(iter(planned.job.selection.chosen.values()))
    return Measured(
        name,
        series.float32_bytes / 1e6,
        (planned.memory_bytes or 0) / 1e6,
        (row.peak_memory_bytes or 0) / 1e6,
        (FIXED_BYTES + FACTOR * series.float32_bytes) / 1e6,
        row.outcome,
        row.seconds or 0.0,
    )


def main() -> int:
    """Print the table and return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = {**sources(), **simulated(Path(folder))}
        measured = [measure(name, path) for name, path in inputs.items()]
    print(f"{'input':28} {'float32':>8} {'estimate':>9} {'peak':>8} {'off':>6} {'promised':>9}  outcome")
    for one in measured:
        numbers = (
            f"{one.input_mb:8.0f} {one.estimate_mb:9.0f} {one.peak_mb:8.0f} {one.off:+6.0%} {one.promised_mb:9.0f}"
        )
        print(f"{one.name:28} {numbers}  {one.outcome}, {one.seconds:.0f} s")
    out = ROOT / "bench-output" / "memory.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps([{**asdict(one), "off": one.off} for one in measured], indent=1) + "\n")
    broken = [one.name for one in measured if abs(one.off) > TOLERANCE or one.peak_mb > one.promised_mb]
    print("every promise is kept" if not broken else f"broken for: {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
