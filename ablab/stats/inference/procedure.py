"""The procedure that leads to the verdicts of a study, for many studies at once: one look, or one
after another.

Real studies and simulated ones go through the same code; a real study is the only one. Arrays have
the shape `(studies, questions)`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ablab.stats.effects import Question, require_weights
from ablab.stats.inference.error_terms import Estimates, estimate_all
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.sequential import nominal_alpha, overall_p
from ablab.stats.inference.table import Table
from ablab.stats.inference.verdict_types import Rules, TuningError

OPEN, EQUIVALENT, DIFFERENT = 0, 1, 2
_ALPHA = 0.05  # of the intervals


def arms_of(question: Question) -> list[str]:
    """Return the arms with nonzero weight."""
    return [arm for arm, weight in question.weights.items() if weight]


def holm(p: np.ndarray) -> np.ndarray:
    """Return the p-values `(studies, questions)` adjusted by Holm's procedure (1979) within each
    study.

    A p-value that is not known yet (NaN) counts as 1, so that the others do not grow once it is
    known.
    """
    count = p.shape[1]
    order = np.argsort(np.where(np.isnan(p), 2.0, p), axis=1)
    ordered = np.take_along_axis(p, order, axis=1)
    steps = np.fmin(1.0, (count - np.arange(count)) * ordered)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, axis=1), axis=1)
    return np.where(np.isnan(p), np.nan, adjusted)


@dataclass
class Readings:
    """What is known about each question, `(studies, questions)`; NaN where nothing is.

    `p` and `p_equivalence` are the smallest of the looks so far, whose error rates are controlled
    over all looks (Maurer & Bretz 2013); `sign` is that of the estimate at the look with the
    smallest `p`. `low` and `high` bound the repeated confidence interval. `seeds` is the number of
    seeds that the figures come from. `decision` is OPEN, EQUIVALENT or DIFFERENT.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    p_equivalence: np.ndarray
    sign: np.ndarray
    seeds: np.ndarray
    decision: np.ndarray

    @classmethod
    def empty(cls, studies: int, questions: int) -> "Readings":
        """Return readings of nothing."""
        unknown = [np.full((studies, questions), np.nan) for _ in range(6)]
        counts = [np.zeros((studies, questions), int) for _ in range(2)]
        return cls(*unknown, *counts)


class Procedure:
    """The looks at a study, or at many studies of one design.

    The family of the changes and totals, and that of the interactions, are each subject to Holm's
    procedure, for differences and for equivalence separately.

    Raises:
        ValueError: if the weights of a question are all zero, or not finite.

    """

    def __init__(
        self,
        questions: Sequence[Question],
        rules: Rules,
        studies: int = 1,
        diverged: Collection[str] = (),
        tuning: TuningError | None = None,
    ) -> None:
        require_weights(questions)
        self.questions = questions
        self.rules = rules
        self.excess = [tuning.excess(q.weights) if tuning else None for q in questions]
        self.readings = Readings.empty(studies, len(questions))
        self.estimates: list[Estimates | None] = [None] * len(questions)
        decidable = [
            i for i, question in enumerate(questions) if not set(arms_of(question)) & set(diverged)
        ]
        self.primary = [i for i in decidable if questions[i].kind != "interaction"]
        self.interactions = [i for i in decidable if questions[i].kind == "interaction"]

    @property
    def pending(self) -> np.ndarray:
        """Which questions of the primary family have no verdict, `(studies, questions)`."""
        pending = np.zeros(self.readings.decision.shape, bool)
        pending[:, self.primary] = self.readings.decision[:, self.primary] == OPEN
        return pending

    def estimate_only(self, table: Table) -> None:
        """Read estimates alone, from a table without a planned look."""
        for i, result in enumerate(estimate_all(table, self.questions)):
            if result is not None:
                self.readings.value[:, i] = result.value
                self.readings.seeds[:, i] = result.seeds

    def look(self, table: Table, which: np.ndarray | None = None) -> None:
        """Read and decide questions after a look.

        Args:
            table: values of the runs at this look.
            which: the questions to read, `(studies, questions)`; all if omitted. Questions that are
                decided already get new figures and keep their verdict.

        """
        numbers = sorted([*self.primary, *self.interactions])
        results = estimate_all(table, [self.questions[i] for i in numbers])
        for i, result in zip(numbers, results, strict=True):
            if result is None:
                continue
            mask = np.ones(len(result.value), bool) if which is None else which[:, i]
            if mask.any():
                excess = self.excess[i]
                self.estimates[i] = result.with_excess(excess) if excess is not None else result
                self._read(i, mask)
        self._decide(which)

    def _read(self, i: int, mask: np.ndarray) -> None:
        readings = self.readings
        result = self.estimates[i]
        assert result is not None
        looks = self.rules.looks
        readings.value[mask, i] = result.value[mask]
        readings.seeds[mask, i] = result.seeds
        if result.seeds < 2:
            return
        half = result.half_width(nominal_alpha(_ALPHA, result.seeds, looks))
        readings.low[mask, i] = (result.value - half)[mask]
        readings.high[mask, i] = (result.value + half)[mask]
        p = overall_p(result.p(), result.seeds, looks)
        smaller = mask & ~(p >= readings.p[:, i])
        readings.p[smaller, i] = p[smaller]
        readings.sign[smaller, i] = np.sign(result.value[smaller])
        if self.rules.margin > 0:
            within = result.p_equivalence(self.rules.margin)
            within = overall_p(within, result.seeds, looks, sides=1)
            readings.p_equivalence[mask, i] = np.fmin(readings.p_equivalence[mask, i], within[mask])

    def _decide(self, which: np.ndarray | None) -> None:
        readings = self.readings
        level = self.rules.level
        with np.errstate(invalid="ignore"):
            better = self.rules.sign * readings.value > 0
            needed = np.where(better, self.rules.helps_level, level)
            # The smallest p may be that of an earlier look. If the sign has changed since, there is
            # no verdict.
            different = (self.adjusted() < needed) & (readings.sign * readings.value > 0)
            equivalent = self.adjusted_equivalence() < level
        may = (readings.decision == OPEN) & (readings.seeds >= MIN_SEEDS)
        if which is not None:
            may &= which
        readings.decision[may & different] = DIFFERENT
        readings.decision[may & equivalent] = EQUIVALENT

    def adjusted(self) -> np.ndarray:
        """Return the p-values adjusted within their family, `(studies, questions)`."""
        return self._adjusted(self.readings.p)

    def adjusted_equivalence(self) -> np.ndarray:
        """Return the p-values of equivalence adjusted within their family."""
        return self._adjusted(self.readings.p_equivalence)

    def _adjusted(self, p: np.ndarray) -> np.ndarray:
        adjusted = np.full_like(p, np.nan)
        for family in (self.primary, self.interactions):
            if family:
                adjusted[:, family] = holm(p[:, family])
        return adjusted

    def adaptive(self, table: Table) -> bool:
        """Take all looks for which the seeds are complete.

        After the first look, an arm is trained to the next one if a pending question needs it.
        Questions that are decided get the figures of every later look to which all of their arms
        are trained. Return whether no more seeds follow.
        """
        arms = [set(arms_of(question)) for question in self.questions]
        uses = np.array([[arm in needs for arm in table.index] for needs in arms], int)
        unknown = np.array([not needs <= table.index.keys() for needs in arms])
        for count in self.rules.looks:
            pending = self.pending
            needed = pending.astype(int) @ uses > 0
            complete = np.array([table.complete(arm, count) for arm in table.index])
            if (pending & unknown).any() or (needed & ~complete).any():
                return False
            first = count == self.rules.looks[0]
            trained = np.broadcast_to(complete, needed.shape) if first else needed
            readable = ((~trained).astype(int) @ uses.T == 0) & ~unknown
            if readable.any():
                done = [arm for arm, is_done in zip(table.index, complete, strict=True) if is_done]
                self.look(table.first(dict.fromkeys(done, count)), readable)
        return True
