"""Factors of a design and their levels, parsed from `changes` and `factors`."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from ablab.arch.composition.compose import overlap
from ablab.arch.composition.expression import Model, Use, parse_terms
from ablab.arch.composition.registry import Plugin, Registry
from ablab.design.changes import Change, change_name, difference, parse_change
from ablab.errors import UserError
from ablab.spec.base import MAX_ARMS
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document

OFF = "off"
_Added = tuple[tuple[str, Use], ...]


@dataclass(frozen=True)
class Factor:
    """A factor and its levels.

    Each level is a change to `from`; the first level is the reference. A change of `changes` is a
    factor of two levels. `key` is the path of the factor in the study file.
    """

    name: str
    levels: tuple[Change, ...]
    key: tuple[str, ...]

    def label(self, level: int) -> str:
        """Return a level's name for use beside other factors' levels.

        It is `rope`, or `position: rope` if the factor is not named after the level's plugin.
        """
        name = self.levels[level].name
        if self.name in (name, name.partition("(")[0]):
            return name
        return f"{self.name}: {name}"

    def effect(self, level: int) -> str:
        """Return the name of a level's effect against the reference."""
        reference = self.levels[0].name
        if reference == OFF:
            return self.label(level)
        return f"{self.label(level)} vs {reference}"

    @property
    def plugins(self) -> set[str]:
        """Names of the plugins that the levels add or remove."""
        return {name for level in self.levels for name, _ in (*level.removed, *level.added)}


def factors_of(
    study: Study, registry: Registry, document: Document, start: Model, end: Model | None
) -> tuple[Factor, ...]:
    """Return the factors that a design lists, or else one per difference between its ends.

    Raises UserError with the position in the study file.
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
    check_disjoint(factors, study.design.kind, document)
    if end is not None and not named:
        _check_end(factors, start, end, document)
    return tuple(factors)


def listed_changes(
    texts: Sequence[str], registry: Registry, document: Document, start: Model
) -> Iterator[Factor]:
    """Yield a factor of two levels for each of `design.changes`.

    Raises UserError with the position of an invalid change.
    """
    for i, text in enumerate(texts):
        key = ("design", "changes", str(i))
        try:
            yield _two_levels(parse_change(text, registry, start), key)
        except UserError as error:
            raise error.at(document.at(key)) from None


def _two_levels(change: Change, key: tuple[str, ...]) -> Factor:
    return Factor(change.name, (Change(OFF, (), ()), change), key)


def check_disjoint(factors: Sequence[Factor], kind: str, document: Document) -> None:
    """Raise UserError if two factors have the same name or change the same plugin.

    Two changes may concern the same plugin in designs that make one change at a time.
    """
    one_at_a_time = kind in ("one_in", "leave_one_out")
    factor_of: dict[str, Factor] = {}
    for factor in factors:
        names = {factor.name}
        if not one_at_a_time:
            names |= factor.plugins
        for name in sorted(names):
            if name in factor_of:
                other = factor_of[name]
                raise UserError(
                    f"{document.at(factor.key)}: {other.name!r} ({document.place(other.key)}) and "
                    f"{factor.name!r} both change {name!r}: name it in one of them only"
                )
        factor_of |= dict.fromkeys(names, factor)


def _check_end(factors: Sequence[Factor], start: Model, end: Model, document: Document) -> None:
    uses: dict[str, Use] = dict(start.uses)
    for factor in factors:
        uses = factor.levels[-1].apply(uses)
    missing = difference(uses, end.uses)
    if missing:
        names = ", ".join(change.name for change in missing)
        where = document.at(("design", "changes"))
        raise UserError(f"{where}: they do not lead from `from` to `to`: missing {names}")


def _factor(name: str, levels: Any, registry: Registry, document: Document, start: Model) -> Factor:
    if isinstance(levels, list):
        return listed_factor(name, levels, registry, document, start)
    changes = [
        change_to(text, added, {name}, start)
        for text, added in _option_levels(name, levels, registry, document)
    ]
    return _build_factor(name, changes, start, document)


def listed_factor(
    name: str, levels: Sequence[str], registry: Registry, document: Document, start: Model
) -> Factor:
    """Return a factor with the listed levels.

    Raises UserError with the position of an invalid level.
    """
    named_levels: list[tuple[str, _Added]] = []
    for i, text in enumerate(levels):
        try:
            added = _terms(text, registry, start)
        except UserError as error:
            raise error.at(document.at(("design", "factors", name, str(i)))) from None
        named_levels.append((change_name(text, added), added))
    plugins = {t.name for text, _ in named_levels if text != OFF for t in parse_terms(text)}
    changes = [change_to(text, added, plugins, start) for text, added in named_levels]
    return _build_factor(name, changes, start, document)


def _build_factor(name: str, levels: Sequence[Change], start: Model, document: Document) -> Factor:
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
    """Return the plugins that a level adds."""
    if text.strip() == OFF:
        return ()
    terms = parse_terms(text)
    if not terms:
        raise UserError("an empty level (write `off` for none of the factor's plugins)")
    added = []
    for term in terms:
        plugin = registry.plugin(term.name)
        if term.sign == "+":
            added.append((term.name, Use(plugin, plugin.configure(term.options))))
        elif term.name not in start.uses:
            raise UserError(f"{start.expression!r} has no {term.name!r} to remove")
    return tuple(added)


def change_to(text: str, added: _Added, plugins: set[str], start: Model) -> Change:
    """Return the change to `start` that sets a factor to a level.

    It removes the plugins of the factor (`plugins`) and every plugin of `start` that writes to a
    path of an added one, and adds those of the level.
    """
    edits = [use.claim().edit for _, use in added]
    removed = [
        (name, use)
        for name, use in start.uses.items()
        if name in plugins or any(overlap(use.claim().edit, edit) for edit in edits)
    ]
    return Change(text.strip(), tuple(removed), added)


def _option_levels(
    name: str, options: Mapping[str, list[Any]], registry: Registry, document: Document
) -> list[tuple[str, _Added]]:
    """Return `off`, and the plugin `name` with every combination of its options' values."""
    key = ("design", "factors", name)
    try:
        plugin = registry.plugin(name)
    except UserError as error:
        raise UserError(
            f"{document.at(key)}: {error}; a factor with options must be named after its plugin"
        ) from None
    count = prod(map(len, options.values()))
    if count > MAX_ARMS:
        raise UserError(
            f"{document.at(key)}: its options have {count:,} combinations: at most {MAX_ARMS}"
        )
    levels: list[tuple[str, _Added]] = [(OFF, ())]
    for indices in _combinations(options):
        values = {option: options[option][i] for option, i in indices.items()}
        try:
            use = Use(plugin, plugin.configure(values))
        except UserError as error:
            raise error.at(document.at((*key, *_error_key(error, indices, plugin)))) from None
        levels.append((str(use), ((name, use),)))
    return levels


def _error_key(error: UserError, indices: Mapping[str, int], plugin: Plugin) -> list[str]:
    """Return the path, below the factor, of the value that `error` is about."""
    unknown = [option for option in indices if option not in plugin.options]
    if unknown:
        return unknown[:1]
    # The message is that of `Plugin.configure`: `name(option=value): …`.
    option = re.split(r"[.=)]", str(error).partition("(")[2])[0]
    return [option, str(indices[option])] if option in indices else []


def _combinations(options: Mapping[str, list[Any]]) -> Iterator[dict[str, int]]:
    """Yield every combination of the options' values, as the index of each option's value."""
    for indices in product(*(range(len(values)) for values in options.values())):
        yield dict(zip(options, indices, strict=True))
