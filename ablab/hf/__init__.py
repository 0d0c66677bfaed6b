"""Conversion between ablab models and `transformers` models.

The only package that imports `transformers`. May import `arch` and `data`.
"""
