"""The smallest application that does something: the volume of what is brighter than a quarter of the brightest.

`VESALIUS_TEST_SLEEP` slows it down (seconds), for tests that stop it halfway; `VESALIUS_TEST_CRASH` names a study
key on which the process is killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

import numpy as np

from vesalius.core import (
    Case,
    Code,
    Finding,
    Mask,
    Measurement,
    Message,
    Outcome,
    Report,
    Result,
    Segment,
    Selection,
    Series,
    Volume,
)
from vesalius.core.application import Context

HEAD = Code("69536005", "SCT", "Head")
VOLUME = Code("118565006", "SCT", "Volume")

CATALOGUE = {
    "en": {
        "application.trivial": "Trivial: volume of the bright part",
        "application.trivial.needs": "one three-dimensional MR or an image of unknown modality",
        "application.trivial.gives": "one volume in mL",
        "trivial.chosen": "the first three-dimensional MR series",
        "trivial.not_mr": "modality {modality} is not MR",
        "trivial.not_3d": "it has {components} values per voxel",
        "trivial.second": "another series was chosen",
        "trivial.empty": "The image is empty: every voxel has one value.",
        "trivial.not_finite": "The image holds values that are not finite.",
        "trivial.noise": "The image looks like noise.",
        "trivial.volume": "The bright part has {volume} mL.",
        "volume.bright": "Volume of the bright part",
        "method.threshold": "voxels brighter than a quarter of the brightest",
    },
    "zh": {
        "application.trivial": "示例：亮区体积",
        "application.trivial.needs": "一个三维磁共振图像",
        "application.trivial.gives": "一个体积（mL）",
        "trivial.chosen": "第一个三维磁共振序列",
        "trivial.not_mr": "模态 {modality} 不是磁共振",
        "trivial.not_3d": "每个体素有 {components} 个值",
        "trivial.second": "已选择其他序列",
        "trivial.empty": "图像为空：所有体素值相同。",
        "trivial.not_finite": "图像含非有限值。",
        "trivial.noise": "图像类似噪声。",
        "trivial.volume": "亮区体积为 {volume} mL。",
        "volume.bright": "亮区体积",
        "method.threshold": "亮度超过最大值四分之一的体素",
    },
}


class Trivial:
    """Thresholds the head and measures one volume."""

    name = "trivial"
    version = "1.0"
    catalogue: Mapping[str, Mapping[str, str]] = CATALOGUE

    def select(self, case: Case, series_uid: str | None = None) -> Selection:
        chosen: dict[str, Series] = {}
        left_out: list[tuple[Series, Message]] = []
        for series in case.study.series:
            reason = self._objection(series, series_uid, bool(chosen))
            if reason is None:
                chosen["image"] = series
            else:
                left_out.append((series, reason))
        reasons = {"image": Message("trivial.chosen")} if chosen else {}
        return Selection(chosen, reasons, tuple(left_out))

    def _objection(self, series: Series, series_uid: str | None, taken: bool) -> Message | None:
        if taken or (series_uid is not None and series_uid not in (series.uid, series.key)):
            return Message("trivial.second")
        if series.modality not in ("MR", ""):
            return Message("trivial.not_mr", {"modality": series.modality})
        if series.components != 1:
            return Message("trivial.not_3d", {"components": series.components})
        return None

    def memory_bytes(self, chosen: Mapping[str, Series]) -> int:
        return 200_000_000 + sum(3 * series.float32_bytes for series in chosen.values())

    def seconds(self, chosen: Mapping[str, Series]) -> float:
        return 1.0 + sum(series.float32_bytes for series in chosen.values()) / 100e6

    def run(self, case: Case, selection: Selection, volumes: Mapping[str, Volume], context: Context) -> Result:
        context.progress("threshold", 0.0)
        if os.environ.get("VESALIUS_TEST_CRASH") == case.study.key:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(os.environ.get("VESALIUS_TEST_SLEEP", "0")))
        volume = volumes["image"]
        reason = self._guard(volume)
        report = Report(self.name, self.version, case.study.key, Outcome.COMPLETED)
        if reason is not None:
            return Result(Report(self.name, self.version, case.study.key, Outcome.REFUSED, reasons=(reason,)))
        bright = (volume.array > 0.25 * volume.array.max()).astype(np.uint8)
        segment = Segment("bright", HEAD, (230, 159, 0))
        mask = Mask(bright, volume.affine, volume.frame, volume.spacing, segments={1: segment})
        millilitres = mask.volume_ml("bright")
        measured = Measurement("volume.bright", millilitres, "mL", VOLUME, "method.threshold", "bright", "bright")
        said = Finding(HEAD, Message("trivial.volume", {"volume": round(millilitres)}), evidence=("volume.bright",))
        report = Report(
            self.name, self.version, case.study.key, Outcome.COMPLETED, findings=(said,), measurements=(measured,)
        )
        intermediate = {"bright": mask, "notes.txt": "threshold"} if context.keep_intermediate else {}
        return Result(report, {"image": volume}, {"bright": mask}, intermediate=intermediate)

    def _guard(self, volume: Volume) -> Message | None:
        array = volume.array
        if not np.isfinite(array).all():
            return Message("trivial.not_finite")
        if array.min() == array.max():
            return Message("trivial.empty")
        middle = array[array.shape[0] // 2].astype(np.float64)
        if np.abs(np.diff(middle, axis=0)).mean() > 0.5 * middle.std():
            return Message("trivial.noise")
        return None


application = Trivial()
