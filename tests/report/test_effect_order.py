"""Effects are listed by size, the largest first, wherever a report lists them."""

import pytest

from ablab.analysis.comparison import compare
from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.summary import Progress, StudySummary
from ablab.report.answer import answer_table
from ablab.report.costs import costs_table
from ablab.report.figures.forest import forest
from ablab.report.tables import effects_table, parts_table
from ablab.report.terminal import effects_table as terminal_table
from ablab.report.terminal import verdicts
from tests.handmade import make_arm, make_content, make_part, make_study, make_summary

# By name, as designs list them. Interactions stay behind the changes, however large they are.
EFFECTS = [
    ("biases", "change", 0.01),
    ("gate", "change", None),
    ("norm", "change", -0.2),
    ("rotary", "change", 0.1),
    ("biases × norm", "interaction", 0.05),
    ("biases × rotary", "interaction", -0.9),
    ("all", "total", -0.09),
]
CHANGES = ["norm", "rotary", "biases", "gate"]
BY_SIZE = [*CHANGES, "biases × rotary", "biases × norm", "all"]


def effect(name, kind, estimate):
    low, high = (None, None) if estimate is None else (estimate - 0.001, estimate + 0.001)
    verdict = None if estimate is None else "helps" if estimate < 0 else "hurts"
    costs = {"parameters": 1.1} if kind == "change" else {}
    return EffectSummary(name, kind, estimate, low, high, 0.01, verdict=verdict, costs=costs)


@pytest.fixture
def part():
    return make_summary(effects=[effect(*row) for row in EFFECTS], margin=0.005)


@pytest.fixture
def study(part):
    progress = Progress(runs=0, finished=0, failed={}, devices=[])
    content = make_content(make_part(make_study(), [make_arm("gpt2")], [], []))
    return StudySummary(content, progress, [part], None, None, None, None, {})


def first_words(table):
    """The first column of a terminal's table."""
    return [str(cell) for cell in table.columns[0].cells]


def test_in_json(study):
    assert [e["name"] for e in study.as_json()["parts"][0]["effects"]] == BY_SIZE


def test_in_tables_of_the_page_and_of_markdown(part, study):
    assert [row[0].text for row in effects_table(part).rows] == BY_SIZE
    assert [row[0].text for row in parts_table(study).rows] == [*CHANGES, "all"]


def test_on_the_terminal(part):
    assert first_words(terminal_table(part)) == BY_SIZE
    assert first_words(costs_table(part)) == CHANGES
    assert first_words(answer_table(part)) == [*CHANGES, "all"]
    named = [line.split()[0].rstrip(":") for line in verdicts(part)[:-1]]
    assert named == [*CHANGES, "all"]


def test_in_the_forest_plot(part):
    plot = forest(part)
    assert plot is not None
    described = [text.split(":")[0] for text in plot.alternative.split(". ")[1:]]
    assert described == ["norm", "rotary", "biases", "biases × rotary", "biases × norm"]


def test_beside_another_study(study):
    assert [pair.name for pair in compare(study, study).effects] == BY_SIZE
