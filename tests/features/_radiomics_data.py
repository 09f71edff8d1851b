"""Phantoms and reference data of the radiomics tests."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesalius.core import Code, Mask, Segment, Volume
from vesalius.io import nifti, nrrd

LESION = Segment("lesion", Code("lesion", "99VESALIUS", "lesion"), (255, 0, 0))


def pair(
    image: NDArray[np.generic], inside: NDArray[np.generic], spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> tuple[Volume, Mask]:
    """Return a volume and a mask with one segment on an axis-aligned grid."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * spacing_mm
    return Volume(image, affine), Mask(np.asarray(inside, dtype=np.uint8), affine, segments={1: LESION})


def ball(radius_mm: float, spacing_mm: tuple[float, float, float], margin: int = 8) -> NDArray[np.bool_]:
    """Return a ball in the middle of a grid."""
    half = [int(np.ceil(radius_mm / s)) + margin for s in spacing_mm]
    z, y, x = np.mgrid[tuple(slice(-h, h + 1) for h in half)]
    a, b, c = spacing_mm
    return (z * a) ** 2 + (y * b) ** 2 + (x * c) ** 2 <= radius_mm**2


def with_mask(image: Path, mask: Path, reader: object = nifti) -> tuple[Volume, Mask]:
    """Return an image file and the voxels of a mask file that are above zero."""
    volume, labels = reader.read(image), reader.read(mask)  # type: ignore[attr-defined]
    inside = (labels.array == 1).astype(np.uint8)
    return volume, Mask(inside, volume.affine, volume.frame, volume.spacing, segments={1: LESION})


def digital_phantom(root: Path) -> tuple[Volume, Mask]:
    folder = root / "ibsi_1_digital_phantom" / "nifti"
    return with_mask(folder / "image" / "phantom.nii.gz", folder / "mask" / "mask.nii.gz")


def references(root: Path) -> list[tuple[str, float | None, float]]:
    """Return tag, reference value (None without one) and what an answer may differ by.

    That is the tolerance or half a unit of the third significant digit, to which all values are given: 1490 is
    1490 +- 5.
    """
    found = []
    with (root / "ibsi_1_digital_phantom" / "reference_values.csv").open(newline="") as lines:
        for row in csv.DictReader(lines, delimiter=";"):
            text = row["reference value"]
            if not text:
                found.append((row["tag"], None, 0.0))
                continue
            value = Decimal(text)
            shown = value.as_tuple().exponent
            assert isinstance(shown, int)
            leading = value.adjusted() - 2 if value else shown
            half = 0.5 * 10.0 ** max(shown, leading)
            found.append((row["tag"], float(text), max(float(row["tolerance"]), half) * (1 + 1e-9)))
    return found


def filter_phantom(root: Path, name: str) -> Volume:
    return nifti.read(root / "ibsi_2_digital_phantom" / "nifti" / name / "image" / f"{name}.nii.gz")


def filter_reference(root: Path, test: str) -> NDArray[np.generic]:
    return nifti.read(root / "ibsi_2_digital_phantom" / "reference" / f"{test}-ValidCRM.nii.gz").array


def pyradiomics_pair(root: Path, case: str) -> tuple[Volume, Mask]:
    folder = root / "pyradiomics_refs"
    return with_mask(folder / f"{case}_image.nrrd", folder / f"{case}_label.nrrd", nrrd)


def pyradiomics_baselines(root: Path, kind: str) -> dict[str, dict[str, float]]:
    """Return the baseline values of one feature class: column -> PyRadiomics name -> value."""
    with (root / "pyradiomics_refs" / "baseline" / f"baseline_{kind}.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))
    values = [row for row in rows if row[0].startswith("original_")]
    return {name: {row[0]: float(row[at]) for row in values} for at, name in enumerate(rows[0]) if at > 0}
