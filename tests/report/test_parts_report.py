"""The report on a study in several parts, whose runs a stand-in trainer answers by a known law."""

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from ablab.analysis.summarise import summarise
from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.report.html import write_report
from ablab.report.scope import scope
from ablab.report.tables import MARKS
from ablab.report.terminal import print_summary
from ablab.tracking.trackers import Trackers
from tests.report.pages import without_term_links
from tests.standin import Silent, StandIn, noise_seed, result

BUDGETS = "budgets: [{steps: 16}, {steps: 4}, {steps: 8}, {steps: 32}]"
LADDER = (
    "scales: [{budget: {steps: 4}}, {model: {width: 32}, budget: {steps: 8}}, {model: {width: "
    "64}, budget: {steps: 16}}]"
)


def noise(spec):
    """Small, and the same for a key whenever it is asked."""
    return np.random.default_rng(noise_seed(spec)).normal(0, 0.0005)


def flops(spec):
    tokens = spec.batches.sequences * spec.dims["context"]
    return tokens * spec.flops_per_token


def law(spec):
    """gpt2's loss falls by 0.3 a tenfold; llama starts above it and falls faster: they meet at
    2.5e7 FLOPs.
    """
    x = math.log10(flops(spec) / 2.5e7)
    return 3 - 0.3 * x - 0.2 * x * ("rope" in dict(spec.plugins)) + 0.05 * spec.seed + noise(spec)


@pytest.fixture
def summary_of(tmp_path, study_text):
    def call(parts, response=law, seeds=4, done=None):
        text = study_text.replace("leave_one_out", "compare").replace("budget: {steps: 4}", parts)
        (tmp_path / "x.yaml").write_text(text.replace("seeds: 2", f"seeds: {seeds}"))
        home = make_home(tmp_path / "home")
        session = Session(
            planned(Request(tmp_path / "x.yaml", None, (), ()), home.root), home, Silent()
        )
        executor = StandIn(home.root, response)
        session.trackers = Trackers([])
        session.run(lambda context: executor)
        for spec in session.planned.plan.unique.values():
            if done is not None and not done(spec):
                (home.root / "runs" / spec.key / "result.json").unlink()
        return summarise(session.record), session.record

    return call


def printed(summary):
    console = Console(width=80, record=True, file=StringIO())
    print_summary(summary, console)
    return console.export_text()


def words(text):
    return " ".join(text.split())


def test_the_page_of_a_part_that_the_clock_ends(summary_of):
    def of_either(spec):
        return 3.0 - 0.1 * ("rope" in dict(spec.plugins)) + noise(spec)

    summary, record = summary_of("budgets: [{steps: 4}, {seconds: 0.2}]", of_either)
    page = Path(write_report(summary, record)).read_text()
    assert summary.parts[1].arms[0].tokens == 256  # what the stand-in says it took
    assert "seconds 0.2" in page
    assert 'id="part2-losses"' in page
    assert 'id="part2-forest"' in page


def test_each_part_has_effects_and_arms_of_its_own(summary_of):
    summary, _ = summary_of(BUDGETS)
    assert summary.progress.complete
    assert (summary.progress.runs, summary.progress.finished) == (32, 32)
    assert [part.label for part in summary.parts] == ["steps 16", "steps 4", "steps 8", "steps 32"]
    for part in summary.parts:
        x = math.log10(part.arms[0].flops / 2.5e7)
        assert part.arms[0].mean == pytest.approx(3.125 - 0.3 * x, abs=0.005)
        assert part.effects[0].estimate == pytest.approx(part.arms[1].mean - part.arms[0].mean)
    assert any("budget: 16 steps" in line for line in scope(summary.parts[0].content))


def test_rankings_run_from_little_compute_to_much_and_say_where_they_change(summary_of):
    summary, _ = summary_of(BUDGETS)
    rankings = summary.across.rankings
    assert [ranking.part for ranking in rankings] == [
        "steps 4",
        "steps 8",
        "steps 16",
        "steps 32",
    ]
    best = [ranking.arms[0].arm for ranking in rankings]
    assert best == ["gpt2", "llama", "llama", "llama"]
    (change,) = summary.across.changes
    assert change.arms == ("gpt2", "llama")
    assert change.between == [("steps 4", "steps 8")]
    assert change.clear
    assert change.ahead == {
        "steps 4": "gpt2",
        "steps 8": "llama",
        "steps 16": "llama",
        "steps 32": "llama",
    }
    text = words(printed(summary))
    assert (
        "gpt2 and llama change places between steps 4 and steps 8 (each is ahead beyond its "
        "interval once)"
    ) in text


def test_a_crossing_within_the_error_is_no_finding_and_none_is_said(summary_of):
    def close(spec):
        """llama is behind by 0.01 with few steps, ahead by 0.01 with many, and seeds differ by ten
        times that.
        """
        few = spec.batches.steps == 4
        return 3 + ("rope" in dict(spec.plugins)) * (
            (0.01 if few else -0.01) + 0.1 * (spec.seed - 2.5)
        )

    unclear, _ = summary_of("budgets: [{steps: 4}, {steps: 8}]", close)
    (change,) = unclear.across.changes
    assert (change.between, change.clear) == ([("steps 4", "steps 8")], False)
    assert "within the error: not a finding" in words(printed(unclear))
    alike, _ = summary_of(
        "budgets: [{steps: 5}, {steps: 6}]",
        lambda s: 3 - 0.1 * ("rope" in dict(s.plugins)) + noise(s),
    )
    assert alike.across.changes == []
    assert "the arms rank alike in all 2 parts" in printed(alike)


def test_the_ladder_recovers_what_was_planted(summary_of):
    summary, _ = summary_of(BUDGETS)
    ladder = summary.across.ladder
    assert [rung.part for rung in ladder.rungs] == [
        "steps 4",
        "steps 8",
        "steps 16",
        "steps 32",
    ]
    (effect,) = ladder.outlooks
    found = effect.outlook
    # llama's own compute differs a little from the baseline's, whose logarithm the line is drawn
    # against.
    assert found.low - 0.01 <= -0.2 <= found.high + 0.01
    assert found.slope == pytest.approx(-0.2, abs=0.02)
    assert found.inside
    assert found.next.compute == pytest.approx(2 * ladder.rungs[-1].flops)
    assert {one.arm: one.curve.form for one in ladder.curves} == {
        "gpt2": "log_linear",
        "llama": "log_linear",
    }
    slope = ladder.curves[0].curve.parameters["slope"]
    assert slope * math.log(10) == pytest.approx(-0.3, abs=0.02)
    multipliers = [one.multiplier for one in ladder.multipliers]
    for one, part in zip(
        multipliers,
        sorted(summary.parts, key=lambda part: part.arms[0].flops),
        strict=True,
    ):
        x = math.log10(part.arms[1].flops / 2.5e7)
        if one.value is not None:
            assert one.value == pytest.approx(10 ** (0.2 * x / 0.3), rel=0.1)
            assert one.low < one.value < one.high
    assert sum(one.value is not None for one in multipliers) >= 3


def test_the_page_and_the_terminal_show_it_in_80_columns(summary_of):
    summary, record = summary_of(LADDER)
    text = printed(summary)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "Effects along the ladder" in text
    assert "Loss against training FLOPs" in text
    assert (
        text.index("width 16\n")
        < text.index("width 32\n")
        < text.index("width 64\n")
        < text.index("Rank of each arm")
    )
    page = without_term_links(Path(write_report(summary, record)).read_text())
    for shown in (
        "width 16",
        "width 64",
        "Across budgets and scales",
        "Effects along the ladder",
        "per tenfold compute",
    ):
        assert shown in page
    assert all(f'id="part{number}-forest"' in page for number in (1, 2, 3))
    first = page[
        page.index("part by part") : page.index("Across budgets and scales")
    ]  # before any part's own section
    assert [name for name in ("width 16", "width 32", "width 64") if f">{name}</th>" in first] == [
        "width 16",
        "width 32",
        "width 64",
    ]
    told = [effect for part in summary.parts for effect in part.effects]
    assert {mark for mark in "▼▲■●" if mark in first} == {MARKS[effect.verdict] for effect in told}
    assert all(
        f"{effect.estimate:+.4f} (" in first or f"{effect.estimate:+.3f} (" in first
        for effect in told
    )
    assert page.index("Across budgets and scales") < page.index('<h2 class="part">')
    content = json.loads(json.dumps(summary.as_json()))
    assert [part["part"] for part in content["parts"]] == ["width 16", "width 32", "width 64"]
    assert content["across"]["ladder"]["outlooks"][0]["held"] is not None


def test_a_study_without_parts_says_nothing_of_them(summary_of):
    summary, _ = summary_of("budget: {steps: 4}")
    content = summary.as_json()
    assert [part["part"] for part in content["parts"]] == [""]
    assert content["across"] is None
    assert "Rank of each arm" not in printed(summary)


def test_an_unfinished_ladder_says_what_is_missing(summary_of):
    summary, record = summary_of(LADDER, done=lambda spec: spec.dims["width"] < 64)
    progress = summary.progress
    assert (progress.complete, progress.finished, progress.runs) == (False, 16, 24)
    (effect,) = summary.across.ladder.outlooks
    assert effect.outlook.reason == "the effect has no value on the last rung"
    text = words(printed(summary))
    assert "16 of 24 runs are done" in text
    assert "llama: no forecast: the effect has no value on the last rung" in text
    assert "unfinished" in Path(write_report(summary, record)).read_text()
    nothing, _ = summary_of(LADDER, done=lambda spec: False)
    assert nothing.progress.finished == 0
    text = printed(nothing)
    assert "0 of 24 runs are done" in text
    assert "Rank of each arm" not in text
    assert "alike" not in text


def test_an_arm_that_diverged_on_a_rung_is_left_out_there_alone(summary_of):
    def diverging(spec):
        lost = "rope" in dict(spec.plugins) and spec.dims["width"] == 64 and spec.seed == 1
        return replace(result(9.9), diverged=True) if lost else law(spec)

    summary, _ = summary_of(LADDER, diverging)
    assert summary.parts[2].arms[1].diverged == [1]
    assert [row.arm for row in summary.across.rankings[2].arms] == ["gpt2"]
    assert summary.across.ladder.outlooks[0].outlook.held is None
    assert "no forecast" in printed(summary)


def test_two_budgets_give_a_ranking_and_no_forecast(summary_of):
    summary, _ = summary_of("budgets: [{steps: 4}, {steps: 16}]")
    assert "a forecast needs three" in summary.across.ladder.outlooks[0].outlook.reason
    assert summary.across.changes[0].between == [("steps 4", "steps 16")]
    one_seed, _ = summary_of("budgets: [{steps: 5}, {steps: 20}]", seeds=1)
    assert all(
        one.multiplier.value is None and "too few runs" in one.multiplier.reason
        for one in one_seed.across.ladder.multipliers
    )
    assert "no forecast" in printed(one_seed)


def test_budgets_of_several_kinds_are_no_ladder(summary_of):
    """One part gives every arm as many tokens, another as many FLOPs: no line through both."""
    summary, record = summary_of("budgets: [{steps: 4}, {tokens: 512}, {flops: 5.0e+7}]")
    ladder = summary.across.ladder
    assert (ladder.outlooks, ladder.multipliers) == ([], [])
    assert len(summary.across.rankings) == 3
    why = "no forecasts and no multipliers: the budgets are of several kinds (steps, tokens, flops)"
    text = words(printed(summary))
    assert why in text
    for absent in ("Effects along the ladder", "How many times its compute", "per tenfold compute"):
        assert absent not in text
    assert why in without_term_links(Path(write_report(summary, record)).read_text())


def test_rungs_may_have_budgets_of_several_kinds(summary_of):
    """A ladder is asked for as one: it is told as one."""
    summary, _ = summary_of(LADDER.replace("budget: {steps: 8}", "budget: {tokens: 600}"))
    assert summary.across.ladder.unlike is None
    assert summary.across.ladder.outlooks[0].outlook.held is not None
