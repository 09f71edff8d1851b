"""Learning that can be believed: check and split cohorts, train, cross-validate, package."""
