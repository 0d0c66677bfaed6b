"""The space of a search: the parameters of its trials, and the arm at each point."""

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
from ablab.schedule.initial_points import intervals
from ablab.spec.search import Search
from ablab.spec.tune import Range
from ablab.spec.yaml_document import Document
from ablab.tracking.optuna.study import Interval, Suggest

_ON = "on"


@dataclass(frozen=True)
class Switch:
    """A plugin that is on or off. `options` are the values to try where it is on."""

    plugin: Plugin
    options: Mapping[str, Any]

    def change(self, params: Mapping[str, Any], start: Model) -> Change:
        """Return the change to `start` at a point."""
        name = self.plugin.name
        if params[name] == OFF:
            return change_to(OFF, (), {name}, start)
        options = {option: params[f"{name}.{option}"] for option in self.options}
        use = Use(self.plugin, self.plugin.configure(options))
        return change_to(str(use), ((name, use),), {name}, start)


class SearchSpace:
    """All factors of a search over changes to `start`.

    Raises UserError with the position of what is invalid in the study file.
    """

    def __init__(
        self, design: Search, start: Model, registry: Registry, document: Document
    ) -> None:
        self.start = start
        changes = listed_changes(design.changes, registry, document, start)
        self._lists = {factor.name: factor for factor in changes}
        self._switches: dict[str, Switch] = {}
        _check_names(design, self._lists, document)
        for name, levels in design.factors.items():
            if isinstance(levels, list):
                self._lists[name] = listed_factor(name, levels, registry, document, start)
            else:
                self._switches[name] = _switch(name, levels, registry, document)
        switches = [Factor(name, (), ("design", "factors", name)) for name in self._switches]
        check_disjoint([*self._lists.values(), *switches], design.kind, document)
        self.parameters = self._parameters()

    def choose(self, suggest: Suggest) -> None:
        """Suggest the parameters of a trial: options only of plugins that are on."""
        for name in self._lists:
            suggest(name)
        for name, switch in self._switches.items():
            if suggest(name) == _ON:
                for option in switch.options:
                    suggest(f"{name}.{option}")

    def model(self, params: Mapping[str, Any]) -> Model:
        """Return the arm at a point. Raises UserError if an option does not accept its value."""
        changes = [
            next(level for level in factor.levels if level.name == params[name])
            for name, factor in self._lists.items()
        ]
        changes += [switch.change(params, self.start) for switch in self._switches.values()]
        uses: dict[str, Use] = dict(self.start.uses)
        for change in changes:
            uses = change.apply(uses)
        return variant(self.start, uses)

    def _parameters(self) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            name: [level.name for level in factor.levels] for name, factor in self._lists.items()
        }
        for name, switch in self._switches.items():
            parameters[name] = [OFF, _ON]
            for option, values in switch.options.items():
                parameters[f"{name}.{option}"] = _parameter(switch.plugin, option, values)
        return parameters


def _check_names(design: Search, lists: Mapping[str, Factor], document: Document) -> None:
    """Raise UserError if the name of a factor is in use or reserved."""
    for name in design.factors:
        if name in lists or name in ("seed", "stage"):
            owner = " by a change" if name in lists else ""
            raise UserError(
                f"{document.at(('design', 'factors', name))}: the name is taken{owner}: "
                "name it otherwise"
            )


def _parameter(plugin: Plugin, option: str, values: Any) -> Any:
    """Return the values to try for an option: a list, or an interval.

    The interval is of integers if the default of the option is one.
    """
    parameter = intervals(values)
    if isinstance(parameter, Interval) and type(plugin.options[option]) is int:
        return Interval(parameter.low, parameter.high, parameter.log, integer=True)
    return parameter


def _switch(
    name: str, options: Mapping[str, Any], registry: Registry, document: Document
) -> Switch:
    def place(*keys: str) -> str:
        return document.at(("design", "factors", name, *keys))

    try:
        plugin = registry.plugin(name)
    except UserError as error:
        raise UserError(f"{place()}: {error}; a factor of your own has a list of levels") from None
    for option, values in options.items():
        if option not in plugin.options:
            raise unknown(f"option of {name}", option, plugin.options).at(place(option))
        candidates = [values.low, values.high] if isinstance(values, Range) else values
        for i, value in enumerate(candidates):
            index = () if isinstance(values, Range) else (str(i),)
            try:
                plugin.configure({option: _as_option(plugin, option, value)})
            except UserError as error:
                raise error.at(place(option, *index)) from None
    return Switch(plugin, options)


def _as_option(plugin: Plugin, option: str, value: Any) -> Any:
    """Return a whole float as an integer if the default of the option is an integer."""
    wants_integer = type(plugin.options[option]) is int
    if wants_integer and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
