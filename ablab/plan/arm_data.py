"""The data of an arm: the study's, except for what the arm chooses itself."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from ablab.arch.data_choice import DataChoice
from ablab.data.spec import AnyTokenizer, HubData, StdlibData, TextData, Tokenizer
from ablab.data.tokenizers import vocab_size
from ablab.errors import UserError
from ablab.spec.study import Study

AnyData = StdlibData | TextData | HubData


def arm_data(study: Study, choice: DataChoice) -> tuple[AnyData, dict[str, Any]]:
    """Return the data of an arm, and the sizes of its model that are set by the study, the arm and
    the tokenizer.

    Raises UserError if the tokenizer is unknown, or if it differs from the study's under a budget
    that would then be unequal amounts of text.
    """
    sizes = {**study.model.model_dump(exclude_none=True), **choice.sizes()}
    data = study.data
    if choice.tokenizer is not None:
        tokenizer = _tokenizer(choice)
        if tokenizer != data.tokenizer and study.budget.kind not in ("flops", "seconds"):
            raise UserError(
                "its tokenizer is not the study's: tokens are unequal amounts of text; give "
                "a `seconds` or `flops` budget"
            )
        data = data.model_copy(update={"tokenizer": tokenizer})
    return data, {**sizes, "vocab": vocab_size(data.tokenizer)}


def data_overrides(study: Study, data: AnyData, choice: DataChoice) -> dict[str, Any]:
    """Return the `tokenizer` and the `context` of an arm where they differ from the study's, in the
    form of a study file.
    """
    overrides: dict[str, Any] = {}
    if data.tokenizer != study.data.tokenizer:
        overrides["tokenizer"] = data.tokenizer.model_dump()
    if choice.context not in (None, study.model.context):
        overrides["context"] = choice.context
    return overrides


def _tokenizer(choice: DataChoice) -> AnyTokenizer:
    assert choice.tokenizer is not None
    try:
        return TypeAdapter[AnyTokenizer](Tokenizer).validate_python(choice.tokenizer.settings())
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(str(part) for part in ("data.tokenizer", *first["loc"]))
        raise UserError(f"{location}: {first['msg']}") from None
