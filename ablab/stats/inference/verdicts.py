"""Verdicts on the questions of a study: helps, hurts, equivalent, inconclusive or diverged.

*Fixed studies.* Effects are contrasts of arm means with the error terms of `error_terms`. The
p-values are adjusted by Holm's procedure (1979) within two families: the interactions, and all
other effects, which are the primary ones. An effect is equivalent if two one-sided tests
(Schuirmann 1987) show that it lies within the margin; their p-values are adjusted in the same way.

*Adaptive studies* take a look after each planned number of seeds, using the first seeds of the
stream of each arm. The looks are those of a group-sequential test: a p-value is the probability,
under the null hypothesis, that any planned look gives one as extreme (`sequential.overall_p`). The
p-value of a question is the smallest of the looks taken, and Holm's procedure applies to it as to a
single one (Maurer & Bretz 2013). Intervals are repeated confidence intervals (Jennison & Turnbull
1989), which cover with 95 % over all looks together, for whatever reason the study stopped. The
one-sided tests are corrected in the same way. A verdict is final; its figures are those of all
seeds trained.

With fewer than four seeds there are estimates and no verdicts.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np

from ablab.stats.effects import Effect, Question
from ablab.stats.inference.error_terms import Estimates, own, planning_dof
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.power import Noise, PowerTarget, seeds_needed, smallest_found, spread
from ablab.stats.inference.procedure import DIFFERENT, EQUIVALENT, Procedure, arms_of
from ablab.stats.inference.sequential import nominal_alpha, overall_p
from ablab.stats.inference.table import Table
from ablab.stats.inference.verdict_types import (
    EffectVerdict,
    Rules,
    StudyVerdicts,
    TuningError,
    Verdict,
)
from ablab.stats.tuning.response_surface import Excess
from ablab.stats.two_way import Cells, fit

__all__ = ["EffectVerdict", "Question", "Rules", "StudyVerdicts", "Verdict", "judge"]

_NO_EFFECT = Effect(None, None, None, None)


def judge(
    cells: Cells,
    questions: Sequence[Question],
    rules: Rules,
    diverged: Collection[str] = (),
    tuning: TuningError | None = None,
) -> StudyVerdicts:
    """Return the verdicts that follow from the runs so far; they depend on nothing else.

    `diverged` are the arms with a diverged run. Their cells are ignored, in the error terms too.
    `tuning` is the error of the arms' tuning, which every interval includes.

    An adaptive study takes a look once all arms of its open questions have the seeds of the look;
    until then these questions have no verdict. To continue without an arm that failed, omit its
    questions.

    Raises:
        ValueError: if a value is not finite although its arm has not diverged, or if the weights of
            a question are all zero or not finite.

    """
    sound = {key: value for key, value in cells.items() if key[0] not in diverged}
    for (arm, seed), value in sound.items():
        if not math.isfinite(value):
            raise ValueError(
                f"arm {arm!r}, seed {seed}: the value is {value}, but the arm has not diverged"
            )
    return _Judge(Procedure(questions, rules, 1, diverged, tuning)).verdicts(sound)


class _Judge:
    """Judges one study."""

    def __init__(self, procedure: Procedure) -> None:
        self.questions = procedure.questions
        self.rules = procedure.rules
        self.procedure = procedure
        self.table: Table | None = None
        self._planning_dof = planning_dof(procedure.questions)

    def verdicts(self, cells: Cells) -> StudyVerdicts:
        """Return the verdicts on the questions."""
        procedure = self.procedure
        over = not self.rules.looks
        if cells:
            self.table = Table.of(cells)
            if self.rules.looks:
                over = procedure.adaptive(self.table)
            else:
                procedure.look(self.table)
            if all(estimates is None for estimates in procedure.estimates):
                procedure.estimate_only(self.table)
        pending = np.flatnonzero(procedure.pending[0])
        over |= not len(pending)
        still_open = {arm for i in pending for arm in arms_of(self.questions[int(i)])}
        fitted = fit(cells) if cells else None
        effects = [
            self._effect(i, _number(p), over=over) for i, p in enumerate(procedure.adjusted()[0])
        ]
        return StudyVerdicts(
            effects=tuple(effects),
            sd=fitted.sd if fitted else None,
            dof=fitted.dof if fitted else 0,
            open=frozenset(set() if over else still_open),
            detectable=self._detectable(),
        )

    def _effect(self, i: int, adjusted: float | None, *, over: bool) -> EffectVerdict:
        readings = self.procedure.readings
        estimates = self.procedure.estimates[i]
        seeds = int(readings.seeds[0, i])
        verdict = self._verdict(i)
        noise = self._noise(i)
        needed = None
        if verdict is None and over and noise is not None and seeds >= MIN_SEEDS:
            verdict = "inconclusive"
            needed = seeds_needed(noise, self.rules.margin, self._target(i))
            if needed is not None:
                needed = max(needed, seeds + 1)
        return EffectVerdict(
            effect=Effect(
                estimate=_number(readings.value[0, i]),
                low=_number(readings.low[0, i]),
                high=_number(readings.high[0, i]),
                p=_number(readings.p[0, i]),
                sampling_se=_sampling(estimates),
            ),
            p_holm=adjusted,
            verdict=verdict,
            real=adjusted is not None and adjusted < self.rules.level,
            seeds_needed=needed,
            seeds=seeds,
            paired=self._paired(i, seeds),
        )

    def _verdict(self, i: int) -> Verdict | None:
        if i not in self.procedure.primary and i not in self.procedure.interactions:
            return "diverged"
        readings = self.procedure.readings
        decision = readings.decision[0, i]
        if decision == EQUIVALENT:
            return "equivalent"
        if decision == DIFFERENT:
            return "helps" if self.rules.sign * readings.value[0, i] > 0 else "hurts"
        return None

    def _paired(self, i: int, seeds: int) -> Effect | None:
        """Return the effect with its own error term, from the seeds that its figures come from."""
        if self.table is None or seeds < 2 or self.procedure.estimates[i] is None:
            return None
        question = self.questions[i]
        counts = dict.fromkeys(arms_of(question), seeds)
        table = self.table.first(counts) if self.rules.looks else self.table
        result = own(table, question.weights, question.parts)
        if result is None or self.table.spans_streams(question):
            return None
        excess = self.procedure.excess[i]
        result = result.with_excess(excess) if excess is not None else result
        half = float(result.half_width(nominal_alpha(0.05, seeds, self.rules.looks))[0])
        value = float(result.value[0])
        p = float(overall_p(result.p(), seeds, self.rules.looks)[0])
        return Effect(value, value - half, value + half, p)

    def _noise(self, i: int) -> Noise | None:
        estimates = self.procedure.estimates[i]
        if self.table is None or estimates is None or estimates.seeds < 2:
            return None
        question = self.questions[i]
        variance = float(estimates.variance[0])
        run_noise = spread(question) * variance / sum(w**2 for w in question.weights.values())
        between = (_sampling(estimates) or 0.0) ** 2 - run_noise / estimates.seeds
        dof = self._planning_dof[i]
        if self.table.spans_streams(question):
            dof = float(estimates.dof[0]) / (estimates.seeds - 1)
        return Noise(
            variance=variance,
            dof=dof,
            draws=len(question.parts),
            spread=run_noise,
            between_draws=max(0.0, between),
            tuning=_added(self.procedure.excess[i]),
        )

    def _target(self, i: int, looks: tuple[int, ...] = ()) -> PowerTarget:
        procedure = self.procedure
        family = procedure.primary if i in procedure.primary else procedure.interactions
        rules = self.rules
        return PowerTarget(len(family), rules.level, rules.power, looks, rules.helps_level)

    def _detectable(self) -> float | None:
        """Return the smallest effect of the least precise change that is detected."""
        looks = self.rules.looks
        effects = []
        for i in self.procedure.primary:
            noise = self._noise(i)
            if noise is not None and self.questions[i].kind == "change":
                seeds = looks[-1] if looks else int(self.procedure.readings.seeds[0, i])
                effects.append(smallest_found(noise, seeds, self._target(i, looks)))
        return max(effects, default=None)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _added(excess: Excess | None) -> tuple[float, float]:
    """Return the variance that tuning adds, and its degrees of freedom."""
    return (float(excess.variance), float(excess.dof)) if excess is not None else (0.0, 1.0)


def _sampling(estimates: Estimates | None) -> float | None:
    if estimates is None or estimates.sampling_error is None:
        return None
    return float(estimates.sampling_error[0])
