"""Messages for validation errors of a study file: position, key, problem and suggestion."""

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ablab.errors import unknown
from ablab.spec.addresses import redacted
from ablab.spec.design import misplaced
from ablab.spec.yaml_document import Document
from ablab.text.truncate import shown


def messages(error: ValidationError, document: Document, root: type[BaseModel]) -> Iterable[str]:
    """Yield a message for each error of validating `document` against `root`."""
    for item in error.errors():
        if (
            item["loc"][:1] == ("budget",)
            and item["type"] != "missing"
            and "budget" not in document.values
        ):
            continue  # copied from `budgets` or `scales`, where the same error is reported
        path, models = _located(item, root)
        message = _message(item, path, models)
        prefix = document.at(path) if path else document.place(path)
        yield f"{prefix}: {message}"


def _message(item: ErrorDetails, path: Sequence[str], models: Sequence[type[BaseModel]]) -> str:
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        keys = [alias for model in models for alias in _aliases(model)]
        in_design = path[0] == "design" and len(path) == 2
        other_designs = misplaced(path[-1]) if in_design else None
        return other_designs or str(unknown("key", path[-1], keys))
    if item["type"] == "union_tag_invalid":
        context = item.get("ctx", {})
        expected = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
        return str(unknown(context["discriminator"].strip("'"), context["tag"], expected))
    if item["type"] in ("missing", "value_error", "union_tag_not_found"):
        return message
    return f"{message}, not {_redacted_repr(item['input'])}"


def _redacted_repr(value: Any) -> str:
    text = shown(value)
    return redacted(text, text) if "://" in text else text


def _located(item: ErrorDetails, root: type[BaseModel]) -> tuple[list[str], list[type[BaseModel]]]:
    """Return the YAML path of an error, and the models that may have its last key."""
    if item["type"] != "extra_forbidden":
        path, parents, _ = _walk(item["loc"], root)
        return path, parents
    # An unknown key may look like the name of a union's member.
    *above, key = item["loc"]
    path, _, models = _walk(above, root)
    return [*path, str(key)], models


def _walk(
    loc: Sequence[str | int], root: type[BaseModel]
) -> tuple[list[str], list[type[BaseModel]], list[type[BaseModel]]]:
    """Return the YAML path of a pydantic location, and the models above its end and at it.

    The location also names the selected members of unions, which are not in the YAML path.
    """
    path: list[str] = []
    parents: list[type[BaseModel]] = [root]
    models: list[type[BaseModel]] = [root]
    named = False  # whether the next part is a name chosen by the user, such as an arm's
    for part in loc:
        if named:
            named = False
            path.append(str(part))
            continue
        tagged = [m for m in models if _tag(m) == part]
        if tagged:
            models = tagged
            continue
        if isinstance(part, int):  # an index of a list, whose items are `models`
            path.append(str(part))
            continue
        fields = [f for m in models for n, f in m.model_fields.items() if part in (n, f.alias)]
        union = isinstance(part, str) and ("[" in part or part in ("int", "list", "float", "range"))
        if not fields and (union or (models and part != loc[-1])):
            continue
        path.append(str(part))
        parents, models = models, [m for f in fields for m in _models(f.annotation)]
        named = any(get_origin(leaf) is dict for f in fields for leaf in _leaves(f.annotation))
    return path, parents, models


def _tag(model: type[BaseModel]) -> Any:
    """Return the value of the model's discriminator; None if it is no member of a union."""
    for name in ("kind", "source"):
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) is Literal:
            return get_args(field.annotation)[0]
    return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the models in an annotation, including those of the values of a mapping."""
    values = [
        get_args(leaf)[1] if get_origin(leaf) is dict else leaf for leaf in _leaves(annotation)
    ]
    return [
        leaf
        for value in values
        for leaf in _leaves(value)
        if isinstance(leaf, type) and issubclass(leaf, BaseModel)
    ]


def _leaves(annotation: Any) -> Iterable[Any]:
    if get_origin(annotation) in (Union, UnionType, Annotated, list):
        for part in get_args(annotation):
            yield from _leaves(part)
    else:
        yield annotation


def _aliases(model: type[BaseModel]) -> list[str]:
    return [f.alias or name for name, f in model.model_fields.items()]
