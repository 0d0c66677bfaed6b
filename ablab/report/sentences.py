"""Verdicts in the sentences that a person would say."""

from collections.abc import Iterable

from ablab.analysis.effects import EffectSummary, RecipeComparison
from ablab.analysis.power import PowerForecast
from ablab.analysis.summary import PartSummary
from ablab.metrics import METRICS
from ablab.records.params import parameters
from ablab.report.costs import told
from ablab.text.numbers import digits, p_value, plain, signed
from ablab.text.truncate import in_a_line

_HOW_JUDGED = (
    "Intervals are 95 %, unadjusted for the number of effects; verdicts go "
    "by Holm's p over the changes, and over the interactions. An effect is equivalent by two "
    "one-sided tests at 5 %, which are a "
    "90 % interval within the margin, so that the 95 % interval beside it may cross the margin."
)
_TESTS = {False: "the pooled t", True: "Welch's t of unpaired arms"}


def how_judged(metric: str) -> str:
    """How to read the effects on a metric, and what their verdicts go by."""
    side = METRICS[metric].pick(lower="below", higher="above")
    return f"With the change minus without; {side} zero is better. {_HOW_JUDGED}"


def sentence(effect: EffectSummary, metric: str) -> str:
    """What is known of an effect: its verdict, size and interval, what would settle it if it is
    open, and what it costs.
    """
    costs = told(effect.ratios) if any(value is not None for value in effect.costs.values()) else ""
    if not costs:
        return _verdict_told(effect, metric)
    return f"{_verdict_told(effect, metric)} {costs[:1].upper()}{costs[1:]}."


def _verdict_told(effect: EffectSummary, metric: str) -> str:
    name, places = effect.name, places_of(effect)
    interval = _interval(effect, places)
    if effect.verdict == "diverged":
        return (
            f"{name} diverged: at least one run that it needs came to no finite loss, or ended "
            "above its start."
        )
    if effect.verdict == "equivalent":
        if effect.margin is None:
            return f"{name} makes no difference: its arms are the same."
        real = f"; real all the same (p {_p(effect.p_holm)})" if effect.real else ""
        return (
            f"{name} makes no difference that matters: within ±{plain(effect.margin, places)} "
            f"{metric} ({interval}){real}."
        )
    if effect.verdict == "inconclusive":
        return (
            f"{name} is inconclusive: {signed(effect.estimate, places)} {metric} "
            f"({interval}){_needed(effect)}."
        )
    if effect.verdict is None:
        return f"{name}: {_unknown(effect, metric, places)}."
    assert effect.estimate is not None
    way = "lower" if effect.estimate < 0 else "higher"
    return (
        f"{name} {effect.verdict}: {abs(effect.estimate):.{places}f} {way} {metric} ({interval}; "
        f"p {_p(effect.p_holm)})."
    )


def changed_by_tuning(summary: PartSummary) -> list[str]:
    """How the verdicts differ between one recipe for all and each arm's own, on the same seeds.
    Nothing where no such runs were made, or there are no verdicts on them.
    """
    both = [
        (e, e.shared) for e in summary.effects if e.kind != "interaction" and e.shared is not None
    ]
    known = [(effect, pair) for effect, pair in both if pair.one.verdict and pair.own.verdict]
    if summary.shared is None or not known:
        return []
    lines = [_both(effect, pair) for effect, pair in known if pair.one.verdict != pair.own.verdict]
    once = (
        f"with one recipe for all ({parameters(summary.shared)}), on the same "
        f"{known[0][1].seeds} seeds,"
    )
    if not lines:
        return [f"{once} every verdict would be the same"]
    return [f"{once} {len(lines)} of {len(known)} verdicts would differ:", *lines]


def adjusted(summary: PartSummary) -> str:
    """What to know of the arms' means where seeds are unequal; else nothing."""
    return (
        "Arms have unequal seeds: a mean is adjusted for the seeds that its arm lacks."
        if summary.uneven
        else ""
    )


def lost(effects: Iterable[EffectSummary]) -> str:
    """The effects that a figure can't draw since they diverged, in a sentence; nothing where none
    did.
    """
    names = list(dict.fromkeys(effect.name for effect in effects if effect.verdict == "diverged"))
    return f"Diverged, so without an estimate: {in_a_line(names)}." if names else ""


def noise(summary: PartSummary) -> list[str]:
    """The noise floor, what can be found above it, and the error term; nothing of a study without
    effects.
    """
    if not summary.effects:
        return []
    lines = []
    if summary.sd is not None:
        lines.append(
            f"error: run-to-run sd {summary.sd:.2g} about arm and seed means, {summary.dof} "
            "degrees of freedom"
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
    """How adding seeds is corrected for, and what it spared; nothing where their number was
    fixed.
    """
    if not summary.looks:
        return []
    at = ", ".join(map(str, summary.looks))
    tests = " and ".join(
        _TESTS[unpaired] for unpaired in sorted({effect.unpaired for effect in summary.effects})
    )
    spared = f"{summary.spared} runs fewer than {summary.looks[-1]} seeds of every arm would take"
    told = [] if summary.spared is None else [f"seeds added where verdicts were open: {spared}"]
    return [
        f"looks at {at} seeds: p and intervals hold over all looks together (a group-sequential "
        "test of Pocock's kind for "
        f"{tests}, and repeated confidence intervals); a decision stays",
        *told,
    ]


def places_of(effect: EffectSummary) -> int:
    """Decimals that an effect's interval warrants."""
    return digits(
        None if effect.low is None or effect.high is None else (effect.high - effect.low) / 2
    )


def power_text(forecast: PowerForecast, metric: str) -> str:
    """Return what a planned study can detect."""
    seeds = f"up to {forecast.seeds}" if forecast.adaptive else str(forecast.seeds)
    return (
        f"with {seeds} seeds a change must be worth ±{forecast.effect:.2g} {metric} to be detected "
        f"with 80 % power (run-to-run sd {forecast.sd:.2g}, from revision {forecast.revision})"
    )


def _both(effect: EffectSummary, pair: RecipeComparison) -> str:
    places = places_of(effect)
    one, own = (
        f"{word(e.verdict)} ({signed(e.effect.estimate, places)})" for e in (pair.one, pair.own)
    )
    return f"  {effect.name}: {one} with one recipe, {own} with each arm's own"


def word(verdict: str | None) -> str:
    """A verdict in a table; a dash where there is none."""
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
    shown = f"{signed(effect.estimate, places)} {metric}"
    if effect.missing or effect.seeds > 1:
        return f"{shown} so far, without a verdict: runs are missing"
    return f"{shown}, without a verdict: one seed tells no noise"


def _interval(effect: EffectSummary, places: int) -> str:
    return f"95 % interval {signed(effect.low, places)} to {signed(effect.high, places)}"


def _p(p: float | None) -> str:
    shown = p_value(p)
    return shown.replace("<", "< ") if shown.startswith("<") else f"= {shown}"
