"""Factors: what a design varies, each with its levels, read from `changes` and `factors`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ablab.arch.composition.compose import overlap
from ablab.arch.composition.expression import Model, Use, parse_terms
from ablab.arch.composition.registry import Plugin, Registry
from ablab.design.changes import Change, difference, listed, shown
from ablab.errors import UserError
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document

OFF = "off"
_Added = tuple[tuple[str, Use], ...]


@dataclass(frozen=True)
class Factor:
    """A factor and its levels, each as the change from `from` that makes it; the first is the
    reference. A listed change is a factor of two levels. `key`: the path in the file that writes
    it.
    """

    name: str
    levels: tuple[Change, ...]
    key: tuple[str, ...]

    def label(self, level: int) -> str:
        """A level's name among other factors' levels: `rope`, or `position: rope` where the factor
        has a name of its own.
        """
        name = self.levels[level].name
        return (
            name
            if name.partition("(")[0] == self.name or name == self.name
            else f"{self.name}: {name}"
        )

    def effect(self, level: int) -> str:
        """The name of a level's effect against the reference."""
        reference = self.levels[0].name
        return self.label(level) + ("" if reference == OFF else f" vs {reference}")

    @property
    def plugins(self) -> set[str]:
        """The plugins that its levels add or remove."""
        return {name for level in self.levels for name, _ in (*level.removed, *level.added)}


def factors_of(
    study: Study, registry: Registry, document: Document, start: Model, end: Model | None
) -> tuple[Factor, ...]:
    """The factors of a design: those it lists, or all changes between its ends. Raises UserError
    with the place in the file.
    """
    texts: list[str] | None = getattr(study.design, "changes", None)
    named: Mapping[str, Any] = getattr(study.design, "factors", None) or {}
    if texts is None and not named:
        assert end is not None
        return tuple(
            _two_levels(change, ("design",)) for change in difference(start.uses, end.uses)
        )
    factors = list(listed_changes(texts or (), registry, document, start))
    factors += [_factor(name, levels, registry, document, start) for name, levels in named.items()]
    check_apart(factors, study.design.kind, document)
    if end is not None and not named:
        _check_end(factors, start, end, document)
    return tuple(factors)


def listed_changes(
    texts: Sequence[str], registry: Registry, document: Document, start: Model
) -> Iterator[Factor]:
    """A factor of two levels for each of `design.changes`. Raises UserError with the place of what
    is wrong.
    """
    for i, text in enumerate(texts):
        key = ("design", "changes", str(i))
        try:
            yield _two_levels(listed(text, registry, start), key)
        except UserError as error:
            raise error.at(document.at(key)) from None


def _two_levels(change: Change, key: tuple[str, ...]) -> Factor:
    return Factor(change.name, (Change(OFF, (), ()), change), key)


def check_apart(factors: Sequence[Factor], kind: str, document: Document) -> None:
    """What is made together must touch different plugins; what is made one at a time must differ in
    name.
    """
    alone = kind in ("one_in", "leave_one_out")
    seen: dict[str, Factor] = {}
    for factor in factors:
        for name in [factor.name] if alone else sorted({factor.name} | factor.plugins):
            if name in seen:
                other = seen[name]
                both = f"{other.name!r} ({document.place(other.key)}) and {factor.name!r}"
                raise UserError(
                    f"{document.at(factor.key)}: {both} both change {name!r}: name it in one "
                    "of them only"
                )
        seen |= dict.fromkeys([factor.name] if alone else {factor.name} | factor.plugins, factor)


def _check_end(factors: Sequence[Factor], start: Model, end: Model, document: Document) -> None:
    uses: dict[str, Use] = dict(start.uses)
    for factor in factors:
        uses = factor.levels[-1].apply(uses)
    if left := difference(uses, end.uses):
        names = ", ".join(change.name for change in left)
        where = document.at(("design", "changes"))
        raise UserError(f"{where}: they do not lead from `from` to `to`: missing {names}")


def _factor(name: str, levels: Any, registry: Registry, document: Document, start: Model) -> Factor:
    if isinstance(levels, list):
        return listed_factor(name, levels, registry, document, start)
    texts, parts = _combined(name, levels, registry, document)
    return _made(
        name,
        [change_to(text, added, {name}, start) for text, added in zip(texts, parts, strict=True)],
        start,
        document,
    )


def listed_factor(
    name: str, levels: Sequence[str], registry: Registry, document: Document, start: Model
) -> Factor:
    """A factor of the levels that are listed. Raises UserError with the place of what is wrong."""
    texts, parts = [], []
    for i, text in enumerate(levels):
        try:
            added = _terms(text, registry, start)
        except UserError as error:
            raise error.at(document.at(("design", "factors", name, str(i)))) from None
        texts.append(shown(text, added))
        parts.append(added)
    own = {t.name for text in texts if text != OFF for t in parse_terms(text)}
    return _made(
        name,
        [change_to(text, added, own, start) for text, added in zip(texts, parts, strict=True)],
        start,
        document,
    )


def _made(name: str, levels: Sequence[Change], start: Model, document: Document) -> Factor:
    key = ("design", "factors", name)
    if len(levels) < 2:
        raise UserError(f"{document.at(key)}: a factor has two levels or more (`off` is one)")
    for i, level in enumerate(levels):
        twin = next(
            (other for other in levels[:i] if other.apply(start.uses) == level.apply(start.uses)),
            None,
        )
        if twin is not None:
            raise UserError(
                f"{document.at((*key, str(i)))}: the levels {twin.name!r} and {level.name!r} "
                "are the same"
            )
    return Factor(name, tuple(levels), key)


def _terms(text: str, registry: Registry, start: Model) -> _Added:
    """The plugins that a level puts in force."""
    if text.strip() == OFF:
        return ()
    if not (terms := parse_terms(text)):
        raise UserError("an empty level (`off`: none of the factor's plugins)")
    added = []
    for term in terms:
        plugin = registry.plugin(term.name)
        if term.sign == "+":
            added.append((term.name, Use(plugin, plugin.configure(term.options))))
        elif term.name not in start.uses:
            raise UserError(f"{start.expression!r} has no {term.name!r} to remove")
    return tuple(added)


def change_to(text: str, added: _Added, own: set[str], start: Model) -> Change:
    """The change to a level: away with the factor's `own` plugins and what in `start` writes the
    same, then its terms.
    """
    edits = [use.claim().edit for _, use in added]
    removed = [
        (name, use)
        for name, use in start.uses.items()
        if name in own or any(overlap(use.claim().edit, edit) for edit in edits)
    ]
    return Change(text.strip(), tuple(removed), added)


def _combined(
    name: str, options: Mapping[str, list[Any]], registry: Registry, document: Document
) -> tuple[list[str], list[_Added]]:
    """`off`, and the plugin `name` with every combination of its options' values."""
    key = ("design", "factors", name)
    try:
        plugin = registry.plugin(name)
    except UserError as error:
        raise UserError(
            f"{document.at(key)}: {error}; a factor with options is named after its plugin"
        ) from None
    texts: list[str] = [OFF]
    parts: list[_Added] = [()]
    for chosen in _combinations(options):
        given = {option: options[option][i] for option, i in chosen.items()}
        try:
            use = Use(plugin, plugin.configure(given))
        except UserError as error:
            raise error.at(document.at((*key, *_wrong(error, chosen, plugin)))) from None
        texts.append(str(use))
        parts.append(((name, use),))
    return texts, parts


def _wrong(error: UserError, chosen: Mapping[str, int], plugin: Plugin) -> list[str]:
    """Where in a factor's options the value stands that `error` is about."""
    if unknown := [option for option in chosen if option not in plugin.options]:
        return unknown[:1]
    option = re.split(r"[.=)]", str(error).partition("(")[2])[0]
    return [option, str(chosen[option])] if option in chosen else []


def _combinations(options: Mapping[str, list[Any]]) -> Iterator[dict[str, int]]:
    for chosen in product(*(range(len(values)) for values in options.values())):
        yield dict(zip(options, chosen, strict=True))
