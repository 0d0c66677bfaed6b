"""Checks of what the verdicts assume, in sentences."""

from ablab.analysis.checks import Checks
from ablab.analysis.summary import PartSummary
from ablab.report.sentences import turning
from ablab.stats.equal_variances import EqualVariances
from ablab.text.numbers import p_equation
from ablab.text.truncate import in_a_line

_NO_VERDICT = "no verdict depends on this"


def check_lines(part: PartSummary) -> list[str]:
    """Return what the checks of a part found."""
    checks = part.checks
    lines = _outliers(checks)
    if checks.variances is not None:
        lines.append(_variances(checks.variances))
    # Other effects have a sentence of their own, which states this.
    interactions = [effect for effect in part.effects if effect.kind == "interaction"]
    lines += [f"{effect.name}: {text}" for effect in interactions for text in turning(effect)]
    return lines


def _outliers(checks: Checks) -> list[str]:
    lines = []
    if checks.runs:
        runs = [f"{run.arm} seed {run.seed} ({run.distance:+.1f} sd)" for run in checks.runs]
        lines.append(
            f"runs that stand out: {in_a_line(runs)} from what their arm and seed suggest; look at "
            f"their loss curves ({_NO_VERDICT})"
        )
    if checks.arms:
        arms = [f"{arm.arm} ({arm.ratio:.1f} times the sd of the others)" for arm in checks.arms]
        lines.append(f"arms whose spread stands out: {in_a_line(arms)}; {_NO_VERDICT}")
    return lines


def _variances(test: EqualVariances) -> str:
    return (
        f"equal noise in all arms: p {p_equation(test.p)} (Brown–Forsythe test, seed effects "
        f"removed); sd from {test.lowest_sd:.2g} ({test.lowest_arm}) to {test.highest_sd:.2g} "
        f"({test.highest_arm}); {_NO_VERDICT}"
    )
