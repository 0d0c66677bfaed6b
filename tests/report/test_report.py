"""The report on records made by hand: what is shown, and what is said of what is missing."""

import json
import re
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from ablab.analysis.summarise import summarise
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.records.study_content import RunEntry
from ablab.records.study_record import Execution, StudyRecord
from ablab.report.figures.forest import forest
from ablab.report.html import write_pages, write_report
from ablab.report.scope import holds_for, scope
from ablab.report.sentences import how_judged
from ablab.report.tables import arms_table
from ablab.report.terminal import print_summary
from ablab.train.result import RunCost, RunResult
from tests.handmade import (
    change_between,
    change_part,
    change_study,
    make_arm,
    make_content,
    make_part,
    make_study,
    only_part,
)
from tests.report.pages import without_term_links

ARMS = ("base", "mine <b>", "worse")
VALUES = {"base": (2.50, 2.60, 2.55), "mine <b>": (2.40, 2.51, 2.44), "worse": (2.6, 2.7, 2.65)}


def result(value, diverged=False):
    return RunResult(
        diverged=diverged,
        steps=5,
        precision="fp32",
        device="cpu",
        threads=1,
        versions={"torch": "x"},
        metrics={"val/bpb": value, "test/bpb": value + 0.01},
        cost=RunCost(
            tokens=100,
            flops=1000.0,
            seconds=2.0,
            validation_seconds=0.75,
            measuring_seconds=0.25,
            tokens_per_second=10.0,
            parameters=5,
            peak_memory_bytes=1e9,
        ),
    )


@pytest.fixture
def record(tmp_path):
    recorded = StudyRecord(make_home(tmp_path), "x", "abc")
    part = make_part(
        make_study(question="Does <i>it</i> help?"),
        arms=[make_arm(name) for name in ARMS],
        runs=[RunEntry(a, s, f"{i}{s}") for i, a in enumerate(ARMS) for s in range(3)],
        contrasts=[change_between(name, "base") for name in ARMS[1:]],
    )
    recorded.write(make_content(part))
    recorded.executed(
        Execution(time=0.0, wall_seconds=10.0, workers=2, busy_seconds=15.0, trained=9)
    )
    return recorded


def finish(record, values=VALUES, diverged=()):
    for i, arm in enumerate(ARMS):
        for seed, value in enumerate(values.get(arm, ())):
            run = Record(record.home.root, f"{i}{seed}")
            run.folder.mkdir(parents=True, exist_ok=True)
            run.finish(result(value, (arm, seed) in diverged))


def printed(summary):
    console = Console(width=80, record=True, file=StringIO())
    print_summary(summary, console)
    return console.export_text()


def test_effects_and_overhead(record):
    runs = [RunEntry(arm, s, f"{i}{s}") for i, arm in enumerate(ARMS) for s in range(4)]
    change_part(record, runs=tuple(runs))
    fourth = {"base": 2.55, "mine <b>": 2.45, "worse": 2.66}
    finish(record, {arm: (*values, fourth[arm]) for arm, values in VALUES.items()})
    summary = summarise(record)
    assert summary.progress.complete
    mine, worse = summary.parts[0].effects
    assert mine.estimate == pytest.approx(-0.1)
    assert mine.high < 0 < worse.low
    # Of 20 worker seconds 15 were busy. A run took 2 s, 0.75 s and 0.25 s of 3 s.
    time = summary.time
    assert time is not None
    assert (time.training, time.validation) == pytest.approx((0.5, 0.75 * 0.25))
    assert (time.measuring, time.other) == pytest.approx((0.75 / 12, 0.25))
    text = printed(summary)
    assert "50 % training, 19 % validation, 6 % measuring memory and decoding, 25 % other" in (
        " ".join(text.split())
    )
    assert "lower" in text
    assert "higher" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_page_holds_all_and_asks_for_nothing(record):
    finish(record)
    page = Path(write_report(summarise(record), record)).read_text()
    assert "Does &lt;i&gt;it&lt;/i&gt; help?" in page
    assert "mine &lt;b&gt;" in page
    assert not re.search(r"(?:src|href)=[\"'](?!#|data:text/csv)|url\((?!#)|@import", page)
    assert "default-src 'none'" in page
    assert 'role="img"' in page
    assert "2.65" in page


def test_both_pages_say_how_verdicts_are_judged(record):
    finish(record)
    page = Path(write_report(summarise(record), record))
    for file in (page, page.with_suffix(".md")):
        assert how_judged("val/bpb") in unescape(without_term_links(file.read_text()))
    assert "two one-sided tests show" in how_judged("val/bpb")


def test_replicates_are_said_to_be_unpaired(record):
    line = "replicates: worse on seeds of their own, compared unpaired"
    assert line not in scope(only_part(record))
    arms = {
        "base": {"model": "gpt2", "replicate": 0},
        "worse": {"model": "gpt2", "replicate": 1},
    }
    change_study(record, arms=arms)
    assert line in scope(only_part(record))


def test_means_have_the_digits_of_the_noise_floor_where_no_error_term_is_known(record):
    finish(record)
    part = replace(summarise(record).parts[0], sd=None, noise_floor=0.08)
    (first, *_) = arms_table(part).rows
    assert [cell.text for cell in first[2:4]] == ["2.550", "0.050"]  # of 2.5, 2.6 and 2.55


def test_an_unfinished_study_says_so(record):
    finish(record, {"base": (2.5, 2.6, 2.55), "mine <b>": (2.4,)})
    summary = summarise(record)
    assert (summary.progress.finished, summary.progress.runs) == (4, 9)
    assert "4 of 9 runs are done" in printed(summary)
    mine, worse = summary.parts[0].effects
    assert mine.estimate == pytest.approx(-0.1)  # seed 0 alone: adjusted for it
    assert worse.estimate is None
    assert "unfinished" in Path(write_report(summary, record)).read_text()


def test_nothing_finished(record):
    summary = summarise(record)
    assert all(e.estimate is None for e in summary.parts[0].effects)
    assert "0 of 9 runs are done" in printed(summary)
    assert "<svg" not in Path(write_report(summary, record)).read_text()


def test_a_diverged_run_makes_its_arm_diverged(record):
    finish(record, diverged={("worse", 1)})
    summary = summarise(record)
    part = summary.parts[0]
    assert part.arms[2].diverged == [1]
    assert part.effects[1].estimate is None
    assert part.effects[0].estimate == pytest.approx(-0.1)
    assert "diverged" in printed(summary)


def test_figures_that_are_not_finite_are_null(record):
    finish(record, {**VALUES, "worse": (float("nan"), 2.7, 2.65)}, diverged={("worse", 0)})
    assert "NaN" not in json.dumps(summarise(record).as_json())


def test_aliases_notes_and_what_drawing_leaves_are_shown_in_80_columns(record):
    aliases = ("no_bias × untied_embeddings", "mqa × rmsnorm")
    halves = ({"worse": 0.5, "base": -0.5}, {"worse": 1.5, "base": -1.5})
    first, second = only_part(record).contrasts
    contrasts = (
        replace(first, name="rope × swiglu", kind="interaction", aliases=aliases),
        replace(second, parts=halves),
    )
    change_part(record, contrasts=contrasts, notes=("generator: a = b × c",))
    finish(record)
    summary = summarise(record)
    effects = summary.parts[0].effects
    assert effects[0].aliases == aliases
    # Draws that give half and one and a half of a difference of 0.1: their standard error is 0.05.
    assert effects[1].sampling_se == pytest.approx(0.05)
    text = printed(summary)
    assert all(len(line) <= 80 for line in text.splitlines())
    folded = " ".join(
        line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")
    )
    assert "rope × swiglu (= no_bias × untied_embeddings = mqa × rmsnorm)" in folded.replace(
        "  ", " "
    )
    assert "generator: a = b × c" in text
    assert "standard errors from drawing orders, within the intervals: worse 0.05" in text
    page = Path(write_report(summary, record)).read_text()
    assert "rope × swiglu (= no_bias × untied_embeddings = mqa × rmsnorm)" in page
    assert "generator: a = b × c" in page


def test_long_names_leave_the_plot_its_room(record):
    """Names are folded, so that the axis keeps most of the width; a name is read off the picture's
    own text.
    """
    name = " + ".join(
        ["gpt2", "geglu", "parallel_block", "qk_norm", "rmsnorm", "rope", "untied_embeddings"]
    )
    first, second = only_part(record).contrasts
    change_part(record, contrasts=(replace(first, name=name), second))
    finish(record)
    plot = forest(summarise(record).parts[0])
    assert plot is not None
    lines = [line for line in re.findall(r">([^<>]+)</text>", plot.inline) if line in name]
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    assert max(map(len, lines)) <= 24


def test_what_was_left_out_is_told_once_short_and_without_this_machines_folders(record):
    """On the page under its heading alone; elsewhere cut, too."""
    finish(record)
    left = {
        f"gpt2 + x{i}": f"x{i} (/home/me/plugins/x{i}.py) and y both write `norm`"
        for i in range(23)
    }
    change_part(record, infeasible=left)
    summary = summarise(record)
    page, markdown = (file.read_text() for file in write_pages(summary, record)[:2])
    for text in (page, markdown, printed(summary), json.dumps(summary.as_json())):
        assert "/home/me" not in text
        assert "and 3 more" in text
        found = re.findall(r"gpt2 \+ x(\d+)", text)
        assert found == [str(i) for i in range(20)]
    (part,) = summary.as_json()["parts"]
    assert list(part["infeasible"].items())[19:] == [
        ("gpt2 + x19", "x19 (x19.py) and y both write `norm`"),
        ("and 3 more", "not listed"),
    ]
    assert "infeasible: gpt2 + x0" in page[page.index("What was left out") :]


@pytest.mark.parametrize(
    ("budget", "text"), [({"steps": 4096}, "4096 steps"), ({"tokens": 1.25e6}, "1.25e+06 tokens")]
)
def test_the_budget_is_told_in_full(record, budget, text):
    change_study(record, budget=budget)
    part = only_part(record)
    assert f"budget: {text} a run, the same for every arm" in scope(part)
    assert f"for {text} each" in holds_for(part)
