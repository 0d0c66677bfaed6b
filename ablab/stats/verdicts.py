"""Verdicts on the questions of a study: helps, hurts, equivalent, inconclusive or diverged.

*Fixed studies.* Effects are contrasts of arm means over one pooled error term (`effects`); arms
without a common seed are compared unpaired. The p-values are adjusted by Holm's procedure (1979)
within two families: the interactions, and all other effects, which are the primary ones. An effect
is equivalent if two one-sided tests (Schuirmann 1987) show that it lies within the margin.

*Adaptive studies* take a look after each planned number of seeds, using the first seeds of the
stream of each arm. The looks are those of a group-sequential test of Pocock's kind: a p-value is
the probability, under the null hypothesis, that any planned look gives one as small
(`sequential.overall_p`). The p-value of a question is the smallest of the looks taken, and Holm's
procedure applies to it as to a single one (Maurer & Bretz 2013). Intervals are repeated confidence
intervals (Jennison & Turnbull 1989), which cover with 95 % over all looks together, for whatever
reason the study stopped. The one-sided tests are corrected in the same way: each has an error rate
of `level` over all looks. Unpaired comparisons are corrected as for two arms, which is the largest
correction. The pooled error of a look includes the arms that stopped earlier. A verdict is final,
with the figures of the look that gave it.
"""

import math
from collections.abc import Collection, Sequence

from ablab.stats.effects import Question
from ablab.stats.look import Table
from ablab.stats.power import Noise, PowerTarget, smallest_found, spread
from ablab.stats.replay import Replay, holm
from ablab.stats.two_way import Cells
from ablab.stats.verdict_types import EffectVerdict, Rules, StudyVerdicts, Verdict

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


def judge(
    cells: Cells, questions: Sequence[Question], rules: Rules, diverged: Collection[str] = ()
) -> StudyVerdicts:
    """Return the verdicts that follow from the runs so far; they depend on nothing else.

    `diverged` are the arms with a diverged run. Their cells are ignored, in the error term too.

    An adaptive study takes a look once all arms of its open questions have the seeds of the look;
    until then these questions have no verdict. To continue without an arm that failed, omit its
    questions.

    Raises:
        ValueError: if a value is not finite although its arm has not diverged.

    """
    sound = {key: value for key, value in cells.items() if key[0] not in diverged}
    for (arm, seed), value in sound.items():
        if not math.isfinite(value):
            raise ValueError(
                f"arm {arm!r}, seed {seed}: the value is {value}, but the arm has not diverged"
            )
    replay = Replay(questions, rules, diverged)
    if rules.looks:
        replay.adaptive(sound)
    elif sound:
        replay.look(Table(sound), replay.pending + replay.interactions)
        replay.over = True
    return replay.verdicts_so_far()


def detectable(
    questions: Sequence[Question], arms: int, seeds: int, sd: float, rules: Rules
) -> float | None:
    """Return the smallest true effect at which every change is detected with the power of the
    rules, or None if there is no change.

    It is computed before any run, from the noise of one run: `sd`, about arm and seed means. There
    are at least two `seeds` of each of the `arms`. Sampled orders are assumed to agree.
    """
    primary = [question for question in questions if question.kind != "interaction"]
    target = PowerTarget(len(primary), rules.level, rules.power, rules.looks)
    effects = []
    for question in primary:
        if question.kind != "change":
            continue
        variance = sd**2 * sum(w**2 for w in question.weights.values())
        noise = Noise(variance, arms - 1, len(question.parts), sd**2 * spread(question))
        effects.append(smallest_found(noise, seeds, target))
    return max(effects, default=None)
