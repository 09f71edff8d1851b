"""Networks in PyTorch, by name; each is a body of stages and a last layer."""
