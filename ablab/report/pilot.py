"""What a pilot found and proposes, for the terminal."""

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from ablab.analysis.forecast.pilot import PilotProposal, PilotSetting, has_turning_sign
from ablab.stats.inference.power import MOST_SEEDS
from ablab.text.fitting_table import FittingTable
from ablab.text.numbers import plain, signed

_PLACES = 4


def pilot_table(settings: Sequence[PilotSetting], arms: tuple[str, str], metric: str) -> Table:
    """Return a table of the settings with the means of both arms and the noise."""
    table = FittingTable(title=f"{metric} at neighbouring settings", title_justify="left")
    table.add_column("budget")
    for name in ("lr", *map(escape, arms), "difference", "sd of a run"):
        table.add_column(name, justify="right", no_wrap=True)
    for setting in settings:
        table.add_row(
            setting.label,
            f"{setting.lr:.3g}",
            *(plain(mean, _PLACES) for mean in setting.means),
            signed(setting.effect, _PLACES),
            "diverged" if setting.sd is None else f"{setting.sd:.2g}",
        )
    return table


def proposal_lines(
    found: Sequence[PilotProposal], metric: str, *, is_tuned: bool = False
) -> list[str]:
    """Return what each budget takes, and the cheapest settings as overrides of the study.

    A study that tunes the learning rate (`is_tuned`) finds its own.
    """
    if not found:
        return ["no proposal: a run diverged at every setting; try lower learning rates"]
    lines = [_needs(each, metric) for each in found]
    best = found[0]
    if best.seeds is None:
        return [*lines, "take a quieter recipe, more budget, or a wider margin"]
    ((kind, amount),) = best.setting.budget.items()
    rate = "" if is_tuned else f"recipe.lr={best.setting.lr:.3g} "
    lines.append(f"proposed, as the cheapest: budget.{kind}={amount:.4g} {rate}seeds={best.seeds}")
    if best.edge:
        lines.append(
            "the lowest loss is at the end of the learning rates that were tried: go on from there"
        )
    return lines


def _needs(found: PilotProposal, metric: str) -> str:
    low, high = found.noise.interval
    noise = (
        f"{found.setting.label}: run-to-run sd {found.noise.sd:.2g}, pooled over learning rates "
        f"(with {found.noise.dof} degrees of freedom it may lie between {low:.2g} and {high:.2g})"
    )
    if found.seeds is None or found.effect is None:
        return (
            f"{noise}: 'equivalent' within ±{found.margin:.2g} {metric} needs more than "
            f"{MOST_SEEDS} seeds"
        )
    return (
        f"{noise}: with {found.seeds} seeds a change without an effect is shown equivalent within "
        f"±{found.margin:.2g} {metric}, and one of ±{found.effect:.2g} is detected, each with 80 % "
        "power"
    )


def turning_line(settings: Sequence[PilotSetting]) -> list[str]:
    """Return a warning if the difference between the arms changes its sign beyond the noise."""
    if not has_turning_sign(settings):
        return []
    return [
        "the sign of the difference depends on these settings: make them a nuisance factor, or say "
        "for which of them the verdicts hold"
    ]
