"""Model packages: what they are, where they come from, and running them without PyTorch.

A package is a folder, or one `.vesalius` zip: `card.yaml` (what it is for, on what it was measured), `graph.yaml`
(prepare, features, networks, calibration), `config.yaml` (how it was trained), `*.onnx`, golden inputs and outputs, the
SHA-256 of every file, and a signature. Nothing in it is code, and loading never unpickles.
"""
