"""Applications: one file per disease system; each only decides."""
