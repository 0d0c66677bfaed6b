"""The study file: YAML with positions, pydantic models, validation and overrides.

May import `train`, `stats`, `data` and `arch`.
"""
