"""The study file: YAML with positions, pydantic models, validation and overrides."""
