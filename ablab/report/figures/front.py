"""The Pareto front of the metric and a cost: the arms that no other arm beats in both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablab.analysis.arms import ArmSummary
from ablab.analysis.summary import PartSummary
from ablab.metrics import METRICS, Metric
from ablab.report.figures.canvas import BLUE, MUTED, Plot, drawing, in_sizes

_MAX_LISTED = 8  # arms of the front that the caption names
_MAX_ANNOTATED = 40  # with more arms, only those on the front have numbers and bars
_OVERLAP = (0.05, 0.045)  # shares of the axes within which two numbers would overlap
_EQUAL = 0.01  # costs that differ by less than this share count as equal


@dataclass(frozen=True)
class Cost:
    """A cost of an arm."""

    key: str
    """Suffix of the name of its figure."""
    name: str
    """Name on the axis."""
    of: str
    """Name of the cost in `ArmSummary`."""

    @property
    def metric(self) -> Metric:
        """The cost as a metric, which has a direction."""
        return METRICS[f"cost/{self.of}"]

    def value(self, arm: ArmSummary) -> float | None:
        """Return the cost of an arm; None if it was not measured."""
        return measured(arm, self.of)


def measured(arm: ArmSummary, name: str) -> float | None:
    """Return a cost of an arm by name; None if it was not measured."""
    cost = getattr(arm, "cost", None)
    value = cost.get(name) if isinstance(cost, Mapping) else getattr(cost, name, None)
    return value if value is not None else getattr(arm, name, None)


COSTS = (
    Cost("seconds", "training seconds", "seconds"),
    Cost("flops", "training FLOPs", "flops"),
    Cost("memory", "peak memory (bytes)", "peak_memory_bytes"),
    Cost("decode", "decoded tokens a second", "decode_tokens_per_second"),
    Cost("kv", "KV cache (bytes a sequence)", "kv_cache_bytes"),
    Cost("parameters", "parameters", "parameters"),
)


def fronts(summary: PartSummary) -> list[Plot]:
    """Draw a figure for every cost that is compared and in which the arms differ."""
    arms = [(number, arm) for number, arm in enumerate(summary.arms, 1) if arm.mean is not None]
    compared = [cost for cost in COSTS if cost.of not in summary.not_compared]
    plots = [_front(summary, cost, arms) for cost in compared]
    return [plot for plot in plots if plot is not None]


def same_costs(summary: PartSummary) -> list[str]:
    """Return the costs in which the arms do not differ, so that there is no trade-off."""
    names = []
    for cost in COSTS:
        values = _values(summary, cost)
        if cost.of not in summary.not_compared and len(values) > 1 and _are_equal(values):
            names.append(cost.name)
    return names


def costs_not_compared(summary: PartSummary) -> list[str]:
    """Return a line with the costs that are not compared for each reason."""
    names: dict[str, list[str]] = {}
    for cost in COSTS:
        if cost.of in summary.not_compared and _values(summary, cost):
            names.setdefault(summary.not_compared[cost.of], []).append(cost.name)
    return [f"Not compared: {', '.join(costs)}: {reason}." for reason, costs in names.items()]


def _values(summary: PartSummary, cost: Cost) -> list[float]:
    values = [cost.value(arm) for arm in summary.arms]
    return [value for value in values if value is not None]


def on_front(
    points: Mapping[int, tuple[float, float]], metrics: tuple[Metric, Metric]
) -> list[int]:
    """Return the arms that no other dominates, cheapest first.

    `points` are (cost, metric) by the number of the arm, and `metrics` give their directions. Of
    arms that are equal in both, the first is returned.
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
    points: dict[int, tuple[float, float]] = {}
    for number, arm in arms:
        x = cost.value(arm)
        if x is not None and arm.mean is not None:
            points[number] = (x, arm.mean)
    if len(points) < 2 or _are_equal([x for x, _ in points.values()]):
        return None
    metric = METRICS[summary.metric]
    best = on_front(points, (cost.metric, metric))
    by_number = dict(arms)
    many = len(points) > _MAX_ANNOTATED
    bars = {n: (by_number[n].low, by_number[n].high) for n in (best if many else points)}
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
    names = "; ".join(f"{n}: {by_number[n].name}" for n in best[:_MAX_LISTED])
    if len(best) > _MAX_LISTED:
        names += f"; and {len(best) - _MAX_LISTED} more"
    caption = f"On the front: {names}. Numbers are those of the arms' table."
    if any(low is not None for low, _ in bars.values()):
        caption += _about_bars(summary, many=many)
    alternative = (
        f"{summary.metric} against {cost.name} of {len(points)} arms. On the front: {names}."
    )
    rows = [_row(n, by_number[n], summary.metric, cost, leads=n in best) for n in points]
    return Plot(f"front-{cost.key}", cost.name, alternative, figure, caption, rows)


def _row(number: int, arm: ArmSummary, metric: str, cost: Cost, *, leads: bool) -> dict[str, Any]:
    return {
        "no.": number,
        "arm": arm.name,
        cost.of: cost.value(arm),
        metric: arm.mean,
        "low": arm.low,
        "high": arm.high,
        "on front": leads,
    }


def _are_equal(costs: Sequence[float]) -> bool:
    return max(costs) - min(costs) <= _EQUAL * max(costs)


def _about_bars(summary: PartSummary, *, many: bool) -> str:
    subject = "Bars, of the front alone" if many else "Bars"
    looks = ", not widened for the looks" if summary.looks else ""
    return (
        f" {subject}: 95 % intervals of the means{looks}; what a seed does to all arms alike is "
        "not in them."
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
    many = len(points) > _MAX_ANNOTATED
    for number, (x, y) in points.items():
        leads = number in best
        colour = BLUE if leads else MUTED
        size = 3 if many else 4.5
        low, high = bars.get(number, (None, None))
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=colour, linewidth=1, alpha=0.5)
        axes.plot(
            [x],
            [y],
            "D" if leads else "o",
            color=colour,
            markersize=6 if leads else size,
            alpha=1.0 if leads or not many else 0.6,
            zorder=2 + leads,
        )
    for number in _legible(points, best if many else [*best, *points]):
        _annotate(axes, number, points[number], BLUE if number in best else MUTED)


def _annotate(axes: Any, number: int, point: tuple[float, float], colour: str) -> None:
    axes.annotate(str(number), point, (4, 3), textcoords="offset points", fontsize=8, color=colour)


def _legible(points: Mapping[int, tuple[float, float]], numbers: Sequence[int]) -> list[int]:
    """Return the numbers that do not overlap: of two that are near each other, the first."""
    spans = [max(axis) - min(axis) or 1.0 for axis in zip(*points.values(), strict=True)]
    chosen: list[int] = []
    for number in dict.fromkeys(numbers):
        gaps = [
            [abs(a - b) / span for a, b, span in zip(points[number], points[n], spans, strict=True)]
            for n in chosen
        ]
        if not any(gap[0] < _OVERLAP[0] and gap[1] < _OVERLAP[1] for gap in gaps):
            chosen.append(number)
    return chosen


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5)
