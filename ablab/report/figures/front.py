"""The front of loss and cost: which arms no other arm beats in both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.analysis.arms import ArmSummary
from ablab.analysis.summary import PartSummary
from ablab.metrics import METRICS, Metric
from ablab.report.figures.canvas import BLUE, MUTED, Plot, drawing, in_sizes

_LISTED = 8  # arms of the front that are named beside it
_MANY = 40  # arms: of more, the front alone has numbers and bars
_NEAR = (0.05, 0.045)  # shares of the axes within which two numbers would overlap
_SAME = 0.01  # costs that differ by less than this share are the same: there is nothing to trade


@dataclass(frozen=True)
class Cost:
    """What an arm costs. `key`: of its figure's name. `of`: the cost."""

    key: str
    name: str
    of: str

    @property
    def metric(self) -> Metric:
        """The cost as a metric, which says whether less or more is better."""
        return METRICS[f"cost/{self.of}"]

    def value(self, arm: ArmSummary) -> float | None:
        """What this arm costs; None where it was not measured."""
        return measured(arm, self.of)


def measured(arm: ArmSummary, name: str) -> float | None:
    """One of an arm's costs; None where it was not measured."""
    cost = getattr(arm, "cost", None)
    found = cost.get(name) if isinstance(cost, Mapping) else getattr(cost, name, None)
    return found if found is not None else getattr(arm, name, None)


COSTS = (
    Cost("seconds", "training seconds", "seconds"),
    Cost("flops", "training FLOPs", "flops"),
    Cost("memory", "peak memory (bytes)", "peak_memory_bytes"),
    Cost("decode", "decoded tokens a second", "decode_tokens_per_second"),
    Cost("kv", "KV cache (bytes a sequence)", "kv_cache_bytes"),
    Cost("parameters", "parameters", "parameters"),
)


def fronts(summary: PartSummary) -> list[Plot]:
    """A figure for every cost that is compared, and in which the arms differ."""
    arms = [(number, arm) for number, arm in enumerate(summary.arms, 1) if arm.mean is not None]
    compared = [cost for cost in COSTS if cost.of not in summary.not_compared]
    return [plot for cost in compared if (plot := _front(summary, cost, arms)) is not None]


def same_costs(summary: PartSummary) -> list[str]:
    """The costs in which the arms do not differ: there is nothing to trade."""
    return [
        c.name
        for c in COSTS
        if c.of not in summary.not_compared
        and len(found := _values(summary, c)) > 1
        and _alike(found)
    ]


def costs_not_compared(summary: PartSummary) -> list[str]:
    """The costs that are not compared, a line a reason."""
    known = [cost for cost in COSTS if cost.of in summary.not_compared and _values(summary, cost)]
    reasons = dict.fromkeys(summary.not_compared[cost.of] for cost in known)
    names = {
        reason: ", ".join(cost.name for cost in known if summary.not_compared[cost.of] == reason)
        for reason in reasons
    }
    return [f"Not compared: {costs}: {reason}." for reason, costs in names.items()]


def _values(summary: PartSummary, cost: Cost) -> list[float]:
    return [x for arm in summary.arms if (x := cost.value(arm)) is not None]


def on_front(
    points: Mapping[int, tuple[float, float]], metrics: tuple[Metric, Metric]
) -> list[int]:
    """Those that none beats or equals in one and beats in the other, cheapest first. `points`:
    (cost, metric) by arm, with the two metrics that they are values of.
    """
    losses = {
        number: (metrics[0].as_loss(x), metrics[1].as_loss(y)) for number, (x, y) in points.items()
    }
    front: list[int] = []
    lowest = float("inf")
    for number in sorted(losses, key=losses.__getitem__):
        if losses[number][1] < lowest:
            front.append(number)
            lowest = losses[number][1]
    return front


def _front(summary: PartSummary, cost: Cost, arms: list[tuple[int, ArmSummary]]) -> Plot | None:
    points = {
        n: (x, arm.mean)
        for n, arm in arms
        if (x := cost.value(arm)) is not None and arm.mean is not None
    }
    if len(points) < 2:
        return None
    if _alike([x for x, _ in points.values()]):
        return None
    metric = METRICS[summary.metric]
    best, names = on_front(points, (cost.metric, metric)), dict(arms)
    many = len(points) > _MANY
    bars = {n: (names[n].low, names[n].high) for n in (best if many else points)}
    with drawing(3.5) as figure:
        axes = figure.add_subplot()
        _points(axes, points, best, bars)
        across = cost.metric.pick(lower="left", higher="right")
        axes.set_xlabel(f"{cost.name} ({across} is better)")
        upwards = metric.pick(lower="down", higher="up")
        axes.set_ylabel(f"{summary.metric} ({upwards} is better)")
        axes.xaxis.set_major_locator(_few())
        in_sizes(axes.xaxis)
        axes.margins(0.08)
    told = "; ".join(f"{n}: {names[n].name}" for n in best[:_LISTED])
    told += f"; and {len(best) - _LISTED} more" if len(best) > _LISTED else ""
    caption = f"On the front: {told}. Numbers are those of the arms' table."
    caption += (
        _of_bars(summary, many=many) if any(low is not None for low, _ in bars.values()) else ""
    )
    alternative = (
        f"{summary.metric} against {cost.name} of {len(points)} arms. On the front: {told}."
    )
    return Plot(f"front-{cost.key}", cost.name, alternative, figure, caption)


def _alike(costs: Sequence[float]) -> bool:
    return max(costs) - min(costs) <= _SAME * max(costs)


def _of_bars(summary: PartSummary, *, many: bool) -> str:
    told = "Bars, of the front alone" if many else "Bars"
    looks = ", not widened for the looks" if summary.looks else ""
    return (
        f" {told}: 95 % intervals of the means{looks}; what a seed does to all arms alike is not "
        "in them."
    )


def _points(
    axes: Any,
    points: Mapping[int, tuple[float, float]],
    best: list[int],
    bars: Mapping[int, tuple[float | None, float | None]],
) -> None:
    axes.plot(
        *zip(*[points[n] for n in best], strict=True),
        color=BLUE,
        linewidth=1,
        drawstyle="steps-post",
        zorder=1,
    )
    many = len(points) > _MANY
    for number, (x, y) in points.items():
        leads = number in best
        colour, marker, size = (BLUE, "D", 6) if leads else (MUTED, "o", 3 if many else 4.5)
        low, high = bars.get(number, (None, None))
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=colour, linewidth=1, alpha=0.5)
        axes.plot(
            [x],
            [y],
            marker,
            color=colour,
            markersize=size,
            alpha=1.0 if leads or not many else 0.6,
            zorder=2 + leads,
        )
    for number in _apart(points, best if many else [*best, *points]):
        colour = BLUE if number in best else MUTED
        axes.annotate(
            str(number),
            points[number],
            (4, 3),
            textcoords="offset points",
            fontsize=8,
            color=colour,
        )


def _apart(points: Mapping[int, tuple[float, float]], wanted: Sequence[int]) -> list[int]:
    """Those of `wanted` whose numbers can all be read: of two that are near each other, the
    first.
    """
    spans = [max(axis) - min(axis) or 1.0 for axis in zip(*points.values(), strict=True)]
    chosen: list[int] = []
    for number in dict.fromkeys(wanted):
        gaps = [
            [abs(a - b) / span for a, b, span in zip(points[number], points[n], spans, strict=True)]
            for n in chosen
        ]
        if not any(gap[0] < _NEAR[0] and gap[1] < _NEAR[1] for gap in gaps):
            chosen.append(number)
    return chosen


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)
