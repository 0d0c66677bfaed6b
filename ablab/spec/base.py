"""The base class of the models of a study file."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ablab.errors import UserError
from ablab.names import MAX_NAME, require_label

# Every number, text and list of a study file has a bound, far beyond what is of use, so that no
# file makes a plan that takes all memory.
MAX_TEXT = 2_000
MAX_SEED = 2**31 - 1
MAX_SECONDS = 1e9
MAX_ITEMS = 64
MAX_ARMS = 256
MAX_SEEDS = 1_000

Text = Annotated[str, Field(max_length=MAX_TEXT)]
Expression = Annotated[str, Field(max_length=MAX_TEXT)]


def _label(name: str) -> str:
    try:
        return require_label("name", name)
    except UserError as error:
        raise ValueError(str(error)) from None


Label = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_label)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


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
