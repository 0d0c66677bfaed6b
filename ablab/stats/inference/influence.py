"""Verdicts that turn when the runs of any one seed are left out."""

from dataclasses import dataclass

from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.verdict_types import EffectVerdict, Verdict

# A loss of significance counts if Holm's p without the seed exceeds this. A seed fewer widens every
# interval, so that p rises above 0.05 in 30 % of sound studies of two arms and six seeds that found
# an effect (normal noise, 80 % power), but above 0.1 in 6 %, and above 0.2 in none.
LOST = 0.1
_FIRM = ("helps", "hurts", "equivalent")


@dataclass(frozen=True)
class Turn:
    """A seed without which a verdict would be another."""

    seed: int
    """The seed that is left out."""
    verdict: Verdict
    """The verdict of a fixed study of the remaining seeds."""
    p_holm: float
    """Its adjusted p-value."""


def turn(verdict: Verdict | None, without: EffectVerdict, seed: int) -> Turn | None:
    """Return how a verdict turns without a seed, or None if it does not.

    It turns if *helps*, *hurts* or *equivalent* becomes another of them, or if *helps* or *hurts*
    becomes inconclusive with a p-value above `LOST`. At least four seeds must remain.
    """
    after = without.verdict
    if verdict not in _FIRM or after is None or without.p_holm is None:
        return None
    if without.seeds < MIN_SEEDS or after == verdict:
        return None
    lost = verdict != "equivalent" and without.p_holm > LOST
    return Turn(seed, after, without.p_holm) if after in _FIRM or lost else None
