"""Changes: what leads from one plugin set to another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablab.arch.composition.compose import overlap
from ablab.arch.composition.expression import Model, Use, parse_terms
from ablab.arch.composition.registry import Registry
from ablab.errors import UserError

Uses = Mapping[str, Use]


@dataclass(frozen=True)
class Change:
    """A step from one plugin set to another: what goes and what comes. `name` is the effect's
    name.
    """

    name: str
    removed: tuple[tuple[str, Use], ...]
    added: tuple[tuple[str, Use], ...]

    def apply(self, uses: Uses) -> dict[str, Use]:
        """`uses` with the change made."""
        kept = {name: use for name, use in uses.items() if name not in dict(self.removed)}
        return kept | dict(self.added)

    def undo(self, uses: Uses) -> dict[str, Use]:
        """`uses` with the change taken back."""
        return Change(self.name, self.added, self.removed).apply(uses)


def listed(text: str, registry: Registry, start: Model) -> Change:
    """The change from `start` that `text` writes: `rope`, `- scaled_init`, `a + b`. Raises
    UserError for what cannot be.
    """
    terms = parse_terms(text)
    if not terms:
        raise UserError("an empty change")
    removed, added = [], []
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
    return Change(shown(text, added), tuple(removed), tuple(added))


def shown(text: str, added: Sequence[tuple[str, Use]]) -> str:
    """The name of what `text` writes: a lone plugin's in full, options included; else the text."""
    return str(added[0][1]) if len(added) == 1 and len(parse_terms(text)) == 1 else text.strip()


def difference(start: Uses, end: Uses) -> list[Change]:
    """The changes that lead from one plugin set to another. A plugin that writes what a removed one
    wrote replaces it.
    """
    gone = {name: use for name, use in start.items() if end.get(name) != use}
    changes = []
    for name, use in sorted(end.items()):
        if start.get(name) == use:
            continue
        replaced = [n for n in gone if n == name or overlap(gone[n].claim().edit, use.claim().edit)]
        others = [n for n in replaced if n != name]
        removed = tuple((n, gone.pop(n)) for n in replaced)
        changes.append(
            Change(f"{name} for {', '.join(others)}" if others else name, removed, ((name, use),))
        )
    return changes + [Change(f"- {name}", ((name, use),), ()) for name, use in sorted(gone.items())]


def variant(base: Model, uses: Uses) -> Model:
    """`base` with other plugins; its expression says the difference."""
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
