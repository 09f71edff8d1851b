"""Which attributes outside the table are technical text, which go with it, and what values are never swept."""

from __future__ import annotations

from typing import Final

TECHNICAL: Final = frozenset(
    (
        *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ManufacturerModelVersion"),
        *("SecondaryCaptureDeviceManufacturer", "SecondaryCaptureDeviceManufacturerModelName"),
        *("SecondaryCaptureDeviceSoftwareVersions", "DetectorManufacturerName", "DetectorManufacturerModelName"),
        *("ReceiveCoilManufacturerName", "TransmitCoilManufacturerName", "ApplicationName", "ApplicationVersion"),
        *("ApplicationManufacturer", "ConvolutionKernel", "SequenceName", "PulseSequenceName", "ReceiveCoilName"),
        *("TransmitCoilName", "ImagedNucleus", "FilterType", "FilterMaterial", "CollimatorGridName", "RescaleType"),
        *("MultiCoilElementName", "MultiCoilConfiguration"),
        *("ModalityLUTType", "ImageFilter", "OutputPower", "ContrastBolusRoute", "TriggerSourceOrType"),
        *("Radiopharmaceutical", "RadiopharmaceuticalRoute", "InterventionDrugName", "AttenuationCorrectionMethod"),
        *("ReconstructionMethod", "DetectorLinesOfResponseUsed", "ScatterCorrectionMethod", "PVCRejection"),
        *("CardiacFramingType", "TypeOfFilters", "PhosphorType", "AcquisitionMode", "PlateType"),
        *("ProcessingFunction", "TransducerData", "AcquisitionDeviceProcessingCode", "DigitalImageFormatAcquired"),
        *("VideoImageFormatAcquired", "SourceIsotopeName", "AlgorithmName"),
        *("AlgorithmVersion", "AlgorithmSource", "SegmentAlgorithmName", "CodingSchemeVersion", "MappingResourceName"),
        *(
            "CodeValue",
            "LongCodeValue",
            "URNCodeValue",
            "CodeMeaning",
            "CodingSchemeDesignator",
            "CodingSchemeRegistry",
        ),
        *("MIMETypeOfEncapsulatedDocument", "ExtendedCodeValue", "OpticalPathIdentifier"),
        *("ReferencedOpticalPathIdentifier", "TriggerSourceOrType", "ImageDisplayFormat"),
        *(
            "DetectorMode",
            "GridAbsorbingMaterial",
            "GridSpacingMaterial",
            "ASLTechniqueDescription",
            "AcquisitionContrast",
        ),
        *("DimensionDescriptionLabel", "EXIFVersion"),
    )
)
"""Text that scanners and programs write of themselves; swept, but not cleaned word by word."""

REMOVED_KEYWORDS: Final = frozenset(
    (
        *(
            "PatientBirthDateInAlternativeCalendar",
            "PatientDeathDateInAlternativeCalendar",
            "PatientAlternativeCalendar",
        ),
        *("DeviceID", "GridID", "NTPSourceAddress", "Signature", "EncryptedContent", "EncryptedAttributesSequence"),
        *("RecordKey", "PriorRecordKey", "ObjectBinaryIdentifierTrial", "ObjectDirectoryBinaryIdentifierTrial"),
        *("HPGLDocument", "PixelDataProviderURL", "UniversalEntityID", "LocalNamespaceEntityID", "RouteOfAdmissions"),
        *("OwnerID", "HangingProtocolCreator", "HangingProtocolUserGroupName", "ContactDisplayName", "PrinterName"),
        *("StorageMediaFileSetID", "AssignedLocation", "ResourceDescription", "BreedRegistrationNumber"),
        *("PrivateDataElementCharacteristicsSequence", "DeidentificationActionSequence", "MACParametersSequence"),
        *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
        *("LongitudinalTemporalInformationModified", "ContributingEquipmentSequence", "ImplantPartNumber"),
        *("ProductLotIdentifier", "SubstanceAdministrationDeviceID", "ComponentWelderIDs", "RadiationMachineName"),
        *("ProductPackageIdentifier", "IssuerOfAccessionNumberSequence", "IssuerOfPatientIDQualifiersSequence"),
        *("OrderPlacerIdentifierSequence", "OrderFillerIdentifierSequence", "AssigningFacilitySequence"),
        *("AssigningJurisdictionCodeSequence", "AssigningAgencyOrDepartmentCodeSequence", "PatientSupportID"),
        *("HL7InstanceIdentifier", "DocumentTitle", "EncapsulatedDocument", "PatientLocationSequence"),
        *(
            "SourcePatientGroupIdentificationSequence",
            "GroupOfPatientsIdentificationSequence",
            "SubjectRelativePositionInImage",
        ),
        *("SourceOfPreviousValues", "ModifyingSystem", "StudyUpdateDateTime", "FrameOriginTimestamp"),
    )
)
"""Attributes that the table does not list, or that we write ourselves, and that go in every profile."""

REMOVED_GROUPS: Final = frozenset((0x0000, 0x0002, 0x0004, 0x0014, 0x4000, 0x4010, 0xFFFA, 0xFFFC))
"""Command, file meta and directory elements, industrial and security imaging, signatures, padding."""

CLASS_UIDS: Final = frozenset(
    (
        *("SOPClassUID", "ReferencedSOPClassUID", "RelatedGeneralSOPClassUID", "OriginalSpecializedSOPClassUID"),
        *("SOPClassesInStudy", "SOPClassesSupported", "CodingSchemeUID", "ContextUID", "MappingResourceUID"),
        *("AvailableTransferSyntaxUID", "StoredInstanceTransferSyntaxUID", "ContextGroupExtensionCreatorUID"),
        *("MACCalculationTransferSyntaxUID", "EncryptedContentTransferSyntaxUID", "FlowTransferSyntaxUID"),
        *("PertinentSOPClassesInStudy", "PertinentSOPClassesInSeries", "ReferencedSOPClassUIDInFile"),
    )
)
"""UIDs that name a kind of thing, never one thing."""

INSTANCE_UIDS: Final = frozenset(("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"))
"""UIDs that are new in every case, even below the root of the standard."""

LINKS: Final = frozenset(("GraphicLayer",))
"""Labels by which items of one object refer to each other."""

LABELS: Final = LINKS | {"BodyPartExamined", "ContentLabel", "TherapyDescription"}
"""Coded strings that people type."""

NEVER_SWEPT: Final = frozenset(
    (
        *("Modality", "PhotometricInterpretation", "PatientSex", "SpecificCharacterSet", "ValueType"),
        *("PatientPosition", "LossyImageCompression", "RescaleType", "PresentationLUTShape", "MRAcquisitionType"),
        *("ContinuityOfContent", "RelationshipType", "CompletionFlag", "VerificationFlag", "PlanarConfiguration"),
        *("SegmentationType", "SegmentAlgorithmType", "DimensionOrganizationType", "TemporalRangeType", "GraphicType"),
        *("BurnedInAnnotation", "VolumetricProperties", "PixelPresentation", "ComplexImageComponent"),
    )
)
"""Attributes of few defined terms, where a name that equals one tells nothing."""
