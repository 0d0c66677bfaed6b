"""Verdicts on the questions of a study: helps, hurts, equivalent, inconclusive or diverged.

*Fixed studies.* Effects are contrasts of arm means over one pooled error term (`effects`); arms
without a common seed are compared unpaired. Holm (1979) over the primary family, which is every
kind but interactions, and over the interactions apart. Equivalent: two one-sided tests (Schuirmann
1987) within the margin.

*Adaptive studies* look after the planned numbers of seeds, each look on the first seeds of each
arm's stream. The looks are those of a group-sequential test of Pocock's kind: a p is the chance,
under the null hypothesis, that any
planned look would give one as small (`sequential.overall_p`); a question's p is the smallest of the
looks done, to which Holm's procedure applies as to a single one (Maurer & Bretz 2013). Intervals
are repeated confidence intervals (Jennison & Turnbull 1989): 95 % over all looks together, whatever
made the study stop. The one-sided tests are corrected in the same way, each to err with `level`
over all looks. Unpaired comparisons take the correction of two arms, the largest. The pooled error
of a look holds what arms that stopped earlier gave. A decision stays, with the figures of the look
that took it.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ablab.stats.effects import Cells, Effect, Question
from ablab.stats.look import Look, Table, Tests, arms_of
from ablab.stats.power import Noise, PowerTarget, seeds_needed, smallest_found, spread

__all__ = [
    "EffectVerdict",
    "Question",
    "Rules",
    "StudyVerdicts",
    "Verdict",
    "detectable",
    "holm",
    "judge",
]

Verdict = Literal["helps", "hurts", "equivalent", "inconclusive", "diverged"]


@dataclass(frozen=True)
class Rules:
    """The rules of a study. Effects within `margin`, in units of the metric, count as equivalent.

    `looks` are the numbers of seeds per arm after which an adaptive study looks, ascending; they
    are empty for a fixed number of seeds. `level` is that of Holm's procedure and of each one-sided
    test. `sign` is 1 if higher values of the metric are better, -1 if lower values are.
    """

    margin: float
    looks: tuple[int, ...] = ()
    level: float = 0.05
    power: float = 0.8
    sign: int = field(kw_only=True)


@dataclass(frozen=True)
class EffectVerdict:
    """The answer to a question.

    The 95 % interval of `effect` is not adjusted for the number of effects; in an adaptive study,
    interval and p-value cover all looks. `p_holm` is adjusted within the family. `verdict` is None
    as long as runs are missing or there are fewer than two seeds. `real` states that Holm's p is
    below the level, which an equivalent effect may be, too. `seeds_needed` is the number of seeds,
    more than there are, with which a fixed study would settle an inconclusive effect; None stands
    for more than 10,000. `seeds` is the smallest number among the arms. `paired` is the paired t
    test of a plain difference of two arms, as a check for unequal variances.
    """

    effect: Effect
    p_holm: float | None
    verdict: Verdict | None
    real: bool
    seeds_needed: int | None
    seeds: int
    paired: Effect | None


@dataclass(frozen=True)
class StudyVerdicts:
    """All verdicts of a study; `effects` are in the order of the questions.

    `sd` and `dof` belong to the pooled error term of the last look. `open` are the arms for which
    an adaptive study needs more seeds. `detectable` is the smallest effect of a change that is
    detected with `power` at these seeds, or at the last planned look of an adaptive study.
    """

    effects: tuple[EffectVerdict, ...]
    sd: float | None
    dof: int
    open: frozenset[str]
    detectable: float | None


def judge(
    cells: Cells, questions: Sequence[Question], rules: Rules, diverged: Collection[str] = ()
) -> StudyVerdicts:
    """The verdicts that the runs so far give; the same runs always give the same. `diverged`: arms
    with a diverged run, whose cells are left out, from the error too.

    An adaptive study takes a look once all arms of its open questions have the look's seeds; until
    then it is going on, and its open questions have no verdict. To go on without an arm that
    failed, leave its questions out. Raises ValueError where the value of an arm that has not
    diverged is not finite.
    """
    sound = {key: value for key, value in cells.items() if key[0] not in diverged}
    for (arm, seed), value in sound.items():
        if not math.isfinite(value):
            raise ValueError(
                f"arm {arm!r}, seed {seed}: {value} is no value of an arm that has not diverged"
            )
    replay = _Replay(questions, rules, diverged)
    if rules.looks:
        replay.adaptive(sound)
    elif sound:
        replay.look(Table(sound), replay.pending + replay.interactions)
        replay.over = True
    return replay.judgement()


def detectable(
    questions: Sequence[Question], arms: int, seeds: int, sd: float, rules: Rules
) -> float | None:
    """The smallest true effect that every change is found with, by the power that the rules ask
    for: before any run, from the noise of one run (`sd`, about arm and seed means), for two seeds
    or more of every arm. Drawn orders are taken to agree.
    """
    primary = [question for question in questions if question.kind != "interaction"]
    demand = PowerTarget(len(primary), rules.level, rules.power, rules.looks)
    noises = [
        Noise(
            sd**2 * sum(w**2 for w in q.weights.values()), arms - 1, len(q.parts), sd**2 * spread(q)
        )
        for q in primary
        if q.kind == "change"
    ]
    return max((smallest_found(noise, seeds, demand) for noise in noises), default=None)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p (1979). One that is not known yet counts as 1, so that others do not grow
    when it comes.
    """
    order = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        adjusted[i] = largest = max(largest, min(1.0, (len(values) - rank) * p))
    return adjusted


class _Replay:
    """The successive looks at a study. Questions are identified by their index."""

    def __init__(
        self, questions: Sequence[Question], rules: Rules, diverged: Collection[str]
    ) -> None:
        self.questions = questions
        self.rules = rules
        self.tests = Tests(rules.margin, rules.level, rules.looks)
        self.diverged = {
            i
            for i, question in enumerate(questions)
            if any(arm in diverged for arm in arms_of(question))
        }
        decidable = [i for i in range(len(questions)) if i not in self.diverged]
        self.primary = [i for i in decidable if questions[i].kind != "interaction"]
        self.interactions = [i for i in decidable if questions[i].kind == "interaction"]
        self.readings: dict[int, Look] = {}
        self.verdicts: dict[int, Verdict] = dict.fromkeys(self.diverged, "diverged")
        self.over = False
        self.table: Table | None = None

    @property
    def pending(self) -> list[int]:
        """The primary questions without a verdict."""
        return [i for i in self.primary if i not in self.verdicts]

    def adaptive(self, cells: Cells) -> None:
        """Take all looks for which the seeds are complete."""
        if not cells:
            return
        table = Table(cells)
        seeds = _seeds(table)
        for count in self.rules.looks:
            complete = {
                arm
                for arm, stream in seeds.items()
                if len(stream) >= count and self._has(table, arm, stream[:count])
            }
            if not self._arms(self.pending) <= complete:
                break
            first = {arm: set(stream[:count]) for arm, stream in seeds.items()}
            extra = [
                i
                for i in self.interactions
                if i not in self.verdicts and self._arms([i]) <= complete
            ]
            self.look(
                Table({key: value for key, value in cells.items() if key[1] in first[key[0]]}),
                self.pending + extra,
            )
            if not self.pending:
                break
        else:
            self.over = True
        self.over |= not self.pending
        if self.table is None:
            self.readings = {
                i: table.read(self.questions[i], self.tests).without_error()
                for i in self.primary + self.interactions
            }

    def look(self, table: Table, numbers: Sequence[int]) -> None:
        """Evaluate these questions and decide those that can be decided."""
        self.table = table
        for i in numbers:
            self.readings[i] = table.read(self.questions[i], self.tests).after(self.readings.get(i))
        adjusted = self._adjusted()
        for i in numbers:
            verdict = self._verdict(self.readings[i], adjusted[i])
            if verdict is not None:
                self.verdicts[i] = verdict

    def judgement(self) -> StudyVerdicts:
        """Return the current verdicts."""
        adjusted = self._adjusted()
        fitted = self.table.fit if self.table else None
        return StudyVerdicts(
            tuple(self._judged(i, adjusted.get(i)) for i in range(len(self.questions))),
            fitted.sd if fitted else None,
            fitted.dof if fitted else 0,
            frozenset()
            if self.over or not self.rules.looks
            else frozenset(self._arms(self.pending)),
            self._detectable(),
        )

    def _arms(self, numbers: Iterable[int]) -> set[str]:
        return {arm for i in numbers for arm in arms_of(self.questions[i])}

    @staticmethod
    def _has(table: Table, arm: str, seeds: Iterable[int]) -> bool:
        return all(seed in table.values[arm] for seed in seeds)

    def _adjusted(self) -> dict[int, float | None]:
        nothing = Look(Effect(None, None, None, None))
        adjusted: dict[int, float | None] = {}
        for family in (self.primary, self.interactions):
            values = holm([self.readings.get(i, nothing).effect.p for i in family])
            adjusted |= dict(zip(family, values, strict=True))
        return adjusted

    def _verdict(self, reading: Look, adjusted: float | None) -> Verdict | None:
        if reading.is_equivalent:
            return "equivalent"
        if adjusted is None or adjusted >= self.rules.level or reading.effect.estimate is None:
            return None
        # The smallest p may be an earlier look's: where the sign has changed since, nothing is
        # claimed.
        if reading.sign * reading.effect.estimate <= 0:
            return None
        return "helps" if self.rules.sign * reading.effect.estimate > 0 else "hurts"

    def _judged(self, i: int, adjusted: float | None) -> EffectVerdict:
        reading = self.readings.get(i) or Look(Effect(None, None, None, None))
        verdict = self.verdicts.get(i)
        needed = None
        if verdict is None and self.over and reading.noise is not None:
            verdict = "inconclusive"
            family = self.interactions if i in self.interactions else self.primary
            needed = seeds_needed(reading.noise, self.rules.margin, self._demand(len(family)))
            needed = None if needed is None else max(needed, reading.seeds + 1)
        real = adjusted is not None and adjusted < self.rules.level
        return EffectVerdict(
            reading.effect, adjusted, verdict, real, needed, reading.seeds, reading.paired
        )

    def _demand(self, family: int, looks: tuple[int, ...] = ()) -> PowerTarget:
        return PowerTarget(family, self.rules.level, self.rules.power, looks)

    def _detectable(self) -> float | None:
        changes = [
            self.readings[i]
            for i in self.primary
            if i in self.readings and self.questions[i].kind == "change"
        ]
        last = self.rules.looks[-1] if self.rules.looks else 0
        noises = [
            (reading.noise, last or reading.seeds)
            for reading in changes
            if reading.noise is not None
        ]
        if not noises:
            return None
        noise, seeds = max(noises, key=lambda at: at[0].at(at[1])[0])
        return smallest_found(noise, seeds, self._demand(len(self.primary), self.rules.looks))


def _seeds(table: Table) -> dict[str, list[int]]:
    """Return the ascending seeds of the stream of each arm."""
    streams = [
        (stream, sorted({s for arm in stream for s in table.values[arm]}))
        for stream in table.fit.pattern.streams
    ]
    return {arm: seeds for stream, seeds in streams for arm in stream}
