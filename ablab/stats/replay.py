"""The procedure that leads to the verdicts of a study: one look, or one after another."""

from collections.abc import Collection, Iterable, Sequence

from ablab.stats.effects import Effect, Question
from ablab.stats.look import Look, Table, Tests, arms_of
from ablab.stats.power import PowerTarget, seeds_needed, smallest_found
from ablab.stats.two_way import Cells
from ablab.stats.verdict_types import EffectVerdict, Rules, StudyVerdicts, Verdict

_NO_LOOK = Look(Effect(None, None, None, None))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return the p-values adjusted by Holm's procedure (1979).

    A p-value that is not known yet counts as 1, so that the others do not grow once it is known.
    """
    order = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * p))
        adjusted[i] = largest
    return adjusted


class Replay:
    """The successive looks at a study. Questions are identified by their index.

    See `ablab.stats.verdicts` for the procedure.
    """

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
            at_look = {key: value for key, value in cells.items() if key[1] in first[key[0]]}
            self.look(Table(at_look), self.pending + extra)
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

    def verdicts_so_far(self) -> StudyVerdicts:
        """Return the current verdicts."""
        adjusted = self._adjusted()
        fitted = self.table.fit if self.table else None
        effects = [self._effect_verdict(i, adjusted.get(i)) for i in range(len(self.questions))]
        still_open: frozenset[str] = frozenset()
        if self.rules.looks and not self.over:
            still_open = frozenset(self._arms(self.pending))
        return StudyVerdicts(
            effects=tuple(effects),
            sd=fitted.sd if fitted else None,
            dof=fitted.dof if fitted else 0,
            open=still_open,
            detectable=self._detectable(),
        )

    def _arms(self, numbers: Iterable[int]) -> set[str]:
        return {arm for i in numbers for arm in arms_of(self.questions[i])}

    @staticmethod
    def _has(table: Table, arm: str, seeds: Iterable[int]) -> bool:
        return all(seed in table.values[arm] for seed in seeds)

    def _adjusted(self) -> dict[int, float | None]:
        adjusted: dict[int, float | None] = {}
        for family in (self.primary, self.interactions):
            values = holm([self.readings.get(i, _NO_LOOK).effect.p for i in family])
            adjusted |= dict(zip(family, values, strict=True))
        return adjusted

    def _verdict(self, reading: Look, adjusted: float | None) -> Verdict | None:
        if reading.is_equivalent:
            return "equivalent"
        if adjusted is None or adjusted >= self.rules.level or reading.effect.estimate is None:
            return None
        # The smallest p may be that of an earlier look. If the sign has changed since, there is no
        # verdict.
        if reading.sign * reading.effect.estimate <= 0:
            return None
        return "helps" if self.rules.sign * reading.effect.estimate > 0 else "hurts"

    def _effect_verdict(self, i: int, adjusted: float | None) -> EffectVerdict:
        reading = self.readings.get(i, _NO_LOOK)
        verdict = self.verdicts.get(i)
        needed = None
        if verdict is None and self.over and reading.noise is not None:
            verdict = "inconclusive"
            family = self.interactions if i in self.interactions else self.primary
            needed = seeds_needed(reading.noise, self.rules.margin, self._power_target(len(family)))
            if needed is not None:
                needed = max(needed, reading.seeds + 1)
        real = adjusted is not None and adjusted < self.rules.level
        return EffectVerdict(
            reading.effect, adjusted, verdict, real, needed, reading.seeds, reading.paired
        )

    def _power_target(self, family: int, looks: tuple[int, ...] = ()) -> PowerTarget:
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
        return smallest_found(noise, seeds, self._power_target(len(self.primary), self.rules.looks))


def _seeds(table: Table) -> dict[str, list[int]]:
    """Return the ascending seeds of the stream of each arm."""
    streams = [
        (stream, sorted({s for arm in stream for s in table.values[arm]}))
        for stream in table.fit.pattern.streams
    ]
    return {arm: seeds for stream, seeds in streams for arm in stream}
