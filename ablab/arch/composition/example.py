"""An example of a model with a given plugin."""

from ablab.arch.composition.compose import Composite, Conflict
from ablab.arch.composition.expression import resolve
from ablab.arch.composition.registry import Plugin, Registry


def example_model(plugin: Plugin, family: str, registry: Registry) -> str:
    """Return the expression of a model of `family` with `plugin` and the plugins that it requires,
    without those of the family that conflict with them.

    Raises UserError if there is no such model.
    """
    required = _required(plugin, registry)
    present = resolve(family, registry).uses
    added = [name for name in required if name not in present]
    removed: list[str] = []
    while True:
        terms = [family, *(f"- {name}" for name in removed), *(f"+ {name}" for name in added)]
        expression = " ".join(terms)
        try:
            resolve(expression, registry).compose(Composite())
        except Conflict as conflict:
            replaced = [name for name in conflict.plugins if name not in required]
            if not replaced:
                raise
            removed.append(replaced[0])
        else:
            return expression


def _required(plugin: Plugin, registry: Registry) -> list[str]:
    """Return the names of a plugin and of those that it requires, directly or indirectly."""
    names: list[str] = []
    waiting = [plugin.name]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.append(name)
            waiting += registry.plugin(name).declared.requires
    return names
