"""Costs of runs on unlike machines are compared nowhere, and the reason stands in their place."""

# ruff: noqa: F811  (the fixture `record` is another module's)

from itertools import product

import pytest

from ablab.analysis.costs import UNLIKE
from ablab.analysis.summarise import summarise
from ablab.files import read_json, write_json
from ablab.records.run_record import Record
from ablab.report.evidence import ranges
from ablab.report.figures.front import costs_not_compared, fronts, same_costs
from ablab.report.files import write_files
from tests.handmade import change_result
from tests.report.pages import without_term_links
from tests.report.test_arm_means import sized
from tests.report.test_report import finish, record  # noqa: F401

LINE = f"Not compared: training seconds, peak memory (bytes): {UNLIKE}."


def put(record, arm, cost, **setting):
    """Give the runs of an arm other costs and other devices."""
    for seed in range(3):
        change_result(record, f"{arm}{seed}", cost, **setting)


@pytest.fixture
def unlike(record):
    """The last arm ran on another device, and took less time."""
    sized(record, 5, 6, 7)
    finish(record)
    put(record, 1, {"seconds": 3.0})
    put(record, 2, {"seconds": 1.0}, device="H100")
    return record


def test_only_what_is_counted_has_a_front(unlike):
    summary = summarise(unlike).parts[0]
    assert [plot.name for plot in fronts(summary)] == ["front-parameters"]
    assert same_costs(summary) == ["training FLOPs"]
    assert costs_not_compared(summary) == [LINE]
    assert summary.as_json()["not_compared"]["peak_memory_bytes"] == UNLIKE


def test_the_page_and_the_markdown_say_why(unlike):
    for file in write_files(summarise(unlike), unlike)[:2]:
        text = without_term_links(file.read_text()).replace("\\", "")
        assert LINE in text
        assert f"not compared: {UNLIKE}" in text


def test_what_was_measured_has_no_range(unlike):
    summary = summarise(unlike).parts[0]
    found = {
        r.name: (r.least, r.most, r.verdict) for r in ranges(summary.arms, summary.not_compared)
    }
    assert found == {
        "tokens": ("100", "100", "equal"),
        "training FLOPs": ("1k", "1k", "equal"),
        "training seconds": ("–", "–", f"not compared: {UNLIKE}"),
        "parameters": ("5", "7", "not equal: the most is 1.4 times the least"),
        "peak memory (bytes)": ("–", "–", f"not compared: {UNLIKE}"),
    }


def test_a_result_without_a_layout_is_of_one_process(record):
    """As results of earlier versions are."""
    finish(record)
    put(record, 1, {"seconds": 3.0}, layout="1 process")
    for arm, seed in product((0, 2), range(3)):
        file = Record(record.home.root, f"{arm}{seed}").folder / "result.json"
        content = read_json(file)
        assert content is not None
        del content["layout"]
        write_json(file, content)
    summary = summarise(record).parts[0]
    assert (summary.not_compared, summary.notes, costs_not_compared(summary)) == ({}, [], [])
    assert [plot.name for plot in fronts(summary)] == ["front-seconds"]
