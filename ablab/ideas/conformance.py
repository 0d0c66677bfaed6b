"""Holds an idea to the conformance suite before anything is trained."""

from collections.abc import Iterator

from ablab.arch.composition.compose import is_architecture
from ablab.arch.composition.expression import Model
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import Registry, blamed
from ablab.arch.conformance import SMALL, apply, checks
from ablab.errors import UserError
from ablab.ideas.idea import Idea


def require_conforming(idea: Idea, registry: Registry) -> None:
    """Raise UserError with a line for each check that a model with the idea fails.

    The line names the file and the line of the plugin that the problem most likely stems from.
    """
    lines = [
        line for context, arm in idea.pairs(registry) for line in _problems(context, arm, registry)
    ]
    if lines:
        raise UserError("\n".join(lines))


def _problems(context: Model, arm: Model, registry: Registry) -> Iterator[str]:
    added = [use.plugin for name, use in arm.uses.items() if context.uses.get(name) != use]
    names = blamed(added)
    changed = [plugin for plugin in added if plugin.name in names]
    place = ", ".join(f"{plugin.place}: {plugin.name}" for plugin in changed) or "the change"
    paths = {path for plugin in changed for path in arm.uses[plugin.name].claim().edit}
    if changed and not any(map(is_architecture, paths)):
        return
    try:
        arch = architecture(arm.expression, registry, SMALL)
    except UserError as error:
        yield f"{place}: {error}"
        return
    for check, fault in apply(checks(), arch):
        if fault:
            yield f"{place}: {check.name}: {fault} (in {arm.expression})"
