"""Analyse a real brain MRI: the T1-weighted ICBM152 template that nilearn carries. Run by `make demo`.

The template is skull-stripped, so the intracranial volume is *not measurable* and the report says so.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


def write_template(folder: Path) -> Path:
    """Write the 1 mm template that nilearn carries (nothing is downloaded) and return its path."""
    from nilearn.datasets import load_mni152_template

    path = folder / "icbm152_t1.nii.gz"
    template = load_mni152_template(resolution=1)
    template.header.set_xyzt_units("mm")  # the carried file leaves the unit open; the template is published in mm
    template.to_filename(path)
    return path


def main(out: Path) -> int:
    """Run `vesalius analyze` on the template and say where the report is."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        study = write_template(Path(folder))
        vesalius = Path(sys.executable).parent / "vesalius"
        command = [vesalius, "analyze", study, "--application", "brain-mri", "--out", out]
        code = subprocess.run(command, check=False).returncode
    for report in sorted(out.glob("*/brain-mri/report.*.html")):
        print(f"open {report.resolve()}")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")))
