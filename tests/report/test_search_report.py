"""What the report says of a search: finished, half-confirmed, unfinished, and without a trial that
came to a value.
"""

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ablab.analysis.summarise import summarise
from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.report.html import write_pages
from ablab.report.search import survival, trials_listing
from ablab.report.terminal import print_summary
from ablab.tracking.trackers import Trackers
from tests.handmade import change_part, only_part
from tests.schedule.test_search import HEAD, noise
from tests.standin import Silent, StandIn, result

DESIGN = (
    "  changes: [swiglu, rope]\n  objectives: [val/bpb, cost/parameters, cost/seconds]\n  "
    "trials: 4\n  confirm: 2\n"
)
WORTH = {"swiglu": -0.3, "rope": -0.5}


def response(spec):
    """RoPE costs time, and SwiGLU parameters."""
    used = [name for name, _ in spec.plugins]
    parameters, seconds = 431_232 + 1000 * ("swiglu" in used), 1.23456 + ("rope" in used)
    return result(
        3.0 + sum(WORTH.get(name, 0.0) for name in used) + noise(spec),
        parameters=parameters,
        seconds=seconds,
    )


@pytest.fixture
def search(tmp_path, corpus):
    """The record of a search that was carried out; a run it has no result of is as if it had not
    ended.
    """

    def call(answer=response):
        file = tmp_path / "x.yaml"
        file.write_text(HEAD.format(corpus=corpus) + DESIGN)
        home = make_home(tmp_path / "home")
        session = Session(planned(Request(file, None, (), ()), home.root), home, Silent())
        executor = StandIn(home.root, answer)
        session.trackers = Trackers([])
        session.run(lambda context: executor)
        return session.record

    return call


def lose(record, keys):
    for key in keys:
        (record.home.root / "runs" / key / "result.json").unlink(missing_ok=True)


def shown(record):
    """The terminal's text, the page and the Markdown."""
    console = Console(width=80, record=True, file=StringIO())
    print_summary(summary := summarise(record), console)
    page, markdown = write_pages(summary, record)[:2]
    return console.export_text(), page.read_text(), markdown.read_text()


def test_trials_are_in_order_with_digits_of_their_own(search):
    summary = summarise(search()).parts[0]
    listing = trials_listing(summary)
    assert (
        listing.title
        == "Trials by val/bpb, then cost/parameters, then cost/seconds (the lowest first)"
    )
    assert listing.columns == ["arm", "trial", "val/bpb", "cost/parameters", "cost/seconds"]
    arms = [row[0] for row in listing.rows]
    assert arms == ["gpt2 + rope + swiglu", "gpt2 + rope", "gpt2 + swiglu", "gpt2"]
    assert [row[3:] for row in listing.rows] == [
        ["432,232", "2.235"],
        ["431,232", "2.235"],
        ["432,232", "1.235"],
        ["431,232", "1.235"],
    ]
    assert all(
        re.fullmatch(r"\d\.\d{4}", row[2]) for row in listing.rows
    )  # the noise is of a thousandth


def test_a_search_tells_who_survives_once_all_runs_are_in(search):
    record = search()
    whole = survival(summarise(record).parts[0])
    assert any(line.endswith(": survives") for line in whole)
    assert not any("not known" in line for line in whole)
    lose(record, [only_part(record).runs[-1].key])
    summary = summarise(record).parts[0]
    assert summary.survivors == {}
    half = survival(summary)
    assert half[1:-1] == [f"  {arm.name}: not known yet" for arm in summary.arms]
    for text in shown(record):
        assert "survives" not in text.replace("What survives", "")
        assert "431,232" in text


def test_an_unfinished_search_shows_its_trials(search):
    record = search()
    part = only_part(record)
    lose(record, [entry.key for entry in (*part.runs, part.trials[-1])])
    change_part(record, runs=(), arms=part.arms[:1], contrasts=(), expected=part.expected)
    assert survival(summarise(record).parts[0]) == [
        (
            "4 trials looked for low val/bpb, cost/parameters, cost/seconds so far: which are "
            "the best is not known yet"
        )
    ]
    for text in shown(record):
        assert "which are the best is not known yet" in " ".join(text.split())
        assert len(re.findall(r"43[12],232", text)) == 3
        assert "waiting" in text


def test_without_a_value_nothing_survives(search):
    record = search(lambda spec: 3.0 if spec.trial is None else replace(result(9.9), diverged=True))
    assert survival(summarise(record).parts[0]) == [
        (
            "4 trials looked for low val/bpb, cost/parameters, cost/seconds: no trial came to a "
            "value, so nothing is confirmed"
        )
    ]
    assert trials_listing(summarise(record).parts[0]).rows[0][2:] == ["diverged", "–", "–"]


def test_a_tuned_study_is_no_search(studies):
    assert survival(summarise(studies[0]).parts[0]) == []


def test_the_json_says_of_each_trial_how_it_ended(studies):
    part = summarise(studies[0]).parts[0]
    lost, *others = part.trials
    lost = replace(lost, values=None, diverged=True)
    (arm, *_) = part.tuning
    arm = replace(arm, trials=[lost, *arm.trials[1:]])
    content = replace(part, trials=[lost, *others], tuning=[arm]).as_json()
    for trials in (content["trials"], content["tuning"][0]["trials"]):
        states = [trial["state"] for trial in trials]
        assert states == ["diverged", *["finished"] * (len(states) - 1)]
