"""What designs are made of: arms, contrasts of their means, and what a design is asked to lay
out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ablab.arch.composition.compose import Conflict, check_conflicts
from ablab.arch.composition.expression import Model, Use
from ablab.design.changes import Change, variant
from ablab.design.factors import Factor
from ablab.errors import UserError
from ablab.spec.yaml_document import Document

MOST_ARMS = 256


@dataclass(frozen=True)
class Contrast:
    """An effect as weights on arm means. `kind`: change, total or interaction. `aliases`: effects
    that the arms cannot tell from it. `parts`: where it averages over drawn orders, the weights of
    each draw.
    """

    name: str
    kind: str
    weights: Mapping[str, float]
    aliases: tuple[str, ...] = ()
    parts: tuple[Mapping[str, float], ...] = ()


@dataclass
class DesignLayout:
    """What a design asks for. `infeasible`: combinations left out, with the reason. `notes`: what a
    reader must know of it. `baseline`: the arm whose mean a margin in percent refers to.
    `replicates`: of arms with a seed stream of their own.
    """

    arms: dict[str, Model] = field(default_factory=dict)
    contrasts: list[Contrast] = field(default_factory=list)
    infeasible: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    baseline: str = ""
    replicates: dict[str, int] = field(default_factory=dict)

    def add(self, model: Model) -> str:
        """Adds an arm, unless one with the same plugins is there: its runs would be the same.
        Returns the arm's name.
        """
        known = next((name for name, arm in self.arms.items() if arm.uses == model.uses), None)
        if known is None:
            self.arms[model.expression] = model
        return known or model.expression


@dataclass(frozen=True)
class Task:
    """What a design is to lay out: from `start`, towards `end` if there is one, by `factors`.
    `document`: says places.
    """

    start: Model
    end: Model | None
    factors: tuple[Factor, ...]
    design: Any
    document: Document

    @property
    def changes(self) -> list[Change]:
        """The factors' last levels: the changes, in a design that takes no factors."""
        return [factor.levels[-1] for factor in self.factors]

    @cached_property
    def goal(self) -> Model:
        """`to`, at the sizes of `from`; without it, `from` with all changes."""
        if self.end is not None:
            return Model(
                self.end.expression, self.end.family, self.end.size, self.end.uses, self.start.dims
            )
        return variant(self.start, self._uses([len(factor.levels) - 1 for factor in self.factors]))

    def model(self, uses: Mapping[str, Use], base: Model | None = None) -> Model:
        """The arm with these plugins: an end under its own name, others as `base` (`from`) with the
        difference.
        """
        named = next((end for end in (self.start, self.goal) if end.uses == uses), None)
        return named or variant(base or self.start, uses)

    def combination(self, levels: Sequence[int]) -> Model:
        """The arm with each factor at the level of that number."""
        return self.model(self._uses(levels))

    def _uses(self, levels: Sequence[int]) -> Mapping[str, Use]:
        uses: Mapping[str, Use] = self.start.uses
        for factor, level in zip(self.factors, levels, strict=True):
            uses = factor.levels[level].apply(uses)
        return uses

    def refusal(self, message: str, *key: str) -> UserError:
        """An error said of `design`, or of the key below it."""
        path = ("design", *key)
        return UserError(f"{self.document.at(path)}: {message}")

    def way_out(self, error: UserError) -> str:
        """What to do about an illegal combination."""
        if not isinstance(error, Conflict):
            return "add what is needed to `from`, or leave that change out"
        levels = sorted(error.plugins, key=lambda name: name not in self.start.uses)
        shown = ", ".join(levels if levels[0] in self.start.uses else ["off", *levels])
        either = " or ".join(map(repr, levels))
        return (
            f"leave out {either}, or make them levels of one factor of a factorial (`factors: "
            f"{{NAME: [{shown}]}}`)"
        )


def illegal(model: Model) -> UserError | None:
    """Why a combination of plugins cannot be, if it cannot."""
    try:
        check_conflicts([use.claim() for use in model.uses.values()])
    except UserError as error:
        return error
    return None


def contrast(
    name: str, kind: str, terms: Iterable[tuple[str, float]], aliases: Iterable[str] = ()
) -> Contrast:
    """A contrast from (arm, weight) terms; the weights of an arm named twice add up."""
    weights: dict[str, float] = {}
    for arm, weight in terms:
        weights[arm] = weights.get(arm, 0.0) + weight
    return Contrast(name, kind, weights, tuple(aliases))


def total(layout: DesignLayout, task: Task) -> None:
    """Adds both ends to the arms, and the effect of all changes together where the ends differ."""
    goal, start = layout.add(task.goal), layout.add(task.start)
    if goal != start:
        layout.contrasts.append(
            contrast(f"{goal} vs {start}", "total", [(goal, 1.0), (start, -1.0)])
        )
