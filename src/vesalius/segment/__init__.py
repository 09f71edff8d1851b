"""Masks from images: one file or folder per family of methods."""
