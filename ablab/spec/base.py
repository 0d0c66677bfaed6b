"""The base class of the models of a study file."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A strict, frozen model that refuses unknown keys. The string below a field describes it in
    the JSON schema.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
