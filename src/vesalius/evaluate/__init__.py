"""Judging predictions: segmentation and detection metrics."""
