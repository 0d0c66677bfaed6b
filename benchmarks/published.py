"""Holds the effects of `studies/published.yaml` against published ones.

    ablab run studies/published.yaml
    python -m benchmarks.published                 # --home for another home than .ablab

A published effect is given as a share of the published loss, so that it can be compared with the
study's margin, which is a share of the baseline's mean. Where only a direction was published, the
share is infinite. Sources:

- Narang et al. 2021 (arXiv:2102.11972), Table 1: final loss of 223M models after equal steps
- Shazeer 2020 (arXiv:2002.05202), Table 1: log-perplexity after 524,288 steps
- Shazeer 2019 (arXiv:1911.02150), Table 3: perplexity of a language model
- So et al. 2021 (arXiv:2109.08668); Chowdhery et al. 2022 (arXiv:2204.02311), section 2
"""

import argparse
from dataclasses import dataclass
from math import inf, isinf, log
from pathlib import Path

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summarise import summarise
from ablab.records.home import make_home
from ablab.records.study_record import revisions

MARGIN = 0.005  # of the loss, as in the study


@dataclass(frozen=True)
class Published:
    """A published effect of a change, below zero if it lowers the loss."""

    arm: str
    """Arm of the study."""
    share: float
    """The effect as a share of the loss; infinite where only the direction is published."""
    source: str
    """Where it was published, with the figures."""

    @property
    def direction(self) -> int:
        """The sign of an effect beyond the margin, 0 for one within it."""
        return 0 if abs(self.share) <= MARGIN else 1 if self.share > 0 else -1


PUBLISHED = (
    Published("gelu", 1.679 / 1.677 - 1, "Shazeer 2020: 1.679 against 1.677"),
    Published("swiglu", 1.636 / 1.677 - 1, "Shazeer 2020: 1.636 against 1.677"),
    Published("swiglu", 1.789 / 1.838 - 1, "Narang 2021: 1.789 against 1.838"),
    Published("geglu", 1.633 / 1.677 - 1, "Shazeer 2020: 1.633 against 1.677"),
    Published("geglu", 1.792 / 1.838 - 1, "Narang 2021: 1.792 against 1.838"),
    Published("relu squared", -inf, "So 2021: reaches a loss at less compute"),
    Published("rmsnorm", 1.821 / 1.838 - 1, "Narang 2021: 1.821 against 1.838"),
    Published("untied embeddings", 1.834 / 1.838 - 1, "Narang 2021: 1.834 against 1.838"),
    Published(
        "multi-query attention", log(30.2) / log(29.9) - 1, "Shazeer 2019: 30.2 against 29.9"
    ),
    Published("parallel block", inf, "Chowdhery 2022: a small degradation at 8B, none at 62B"),
)
_SIGNS = {"helps": -1, "hurts": 1, "equivalent": 0}
_WORDS = {-1: "lower loss", 1: "higher loss", 0: "within 0.5 %"}


def outcome(published: Published, effect: EffectSummary, mean: float) -> str:
    """Return *agrees*, *disagrees* or *inconclusive*; `mean` is that of the baseline.

    An effect here agrees if its verdict has the published direction. It is inconclusive if it has
    no such verdict, or another one whose interval holds the published share; so is one within the
    margin where only a direction was published.
    """
    sign = _SIGNS.get(effect.verdict or "")
    if sign is None:
        return "inconclusive"
    if sign == published.direction:
        return "agrees"
    assert effect.low is not None
    assert effect.high is not None
    is_within = effect.low <= published.share * mean <= effect.high
    return "inconclusive" if is_within or (not sign and isinf(published.share)) else "disagrees"


def main() -> None:
    """Print the comparison as a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=None)
    home = make_home(parser.parse_args().home)
    records = revisions(home, "published")
    if not records:
        raise SystemExit("run it first: ablab run studies/published.yaml")
    (part,) = summarise(records[-1]).parts
    effects = {effect.name: effect for effect in part.effects}
    mean = next(arm.mean for arm in part.arms if arm.name == part.baseline)
    assert mean is not None
    print("| change | published | here | verdict here | |")
    print("| --- | --- | ---: | --- | --- |")
    for published in PUBLISHED:
        effect = effects[published.arm]
        here = "–"
        if effect.estimate is not None and effect.low is not None and effect.high is not None:
            here = f"{effect.estimate:+.3f} ({effect.low:+.3f} to {effect.high:+.3f})"
        claim = f"{_WORDS[published.direction]} ({published.source})"
        print(
            f"| {published.arm} | {claim} | {here} | {effect.verdict} | "
            f"{outcome(published, effect, mean)} |"
        )


if __name__ == "__main__":
    main()
