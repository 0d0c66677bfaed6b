"""The parts of a study: the same question at several budgets, or up a ladder of sizes and
budgets.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ablab.errors import UserError
from ablab.spec.run import BudgetConfig, RecipeConfig, Rung, Sizes
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document, Keys

FEWEST_RUNGS = 3
# By which power of the width the learning rate falls.
_POWERS = {"inverse_width": 1.0, "inverse_sqrt_width": 0.5}


@dataclass(frozen=True)
class Part:
    """One part: a study of its own. `label`: what people read; empty where a study has no parts.
    `document`: the file, as if it asked this part alone. `key`: what in the file asks for it.
    """

    label: str
    study: Study
    document: Document
    key: Keys = ()


def parts_of(study: Study, document: Document) -> list[Part]:
    """The parts in the order of the file; a study without `budgets` and `scales` is its only part.
    Raises UserError with the place of what is wrong.
    """
    if study.budgets is None and study.scales is None:
        return [Part("", study, document)]
    _check(study, document)
    return list(_budgets(study, document) if study.budgets is not None else _rungs(study, document))


def check_order(parts: Sequence[Part], flops: Sequence[float], document: Document) -> None:
    """Raises UserError where a rung is no larger than the one before it. `flops`: training FLOPs of
    the baseline at each.
    """
    for part, before, own in zip(parts[1:], flops, flops[1:], strict=False):
        if own <= before:
            raise UserError(
                f"{document.at(part.key)}: scales out of order: a run of the baseline takes "
                f"{own:.3g} training FLOPs here, "
                f"{before:.3g} on the rung before; list the rungs from small to large"
            )


def _check(study: Study, document: Document) -> None:
    several = "budgets" if study.budgets is not None else "scales"

    def refuse(key: Sequence[str], message: str) -> None:
        raise UserError(f"{document.at(key)}: {message}")

    if study.budgets is not None and study.scales is not None:
        refuse(
            ["budgets"],
            (
                "`budgets` and `scales` together: give each rung of `scales` its budget, or "
                "leave one of them out"
            ),
        )
    if study.design.kind == "search":
        refuse(
            [several],
            (
                f"a search has no {several}: search once, and confirm what it finds in a study "
                f"with `{several}`"
            ),
        )
    if study.budgets is not None and "budget" in document.values:
        refuse(
            ["budgets"],
            "`budget` is given as well: leave it out (`budget: null`), or leave `budgets` out",
        )
    if study.budgets is not None and len(study.budgets) < 2:
        refuse(
            ["budgets"],
            f"it lists {len(study.budgets) or 'none'}: give at least two, or one `budget`",
        )
    if study.scales is None:
        return
    if len(study.scales.rungs) < FEWEST_RUNGS:
        found = len(study.scales.rungs)
        refuse(
            ["scales"],
            (
                f"{found} rung(s): at least {FEWEST_RUNGS} are needed, two to fit a line and one "
                "to hold it against"
            ),
        )
    if study.scales.lr is not None and study.tune is not None:
        refuse(
            ["scales", "lr"], "`tune` chooses the learning rate on each rung: leave one of them out"
        )


def _budgets(study: Study, document: Document) -> Iterator[Part]:
    seen: dict[str, int] = {}
    for i, budget in enumerate(study.budgets or ()):
        key, label = ("budgets", str(i)), _told(budget)
        if label in seen:
            raise UserError(f"{document.at(key)}: {label} is listed twice")
        seen[label] = i
        own = study.model_copy(update={"budget": budget, "budgets": None})
        yield Part(label, own, _moved(document, {("budget",): key}), key)


def _rungs(study: Study, document: Document) -> Iterator[Part]:
    assert study.scales is not None
    rungs = study.scales.rungs
    for i, (rung, label) in enumerate(zip(rungs, _labels(study, rungs), strict=True)):
        key = ("scales", "rungs", str(i))
        sizes = rung.model.model_dump(exclude_none=True)
        if rung.budget is None and not sizes:
            raise UserError(
                f"{document.at(key)}: a rung has a `model` of its own, or a `budget`, or both"
            )
        if rung.budget is None and "budget" not in document.values:
            raise UserError(
                f"{document.at(key)}: it has no budget: give one here, or one `budget` for all"
            )
        own = study.model_copy(
            update={
                "budget": rung.budget or study.budget,
                "model": _sizes(study, rung),
                "scales": None,
                "recipe": _recipe(study, i, document),
            }
        )
        if own.budget.seconds is not None:
            at = (*key, "budget") if rung.budget else ("budget",)
            raise UserError(
                f"{document.at(at)}: a ladder is told by its training compute: give tokens, "
                "steps or flops"
            )
        yield Part(
            label,
            own,
            _moved(document, {(name,): (*key, name) for name in ("model", "budget", "recipe")}),
            key,
        )


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
    """The recipe of rung `i`: its own over the study's, its learning rate by the rule."""
    assert study.scales is not None
    first, rung = study.scales.rungs[0], study.scales.rungs[i]
    recipe, base = _merged(study, rung), _merged(study, first)
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
    """What tells the rungs apart: the sizes that differ, with the budget where those do not do."""
    sizes = [_sizes(study, rung).model_dump(exclude_none=True) for rung in rungs]
    differ = [name for name in Sizes.model_fields if len({found.get(name) for found in sizes}) > 1]
    labels = [
        ", ".join(f"{name} {found[name]}" for name in differ if name in found) for found in sizes
    ]
    if len(set(labels)) == len(labels) and all(labels):
        return labels
    budgets = [_told(rung.budget or study.budget) for rung in rungs]
    both = [", ".join(filter(None, pair)) for pair in zip(labels, budgets, strict=True)]
    return (
        both
        if len(set(both)) == len(both)
        else [f"{i}: {label}" for i, label in enumerate(both, start=1)]
    )


def _told(budget: BudgetConfig) -> str:
    ((kind, amount),) = budget.model_dump(exclude_none=True).items()
    return f"{kind} {amount:g}"


def _moved(document: Document, keys: Mapping[Keys, Keys]) -> Document:
    """The document as if what stands at the second key of each pair stood at the first."""
    places: dict[Keys, str] = dict(document.places)
    values: dict[str, Any] = dict(document.values)
    for to, at in keys.items():
        places |= {
            (*to, *path[len(at) :]): place
            for path, place in document.places.items()
            if path[: len(at)] == at
        }
    return replace(document, values=values, places=places)
