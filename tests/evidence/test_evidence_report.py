"""The evidence in words, as a forest plot, and as JSON."""

import json
import math

import pytest
from rich.console import Console

from ablab.evidence.conflicts import conflict_in
from ablab.evidence.follow_up import follow_up
from ablab.evidence.pooling import change_evidence
from ablab.report.meta.forest import forest_table
from ablab.report.meta.json import evidence_json
from ablab.report.meta.sentences import dependence_lines, sentence
from ablab.report.meta.terminal import print_change, print_overview
from ablab.text.axis import Axis
from tests.evidence.contrasts import make_contrast


def growing(count=5, error=0.004):
    """Return evidence whose effect grows by 0.1 per tenfold of compute."""
    contrasts = []
    for i in range(count):
        compute = 1e11 * 2**i
        wobble = 0.002 * (-1) ** i
        estimate = -0.1 - 0.1 * math.log10(2**i) + wobble
        contrasts.append(make_contrast(estimate, error, setting_compute=compute))
    return change_evidence(contrasts)


def printed(call, *arguments, width=80):
    console = Console(width=width, record=True, file=None, force_terminal=False)
    with console.capture() as capture:
        call(*arguments, console)
    return capture.get()


def test_the_sentence_has_counts_mean_prediction_and_trend():
    evidence = growing()
    text = sentence(evidence)
    assert text.startswith("rope helped in 5 of 5 settings; -0.160 val/bpb on average (95 % ")
    assert "in a new one -0.160 (95 % prediction " in text
    assert "grows with compute: -0.1" in text


def test_verdicts_other_than_helps_are_counted():
    verdicts = ("helps", "hurts", "equivalent", "inconclusive", "depends")
    contrasts = [
        make_contrast(-0.01 * i, verdict=verdict, setting_compute=10.0**i)
        for i, verdict in enumerate(verdicts, start=10)
    ]
    text = sentence(change_evidence(contrasts))
    assert text.startswith(
        "rope helped in 1 of 5 settings, hurt in 1, made no difference that matters in 1, was "
        "inconclusive in 1, depended on a nuisance factor in 1;"
    )


def test_few_settings_say_what_is_missing():
    one = make_contrast(0.001, verdict="equivalent")
    assert sentence(change_evidence([one])).startswith(
        "rope made no difference that matters in 1 of 1 setting; "
    )
    assert "one setting says nothing about others." in sentence(change_evidence([one]))
    two = change_evidence([one, make_contrast(0.002, setting_compute=1e12)])
    assert "a prediction for a new setting needs three independent ones" in sentence(two)


@pytest.mark.parametrize(
    ("interval", "line"),
    [
        ((-1.0, 0.0, 1.0), "   ──●──   "),
        ((0.0, 0.5, 1.0), "     ┼●─   "),
        ((-2.0, -1.5, -1.0), " ─●─ │     "),
        ((-4.0, 0.5, 4.0), "‹────┼●───›"),
    ],
)
def test_a_line_of_the_plot_shows_an_interval(interval, line):
    assert Axis(-2.5, 2.5, 11).line(*interval) == line


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_plot_fits_the_terminal(width):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(forest_table(growing(), width))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert sum("●" in line for line in lines) == 5
    assert sum("◆" in line for line in lines) == 1


def test_the_report_names_dependence_and_what_is_left_out():
    runs = {"a": 1.0, "b": -1.0}
    contrasts = [
        make_contrast(-0.1, runs=runs),
        make_contrast(-0.1, runs=runs, setting_compute=4e11),
        make_contrast(-0.1, origin_revision="9999aa"),
        make_contrast(0.3, origin_numerics=1, setting_compute=8e11),
    ]
    lines = dependence_lines(change_evidence(contrasts))
    assert lines == [
        "settings 1, 2 share runs: their mean counts as one",
        "setting 1 is the mean of x:abcd, x:9999",
        "contrasts whose runs are not known count as independent",
        "1 contrast(s) of numerics version 1 are left out: train them again with this version",
    ]


def test_a_conflict_is_printed_with_the_study_that_would_test_it():
    contrasts = [make_contrast(-0.1, setting_lr=0.002), make_contrast(0.1, setting_lr=0.008)]
    evidence = change_evidence(contrasts)
    text = printed(print_change, evidence)
    conflict = conflict_in(evidence)
    study = follow_up(conflict) if conflict else None
    assert study is not None
    assert study.text in printed(print_change, evidence, width=40)  # as it is, to be copied
    assert "Conflict: rope helps in x (gpt2), and hurts in x (gpt2)." in text
    assert "What separates them, as a hypothesis: the learning rate (helps: 0.002; hurts:" in text
    assert "nuisance: {recipe.lr: [0.002, 0.008]}" in text


def test_the_overview_has_a_line_for_each_change():
    other = change_evidence([make_contrast(0.2, change="no_bias")])
    text = printed(print_overview, [growing(), other])
    assert "5 × helps" in text
    assert "1 × hurts" in text


def test_json_has_all_figures_and_no_runs():
    (content,) = json.loads(json.dumps(evidence_json([growing()])))
    assert content["pooled"]["clusters"] == 5
    assert len(content["settings"]) == 5
    assert content["settings"][0]["contrasts"][0]["origin"]["study"] == "x"
    assert "runs" not in content["settings"][0]["contrasts"][0]
