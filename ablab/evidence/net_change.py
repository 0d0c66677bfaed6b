"""The change that a contrast of arms measures, in one form for all designs.

A design names its effects by itself: `rope`, `- scaled_init`, or an arm `GELU at 4d`. What the
effect is of follows from the plugins: those that the arms with positive weight have more often than
the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablab.evidence.contrast import AVERAGE, Kind
from ablab.records.study_content import Arm

_ROUNDING = 1e-6


@dataclass(frozen=True)
class NetChange:
    """A change with its sign and its context."""

    name: str
    """The plugin that is added, with the one that it replaces (`swiglu for relu`); several as
    `a + b - c`; of two families `llama vs gpt2`.
    """
    kind: Kind
    """`total` between two families, else `change`."""
    sign: int
    """-1 if the contrast measures its removal, else 1."""
    context: str
    """The arm without the change, or the range of arms that it is averaged over."""


def net_change(
    arms: Sequence[Arm], weights: Mapping[str, float], baseline: str
) -> NetChange | None:
    """Return the change that Σ weight × arm measures.

    None if both sides have the same plugins, or if their plugins differ in part only, so that the
    contrast is no effect of adding something.
    """
    weighted = [(arm, weights[arm.name]) for arm in arms if abs(weights.get(arm.name, 0)) > 0]
    shares: dict[str, float] = {}
    for arm, weight in weighted:
        for plugin in arm.plugins:
            shares[plugin] = shares.get(plugin, 0.0) + weight
    differing = {plugin: share for plugin, share in shares.items() if abs(share) > _ROUNDING}
    positive = sum(weight for _, weight in weighted if weight > 0)
    negative = sum(weight for _, weight in weighted if weight < 0)
    units = (positive, -negative, *map(abs, differing.values()))
    if not differing or any(abs(unit - 1) > _ROUNDING for unit in units):
        return None
    added = sorted(plugin for plugin, share in differing.items() if share > 0)
    removed = sorted(plugin for plugin, share in differing.items() if share < 0)
    sign = 1
    if not added:
        added, removed, sign = removed, [], -1
    name, kind = _named(added, removed, weighted)
    return NetChange(name, kind, sign, _context(weighted, sign, arms, baseline))


def _named(
    added: Sequence[str], removed: Sequence[str], weighted: Sequence[tuple[Arm, float]]
) -> tuple[str, Kind]:
    if len(added) == 1 and not removed:
        return added[0], "change"
    if len(added) == 1 and len(removed) == 1:
        return f"{added[0]} for {removed[0]}", "change"
    if len(weighted) == 2:
        ends = sorted(weighted, key=lambda pair: -pair[1])
        names = [arm.expression for arm, _ in ends]
        if all(" " not in name for name in names):
            return " vs ".join(names), "total"
    return " ".join([" + ".join(added), *(f"- {plugin}" for plugin in removed)]), "change"


def _context(
    weighted: Sequence[tuple[Arm, float]], sign: int, arms: Sequence[Arm], baseline: str
) -> str:
    without = [arm for arm, weight in weighted if weight * sign < 0]
    if len(without) == 1:
        return without[0].expression
    start = next((arm for arm in arms if arm.name == baseline), arms[0])
    plugins = {*start.plugins}
    end = max((arm for arm, _ in weighted), key=lambda arm: len(plugins ^ {*arm.plugins}))
    return f"{AVERAGE}{start.expression} … {end.expression}"
