"""Decisions, and how they are shown."""

import pytest
from rich.console import Console

from ablab.ideas.card import Card, ContextEffect, CostRatio, decide
from ablab.report.card import picture, print_card
from ablab.text.axis import Axis


@pytest.mark.parametrize(
    ("verdicts", "decision"),
    [
        (["helps", "helps"], "keep"),
        (["helps", "equivalent"], "keep"),
        (["helps", "inconclusive"], "keep"),
        (["helps", "depends"], "keep"),
        (["helps", "hurts"], "inconclusive"),
        (["helps", "diverged"], "inconclusive"),
        (["equivalent", "equivalent"], "discard"),
        (["hurts", "equivalent"], "discard"),
        (["diverged", "hurts"], "discard"),
        (["equivalent", "inconclusive"], "inconclusive"),
        (["depends", "hurts"], "inconclusive"),
        ([None, "equivalent"], "inconclusive"),
    ],
)
def test_decisions(verdicts, decision):
    assert decide(verdicts) == decision


def effect(context, verdict, estimate, half):
    ends = (None, None) if half is None else (estimate - half, estimate + half)
    return ContextEffect(
        context=context,
        verdict=verdict,
        estimate=estimate,
        low=ends[0],
        high=ends[1],
        p=0.01,
        seeds=6,
        seeds_needed=None,
        costs={"parameters": CostRatio(value=1.5)},
    )


@pytest.fixture
def card():
    effects = [effect("gpt2", "helps", -0.05, 0.01), effect("llama", "equivalent", 0.001, 0.004)]
    return Card(
        idea="mine(x=[1])",
        decision="keep",
        number=3,
        level=0.0021,
        discoveries=1,
        metric="val/bpb",
        better="lower",
        margin=0.013,
        detectable=0.01,
        effects=effects,
        notes=["in llama, mine replaces swiglu"],
        settle=[],
        study="idea-0003-mine",
        file=".ablab/ideas/idea-0003-mine.yaml",
        command="ablab run .ablab/ideas/idea-0003-mine.yaml",
        report=None,
    )


def test_a_card_in_eighty_columns(card, capsys):
    print_card(card, Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "keep: mine(x=[1])"
    assert lines[1].split()[:3] == ["in", "gpt2", "-0.050"]
    assert lines[1].rstrip().endswith("helps")
    assert "in llama, mine replaces swiglu" in lines
    assert "idea 3 of the ledger, kept if its one-sided p is below 0.0021 (1 kept before it" in (
        "\n".join(lines)
    )
    assert lines[-1] == "the same again: ablab run .ablab/ideas/idea-0003-mine.yaml"


def test_pictures():
    """Seventeen characters from -0.08 to 0.08: one for each hundredth."""
    shown = picture(effect("gpt2", "helps", -0.05, 0.02), 0.03, Axis(-0.08, 0.08, 17))
    assert shown == "·━━●━━··│··┊·····"
    assert set(picture(effect("gpt2", None, None, None), None, Axis(-1.0, 1.0, 17))) == {"·", "│"}
