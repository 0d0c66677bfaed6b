"""Changes that turn one set of plugins into another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablab.arch.composition.compose import overlap
from ablab.arch.composition.expression import Model, Use, parse_terms
from ablab.arch.composition.registry import Registry
from ablab.errors import UserError

Uses = Mapping[str, Use]


@dataclass(frozen=True)
class Change:
    """A step from one set of plugins to another.

    `name` is also the name of the effect. `removed` and `added` are (plugin name, use) pairs.
    """

    name: str
    removed: tuple[tuple[str, Use], ...]
    added: tuple[tuple[str, Use], ...]

    def apply(self, uses: Uses) -> dict[str, Use]:
        """Return `uses` with the change applied."""
        removed = dict(self.removed)
        unchanged = {name: use for name, use in uses.items() if name not in removed}
        return unchanged | dict(self.added)

    def undo(self, uses: Uses) -> dict[str, Use]:
        """Return `uses` with the change reverted."""
        return Change(self.name, self.added, self.removed).apply(uses)


def parse_change(text: str, registry: Registry, start: Model) -> Change:
    """Parse a change to `start`: `rope`, `- scaled_init`, `a + b`.

    Raises UserError for an empty change, an unknown plugin, a removal of a plugin that `start`
    lacks, and an addition of one that it has.
    """
    terms = parse_terms(text)
    if not terms:
        raise UserError("the change is empty")
    removed: list[tuple[str, Use]] = []
    added: list[tuple[str, Use]] = []
    for term in terms:
        plugin = registry.plugin(term.name)
        if term.sign == "-" and term.name not in start.uses:
            raise UserError(f"{start.expression!r} has no {term.name!r} to remove")
        if term.sign == "+" and not term.options and term.name in start.uses:
            raise UserError(f"{start.expression!r} has {term.name!r} already")
        if term.name in start.uses:
            removed.append((term.name, start.uses[term.name]))
        if term.sign == "+":
            added.append((term.name, Use(plugin, plugin.configure(term.options))))
    return Change(change_name(text, added), tuple(removed), tuple(added))


def change_name(text: str, added: Sequence[tuple[str, Use]]) -> str:
    """Return the name of a change: its only plugin with all options, otherwise its text."""
    if len(added) == 1 and len(parse_terms(text)) == 1:
        return str(added[0][1])
    return text.strip()


def difference(start: Uses, end: Uses) -> list[Change]:
    """Return the changes that lead from one set of plugins to another.

    An added plugin replaces the removed plugins that write to one of its paths: they are one
    change.
    """
    missing = {name: use for name, use in start.items() if end.get(name) != use}
    changes = []
    for name, use in sorted(end.items()):
        if start.get(name) == use:
            continue
        edit = use.claim().edit
        replaced = [n for n in missing if n == name or overlap(missing[n].claim().edit, edit)]
        others = [n for n in replaced if n != name]
        removed = tuple((n, missing.pop(n)) for n in replaced)
        label = f"{name} for {', '.join(others)}" if others else name
        changes.append(Change(label, removed, ((name, use),)))
    removals = [Change(f"- {name}", ((name, use),), ()) for name, use in sorted(missing.items())]
    return changes + removals


def variant(base: Model, uses: Uses) -> Model:
    """Return `base` with other plugins; its expression names the differences from `base`."""
    terms = []
    for name in sorted({*base.uses, *uses}):
        if name not in uses:
            terms.append(f"- {name}")
        elif base.uses.get(name) != uses[name]:
            terms.append(f"+ {uses[name]}")
    return Model(
        " ".join([base.expression, *terms]),
        base.family,
        base.size,
        dict(sorted(uses.items())),
        base.dims,
    )
