"""The design that makes the same changes to several models."""

from dataclasses import replace

from ablab.arch.composition.compose import Conflict, check_conflicts
from ablab.arch.composition.expression import Model, resolve
from ablab.arch.composition.registry import Registry
from ablab.design.changes import Change, parse_change, variant
from ablab.design.layout import DesignLayout, contrast
from ablab.errors import UserError
from ablab.spec.design import Contexts
from ablab.spec.yaml_document import Document


def contexts(design: Contexts, registry: Registry, document: Document) -> DesignLayout:
    """Compare every context with each change against the context without it.

    Raises UserError with the position in the study file.
    """
    layout = DesignLayout()
    for i, text in enumerate(design.contexts):
        try:
            context = resolve(text, registry)
        except UserError as error:
            raise error.at(document.at(("design", "contexts", str(i)))) from None
        if any(arm.uses == context.uses for arm in layout.arms.values()):
            place = document.at(("design", "contexts", str(i)))
            raise UserError(f"{place}: {text!r} is a context or an arm of another already")
        without = layout.add(context)
        for j, change_text in enumerate(design.changes):
            try:
                change = change_in(context, change_text, registry)
            except UserError as error:
                raise error.at(document.at(("design", "changes", str(j)))) from None
            arm = layout.add(variant(context, change.apply(context.uses)))
            name = f"{change.name} in {context.expression}"
            layout.contrasts.append(contrast(name, "change", [(arm, 1.0), (without, -1.0)]))
            layout.notes += replacement(change, context)
    layout.baseline = next(iter(layout.arms))
    return layout


def change_in(context: Model, text: str, registry: Registry) -> Change:
    """Return a change to a context, which replaces the plugins that it conflicts with.

    Raises UserError for a change that cannot be made: it is empty, names an unknown plugin, changes
    nothing, conflicts with itself, or needs a plugin that the context lacks.
    """
    change = parse_change(text, registry, context)
    if change.apply(context.uses) == dict(context.uses):
        raise UserError(f"{change.name!r} changes nothing in {context.expression!r}")
    added = dict(change.added)
    while True:
        try:
            check_conflicts([use.claim() for use in change.apply(context.uses).values()])
        except Conflict as conflict:
            replaced = [name for name in conflict.plugins if name not in added]
            if len(replaced) != 1:
                raise
            removed = (*change.removed, (replaced[0], context.uses[replaced[0]]))
            change = replace(change, removed=removed)
        except UserError as error:
            raise error.at(f"{change.name!r} in {context.expression!r}") from None
        else:
            return change


def replacement(change: Change, context: Model) -> list[str]:
    """Return a note on the plugins of a context that a change replaces, if there are any."""
    added = {name for name, _ in change.added}
    replaced = [name for name, _ in change.removed if name not in added]
    if not added or not replaced:
        return []
    return [f"in {context.expression}, {change.name} replaces {', '.join(replaced)}"]
