"""Data types of designs: the layout of arms and contrasts, and the task that a design solves."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ablab.arch.composition.compose import Conflict, check_conflicts
from ablab.arch.composition.expression import Model, Use
from ablab.design.changes import Change, variant
from ablab.design.factors import Factor
from ablab.errors import UserError
from ablab.spec.yaml_document import Document


@dataclass(frozen=True)
class Contrast:
    """An effect as weights on arm means.

    `kind` is change, total, interaction or spare. `aliases` are effects that the arms cannot
    distinguish from this one. `parts`: for an average over sampled orders, the weights of each
    sample.
    """

    name: str
    kind: str
    weights: Mapping[str, float]
    aliases: tuple[str, ...] = ()
    parts: tuple[Mapping[str, float], ...] = ()


@dataclass
class DesignLayout:
    """The arms and contrasts of a design.

    `infeasible`: reasons by combination that is left out. `notes`: remarks for the reader of a
    report. `baseline`: the arm whose mean a margin in percent refers to. `replicates`: the number
    of the seed stream, by arm that has its own. `spare`: contrasts that are zero if the design's
    assumptions hold; they take part in no verdict.
    """

    arms: dict[str, Model] = field(default_factory=dict)
    contrasts: list[Contrast] = field(default_factory=list)
    infeasible: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    baseline: str = ""
    replicates: dict[str, int] = field(default_factory=dict)
    spare: list[Contrast] = field(default_factory=list)

    def add(self, model: Model) -> str:
        """Add an arm and return its name.

        An arm with the same plugins is reused, since its runs would be the same.
        """
        for name, arm in self.arms.items():
            if arm.uses == model.uses:
                return name
        self.arms[model.expression] = model
        return model.expression


@dataclass(frozen=True)
class Task:
    """The input of a design: it varies `factors` from `start`, towards `end` if there is one.

    `document` knows the positions of keys for error messages.
    """

    start: Model
    end: Model | None
    factors: tuple[Factor, ...]
    design: Any
    document: Document

    @property
    def changes(self) -> list[Change]:
        """The factors' last levels, which are the changes in a design without `factors`."""
        return [factor.levels[-1] for factor in self.factors]

    @cached_property
    def goal(self) -> Model:
        """`to` at the sizes of `from`, or `from` with all changes if there is no `to`."""
        if self.end is not None:
            return replace(self.end, dims=self.start.dims)
        return variant(self.start, self._uses([len(factor.levels) - 1 for factor in self.factors]))

    def model(self, uses: Mapping[str, Use], base: Model | None = None) -> Model:
        """Return the arm with these plugins.

        It is named as its end if it is one, otherwise as `base` (default: `from`) with the
        differences.
        """
        for end in (self.start, self.goal):
            if end.uses == uses:
                return end
        return variant(base or self.start, uses)

    def combination(self, levels: Sequence[int]) -> Model:
        """Return the arm with each factor at the level of that number."""
        return self.model(self._uses(levels))

    def _uses(self, levels: Sequence[int]) -> Mapping[str, Use]:
        uses: Mapping[str, Use] = self.start.uses
        for factor, level in zip(self.factors, levels, strict=True):
            uses = factor.levels[level].apply(uses)
        return uses

    def error(self, message: str, *key: str) -> UserError:
        """Return an error at the position of `design`, or of a key below it."""
        path = ("design", *key)
        return UserError(f"{self.document.at(path)}: {message}")

    def remedy(self, error: UserError) -> str:
        """Return advice on how to avoid an illegal combination."""
        if not isinstance(error, Conflict):
            return "add the required plugin to `from`, or remove that change"
        plugins = sorted(error.plugins, key=lambda name: name not in self.start.uses)
        levels = plugins if plugins[0] in self.start.uses else ["off", *plugins]
        either = " or ".join(map(repr, plugins))
        return (
            f"leave out {either}, or make them levels of one factor of a factorial (`factors: "
            f"{{NAME: [{', '.join(levels)}]}}`)"
        )


def composition_error(model: Model) -> UserError | None:
    """Return the reason why the model's plugins cannot be combined; None if they can."""
    try:
        check_conflicts([use.claim() for use in model.uses.values()])
    except UserError as error:
        return error
    return None


def contrast(
    name: str, kind: str, terms: Iterable[tuple[str, float]], aliases: Iterable[str] = ()
) -> Contrast:
    """Return a contrast from (arm, weight) terms; weights of the same arm add up."""
    weights: dict[str, float] = {}
    for arm, weight in terms:
        weights[arm] = weights.get(arm, 0.0) + weight
    return Contrast(name, kind, weights, tuple(aliases))


def add_total(layout: DesignLayout, task: Task) -> None:
    """Add both ends to the arms and, if they differ, the effect of all changes together."""
    goal = layout.add(task.goal)
    start = layout.add(task.start)
    if goal != start:
        layout.contrasts.append(
            contrast(f"{goal} vs {start}", "total", [(goal, 1.0), (start, -1.0)])
        )
