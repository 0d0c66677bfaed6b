"""The report on a terminal, in 80 columns."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ablab.report.numbers import digits, p_value, plain, short, signed
from ablab.report.parts import lines as across_lines
from ablab.report.parts import listings
from ablab.report.scaling import Listing
from ablab.report.summary import EffectSummary, Summary
from ablab.report.trials import told


def print_summary(summary: Summary, console: Console) -> None:
    """Prints the effects, the arms, and what the figures hold for."""
    console.print(f"[bold]{escape(summary.study)}[/] (revision {summary.revision})", highlight=False)
    if summary.question:
        console.print(f"[italic]{escape(summary.question)}[/]", highlight=False)
    if not summary.complete:
        console.print(f"[bold]Unfinished:[/] {summary.finished} of {summary.runs} runs are done.", highlight=False)
    for key, reason in list(summary.failed.items())[:5]:
        console.print(f"failed: {key}: {reason}", highlight=False, markup=False)
    for part in summary.parts or [summary]:
        for line in own_lines(summary, part):
            console.print(line, highlight=False, markup=False)
        console.print(effects_table(part))
        console.print(arms_table(part))
        if part.tuning:
            console.print(tuning_table(part))
    for listing in listings(summary.across) if summary.parts else []:
        console.print(listing_table(listing))
    for line in across_lines(summary.across) if summary.parts else []:
        console.print(line, highlight=False, markup=False)
    for line in survival(summary):
        console.print(line, highlight=False, markup=False)
    for line in footnotes(summary):
        console.print(line, highlight=False, markup=False)


def own_lines(summary: Summary, part: Summary) -> list[str]:
    """A part's label and what holds for it alone; nothing of a study without parts."""
    if not summary.parts:
        return []
    known = {*summary.scope, *summary.notes}
    error = [] if part.sd is None else [_error(part)]
    return ["", part.part, *(line for line in [*part.scope, *part.notes] if line not in known), *error]


def _error(summary: Summary) -> str:
    return f"error: run-to-run sd {summary.sd:.2g} about arm and seed means, {summary.dof} degrees of freedom"


def listing_table(listing: Listing) -> Table:
    """A table of what only the parts together tell."""
    table = Table(title=escape(listing.title), title_justify="left")
    for i, name in enumerate(listing.columns):
        table.add_column(escape(name), overflow="fold", justify="left" if i == 0 else "right")
    for row in listing.rows:
        table.add_row(*map(escape, row))
    return table


def reading(effect: EffectSummary) -> str:
    """What an interval says, in a word: lower is better."""
    if effect.low is None or effect.high is None:
        return "not known"
    if effect.high < 0:
        return "lower"
    return "higher" if effect.low > 0 else "unclear"


def effects_table(summary: Summary) -> Table:
    """Each change's effect on the metric."""
    table = Table(title=f"Effect on {summary.metric} (with minus without; below 0 is better)", title_justify="left")
    table.add_column("change", overflow="fold", ratio=1)
    for name in ("estimate", "95 % interval", "p", "reading"):
        table.add_column(name, justify="right", no_wrap=True)
    previous = None
    for effect in summary.effects:
        if previous is not None and effect.kind != previous:
            table.add_section()
        previous = effect.kind
        half = None if effect.low is None or effect.high is None else (effect.high - effect.low) / 2
        places = digits(half)
        interval = "–" if half is None else f"{signed(effect.low, places)} … {signed(effect.high, places)}"
        table.add_row(escape(effect.title), signed(effect.estimate, places), interval, p_value(effect.p), reading(effect))
    return table


def arms_table(summary: Summary) -> Table:
    """Each arm's metric and what a run of it cost."""
    table = Table(title="Arms (a run's parameters, tokens, FLOPs and training seconds)", title_justify="left")
    table.add_column("arm", overflow="fold", ratio=1)
    for name in (summary.metric, "sd", "n", "params", "tokens", "FLOPs", "sec"):
        table.add_column(name, justify="right", no_wrap=True)
    places = digits(summary.sd)
    for arm in summary.arms:
        note = " (diverged)" if arm.diverged else ""
        table.add_row(
            escape(arm.name) + note, plain(arm.mean, places), plain(arm.sd, places), str(arm.n), short(arm.parameters),
            short(arm.tokens), short(arm.flops), plain(arm.seconds, 1),
        )  # fmt: skip
    return table


def tuning_table(summary: Summary) -> Table:
    """What tuning chose for each arm, what it gave there, and what says that the best may lie outside."""
    table = Table(title="Tuning (each arm's best trial)", title_justify="left")
    for name in ("arm", "best", "note"):
        table.add_column(name, overflow="fold")
    table.add_column(summary.metric, justify="right", no_wrap=True)
    for arm in summary.tuning:
        values = [trial.values[0] for trial in arm.trials if trial.values is not None]
        lost = len(arm.trials) - len(values)
        notes = [f"best {name} at the edge of what was tried" for name in arm.edges]
        notes += [f"{lost} of {len(arm.trials)} trials without a value"] if lost and arm.best is not None else []
        best = "open" if arm.best is None else told(arm.best) or "as the study says"
        table.add_row(escape(arm.arm), best, "; ".join(notes), plain(min(values, default=None), digits(summary.sd)))
    return table


def survival(summary: Summary) -> list[str]:
    """Which of a search's confirmed arms survive on fresh seeds; without an error term nobody can be told apart."""
    if not summary.survivors:
        return []
    told = ", ".join(summary.objectives)
    lines = [f"{len(summary.trials)} trials looked for low {told}; the best were trained again on fresh seeds:"]
    alike = "survives" if summary.sd is not None or len(summary.survivors) == 1 else "not known with one seed"
    for arm, by in summary.survivors.items():
        lines.append(f"  {arm}: " + (alike if by is None else f"beaten by {by}"))
    return [*lines, "  beaten: another is better in one objective and worse in none, beyond the 95 % intervals"]


def footnotes(summary: Summary) -> list[str]:
    """Scope, what the design implies, error term, overhead, and what was left out."""
    lines = [*summary.scope, *summary.notes]
    if summary.sd is not None:
        lines.append(_error(summary))
    if drawn := [f"{e.name} {e.sampling_se:.2g}" for e in summary.effects if e.sampling_se is not None]:
        lines.append(f"standard errors from drawing orders, within the intervals: {', '.join(drawn)}")
    if summary.overhead is not None and summary.wall_seconds is not None:
        lines.append(
            f"time: {summary.wall_seconds:.0f} s on {summary.workers} worker(s); "
            f"{100 * summary.overhead:.0f} % of it was not training or validation"
        )
    lines += [f"device: {device}" for device in summary.devices]
    lines += [f"left out: {name}: {reason}" for name, reason in summary.infeasible.items()]
    return lines
