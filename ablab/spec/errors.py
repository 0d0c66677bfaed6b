"""What is wrong with a study file, in its own words: the place, the key, and the nearest right
one.
"""

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ablab.errors import unknown
from ablab.spec.addresses import redacted
from ablab.spec.design import misplaced
from ablab.spec.yaml_document import Document


def messages(error: ValidationError, document: Document, root: type[BaseModel]) -> Iterable[str]:
    """A line for each error that validating `document` against `root` gave."""
    for item in error.errors():
        if (
            item["loc"][:1] == ("budget",)
            and item["type"] != "missing"
            and "budget" not in document.values
        ):
            continue  # said of `budgets` or `scales`, which it is taken from
        path, models = _walk(item["loc"], root)
        key = ".".join(path)
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            known = [alias for model in models for alias in _aliases(model)]
            elsewhere = misplaced(path[-1]) if path[0] == "design" and len(path) == 2 else None
            message = elsewhere or str(unknown("key", path[-1], known))
        elif item["type"] == "union_tag_invalid":
            context = item.get("ctx", {})
            expected = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
            message = str(unknown(context["discriminator"].strip("'"), context["tag"], expected))
        elif item["type"] not in ("missing", "value_error", "union_tag_not_found"):
            message = f"{message}, not {_shown(item['input'])}"
        yield (
            f"{document.place(path)}: {key}: {message}"
            if key
            else f"{document.place(path)}: {message}"
        )


def _shown(value: Any) -> str:
    """What was given, without the password of an address."""
    text = repr(value)
    return redacted(text, text) if "://" in text else text


def _walk(
    loc: Sequence[str | int], root: type[BaseModel]
) -> tuple[list[str], list[type[BaseModel]]]:
    """The YAML path of a pydantic location (which also names the chosen members of unions), and the
    models at its end.
    """
    path: list[str] = []
    parents: list[type[BaseModel]] = [root]
    models: list[type[BaseModel]] = [root]
    named = False  # the next part is a name that the user chose, as an arm's
    for part in loc:
        if named:
            named = False
            path.append(str(part))
            continue
        tagged = [m for m in models if _tag(m) == part]
        if tagged:
            models = tagged
            continue
        if isinstance(part, int):  # of a list, whose items are what `models` says
            path.append(str(part))
            continue
        fields = [f for m in models for n, f in m.model_fields.items() if part in (n, f.alias)]
        union = isinstance(part, str) and ("[" in part or part in ("int", "list", "float", "range"))
        if not fields and (union or (models and part != loc[-1])):
            continue
        path.append(str(part))
        parents, models = models, [m for f in fields for m in _models(f.annotation)]
        named = any(get_origin(leaf) is dict for f in fields for leaf in _leaves(f.annotation))
    return path, parents


def _tag(model: type[BaseModel]) -> Any:
    for name in ("kind", "source"):
        if (
            name in model.model_fields
            and get_origin(model.model_fields[name].annotation) is Literal
        ):
            return get_args(model.model_fields[name].annotation)[0]
    return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value may be, or in a mapping of names the values."""
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
