"""An arm's data: the study's, with what the arm chooses itself."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from ablab.arch.data_choice import DataChoice
from ablab.data.spec import AnyTokenizer, HubData, StdlibData, TextData, Tokenizer
from ablab.data.tokenizers import vocab_size
from ablab.errors import UserError
from ablab.spec.study import Study

AnyData = StdlibData | TextData | HubData


def arm_data(study: Study, choice: DataChoice) -> tuple[AnyData, dict[str, Any]]:
    """The arm's data, and the sizes that follow: the study's, or the arm's own where it has them.

    Raises UserError for a tokenizer that the lab does not know, and for a budget that would be
    unequal.
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


def own_data(study: Study, data: AnyData, choice: DataChoice) -> dict[str, Any]:
    """What the arm has otherwise than the study says, in plain values: its `tokenizer`, as a study
    file has it, and `context`.
    """
    tokenizer = (
        {} if data.tokenizer == study.data.tokenizer else {"tokenizer": data.tokenizer.model_dump()}
    )
    return (
        tokenizer
        if choice.context in (None, study.model.context)
        else {**tokenizer, "context": choice.context}
    )


def _tokenizer(choice: DataChoice) -> AnyTokenizer:
    assert choice.tokenizer is not None
    try:
        return TypeAdapter[AnyTokenizer](Tokenizer).validate_python(choice.tokenizer.settings())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("data.tokenizer", *first["loc"]))
        raise UserError(f"{where}: {first['msg']}") from None
