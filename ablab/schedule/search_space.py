"""The space of a search: parameters of trials, and the arm that each point means."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ablab.arch.composition.expression import Model, Use
from ablab.arch.composition.registry import Plugin, Registry
from ablab.design.changes import Change, variant
from ablab.design.factors import (
    OFF,
    Factor,
    change_to,
    check_disjoint,
    listed_changes,
    listed_factor,
)
from ablab.errors import UserError, unknown
from ablab.schedule.tuning import intervals
from ablab.spec.search import Search
from ablab.spec.tune import Range
from ablab.spec.yaml_document import Document
from ablab.tracking.optuna.study import Interval, Suggest

_ON = "on"


@dataclass(frozen=True)
class Switch:
    """A plugin that is on or off, with options that are tried where it is on."""

    plugin: Plugin
    options: Mapping[str, Any]

    def change(self, params: Mapping[str, Any], start: Model) -> Change:
        """The change that a point asks for."""
        if params[self.plugin.name] == OFF:
            return change_to(OFF, (), {self.plugin.name}, start)
        given = {option: params[f"{self.plugin.name}.{option}"] for option in self.options}
        use = Use(self.plugin, self.plugin.configure(given))
        return change_to(str(use), ((self.plugin.name, use),), {self.plugin.name}, start)


class Space:
    """All factors of a search over changes to `start`. Raises UserError with the place of what is
    wrong in the file.
    """

    def __init__(
        self, design: Search, start: Model, registry: Registry, document: Document
    ) -> None:
        self.start = start
        self._lists = {
            factor.name: factor
            for factor in listed_changes(design.changes, registry, document, start)
        }
        self._switches: dict[str, Switch] = {}
        for name in design.factors:
            if name in self._lists or name in ("seed", "stage"):
                taken = " by a change" if name in self._lists else ""
                raise UserError(
                    f"{document.at(('design', 'factors', name))}: the name is taken{taken}: "
                    "name it otherwise"
                )
        for name, tried in design.factors.items():
            if isinstance(tried, list):
                self._lists[name] = listed_factor(name, tried, registry, document, start)
            else:
                self._switches[name] = _switch(name, tried, registry, document)
        switches = [Factor(name, (), ("design", "factors", name)) for name in self._switches]
        check_disjoint([*self._lists.values(), *switches], design.kind, document)
        self.parameters = self._parameters()

    def choose(self, suggest: Suggest) -> None:
        """Asks for the parameters that a trial has: options only of plugins that are on."""
        for name in self._lists:
            suggest(name)
        for name, switch in self._switches.items():
            if suggest(name) == _ON:
                for option in switch.options:
                    suggest(f"{name}.{option}")

    def model(self, params: Mapping[str, Any]) -> Model:
        """The arm at a point. Raises UserError where an option has no such value."""
        uses: dict[str, Use] = dict(self.start.uses)
        changes = [
            next(level for level in f.levels if level.name == params[name])
            for name, f in self._lists.items()
        ]
        for change in [
            *changes,
            *(switch.change(params, self.start) for switch in self._switches.values()),
        ]:
            uses = change.apply(uses)
        return variant(self.start, uses)

    def _parameters(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            name: [level.name for level in f.levels] for name, f in self._lists.items()
        }
        for name, switch in self._switches.items():
            found[name] = [OFF, _ON]
            found |= {
                f"{name}.{option}": _tried(switch.plugin, option, t)
                for option, t in switch.options.items()
            }
        return found


def _tried(plugin: Plugin, option: str, tried: Any) -> Any:
    """An interval of whole numbers for an option that holds one."""
    found = intervals(tried)
    whole = isinstance(found, Interval) and type(plugin.options[option]) is int
    return Interval(found.low, found.high, found.log, integer=True) if whole else found


def _switch(
    name: str, options: Mapping[str, Any], registry: Registry, document: Document
) -> Switch:
    def place(*keys: str) -> str:
        return document.at(("design", "factors", name, *keys))

    try:
        plugin = registry.plugin(name)
    except UserError as error:
        raise UserError(f"{place()}: {error}; a factor of your own has a list of levels") from None
    for option, tried in options.items():
        if option not in plugin.options:
            raise unknown(f"option of {name}", option, plugin.options).at(place(option))
        ends = [tried.low, tried.high] if isinstance(tried, Range) else tried
        for i, value in enumerate(ends):
            try:
                plugin.configure({option: _as(plugin, option, value)})
            except UserError as error:
                raise error.at(
                    place(option, *([] if isinstance(tried, Range) else [str(i)]))
                ) from None
    return Switch(plugin, options)


def _as(plugin: Plugin, option: str, value: Any) -> Any:
    return (
        int(value)
        if type(plugin.options[option]) is int and isinstance(value, float) and value.is_integer()
        else value
    )
