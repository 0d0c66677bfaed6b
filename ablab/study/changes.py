"""Changes: what leads from one plugin set to another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablab.arch.compose import overlap
from ablab.arch.expression import Mention, Model, Use, parse_terms
from ablab.arch.registry import Registry
from ablab.errors import UserError
from ablab.study.schema import Study
from ablab.study.yaml_file import Document

Uses = Mapping[str, Use]


@dataclass(frozen=True)
class Change:
    """A step from one plugin set to another: what goes and what comes. `name` is the effect's name."""

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


def changes_of(study: Study, registry: Registry, document: Document, start: Model, end: Model | None) -> list[Change]:
    """The changes of a design: those it lists, or all between its ends. Raises UserError with the place in the file."""
    listed: list[str] | None = getattr(study.design, "changes", None)
    if listed is None:
        assert end is not None
        return difference(start.uses, end.uses)
    changes = []
    for i, text in enumerate(listed):
        try:
            changes.append(_listed(parse_terms(text), registry, start, text))
        except UserError as error:
            key = ["design", "changes", str(i)]
            raise error.at(f"{document.place(key)}: {'.'.join(key)}") from None
    _check_listed(changes, study.design.kind, document)
    if end is not None:
        uses: dict[str, Use] = dict(start.uses)
        for change in changes:
            uses = change.apply(uses)
        if left := difference(uses, end.uses):
            names = ", ".join(change.name for change in left)
            place = document.place(["design", "changes"])
            raise UserError(f"{place}: design.changes: they do not lead from `from` to `to`: missing {names}")
    return changes


def _check_listed(changes: Sequence[Change], kind: str, document: Document) -> None:
    """Changes that are made together must differ, and touch different plugins."""
    seen: dict[str, str] = {}
    for change in changes:
        names = {name for name, _ in (*change.removed, *change.added)} if kind in ("path", "factorial") else {change.name}
        for name in names:
            if name in seen:
                place = document.place(["design", "changes"])
                raise UserError(f"{place}: design.changes: {seen[name]!r} and {change.name!r} both change {name!r}")
            seen[name] = change.name


def _listed(terms: Sequence[Mention], registry: Registry, start: Model, text: str) -> Change:
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
    name = str(added[0][1]) if len(terms) == 1 and added else text.strip()
    return Change(name, tuple(removed), tuple(added))


def difference(start: Uses, end: Uses) -> list[Change]:
    """The changes that lead from one plugin set to another. A plugin that writes what a removed one wrote replaces it."""
    gone = {name: use for name, use in start.items() if end.get(name) != use}
    changes = []
    for name, use in sorted(end.items()):
        if start.get(name) == use:
            continue
        replaced = [n for n in gone if n == name or overlap(gone[n].claim().edit, use.claim().edit)]
        others = [n for n in replaced if n != name]
        removed = tuple((n, gone.pop(n)) for n in replaced)
        changes.append(Change(f"{name} for {', '.join(others)}" if others else name, removed, ((name, use),)))
    return changes + [Change(f"- {name}", ((name, use),), ()) for name, use in sorted(gone.items())]


def variant(base: Model, uses: Uses) -> Model:
    """`base` with other plugins; its expression says the difference."""
    terms = []
    for name in sorted({*base.uses, *uses}):
        if name not in uses:
            terms.append(f"- {name}")
        elif base.uses.get(name) != uses[name]:
            terms.append(f"+ {uses[name]}")
    return Model(" ".join([base.expression, *terms]), base.family, base.size, dict(sorted(uses.items())), base.dims)
