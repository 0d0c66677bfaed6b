"""Two studies side by side: what differs between them, and their effects of the same changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.analysis.arms import ArmSummary
from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import PartSummary, StudySummary
from ablab.errors import UserError
from ablab.records.study_content import PartContent
from ablab.text.truncate import bare

_NONE = "–"


@dataclass(frozen=True)
class Pair:
    """One effect in both studies."""

    name: str
    """Name of the change; of both studies if they name it differently."""
    kind: str
    """`change`, `interaction` or `total`."""
    first: EffectSummary | None
    """The effect in the first study; None where it is not in it."""
    second: EffectSummary | None
    """The effect in the second study, likewise."""
    same_arms: bool
    """Whether both contrast the same arms."""

    @property
    def agreement(self) -> str:
        """`same` or `differs`; a dash where the verdicts cannot be compared."""
        if self.first is None or self.second is None or not self.same_arms:
            return _NONE
        verdicts = (self.first.verdict, self.second.verdict)
        if None in verdicts:
            return _NONE
        return "same" if verdicts[0] == verdicts[1] else "differs"

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "name": self.name,
            "kind": self.kind,
            "agreement": self.agreement,
            "first": self.first.as_json() if self.first else None,
            "second": self.second.as_json() if self.second else None,
        }


@dataclass(frozen=True)
class Difference:
    """A setting in which the studies differ."""

    setting: str
    """Its key in the study files."""
    first: str
    """Its value in the first study."""
    second: str
    """Its value in the second study."""


@dataclass(frozen=True)
class Comparison:
    """A comparison of two studies."""

    names: tuple[str, str]
    """Names that distinguish them."""
    studies: tuple[StudySummary, StudySummary]
    """Their results."""
    differences: list[Difference]
    """Settings in which they differ."""
    effects: list[Pair]
    """Their effects; empty where the metrics differ."""
    arms: list[tuple[str, ArmSummary | None, ArmSummary | None]]
    """Arms by name, in the first and in the second study."""
    notes: list[str]
    """What is not compared, and why."""

    @property
    def parts(self) -> tuple[PartSummary, PartSummary]:
        """The results of the only part of each study."""
        first, second = self.studies
        return first.parts[0], second.parts[0]

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "studies": [study.as_json() for study in self.studies],
            "differences": [
                {"setting": d.setting, "first": d.first, "second": d.second}
                for d in self.differences
            ],
            "effects": [pair.as_json() for pair in self.effects],
            "notes": self.notes,
        }


def compare(first: StudySummary, second: StudySummary) -> Comparison:
    """Compare two studies. Effects are matched by name or by their contrast, arms by name.

    Raises:
        UserError: for a study with several parts.

    """
    a, b = (_only_part(study) for study in (first, second))
    names = (first.study, second.study)
    if first.study == second.study:
        names = (f"{first.study}:{first.revision}", f"{second.study}:{second.revision}")
    pairs = _pairs(a, b) if a.metric == b.metric else []
    arms_a = {arm.name: arm for arm in a.arms}
    arms_b = {arm.name: arm for arm in b.arms}
    return Comparison(
        names=names,
        studies=(first, second),
        differences=_differences(_settings(first), _settings(second)),
        effects=pairs,
        arms=[(n, arms_a.get(n), arms_b.get(n)) for n in dict.fromkeys([*arms_a, *arms_b])],
        notes=_notes(names, (a, b), pairs),
    )


def _only_part(study: StudySummary) -> PartSummary:
    if len(study.parts) > 1:
        labels = ", ".join(part.label for part in study.parts)
        raise UserError(
            f"{study.study} has {len(study.parts)} parts ({labels}): its own report sets them "
            "side by side"
        )
    return study.parts[0]


def _pairs(a: PartSummary, b: PartSummary) -> list[Pair]:
    """Return the effects of both studies, matched by name or else by the arms they contrast."""
    effects_a = {(effect.name, effect.kind): effect for effect in a.effects_by_size}
    effects_b = {(effect.name, effect.kind): effect for effect in b.effects_by_size}
    contrasts_a = _contrasts(a.content)
    contrasts_b = _contrasts(b.content)
    by_contrast = {str(c): key for key, c in contrasts_b.items() if key not in effects_a}
    renamed = {
        key: by_contrast[str(contrast)]
        for key, contrast in contrasts_a.items()
        if key not in effects_b and str(contrast) in by_contrast
    }
    only_b = [key for key in effects_b if key not in renamed.values()]
    pairs = []
    for key in dict.fromkeys([*effects_a, *only_b]):
        other = renamed.get(key, key)
        pair = Pair(
            name=key[0] if other[0] == key[0] else f"{key[0]} = {other[0]}",
            kind=key[1],
            first=effects_a.get(key),
            second=effects_b.get(other),
            same_arms=contrasts_a.get(key) == contrasts_b.get(other),
        )
        pairs.append(pair)
    return pairs


def _contrasts(part: PartContent) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """Return, by effect, the expressions of its arms with their weights, without their names."""
    expressions = {arm.name: arm.expression for arm in part.arms}
    return {
        (c.name, c.kind): sorted(
            (expressions[arm], round(weight, 9)) for arm, weight in c.weights.items()
        )
        for c in part.contrasts
    }


def _notes(
    names: tuple[str, str], parts: tuple[PartSummary, PartSummary], pairs: Sequence[Pair]
) -> list[str]:
    a, b = parts
    if a.metric != b.metric:
        metrics = f"{names[0]} is judged by {a.metric}, {names[1]} by {b.metric}"
        return [f"Effects are not compared: {metrics}."]
    if all(pair.same_arms for pair in pairs if pair.first and pair.second):
        return []
    designs = [
        f"{name}: {part.content.study.design.kind}, baseline {part.baseline}"
        for name, part in zip(names, parts, strict=True)
    ]
    return [
        f"The designs ask different questions ({'; '.join(designs)}): where they contrast other "
        "arms for a change, whether the verdicts are the same is not told."
    ]


def _settings(study: StudySummary) -> dict[str, str]:
    return dict(_flat(study.content.study.content("tracking", "notes")))


def _differences(first: Mapping[str, str], second: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(key, bare(first.get(key, _NONE)), bare(second.get(key, _NONE)))
        for key in dict.fromkeys([*first, *second])
        if first.get(key) != second.get(key)
    ]


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return the settings by their dotted keys, as text."""
    if isinstance(value, Mapping):
        return [
            pair
            for key, inner in value.items()
            for pair in _flat(inner, f"{path}.{key}" if path else str(key))
        ]
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    text = ", ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in values)
    return [(path, text)]
