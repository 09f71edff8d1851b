"""Numbers measured on images and masks: radiomics."""
