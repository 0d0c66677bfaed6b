"""Parts of a study: the same design at several budgets or on a ladder of scales."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ablab.errors import UserError
from ablab.spec.nuisance import RECIPE
from ablab.spec.run import BudgetConfig, RecipeConfig, Rung, Scales, Sizes
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document, Keys

FEWEST_RUNGS = 3
# The learning rate is proportional to the width to minus this power.
_POWERS = {"inverse_width": 1.0, "inverse_sqrt_width": 0.5}


@dataclass(frozen=True)
class Part:
    """One part of a study, which is a study of its own.

    `label` names it for people and is empty for a study without parts. In `document` the keys of
    `study` have the positions at which the file sets them for this part. `key` is the path of the
    part in the file.
    """

    label: str
    study: Study
    document: Document
    key: Keys = ()


def parts_of(study: Study, document: Document) -> list[Part]:
    """Return the parts in the order of the file.

    A study without `budgets` and `scales` is its only part. Raises UserError with the position of
    an invalid key.
    """
    if study.budgets is None and study.scales is None:
        return [Part("", study, document)]
    _check(study, document)
    return list(_budgets(study, document) if study.budgets is not None else _rungs(study, document))


def check_order(parts: Sequence[Part], flops: Sequence[float], document: Document) -> None:
    """Raise UserError if a rung is not larger than the previous one.

    `flops`: training FLOPs of one run of the baseline on each rung.
    """
    for part, previous, current in zip(parts[1:], flops, flops[1:], strict=False):
        if current <= previous:
            raise UserError(
                f"{document.at(part.key)}: scales out of order: a run of the baseline takes "
                f"{current:.3g} training FLOPs here and {previous:.3g} on the previous rung; "
                "list the rungs from small to large"
            )


def _check(study: Study, document: Document) -> None:
    if study.budgets is not None and study.scales is not None:
        raise _error(
            document,
            ("budgets",),
            "`budgets` and `scales` cannot be combined: give each rung of `scales` its budget, or "
            "remove one of them",
        )
    if study.design.kind == "search":
        key = "budgets" if study.budgets is not None else "scales"
        raise _error(
            document,
            (key,),
            f"a search has no {key}: search once, and confirm the best arms in a study with "
            f"`{key}`",
        )
    if study.budgets is not None:
        _check_budgets(study.budgets, document)
    if study.scales is not None:
        _check_scales(study.scales, study.tune is not None, document)
        _check_nuisance(study, document)


def _check_nuisance(study: Study, document: Document) -> None:
    """Raise UserError if a nuisance factor would replace an option that follows the scale."""
    for name, levels in (study.nuisance or {}).items():
        if name.startswith(RECIPE) and isinstance(levels, list):
            raise _error(
                document,
                ("nuisance", name),
                "two values would replace those of all rungs: give {factor: …}, which multiplies "
                "the value of each",
            )


def _check_budgets(budgets: Sequence[BudgetConfig], document: Document) -> None:
    if "budget" in document.values:
        raise _error(
            document,
            ("budgets",),
            "`budget` is given as well: remove it (`budget: null`), or remove `budgets`",
        )
    if len(budgets) < 2:
        raise _error(
            document,
            ("budgets",),
            f"it lists {len(budgets) or 'none'}: give at least two, or one `budget`",
        )


def _check_scales(scales: Scales, tuned: bool, document: Document) -> None:
    if len(scales.rungs) < FEWEST_RUNGS:
        raise _error(
            document,
            ("scales",),
            f"{len(scales.rungs)} rung(s): at least {FEWEST_RUNGS} are needed, two to fit a line "
            "and one to test it",
        )
    if scales.lr is not None and tuned:
        raise _error(
            document,
            ("scales", "lr"),
            "`tune` chooses the learning rate on each rung: remove one of them",
        )


def _error(document: Document, key: Keys, message: str) -> UserError:
    return UserError(f"{document.at(key)}: {message}")


def _budgets(study: Study, document: Document) -> Iterator[Part]:
    labels: set[str] = set()
    for i, budget in enumerate(study.budgets or ()):
        key = ("budgets", str(i))
        label = _budget_label(budget)
        if label in labels:
            raise _error(document, key, f"{label} is listed twice")
        labels.add(label)
        part_study = study.model_copy(update={"budget": budget, "budgets": None})
        yield Part(label, part_study, _moved(document, {("budget",): key}), key)


def _rungs(study: Study, document: Document) -> Iterator[Part]:
    assert study.scales is not None
    rungs = study.scales.rungs
    for i, (rung, label) in enumerate(zip(rungs, _labels(study, rungs), strict=True)):
        key = ("scales", "rungs", str(i))
        if rung.budget is None and not rung.model.model_dump(exclude_none=True):
            raise _error(document, key, "a rung needs a `model`, a `budget` or both")
        if rung.budget is None and "budget" not in document.values:
            raise _error(
                document, key, "it has no budget: give one here, or one `budget` for all rungs"
            )
        budget = rung.budget or study.budget
        if budget.seconds is not None:
            budget_key = (*key, "budget") if rung.budget else ("budget",)
            raise _error(
                document,
                budget_key,
                "the rungs of a ladder are compared by training compute: give tokens, steps or "
                "flops",
            )
        part_study = study.model_copy(
            update={
                "budget": budget,
                "model": _sizes(study, rung),
                "scales": None,
                "recipe": _recipe(study, i, document),
            }
        )
        positions = {(name,): (*key, name) for name in ("model", "budget", "recipe")}
        yield Part(label, part_study, _moved(document, positions), key)


def _sizes(study: Study, rung: Rung) -> Sizes:
    return Sizes(
        **{**study.model.model_dump(exclude_none=True), **rung.model.model_dump(exclude_none=True)}
    )


def _merged(study: Study, rung: Rung) -> RecipeConfig:
    return RecipeConfig(
        **{
            **study.recipe.model_dump(exclude_unset=True),
            **rung.recipe.model_dump(exclude_unset=True),
        }
    )


def _recipe(study: Study, i: int, document: Document) -> RecipeConfig:
    """Return the recipe of rung `i`: its options over the study's, with `lr` scaled by the rule."""
    assert study.scales is not None
    first = study.scales.rungs[0]
    rung = study.scales.rungs[i]
    recipe = _merged(study, rung)
    base = _merged(study, first)
    power = _POWERS.get(study.scales.lr or "constant")
    if power is None or "lr" in rung.recipe.model_fields_set:
        return recipe
    widths = [_sizes(study, each).width for each in (first, rung)]
    if widths[0] is None or widths[1] is None:
        raise UserError(
            f"{document.at(['scales', 'lr'])}: {study.scales.lr} needs the `model.width` of "
            "every rung"
        )
    if base.preset is not None and "lr" not in base.model_fields_set:
        raise UserError(
            f"{document.at(['scales', 'lr'])}: {study.scales.lr} needs `recipe.lr`, the "
            "first rung's learning rate"
        )
    return recipe.model_copy(update={"lr": base.lr * (widths[0] / widths[1]) ** power})


def _labels(study: Study, rungs: Sequence[Rung]) -> list[str]:
    """Return a distinct label per rung: the sizes that differ, and the budget if they do not."""
    rung_sizes = [_sizes(study, rung).model_dump(exclude_none=True) for rung in rungs]
    varying = [
        name for name in Sizes.model_fields if len({sizes.get(name) for sizes in rung_sizes}) > 1
    ]
    labels = [
        ", ".join(f"{name} {sizes[name]}" for name in varying if name in sizes)
        for sizes in rung_sizes
    ]
    if len(set(labels)) == len(labels) and all(labels):
        return labels
    budgets = [_budget_label(rung.budget or study.budget) for rung in rungs]
    labels = [", ".join(filter(None, pair)) for pair in zip(labels, budgets, strict=True)]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{i}: {label}" for i, label in enumerate(labels, start=1)]


def _budget_label(budget: BudgetConfig) -> str:
    ((kind, amount),) = budget.model_dump(exclude_none=True).items()
    return f"{kind} {amount:g}"


def _moved(document: Document, sources: Mapping[Keys, Keys]) -> Document:
    """Return the document with the positions below each source key also at its target key.

    `sources`: source key by target key.
    """
    places: dict[Keys, str] = dict(document.places)
    values: dict[str, Any] = dict(document.values)
    for target, source in sources.items():
        places |= {
            (*target, *path[len(source) :]): place
            for path, place in document.places.items()
            if path[: len(source)] == source
        }
    return replace(document, values=values, places=places)
