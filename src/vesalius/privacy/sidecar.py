"""JSON beside images (BIDS): settings of the scanner stay, everything else goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

from vesalius.core.errors import LimitError, ReadError
from vesalius.privacy import descriptors
from vesalius.privacy.attributes import table

MAX_BYTES: Final = 16 << 20
_OF_BIDS: Final = frozenset(
    (
        *(
            "ImageType",
            "PhaseEncodingDirection",
            "SliceTiming",
            "EffectiveEchoSpacing",
            "TotalReadoutTime",
            "DwellTime",
        ),
        *("MultibandAccelerationFactor", "ParallelReductionFactorInPlane", "PartialFourier", "SliceEncodingDirection"),
        *(
            "NumberShots",
            "WaterFatShift",
            "EchoTrainLength",
            "PhaseEncodingSteps",
            "AcquisitionMatrixPE",
            "BaseResolution",
        ),
        *(
            "ReconMatrixPE",
            "BandwidthPerPixelPhaseEncode",
            "PercentPhaseFOV",
            "PercentSampling",
            "EchoTime1",
            "EchoTime2",
        ),
        *(
            "RepetitionTimeExcitation",
            "RepetitionTimePreparation",
            "SpoilingState",
            "MTState",
            "NonlinearGradientCorrection",
        ),
        *(
            "VolumeTiming",
            "NumberOfVolumesDiscardedByScanner",
            "InvertedEchoes",
            "EPIFactor",
            "ImageOrientationPatientDICOM",
        ),
        *("PhilipsRescaleSlope", "PhilipsRescaleIntercept", "UsePhilipsFloatNotDisplayScaling", "PhilipsRWVSlope"),
        *(
            "PhilipsRWVIntercept",
            "PhilipsScaleSlope",
            "MatrixCoilMode",
            "CoilCombinationMethod",
            "RefLinesPE",
            "TaskName",
        ),
        *("LabelingDuration", "PostLabelingDelay", "BackgroundSuppression", "ArterialSpinLabelingType", "M0Type"),
        *(
            "InjectedRadioactivity",
            "InjectedRadioactivityUnits",
            "ModeOfAdministration",
            "FrameTimesStart",
            "FrameDuration",
        ),
        *(
            "AttenuationCorrection",
            "ReconMethodName",
            "DecayCorrectionFactor",
            "Units",
            "TracerName",
            "TracerRadionuclide",
        ),
        *("SAR", "TxRefAmp", "RawImage", "DerivedVendorReportedEchoSpacing", "InPlanePhaseEncodingDirectionDICOM"),
    )
)
_WORDS_STAY: Final = frozenset(
    (
        *(
            "Manufacturer",
            "ManufacturersModelName",
            "ManufacturerModelName",
            "PhaseEncodingDirection",
            "MatrixCoilMode",
        ),
        *(
            "SliceEncodingDirection",
            "CoilCombinationMethod",
            "MRAcquisitionType",
            "ScanningSequence",
            "SequenceVariant",
        ),
        *("PulseSequenceName", "SequenceName", "ScanOptions", "PatientPosition", "Modality", "ConvolutionKernel"),
        *("InPlanePhaseEncodingDirectionDICOM", "ImageType", "PartialFourierDirection", "Units", "M0Type"),
        "ArterialSpinLabelingType",
    )
)
_DEEPEST: Final = 4


def is_sidecar(path: Path) -> bool:
    """Return whether a file is named like a JSON sidecar."""
    return path.suffix.lower() == ".json"


def cleaned_sidecar(path: Path) -> bytes:
    """Return the settings of a sidecar as JSON.

    Raises:
        LimitError: the file is too large.
        ReadError: not a JSON object.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LimitError("the JSON file is too large", expected=f"at most {MAX_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as problem:
        if isinstance(problem, LimitError):
            raise
        raise ReadError("not a JSON file", found=type(problem).__name__) from None
    if not isinstance(content, dict):
        raise ReadError("not a JSON sidecar", found=type(content).__name__, expected="an object of names and values")
    kept = {name: value for name, raw in content.items() if (value := _kept(str(name), raw)) is not None}
    return (json.dumps(kept, indent=1, ensure_ascii=True, sort_keys=True) + "\n").encode()


def _kept(name: str, value: Any) -> Any:
    if not _is_setting(name):
        return None
    return _checked(name, value, 0)


def _is_setting(name: str) -> bool:
    if name in _OF_BIDS or name in _WORDS_STAY:
        return True
    tag = tag_for_keyword(name)
    return (
        tag is not None and tag not in table() and dictionary_VR(tag) not in ("PN", "AE", "UR", "UI", "DA", "DT", "TM")
    )


def _checked(name: str, value: Any, depth: int) -> Any:
    """Return numbers, truth values and known words; lists of them; None for anything else."""
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 10**7):
        return value
    if isinstance(value, str):
        short = len(value) <= 64 and not any(c in value for c in "^@/\\")
        good = descriptors.is_clean(value) or (name in _WORDS_STAY and short)
        return value if good else None
    if isinstance(value, list) and depth < _DEEPEST:
        parts = [_checked(name, part, depth + 1) for part in value]
        return parts if all(part is not None for part in parts) else None
    return None
