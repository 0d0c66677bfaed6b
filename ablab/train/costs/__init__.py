"""Costs of training and using a model: memory, decoding and time."""
