"""Arms' means where seeds are unequal or runs diverged, and the figures and tables that show
them.
"""

# ruff: noqa: F811  (the fixture `record` is another module's)

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablab.analysis.arms import SeedValue
from ablab.analysis.comparison import compare
from ablab.analysis.summarise import summarise
from ablab.report.comparison.page import write_comparison
from ablab.report.figures.forest import forest
from ablab.report.figures.front import fronts
from ablab.report.figures.pairs import pair_plot
from ablab.report.files import write_files
from ablab.report.sentences import adjusted
from ablab.report.tables import arms_table
from tests.handmade import change_part, only_part
from tests.report.test_equal_arms import residual
from tests.report.test_report import VALUES, finish, printed, record  # noqa: F401

SHORT = {"base": (2.50, 2.60, 2.64), "mine <b>": (2.40, 2.51), "worse": (2.60, 2.70, 2.71)}
# Yates (1933): the missing value of a table of arms and seeds, (3 × 4.91 + 3 × 5.35 − 20.66) / (2 ×
# 2).
MISSING = 2.53


def sized(record, *counts):
    """Gives the arms unequal numbers of parameters, so that there is a front."""
    pairs = zip(only_part(record).arms, counts, strict=True)
    change_part(record, arms=tuple(replace(arm, parameters=count) for arm, count in pairs))


def shown(record):
    return {file.suffix: file for file in write_files(summarise(record), record)[:2]}


class TestDiverged:
    @pytest.fixture
    def lost(self, record):
        """The lowest values, and a run that diverged among them."""
        sized(record, 5, 6, 7)
        finish(record, {**VALUES, "mine <b>": (1.40, 1.51, 1.44)}, diverged={("mine <b>", 1)})
        return record

    def test_it_has_no_mean_and_its_runs_keep_their_values(self, lost):
        mine = summarise(lost).parts[0].arms[1]
        assert (mine.mean, mine.sd, mine.test, mine.low, mine.high) == (None,) * 5
        assert mine.values == [SeedValue(0, 1.40), SeedValue(2, 1.44)]
        (part,) = summarise(lost).as_json()["parts"]
        assert part["arms"][1]["values"] == [
            {"seed": 0, "value": 1.40},
            {"seed": 2, "value": 1.44},
        ]

    def test_it_leads_no_front(self, lost):
        (plot,) = fronts(summarise(lost).parts[0])
        assert plot.alternative == "val/bpb against parameters of 2 arms. On the front: 1: base."

    def test_every_table_says_so_in_place_of_the_mean(self, lost):
        summary = summarise(lost)
        row = arms_table(summary.parts[0]).rows[1]
        assert [cell.text for cell in row[1:4]] == ["mine <b>", "diverged", "–"]
        assert row[2].value == ""  # sorted behind every number
        rows = [
            [cell.strip() for cell in line.split("│")[1:4]]
            for line in printed(summary).splitlines()
        ]
        assert ["mine <b>", "diverged", "–"] in rows
        files = shown(lost)
        assert "| 2 | mine \\<b\\> | diverged | – |" in files[".md"].read_text()
        assert '<td class="diverged" data-value="">diverged</td>' in files[".html"].read_text()
        page = write_comparison(compare(summary, summary), lost, lost).read_text()
        assert page.count('<td class="diverged" data-value="">diverged</td>') == 2

    def test_a_forest_plot_names_what_it_cannot_draw(self, lost):
        summary = summarise(lost)
        named = "Diverged, so without an estimate: mine <b>."
        found = compare(summary, summary)
        for plot in (forest(summary.parts[0]), pair_plot(found.effects, found.names, "val/bpb")):
            assert plot is not None
            assert plot.caption.endswith(named)
            assert plot.alternative.endswith(named)

    def test_one_without_such_effects_says_nothing(self, record):
        finish(record)
        plot = forest(summarise(record).parts[0])
        assert plot is not None
        assert "Diverged" not in plot.caption + plot.alternative


class TestUnequalSeeds:
    def test_a_mean_is_adjusted_for_the_seeds_that_are_missing(self, record):
        finish(record, SHORT)
        base, mine, worse = summarise(record).parts[0].arms
        assert mine.mean == pytest.approx((2.40 + 2.51 + MISSING) / 3)
        assert mine.test == pytest.approx(mine.mean + 0.01)
        assert (base.mean, worse.mean) == pytest.approx((2.58, 2.67))
        assert mine.sd == pytest.approx(np.std([2.40, 2.51], ddof=1))

    def test_its_interval_is_that_of_least_squares(self, record):
        """Against the same model written out with indicators, the mean as an average over the three
        seeds.
        """
        finish(record, SHORT)
        cells = [(arm, s, v) for arm, own in SHORT.items() for s, v in enumerate(own)]
        x = np.array(
            [[arm == "mine <b>", arm == "worse", s == 1, s == 2, 1] for arm, s, _ in cells], float
        )
        y = np.array([v for *_, v in cells])
        (beta, (rest,), rank, _), at = np.linalg.lstsq(x, y), np.array([1, 0, 1 / 3, 1 / 3, 1])
        error = np.sqrt(rest / (len(y) - rank) * at @ np.linalg.inv(x.T @ x) @ at)
        half = stats.t.isf(0.025, len(y) - rank) * error
        mine = summarise(record).parts[0].arms[1]
        assert (mine.mean, mine.low, mine.high) == pytest.approx(
            (at @ beta, at @ beta - half, at @ beta + half)
        )

    def test_means_of_equal_seeds_are_plain(self, record):
        finish(record)
        arms, sd = summarise(record).parts[0].arms, residual(np.array(list(VALUES.values())))
        for arm in arms:
            assert arm.mean == pytest.approx(np.mean(VALUES[arm.name]))
            half = stats.t.isf(0.025, 4) * sd / 3**0.5
            assert (arm.low, arm.high) == pytest.approx((arm.mean - half, arm.mean + half))

    def test_the_tables_say_so_only_there(self, record):
        finish(record, SHORT)
        note = adjusted(summarise(record).parts[0])
        assert note.startswith("Arms have unequal seeds")
        assert note in " ".join(printed(summarise(record)).split())
        assert all(note in file.read_text() for file in shown(record).values())
        finish(record)
        assert adjusted(summarise(record).parts[0]) == ""
        assert (
            "unequal seeds" not in printed(summarise(record)) + shown(record)[".html"].read_text()
        )

    def test_arms_on_streams_apart_are_not_adjusted(self, record):
        runs = [
            replace(run, seed=run.seed + 1_000_000 * (run.arm == "base"))
            for run in only_part(record).runs
        ]
        change_part(record, runs=tuple(runs))
        finish(record)
        base, mine, _ = summarise(record).parts[0].arms
        assert (base.mean, mine.mean) == pytest.approx((2.55, 2.45))
        assert (base.low, base.high) == (None, None)  # alone on its stream: no error term
        assert adjusted(summarise(record).parts[0]) == ""

    def test_bars_of_a_front_are_what_its_caption_says(self, record):
        sized(record, 5, 6, 7)
        finish(record, SHORT)
        (plot,) = fronts(summarise(record).parts[0])
        assert (
            "Bars: 95 % intervals of the means; what a seed does to all arms alike is not in them."
            in plot.caption
        )
        drawn = [
            line.get_ydata() for line in plot.figure.axes[0].lines if len(line.get_ydata()) == 2
        ]
        for arm in summarise(record).parts[0].arms:
            assert any(ends == pytest.approx((arm.low, arm.high)) for ends in drawn)
        finish(record, {})
        change_part(record, runs=tuple(run for run in only_part(record).runs if run.seed == 0))
        (plot,) = fronts(summarise(record).parts[0])  # one seed: no error term, and no bars
        assert "Bars" not in plot.caption
