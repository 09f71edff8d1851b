"""Tables for the recipes: what the files of each public data set say, as cohorts that `vesalius` reads.

Nothing is guessed: a group that only estimates the patient is named so (`block-`), a case that cannot be used is left
out here with the reason in the docstring of its function.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

Row = Mapping[str, object]
YEAR_DAYS = 365.25


def write(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as CSV and return the path."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return path


def read(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """Return the rows of a CSV table."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def pictures(folder: Path, out: Path) -> Path:
    """Return the set's own `labels.csv` with absolute paths."""
    rows = [{**row, "file": (folder / row["file"]).resolve()} for row in read(folder / "labels.csv")]
    return write(out / "table.csv", rows)


def blocks(folder: Path, out: Path, parts: int = 10) -> Path:
    """Return the set's pictures with neighbouring numbers of a class as one group, an estimate of the patient."""
    rows = read(folder / "labels.csv")
    found: list[Row] = []
    for label in sorted({row["label"] for row in rows}):
        own = sorted((row for row in rows if row["label"] == label), key=lambda row: _number(row["file"]))
        for part, members in enumerate(np.array_split(np.arange(len(own)), parts)):
            for i in members:
                path = (folder / own[i]["file"]).resolve()
                found.append({"file": path, "label": label, "patient": f"block-{label}-{part:02d}"})
    return write(out / "table.csv", found)


def _number(name: str) -> int:
    return int(re.findall(r"\d+", Path(name).name)[-1])


def pneumonia(folder: Path, out: Path) -> Path:
    """Return the pictures of both parts of the archive without its own division, across which copies stand."""
    archive = next(iter(sorted(folder.glob("*.npz")))).resolve()
    with np.load(archive, allow_pickle=False) as held:
        labels = np.concatenate([held["train_labels"].ravel(), held["val_labels"].ravel()])
    return write(out / "table.csv", [{"path": f"{archive}#{i}", "label": int(v)} for i, v in enumerate(labels)])


def dementia(folder: Path, out: Path) -> Path:
    """Return OASIS-2 visits of subjects who stayed demented or not; the converted ones have no one label."""
    kept = [row for row in read(folder / "oasis_longitudinal.csv", ";") if row["Group"] != "Converted"]
    return write(out / "table.csv", [{name: value.replace(",", ".") for name, value in row.items()} for row in kept])


def nodules(folder: Path, out: Path) -> Path:
    """Return LIDC-IDRI nodules: the readers' marks within a radius are one nodule, labelled by mean malignancy.

    A mean of 3 says neither and is left out, as in the literature on this set.
    """
    studies: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in read(folder / "annotations.csv"):
        studies.setdefault((row["patient_id"], row["series_uid"]), []).append(row)
    rows = [_nodule(marks) for one in studies.values() for marks in _same_place(one)]
    return write(out / "table.csv", [row for row in rows if row["label"] != "unclear"])


def _place_mm(mark: Mapping[str, str]) -> tuple[float, float, float]:
    edge = float(mark["pixel_spacing_mm"])
    return float(mark["centroid_row_px"]) * edge, float(mark["centroid_col_px"]) * edge, float(mark["centroid_z_mm"])


def _same_place(marks: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    """Return the marks joined where two lie nearer than half the larger diameter."""
    from scipy.sparse.csgraph import connected_components

    places = np.array([_place_mm(mark) for mark in marks])
    sizes = np.array([float(mark["max_diameter_mm"]) for mark in marks])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    near = distances <= np.maximum(sizes[:, None], sizes[None]) / 2
    count, members = connected_components(near, directed=False)
    return [[marks[i] for i in np.flatnonzero(members == one)] for one in range(count)]


def _nodule(marks: list[dict[str, str]]) -> Row:
    def mean(name: str) -> float:
        return round(float(np.mean([float(mark[name]) for mark in marks])), 4)

    told = ("max_diameter_mm", "volume_mm3", "subtlety", "sphericity", "margin", "lobulation", "spiculation", "texture")
    malignancy = mean("malignancy")
    label = "unclear" if malignancy == 3 else "malignant" if malignancy > 3 else "benign"
    calcified = float(np.mean([mark["calcification"] != "6" for mark in marks]))
    return {
        "patient_id": marks[0]["patient_id"],
        "label": label,
        "readers": len(marks),
        **{name: mean(name) for name in told},
        "calcified": round(calcified, 4),
    }


def kidney_clinical(folder: Path, out: Path) -> Path:
    """Return the clinical table of KiTS19 before surgery: what is known then, and the days until death."""
    rows = []
    for case in json.loads((folder / "kits.json").read_text(encoding="utf-8")):
        egfr = (case["last_preop_egfr"] or {}).get("value")
        rows.append(
            {
                "patient_id": case["case_id"],
                "age": case["age_at_nephrectomy"],
                "sex": case["gender"],
                "bmi": case["body_mass_index"],
                "size_cm": case["radiographic_size"],
                # the table caps the filtration rate as text
                "egfr": 90 if egfr == ">=90" else egfr,
                "smoker": case["smoking_history"],
                "metastatic": case["comorbidities"]["metastatic_solid_tumor"],
                "time": case["vital_days_after_surgery"],
                "event": int(case["vital_status"] == "dead"),
                "label": "malignant" if case["malignant"] else "benign",
            }
        )
    return write(out / "table.csv", [row for row in rows if row["time"]])


def survival(name: str, time: str, event: str, *, dead: str = "1") -> Callable[[Path, Path], Path]:
    """Return the maker of one survival table; each row of these sets is one patient, as their sources say."""

    def make(folder: Path, out: Path) -> Path:
        source = folder / name
        rows = read(source) if source.suffix == ".csv" else _arff(source)
        found = []
        for number, row in enumerate(rows, start=1):
            rest = {key: value for key, value in row.items() if key not in (time, event)}
            found.append({"patient_id": f"row-{number}", "time": row[time], "event": int(row[event] == dead), **rest})
        return write(out / "table.csv", [row for row in found if float(str(row["time"])) > 0])

    return make


def _arff(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table in Weka's ARFF form, quotes taken off."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if line and not line.startswith("%")]
    names = [line.split(None, 2)[1].strip("'\"") for line in lines if line.lower().startswith("@attribute")]
    body = lines[next(i for i, line in enumerate(lines) if line.lower() == "@data") + 1 :]
    return [
        {n: ("" if v == "?" else v) for n, v in zip(names, row, strict=True)}
        for row in csv.reader(body, quotechar="'", skipinitialspace=True)
    ]


MAKERS: Mapping[str, tuple[str, Callable[[Path, Path], Path]]] = {
    "pneumoniamnist": ("pneumoniamnist", pneumonia),
    "busi_breast_us": ("busi_breast_us", pictures),
    "head_ct_hemorrhage": ("head_ct_hemorrhage", pictures),
    "brain_mri_tumor_yesno": ("brain_mri_tumor_yesno", pictures),
    "iqothnccd_lung_ct": ("iqothnccd_lung_ct", blocks),
    "ct_kidney_4class": ("ct_kidney_4class", partial(blocks, parts=5)),
    "gallbladder_us_ba": ("gallbladder_us_ba", pictures),
    "oasis_dementia": ("oasis_longitudinal", dementia),
    "oasis_dementia_no_tests": ("oasis_longitudinal", dementia),
    "lidc_malignancy": ("lidc_annotations", nodules),
    "kidney_survival": ("kits19_seg", kidney_clinical),
    "survival_lung": ("survival_tables", survival("lifelines/lung.csv", "time", "status")),
    "survival_gbsg2": ("survival_tables", survival("lifelines/gbsg2.csv", "time", "cens")),
    "survival_larynx": ("survival_tables", survival("lifelines/larynx.csv", "time", "death")),
    "survival_kidney_transplant": ("survival_tables", survival("lifelines/kidney_transplant.csv", "time", "death")),
    "survival_whas500": ("survival_tables", survival("sksurv/whas500.arff", "lenfol", "fstat")),
    "survival_veteran": (
        "survival_tables", survival("sksurv/veteran.arff", "Survival_in_days", "Status", dead="dead")),
    "survival_breast_genes": (
        "survival_tables", survival("sksurv/breast_cancer_GSE7390-metastasis.arff", "t.tdm", "e.tdm")),
}  # fmt: skip
"""Recipe -> folder of its data set, maker of its table."""
