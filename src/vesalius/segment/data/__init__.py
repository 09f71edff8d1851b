"""Data files of the tissue engine: the head atlas written by `recipes/head_atlas`."""
