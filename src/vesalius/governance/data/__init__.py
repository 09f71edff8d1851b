"""Lists of what regulators ask for, as data."""
