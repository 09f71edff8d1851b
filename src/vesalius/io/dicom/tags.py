"""Which elements of a header are read."""

from __future__ import annotations

from typing import Final

from pydicom.datadict import tag_for_keyword

ATTRIBUTES: Final = (
    *("ImageType", "ScanningSequence", "SequenceVariant", "ScanOptions", "SequenceName", "MRAcquisitionType"),
    *("EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "EchoTrainLength", "EchoNumbers"),
    *("MagneticFieldStrength", "ContrastBolusAgent", "DiffusionBValue", "PulseSequenceName"),
    *("SliceThickness", "SpacingBetweenSlices", "GantryDetectorTilt", "KVP", "ConvolutionKernel"),
    *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ProtocolName", "BodyPartExamined"),
    *("PatientPosition", "Laterality", "ImageLaterality", "ViewPosition", "PhotometricInterpretation"),
    *("AcquisitionContrast", "Units", "CorrectedImage", "DecayCorrection", "Radiopharmaceutical"),
    *("PixelSpacingCalibrationType", "FrameTime", "BurnedInAnnotation", "LossyImageCompression", "RescaleType"),
    *("VolumetricProperties", "ComplexImageComponent", "PatientOrientation"),
)
"""Acquisition attributes that do not identify a patient; they go into `Series.attributes`."""

_DESCRIBING = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("StudyDate", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "AcquisitionDateTime"),
    *("ContentDate", "ContentTime", "SeriesDescription", "SeriesNumber", "AcquisitionNumber", "InstanceNumber"),
    *("TemporalPositionIdentifier", "TriggerTime", "NumberOfTemporalPositions", "ImageComments"),
    *("PatientID", "PatientName", "PatientBirthDate", "PatientWeight", "StackID", "AnatomicRegionSequence"),
)

_PIXELS = (
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PlanarConfiguration", "BitsAllocated", "BitsStored"),
    *("HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleSlope"),
    *("RescaleIntercept", "ModalityLUTSequence", "DoseGridScaling", "DoseUnits", "ExtendedOffsetTable"),
    *("ExtendedOffsetTableLengths", "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor"),
    *("BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableData", "SegmentedRedPaletteColorLookupTableData"),
    *("SegmentedGreenPaletteColorLookupTableData", "SegmentedBluePaletteColorLookupTableData"),
)

_PLACE = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"),
    *("NominalScannedPixelSpacing", "SequenceOfUltrasoundRegions", "GridFrameOffsetVector", "FrameTimeVector"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "DetectorInformationSequence"),
    *("EstimatedRadiographicMagnificationFactor", "SliceVector", "FrameIncrementPointer", "TimeSlotVector"),
    *("NumberOfSlices", "EnergyWindowVector", "DetectorVector", "RotationVector", "PhaseVector"),
    *("DimensionIndexSequence", "TotalPixelMatrixRows", "TotalPixelMatrixColumns", "DimensionOrganizationType"),
)

_OTHER = (
    *(
        "RadiopharmaceuticalInformationSequence",
        "SUVType",
        "SegmentSequence",
        "SegmentationType",
        "DirectoryRecordType",
    ),
    *("MIMETypeOfEncapsulatedDocument", "ConcatenationUID", "DiffusionGradientOrientation"),
)

SIEMENS_CSA: Final = 0x00291010
SIEMENS_MOSAIC_COUNT: Final = 0x0019100A
SIEMENS_B_VALUE: Final = 0x0019100C
_PRIVATE = (0x00190010, SIEMENS_MOSAIC_COUNT, SIEMENS_B_VALUE, 0x00290010, SIEMENS_CSA)

WANTED: Final = frozenset(
    (
        *(tag for word in (*ATTRIBUTES, *_DESCRIBING, *_PIXELS, *_PLACE, *_OTHER) if (tag := tag_for_keyword(word))),
        *_PRIVATE,
    )
)
"""Tags of the elements that reading a descriptor needs."""
