"""Conversion between ablab models and `transformers` models."""
