"""The comparison across the parts of a study: tables and sentences."""

from ablab.analysis.across.across_parts import Across
from ablab.analysis.summary import StudySummary
from ablab.metrics import METRICS
from ablab.report.ladder import Listing, ladder_lines, ladder_listings
from ablab.text.numbers import digits, plain
from ablab.text.truncate import in_a_line

_MAX_CHANGES = 12  # pairs that change places; the JSON has all


def across_listings(across: Across | None) -> list[Listing]:
    """Return the tables of the comparison; empty for a study of one part."""
    if across is None:
        return []
    rankings = across.rankings
    arms = dict.fromkeys(row.arm for ranking in rankings for row in ranking.arms)
    places = min((digits(ranking.sd) for ranking in rankings if ranking.sd), default=4)
    ranks = [
        {row.arm: f"{row.rank} · {plain(row.mean, places)}" for row in ranking.arms}
        for ranking in rankings
    ]
    rows = [[arm, *(row.get(arm, "–") for row in ranks)] for arm in arms]
    title = (
        f"Rank of each arm by {across.metric} (1 is the {METRICS[across.metric].best_is}), "
        "from little training compute to much"
    )
    columns = ["arm", *(ranking.part for ranking in rankings)]
    ranking = [Listing(title, columns, rows)] if rows else []
    return [*ranking, *ladder_listings(across.ladder)]


def across_lines(summary: StudySummary) -> list[str]:
    """Return which effects turn between parts, where the ranking changes, and what to know of the
    ladder; empty for a study of one part.
    """
    across = summary.across
    if across is None:
        return []
    compared = sum(len(ranking.arms) > 1 for ranking in across.rankings)
    lines = []
    if not across.changes and compared > 1:
        lines.append(f"the arms rank alike in all {compared} parts that have results")
    for change in across.changes[:_MAX_CHANGES]:
        a, b = change.arms
        where = " and ".join(f"between {before} and {after}" for before, after in change.between)
        sure = "within the error: not a finding"
        if change.clear:
            sure = "each is ahead beyond its interval once"
        lines.append(f"{a} and {b} change places {where} ({sure})")
    more = len(across.changes) - _MAX_CHANGES
    if more > 0:
        lines.append(
            f"{more} more pairs change places within the error or beyond (--json lists all)"
        )
    return [*turning_effects(summary), *lines, *ladder_lines(across.ladder)]


def turning_effects(summary: StudySummary) -> list[str]:
    """Return a line for each change that helps in one part and hurts in another."""
    what = "the budget" if summary.content.study.scales is None else "the scale"
    verdicts: dict[str, list[tuple[str, str]]] = {}
    for part in summary.parts:
        for effect in part.effects:
            if effect.kind != "interaction" and effect.verdict in ("helps", "hurts"):
                verdicts.setdefault(effect.name, []).append((effect.verdict, part.label))
    return [
        f"{name} depends on {what}: it {in_a_line([f'{word} at {label}' for word, label in found])}"
        for name, found in verdicts.items()
        if len({word for word, _ in found}) > 1
    ]
