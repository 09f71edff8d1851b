"""A throwaway result that looks like a brain MRI: a phantom head, tissue masks, measurements, a refusal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vesalius.core import (
    Code,
    Finding,
    Interval,
    KeyImage,
    LeftOut,
    Mark,
    Mask,
    Measurement,
    Message,
    Outcome,
    Provenance,
    QualityCheck,
    Report,
    Result,
    Run,
    Segment,
    Source,
    Volume,
)
from vesalius.report import numbers

APPLICATION = "sample-brain"
SEGMENTS = {
    1: Segment("gray_matter", Code("1010103000", "SCT", "Gray matter of brain"), (230, 159, 0)),
    2: Segment("white_matter", Code("68523003", "SCT", "White matter of brain"), (86, 180, 233)),
    3: Segment("csf", Code("65216001", "SCT", "Cerebrospinal fluid"), (0, 158, 115)),
}
_EN = {
    "application.sample-brain": "Brain MRI: tissue volumes",
    "volume.gray_matter": "Grey matter volume",
    "volume.white_matter": "White matter volume",
    "volume.csf": "Cerebrospinal fluid volume",
    "volume.intracranial": "Intracranial volume",
    "fraction.brain_in_fluid": "(GM + WM) / (GM + WM + CSF)",
    "asymmetry.gray_matter": "Asymmetry index of grey matter",
    "asymmetry.white_matter": "Asymmetry index of white matter",
    "icv.stripped": "The skull is not in the picture, so the inner border of the skull is not known.",
    "finding.volumes": "Grey matter {gm}, white matter {wm}, fluid {csf}.",
    "finding.fraction": "Brain tissue is {fraction} of brain tissue and fluid together.",
    "method.tissue": "Count of voxels labelled as the tissue, times the volume of a voxel.",
    "method.ratio": "Ratio of the volumes above.",
    "method.asymmetry": "200 (L - R) / (L + R), sides from a hemisphere map of the atlas.",
    "method.engine": "A tissue atlas is aligned with the head; a mixture of Gaussians, a bias field and a Markov "
    "random field are fitted together until they no longer change.",
    "quality.snr": "Signal to noise",
    "quality.contrast": "Tissue contrast",
    "quality.coverage": "Coverage",
    "snr.good": "Signal-to-noise ratio {snr:.0f}: enough for tissue borders.",
    "contrast.good": "Grey and white matter differ by {contrast:.1f} standard deviations.",
    "coverage.low": "The lowest {mm:.0f} mm of the cerebellum are outside the picture.",
    "domain.good": "T1 contrast, head, 1 mm: what the application was made for.",
    "domain.sequence": "Sequence and body part",
    "limit.lesions": "Lesions, tumours and bleeding: they are counted as the tissue they resemble.",
    "limit.skull": "Anything outside the brain.",
    "chosen.t1": "Best T1-weighted series: 1.0 mm isotropic, whole head, no contrast agent.",
    "left.flair": "FLAIR: fluid is dark by design, so tissue classes cannot be told apart as in T1.",
    "left.crop": "Covers only part of the head ({slices} slices).",
    "key.tissue": "Tissue borders through the centre of the brain.",
    "key.montage": "Tissue borders from base to vertex.",
    "refused.contrast": "Grey matter is brighter than white matter ({ratio:.2f} to 1): not a T1-weighted image.",
    "refused.help": "A T1-weighted series of the same visit (MPRAGE, SPGR, TFE), 0.7 to 3 mm isotropic.",
    "glossary.bpf": "Brain parenchymal fraction: grey and white matter as a share of the intracranial volume",
}
_ZH = {
    "application.sample-brain": "脑部 MRI：组织体积",
    "volume.gray_matter": "灰质体积",
    "volume.white_matter": "白质体积",
    "volume.csf": "脑脊液体积",
    "volume.intracranial": "颅内体积",
    "fraction.brain_in_fluid": "（灰质 + 白质）/（灰质 + 白质 + 脑脊液）",
    "asymmetry.gray_matter": "灰质不对称指数",
    "asymmetry.white_matter": "白质不对称指数",
    "icv.stripped": "图像中不含颅骨，无法确定颅骨内缘。",
    "finding.volumes": "灰质 {gm}，白质 {wm}，脑脊液 {csf}。",
    "finding.fraction": "脑组织占脑组织与脑脊液之和的 {fraction}。",
    "method.tissue": "标记为该组织的体素数乘以体素体积。",
    "method.ratio": "上述体积之比。",
    "method.asymmetry": "200 (L - R) / (L + R)，左右由图谱的半球图确定。",
    "method.engine": "将组织图谱与头部配准；同时拟合高斯混合、偏置场与马尔可夫随机场，直至收敛。",
    "quality.snr": "信噪比",
    "quality.contrast": "组织对比度",
    "quality.coverage": "覆盖范围",
    "snr.good": "信噪比 {snr:.0f}，足以分辨组织边界。",
    "contrast.good": "灰质与白质相差 {contrast:.1f} 个标准差。",
    "coverage.low": "小脑最下方 {mm:.0f} mm 不在图像内。",
    "domain.good": "T1 对比、头部、1 mm，符合本应用的适用条件。",
    "domain.sequence": "序列与部位",
    "limit.lesions": "病灶、肿瘤和出血：按其相似的组织计入。",
    "limit.skull": "脑以外的任何结构。",
    "chosen.t1": "最佳 T1 加权序列：1.0 mm 各向同性，全头，无对比剂。",
    "left.flair": "FLAIR：脑脊液信号被抑制，无法按 T1 区分组织。",
    "left.crop": "仅覆盖部分头部（{slices} 层）。",
    "key.tissue": "通过脑中心的组织边界。",
    "key.montage": "自颅底至颅顶的组织边界。",
    "refused.contrast": "灰质比白质亮（{ratio:.2f} 比 1），不是 T1 加权图像。",
    "refused.help": "请提供同次检查的 T1 加权序列（MPRAGE、SPGR、TFE），0.7 至 3 mm 各向同性。",
    "glossary.bpf": "脑实质分数：灰质与白质占颅内体积的比例",
}
CATALOGUE = {"en": _EN, "zh": _ZH}


def phantom(spacing_mm: float = 4.0, tilt_deg: float = 0.0) -> tuple[Volume, Mask]:
    """Return an ellipsoid head in LPS with nested tissues, a bright marker on its left, and its labels."""
    size = (
        np.array(
            [
                150.0,
                140.0,
                190.0,
            ]
        )
        / spacing_mm
    )
    shape = tuple(int(n) for n in np.ceil(np.array([160.0, 200.0, 160.0]) / spacing_mm))
    s, r, c = np.meshgrid(*[np.arange(n) - (n - 1) / 2 for n in shape], indexing="ij")
    radius = np.sqrt((s / (size[0] / 2)) ** 2 + (r / (size[2] / 2)) ** 2 + (c / (size[1] / 2)) ** 2)
    wave = 0.06 * np.cos(8 * np.arctan2(r, c)) * np.cos(4 * s / size[0])
    labels = np.zeros(shape, np.uint8)
    for limit, label in ((1.0, 3), (0.9, 1), (0.7, 2), (0.18, 3)):
        labels[radius + wave < limit] = label
    marker = (np.abs(c - size[1] * 0.32) < 2) & (np.abs(r) < 2) & (np.abs(s) < 2)
    values = np.array([20, 420, 640, 180], np.float32)[labels]
    values += np.random.default_rng(0).normal(0, 12, shape).astype(np.float32)
    values[marker] = 900
    affine = _affine(shape, spacing_mm, tilt_deg)
    return Volume(np.clip(values, 0, None), affine, modality="MR"), Mask(labels, affine, segments=SEGMENTS)


def _affine(shape: tuple[int, ...], spacing_mm: float, tilt_deg: float) -> NDArray[np.float64]:
    angle = np.deg2rad(tilt_deg)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]) * spacing_mm
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def icbm() -> tuple[Volume, Mask]:
    """Return the ICBM152 template that nilearn carries, with labels from its own probability maps, in LPS."""
    from nilearn import datasets

    images = [
        load(resolution=1)
        for load in (datasets.load_mni152_template, datasets.load_mni152_gm_template, datasets.load_mni152_wm_template)
    ]
    t1, gm, wm = (np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0) for image in images)
    ras = images[0].affine
    affine = np.eye(4)
    affine[:3, :3] = (np.diag([-1, -1, 1]) @ ras[:3, :3])[:, ::-1]
    affine[:3, 3] = np.diag([-1, -1, 1]) @ ras[:3, 3]
    labels = np.argmax(np.stack([1 - gm - wm, gm, wm]), axis=0)
    labels = np.where(labels == 0, 3, labels)
    labels[t1 <= 0] = 0
    return Volume(t1 * 1000, affine, modality="MR"), Mask(labels.astype(np.uint8), affine, segments=SEGMENTS)


def completed(volume: Volume, mask: Mask) -> Result:
    """Return a full result on this volume."""
    measurements = _measurements(mask)
    by_name = {m.name: m for m in measurements}
    spoken = {
        key: numbers.quantity(by_name[f"volume.{name}"])
        for key, name in (("gm", "gray_matter"), ("wm", "white_matter"), ("csf", "csf"))
    }
    fraction = numbers.quantity(by_name["fraction.brain_in_fluid"])
    code = Code("118538004", "SCT", "Mass, a measure of quantity of matter")
    report = replace(
        _report(Outcome.COMPLETED, volume),
        findings=(
            Finding(code, Message("finding.volumes", spoken)),
            Finding(code, Message("finding.fraction", {"fraction": fraction})),
        ),
        measurements=measurements,
        quality=(
            QualityCheck("snr", Mark.GOOD, Message("snr.good", {"snr": 34.2}), 34.2),
            QualityCheck("contrast", Mark.GOOD, Message("contrast.good", {"contrast": 3.4}), 3.4),
            QualityCheck("coverage", Mark.CAUTION, Message("coverage.low", {"mm": 6.0}), 6.0, "mm"),
            QualityCheck("domain.sequence", Mark.GOOD, Message("domain.good")),
        ),
        methods=(Message("method.engine"),),
        limits=(Message("limit.lesions"), Message("limit.skull")),
    )
    return Result(report, {"t1": volume}, {"tissue": mask}, _images(mask))


def refused(volume: Volume) -> Result:
    """Return a refusal with its input picture."""
    report = replace(
        _report(Outcome.REFUSED, volume),
        reasons=(Message("refused.contrast", {"ratio": 1.31}), Message("refused.help")),
        quality=(QualityCheck("contrast", Mark.POOR, Message("refused.contrast", {"ratio": 1.31}), 1.31),),
    )
    return Result(report, {"t1": volume})


def _images(mask: Mask) -> tuple[KeyImage, ...]:
    centre = tuple(float(x) for x in mask.index_to_world(np.argwhere(mask.array > 0).mean(axis=0)))
    window = (0.0, 1050.0)
    offsets = tuple(float(mm) for mm in np.linspace(-50, 55, 12))
    planes = ("axial", "coronal", "sagittal")
    return (
        KeyImage("tissue", "t1", "tissue", planes, centre, window, Message("key.tissue")),
        KeyImage("montage", "t1", "tissue", ("axial",), centre, window, Message("key.montage"), offsets),
    )


def _measurements(mask: Mask) -> tuple[Measurement, ...]:
    def volume(name: str, spread: float) -> Measurement:
        value = mask.volume_ml(name)
        segment = mask.segments[mask.label_of(name)]
        interval = Interval(value * (1 - spread), value * (1 + spread))
        return Measurement(
            f"volume.{name}", value, "mL", segment.code, "method.tissue", "tissue", name, interval=interval
        )

    gm, wm, csf = (
        volume(name, spread) for name, spread in (("gray_matter", 0.012), ("white_matter", 0.009), ("csf", 0.031))
    )
    tissue = (gm.value or 0) + (wm.value or 0)
    fraction = tissue / (tissue + (csf.value or 0))
    own = Code("asymmetry", "99VESALIUS", "Asymmetry index")
    share = Code("fraction", "99VESALIUS", "Brain tissue fraction")
    icv = Code("icv", "99VESALIUS", "Intracranial volume")
    return (
        gm,
        wm,
        csf,
        Measurement("volume.intracranial", None, "mL", icv, "method.tissue", reason=Message("icv.stripped")),
        Measurement(
            "fraction.brain_in_fluid",
            fraction,
            "1",
            share,
            "method.ratio",
            interval=Interval(fraction - 0.007, fraction + 0.008),
        ),
        Measurement("asymmetry.gray_matter", -1.24, "%", own, "method.asymmetry", interval=Interval(-1.9, -0.61)),
        Measurement(
            "asymmetry.white_matter",
            0.38,
            "%",
            own,
            "method.asymmetry",
            interval=Interval(-0.2, 0.97),
            mark=Mark.CAUTION,
        ),
    )


def _report(outcome: Outcome, volume: Volume) -> Report:
    key = "3fa27c91b04e"
    source = Source(
        "t1",
        "1.2.826.0.1.3680043.8.498.1",
        "dicom",
        "MR",
        "T1 MPRAGE sagittal",
        3,
        volume.shape,
        volume.spacing_mm,
        volume.orientation,
        Message("chosen.t1"),
        176,
        volume.sha256,
        attributes={"EchoTime": 2.98, "RepetitionTime": 2300.0, "InversionTime": 900.0, "FlipAngle": 9.0},
    )
    return Report(
        APPLICATION,
        "1.0.0",
        key,
        outcome,
        id="9b1cbf0e-2a52-4f2e-8c5e-7f3f1c1d2e3a",
        study_date="2023-11-07",
        sources=(source,),
        left_out=(
            LeftOut("1.2.826.0.1.3680043.8.498.2", "MR", "FLAIR axial 5 mm", 5, Message("left.flair")),
            LeftOut("1.2.826.0.1.3680043.8.498.3", "MR", "T1 crop", 7, Message("left.crop", {"slices": 12})),
        ),
        provenance=Provenance(
            inputs={"t1": volume.sha256},
            parameters={"classes": 6, "bias": {"spacing_mm": 40.0, "strength": 0.01}, "threads": 2},
            versions={"vesalius": "0.1.0", "numpy": "2.4.6", "SimpleITK": "2.5.3", "tissue-atlas": "1"},
            seed=0,
            steps=("guard", "align", "segment", "measure"),
            licences={"tissue-atlas": "CC BY 4.0", "vesalius": "Apache-2.0"},
        ),
        run=Run(
            id="9b1cbf0e-2a52-4f2e-8c5e-7f3f1c1d2e3a",
            started="2024-03-02T09:14:03+00:00",
            finished="2024-03-02T09:14:29+00:00",
            seconds=25.8,
            cpu_seconds=41.2,
            energy_wh=0.114,
            energy_method="estimated: processor seconds x 10 W per core",
            host="workstation",
            peak_memory_bytes=612_000_000,
            stages={"guard": 1.4, "align": 9.1, "segment": 12.7, "measure": 2.6},
        ),
    )
