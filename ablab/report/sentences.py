"""Verdicts and their error terms in sentences."""

from collections.abc import Iterable

from ablab.analysis.effect_summary import EffectSummary, RecipeComparison
from ablab.analysis.summary import PartSummary
from ablab.metrics import METRICS
from ablab.records.params import parameters
from ablab.report.costs import cost_phrases
from ablab.report.nuisance import depending
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.text.numbers import interval_digits, p_equation, plain, signed
from ablab.text.truncate import in_a_line

_HOW_JUDGED = (
    "Intervals are 95 %, unadjusted for the number of effects; verdicts go by Holm's p over the "
    "changes, and over the interactions. An effect is equivalent if two one-sided tests show that "
    "it lies within the margin; their p is adjusted in the same way, so that the 95 % interval "
    "beside it may lie within the margin without that verdict, or cross it. Where an effect shares "
    "its error term with others, its own t test stands beside it; no verdict depends on that."
)


OWN_ERROR = "by its own t test"


def how_judged(metric: str) -> str:
    """Return how to read the effects on a metric, and what their verdicts are based on."""
    side = METRICS[metric].pick(lower="below", higher="above")
    return f"With the change minus without; {side} zero is better. {_HOW_JUDGED}"


def sentence(effect: EffectSummary, metric: str) -> str:
    """Return what is known of an effect: its verdict, size, interval and costs.

    For an inconclusive effect this includes the number of seeds that would settle it.
    """
    verdict = " ".join([_verdict_sentence(effect, metric), *turning(effect)])
    if all(value is None for value in effect.costs.values()):
        return verdict
    costs = cost_phrases(effect.ratios)
    return f"{verdict} {costs[:1].upper()}{costs[1:]}."


def turning(effect: EffectSummary) -> list[str]:
    """Return a sentence on the seeds without which the verdict would be another; none if no seed is
    decisive.
    """
    if not effect.turns:
        return []
    turns = [f"{t.verdict} (p {p_equation(t.p_holm)}) without seed {t.seed}" for t in effect.turns]
    return [f"This verdict depends on single seeds: {in_a_line(turns)}."]


def _verdict_sentence(effect: EffectSummary, metric: str) -> str:
    name = effect.name
    places = places_of(effect)
    interval = _interval(effect, places)
    if effect.verdict == "diverged":
        return (
            f"{name} diverged: at least one run that it needs came to no finite loss, or ended "
            "above its start."
        )
    if effect.verdict == "equivalent":
        if effect.margin is None:
            return f"{name} makes no difference: its arms are the same."
        real = f"; distinguishable from zero (p {p_equation(effect.p_holm)})" if effect.real else ""
        return (
            f"{name} makes no difference that matters: within ±{plain(effect.margin, places)} "
            f"{metric} ({interval}){real}."
        )
    if effect.verdict in ("inconclusive", "depends"):
        lead = "is inconclusive:"
        if effect.verdict == "depends":
            lead = f"{depending(effect, places)}; over the range"
        estimate = f"{signed(effect.estimate, places)} {metric} ({interval})"
        return f"{name} {lead} {estimate}{_needed(effect)}."
    if effect.verdict is None:
        return f"{name}: {_unknown(effect, metric, places)}."
    assert effect.estimate is not None
    direction = "lower" if effect.estimate < 0 else "higher"
    return (
        f"{name} {effect.verdict}: {abs(effect.estimate):.{places}f} {direction} {metric} "
        f"({interval}; p {p_equation(effect.p_holm)})."
    )


def changed_by_tuning(summary: PartSummary) -> list[str]:
    """Return how the verdicts differ between one recipe for all arms and the best recipe of each,
    on the same seeds.

    Empty if there are no runs with one recipe for all, or no verdicts on them.
    """
    pairs = [
        (e, e.shared)
        for e in summary.effects_by_size
        if e.kind != "interaction"
        and e.shared is not None
        and e.shared.one.verdict
        and e.shared.own.verdict
    ]
    if summary.shared is None or not pairs:
        return []
    lines = [
        _recipes_line(effect, pair)
        for effect, pair in pairs
        if pair.one.verdict != pair.own.verdict
    ]
    condition = (
        f"with one recipe for all ({parameters(summary.shared)}), on the same "
        f"{pairs[0][1].seeds} seeds,"
    )
    if not lines:
        return [f"{condition} every verdict would be the same"]
    return [f"{condition} {len(lines)} of {len(pairs)} verdicts would differ:", *lines]


def adjusted(summary: PartSummary) -> str:
    """Return a note that means are adjusted, if arms have unequal seeds; else an empty text."""
    if not summary.uneven:
        return ""
    return "Arms have unequal seeds: a mean is adjusted for the seeds that its arm lacks."


def diverged_note(effects: Iterable[EffectSummary]) -> str:
    """Return a sentence on the effects that a figure omits since they diverged; empty if none."""
    names = list(dict.fromkeys(effect.name for effect in effects if effect.verdict == "diverged"))
    return f"Diverged, so without an estimate: {in_a_line(names)}." if names else ""


def noise(summary: PartSummary) -> list[str]:
    """Return the error term, the noise floor and the detectable effect; empty without effects."""
    if not summary.effects:
        return []
    lines = []
    if summary.sd is not None:
        lines.append(f"noise: run-to-run sd {summary.sd:.2g} about arm and seed means, all arms")
    lines.append(
        "error terms: the spread of each effect over seeds; main effects of a factorial share "
        "theirs, unless one stands out"
    )
    if summary.noise_floor is not None:
        lines.append(
            f"noise floor: sd {summary.noise_floor:.2g} over the seeds of {summary.baseline}"
        )
    if summary.detectable_effect is not None:
        lines.append(
            f"a change of {summary.detectable_effect:.2g} {summary.metric} or more is detected "
            "with 80 % power"
        )
    if summary.margin is not None:
        lines.append(f"margin: effects within ±{summary.margin:.2g} {summary.metric} count as none")
    lines.append("p is adjusted by Holm over the changes (interactions: over the interactions)")
    return [*lines, *_looks(summary)]


def _looks(summary: PartSummary) -> list[str]:
    """Return how adding seeds is corrected for, and how many runs it saved; empty if the number of
    seeds is fixed.
    """
    if not summary.looks:
        return []
    counts = ", ".join(map(str, summary.looks))
    lines = [
        f"looks at {counts} seeds: p and intervals hold over all looks together (a "
        "group-sequential test, and repeated confidence intervals); a verdict stays, its figures "
        "are those of all seeds trained"
    ]
    if summary.spared is not None:
        lines.append(
            f"seeds added where verdicts were open: {summary.spared} runs fewer than "
            f"{summary.looks[-1]} seeds of every arm would take"
        )
    return lines


def own_error(effect: EffectSummary) -> str:
    """Return the interval and the p-value of an effect with its own error term; a dash where they
    are those of the verdict.
    """
    if not effect.moderated or effect.paired is None:
        return "–"
    places = places_of(effect)
    low, high = signed(effect.paired.low, places), signed(effect.paired.high, places)
    return f"{low} to {high} (p {p_equation(effect.paired.p)})"


def own_errors(summary: PartSummary) -> list[str]:
    """Return a line with the effects whose error term is shared, by their own; empty if none is."""
    effects = [f"{e.name} {own_error(e)}" for e in summary.effects_by_size if e.moderated]
    return [f"{OWN_ERROR}, unadjusted: {'; '.join(effects)}"] if effects else []


def places_of(effect: EffectSummary) -> int:
    """Return the number of decimals that the interval of an effect warrants."""
    return interval_digits(effect.low, effect.high)


def interval_cell(effect: EffectSummary) -> str:
    """Return the 95 % interval of an effect as a table shows it; a dash if there is none."""
    if effect.low is None:
        return "–"
    places = places_of(effect)
    return f"{signed(effect.low, places)} … {signed(effect.high, places)}"


def _recipes_line(effect: EffectSummary, pair: RecipeComparison) -> str:
    places = places_of(effect)
    one, each = (
        f"{word(e.verdict)} ({signed(e.effect.estimate, places)})" for e in (pair.one, pair.own)
    )
    return f"  {effect.name}: {one} with one recipe, {each} with each arm's own"


def word(verdict: str | None) -> str:
    """Return a verdict as a table shows it; a dash if there is none."""
    return verdict or "–"


def _needed(effect: EffectSummary) -> str:
    if effect.seeds_needed is None:
        return ""
    return (
        f"; {effect.seeds_needed} seeds would find an effect of {effect.margin:.2g}, or show "
        "that there is none"
    )


def _unknown(effect: EffectSummary, metric: str, places: int) -> str:
    if effect.estimate is None:
        return "not known yet"
    estimate = f"{signed(effect.estimate, places)} {metric}"
    if effect.missing or effect.seeds >= MIN_SEEDS:
        return f"{estimate} so far, without a verdict: runs are missing"
    return f"{estimate}, without a verdict: that needs {MIN_SEEDS} seeds or more"


def _interval(effect: EffectSummary, places: int) -> str:
    return f"95 % interval {signed(effect.low, places)} to {signed(effect.high, places)}"
