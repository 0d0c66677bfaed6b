"""The rules of a study, and the verdicts on its questions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from ablab.stats.effects import Effect
from ablab.stats.tuning.response_surface import Excess

Verdict = Literal["helps", "hurts", "equivalent", "inconclusive", "diverged", "depends"]


class TuningError(Protocol):
    """What tuning the arms from noisy trials adds to the error of a contrast."""

    def excess(self, weights: Mapping[str, float]) -> Excess:
        """Return the variance that it adds to the contrast Σ weight × arm, with its degrees of
        freedom.
        """
        ...


@dataclass(frozen=True)
class Rules:
    """The rules of a study. Effects within `margin`, in units of the metric, count as equivalent;
    with a margin of zero none does.

    `looks` are the numbers of seeds per arm after which an adaptive study looks, ascending; they
    are empty for a fixed number of seeds. `level` is that of Holm's procedure and of each one-sided
    test. An effect *helps* if Holm's p is below `helps_level`, which is `level` unless many changes
    are tried one after another. `sign` is 1 if higher values of the metric are better, -1 if lower
    values are.

    Raises:
        ValueError: if the margin is negative or not finite, or if `helps_level` is not above zero
            and at most `level`.

    """

    margin: float
    looks: tuple[int, ...] = ()
    level: float = 0.05
    power: float = 0.8
    helps_level: float = 0.05
    sign: int = field(kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.margin < math.inf:
            raise ValueError(f"a margin is a finite number, zero or above, not {self.margin}")
        if not 0 < self.helps_level <= self.level:
            raise ValueError(
                f"helps_level is above zero and at most {self.level:g}, not {self.helps_level:g}"
            )


@dataclass(frozen=True)
class EffectVerdict:
    """The answer to a question.

    The 95 % interval of `effect` is not adjusted for the number of effects; in an adaptive study,
    interval and p-value, also those of `paired`, cover all looks. `p_holm` is adjusted within the
    family. `verdict` is None as long as runs are missing or there are fewer than four seeds. `real`
    states that Holm's p is below the level, which an equivalent effect may be, too. `seeds_needed`
    is the number of seeds, more than there are, with which a fixed study would settle an
    inconclusive effect; None stands for more than 10,000. `seeds` is the smallest number among the
    arms. `paired` is the effect with the error term of the contrast alone, which is a paired t test
    for two arms; None between arms without a common seed, and with one seed.
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

    `sd` is the standard deviation of a run about arm and seed means, over all arms, and `dof` its
    degrees of freedom; no verdict depends on it. `open` are the arms for which
    an adaptive study needs more seeds. `detectable` is the smallest effect of a change that is
    detected with `power` at these seeds, or at the last planned look of an adaptive study.
    """

    effects: tuple[EffectVerdict, ...]
    sd: float | None
    dof: int
    open: frozenset[str]
    detectable: float | None
