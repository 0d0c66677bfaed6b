"""Settings in which a change helps beside others in which it hurts, and what separates them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.evidence.contrast import Setting
from ablab.evidence.pooling import ChangeEvidence, SettingResult


@dataclass(frozen=True)
class Separation:
    """A factor whose levels where the change helps differ from those where it hurts."""

    factor: str
    """Name of the factor, a key of `FACTORS`."""
    helps: tuple[Any, ...]
    """Its levels where the change helps."""
    hurts: tuple[Any, ...]
    """Its levels where it hurts."""


@dataclass(frozen=True)
class Conflict:
    """A change that helps in some settings and hurts in others."""

    change: str
    """The change."""
    helps: tuple[SettingResult, ...]
    """Settings in which it helps."""
    hurts: tuple[SettingResult, ...]
    """Settings in which it hurts."""
    separations: tuple[Separation, ...]
    """Factors that separate the two, each a hypothesis; empty if none does."""


# In the order in which they are named: what a study can vary by itself comes first.
FACTORS: dict[str, Callable[[Setting], Any]] = {
    "block": lambda setting: setting.family,
    "context": lambda setting: setting.base,
    "lr": lambda setting: setting.lr,
    "compute": lambda setting: setting.compute,
    "size": lambda setting: (setting.layers, setting.width, setting.heads),
    "context_length": lambda setting: setting.context_length,
    "budget": lambda setting: setting.budget.strip("{").partition(":")[0],
    "match": lambda setting: setting.match or "none",
    "recipe": lambda setting: setting.recipe,
    "nuisance": lambda setting: setting.nuisance or "none",
    "tuned": lambda setting: "tuned" if setting.tuned else "not tuned",
    "corpus": lambda setting: setting.corpus,
    "tokenizer": lambda setting: setting.tokenizer,
}
# How texts name them.
FACTOR_NAMES = {
    "block": "the block around it",
    "context": "the arm that it is added to",
    "lr": "the learning rate",
    "compute": "the training compute",
    "size": "the size of the model",
    "context_length": "the context length",
    "budget": "the kind of budget",
    "match": "whether arms are matched",
    "recipe": "the recipe",
    "nuisance": "the nuisance factors",
    "tuned": "tuning",
    "corpus": "the corpus",
    "tokenizer": "the tokenizer",
}
_ORDERED = ("lr", "compute", "context_length")


def conflict_in(evidence: ChangeEvidence) -> Conflict | None:
    """Return the conflict in the evidence on a change; None if no verdicts are opposite."""
    helps = tuple(result for result in evidence.settings if result.verdict == "helps")
    hurts = tuple(result for result in evidence.settings if result.verdict == "hurts")
    if not helps or not hurts:
        return None
    separations = {factor: _separation(factor, helps, hurts) for factor in FACTORS}
    if separations["block"] is not None:
        separations["context"] = None  # arms of unlike families are unlike anyway
    found = tuple(separation for separation in separations.values() if separation is not None)
    return Conflict(evidence.change, helps, hurts, found)


def _separation(
    factor: str, helps: Sequence[SettingResult], hurts: Sequence[SettingResult]
) -> Separation | None:
    """Return the levels of a factor if no setting that helps shares one with a setting that hurts;
    numbers must also lie on either side of a threshold.
    """
    level = FACTORS[factor]
    sides = [tuple(dict.fromkeys(level(r.setting) for r in side)) for side in (helps, hurts)]
    if None in (*sides[0], *sides[1]) or {*sides[0]} & {*sides[1]}:
        return None
    if factor in _ORDERED:
        sides = [tuple(sorted(side)) for side in sides]
        first, second = sides
        if not (first[-1] < second[0] or second[-1] < first[0]):
            return None
    return Separation(factor, *sides)
