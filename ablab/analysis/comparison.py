"""Two studies side by side: what differs between them, and what each says of the same changes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ablab.analysis.arms import ArmSummary
from ablab.analysis.effects import EffectSummary
from ablab.analysis.summary import Summary
from ablab.errors import UserError
from ablab.records.home import StudyRecord
from ablab.text.truncate import bare

_NONE = "–"


@dataclass(frozen=True)
class Pair:
    """What both studies say of one effect; None: it is not in that study. `alike`: both contrast
    the same arms.
    """

    name: str
    kind: str
    first: EffectSummary | None
    second: EffectSummary | None
    alike: bool

    @property
    def agreement(self) -> str:
        """In a word; a dash where there is none to tell."""
        verdicts = [effect and effect.verdict for effect in (self.first, self.second)]
        if None in verdicts or not self.alike:
            return _NONE
        return "same" if verdicts[0] == verdicts[1] else "differs"


@dataclass(frozen=True)
class Comparison:
    """`names`: of both. `differences`: (key, here, there) of the studies' settings. `effects`: none
    where the metrics differ. `arms`: (name, here, there). `notes`: what is not compared, and why.
    """

    names: tuple[str, str]
    studies: tuple[Summary, Summary]
    differences: list[tuple[str, str, str]]
    effects: list[Pair]
    arms: list[tuple[str, ArmSummary | None, ArmSummary | None]]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        pairs = [
            {"name": p.name, "kind": p.kind, "agreement": p.agreement, **_verdicts(p)}
            for p in self.effects
        ]
        names = [
            {"setting": key, "first": here, "second": there}
            for key, here, there in self.differences
        ]
        return {
            "studies": [s.as_dict() for s in self.studies],
            "differences": names,
            "effects": pairs,
            "notes": self.notes,
        }


def compare(first: tuple[Summary, StudyRecord], second: tuple[Summary, StudyRecord]) -> Comparison:
    """Effects are matched by name or by what they contrast, arms by name. Raises UserError for a
    study in several parts.
    """
    (a, one), (b, other) = first, second
    for summary in (a, b):
        if summary.parts:
            told = ", ".join(part.part for part in summary.parts)
            raise UserError(
                f"{summary.study} has {len(summary.parts)} parts ({told}): its own report "
                "sets them side by side"
            )
    names = (
        (a.study, b.study)
        if a.study != b.study
        else (f"{a.study}:{a.revision}", f"{b.study}:{b.revision}")
    )
    here, there = one.read(), other.read()
    pairs = _pairs((a, here), (b, there)) if a.metric == b.metric else []
    arms = [{arm.name: arm for arm in summary.arms} for summary in (a, b)]
    return Comparison(
        names,
        (a, b),
        _differences(here["config"], there["config"]),
        pairs,
        [
            (name, arms[0].get(name), arms[1].get(name))
            for name in dict.fromkeys([*arms[0], *arms[1]])
        ],
        _notes(names, ((a, here), (b, there)), pairs),
    )


def _pairs(*studies: tuple[Summary, Mapping[str, Any]]) -> list[Pair]:
    """The effects of both, by name; what one calls otherwise goes by what it contrasts."""
    a, b = (
        {(effect.name, effect.kind): effect for effect in summary.effects} for summary, _ in studies
    )
    first, second = (_contrasts(content) for _, content in studies)
    called = {str(asked): key for key, asked in second.items() if key not in a}
    also = {
        key: other
        for key, asked in first.items()
        if key not in b and (other := called.get(str(asked))) is not None
    }
    pairs = []
    for key in dict.fromkeys([*a, *(key for key in b if key not in also.values())]):
        there = also.get(key, key)
        name = key[0] if there[0] == key[0] else f"{key[0]} = {there[0]}"
        pairs.append(
            Pair(name, key[1], a.get(key), b.get(there), alike=first.get(key) == second.get(there))
        )
    return pairs


def _contrasts(content: Mapping[str, Any]) -> dict[tuple[str, str], list[tuple[str, float]]]:
    """By effect, the arms that it contrasts, as expressions with their weights: what it asks,
    whatever the arms are called.
    """
    of = {arm["name"]: arm["expression"] for arm in content["arms"]}
    return {
        (c["name"], c["kind"]): sorted(
            (of[arm], round(weight, 9)) for arm, weight in c["weights"].items()
        )
        for c in content["contrasts"]
    }


def _notes(
    names: tuple[str, str],
    studies: Sequence[tuple[Summary, Mapping[str, Any]]],
    pairs: Sequence[Pair],
) -> list[str]:
    """What is not compared, and why."""
    metrics = [summary.metric for summary, _ in studies]
    if metrics[0] != metrics[1]:
        what = f"{names[0]} is judged by {metrics[0]}, {names[1]} by {metrics[1]}"
        return [f"Effects are not compared: {what}."]
    unlike = [
        pair.name
        for pair in pairs
        if pair.first is not None and pair.second is not None and not pair.alike
    ]
    if not unlike:
        return []
    asked = [
        f"{name}: {content['config']['design']['kind']}, baseline {summary.baseline}"
        for name, (summary, content) in zip(names, studies, strict=True)
    ]
    return [
        f"The designs ask different questions ({'; '.join(asked)}): where they contrast other "
        "arms for a change, whether the "
        "verdicts are the same is not told."
    ]


def _differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    a, b = dict(_flat(here)), dict(_flat(there))
    keys = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
    return [(key, bare(a.get(key, _NONE)), bare(b.get(key, _NONE))) for key in keys]


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [
            pair
            for key, inner in value.items()
            for pair in _flat(inner, f"{path}.{key}" if path else str(key))
        ]
    values = value if isinstance(value, list) else [value]
    return (
        []
        if value is None
        else [(path, ", ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in values))]
    )


def _verdicts(pair: Pair) -> dict[str, Any]:
    return {
        name: asdict(e) if e is not None else None
        for name, e in (("first", pair.first), ("second", pair.second))
    }
