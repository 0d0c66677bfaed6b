"""Checks of what the verdicts assume, in sentences."""

from collections.abc import Sequence

from ablab.analysis.checks import Checks, SpareColumn
from ablab.analysis.summary import PartSummary
from ablab.report.sentences import turning
from ablab.stats.checks.equal_variances import EqualVariances
from ablab.text.numbers import digits, p_equation, signed
from ablab.text.truncate import in_a_line

_LEVEL = 0.05
_MOST_NAMES = 3  # of the interactions that a spare column may hold
_NO_VERDICT = "no verdict depends on this"


def check_lines(part: PartSummary) -> list[str]:
    """Return what the checks of a part found."""
    checks = part.checks
    lines = _outliers(checks)
    if checks.variances is not None:
        lines.append(_variances(checks.variances))
    lines += _spare(checks.spare)
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


def _spare(columns: Sequence[SpareColumn]) -> list[str]:
    if not columns:
        return []
    test = "spare columns, which test that interactions of three factors or more are zero"
    notable = [column for column in columns if column.p_holm < _LEVEL]
    if not notable:
        smallest = min(column.p_holm for column in columns)
        return [f"{test}: none of {len(columns)} stands out (p {p_equation(smallest)})"]
    return [f"{test}: {_column(column)}; the assumption does not hold" for column in notable]


def _column(column: SpareColumn) -> str:
    effect = column.effect
    assert effect.estimate is not None
    assert effect.low is not None
    places = digits(effect.estimate - effect.low)
    names = " = ".join(column.names[:_MOST_NAMES])
    return f"{names} is {signed(effect.estimate, places)} (p {p_equation(column.p_holm)})"
