"""Nuisance factors, and the effects that depend on them, in sentences."""

from ablab.analysis.dependences import FactorDependence
from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import PartSummary
from ablab.text.numbers import p_equation, signed
from ablab.text.truncate import in_a_line


def depending(effect: EffectSummary, places: int) -> str:
    """Return on what the verdict on an effect depends, and what the effect is at each level."""
    return in_a_line([_factor(each, places) for each in effect.dependences if each.depends])


def _factor(found: FactorDependence, places: int) -> str:
    first, second = (
        f"{signed(value, places)} at {label}"
        for label, value in zip(found.labels, found.effects, strict=True)
    )
    return f"depends on {found.factor}: {first}, {second} (p {p_equation(found.p_holm)})"


def nuisance_lines(part: PartSummary) -> list[str]:
    """Return for each nuisance factor which effects depend on it; empty without such factors."""
    found = [(effect, each) for effect in part.effects for each in effect.dependences]
    lines = []
    for factor in dict.fromkeys(each.factor for _, each in found):
        own = [(effect, each) for effect, each in found if each.factor == factor]
        levels = " and ".join(own[0][1].labels)
        effect, least = min(own, key=lambda pair: pair[1].p_holm)
        names = [effect.name for effect, each in own if each.depends]
        text = f"on which depend: {in_a_line(names)}" if names else "no verdict depends on it"
        lines.append(
            f"nuisance factor {factor} ({levels}, spread over the seeds): {text} (smallest p "
            f"{p_equation(least.p_holm)}, {effect.name}; Holm over effects and factors)"
        )
    return lines
