"""Reports on studies of any size and of any names, from records made by hand."""

# ruff: noqa: F811  (fixtures of other modules)

import re
from dataclasses import replace
from html import unescape
from io import StringIO
from itertools import pairwise

import pytest
from rich.cells import cell_len
from rich.console import Console

from ablab.analysis.comparison import compare
from ablab.analysis.summarise import summarise
from ablab.records.run_record import Record
from ablab.records.study_content import RunEntry
from ablab.report.comparison.page import write_comparison
from ablab.report.figures.canvas import folded
from ablab.report.files import write_files
from ablab.report.html import write_pages
from ablab.report.terminal import print_summary
from tests.browser import browser
from tests.handmade import change_between, change_part, make_arm, only_part
from tests.report.test_evidence import measure
from tests.report.test_parts_report import summary_of  # noqa: F401
from tests.report.test_report import record, result  # noqa: F401

LONG = [f"gpt2 + {'long_option_' * 24}{i:05}" for i in range(3)]
ODD = [
    "base",
    "$x_1^2$ | <b>&amp;",
    "_hidden",
    "`a` [b](c) # *d*",
    "模型 甲乙丙",
    "界" * 60,
    "اللغة",
    "Ωμέγα",
]
SIZES = {
    "one arm": (["only"], 3),
    "one seed": (["base", "more", "less"], 1),
    "one run": (["only"], 1),
    "64 arms": ([f"arm {i}" for i in range(64)], 2),
    "long names": ([*LONG, "x" * 300], 3),
    "odd names": (ODD, 3),
}


@pytest.fixture(params=SIZES, ids=lambda name: name.replace(" ", "-"))
def made(record, request):
    """The record of a study of arms with such names, all finished."""
    names, seeds = SIZES[request.param]
    runs = [RunEntry(name, s, f"{i}-{s}") for i, name in enumerate(names) for s in range(seeds)]
    change_part(
        record,
        baseline=names[0],
        arms=tuple(make_arm(name, parameters=5000 + 70 * i) for i, name in enumerate(names)),
        runs=tuple(runs),
        contrasts=tuple(change_between(name, names[0]) for name in names[1:]),
    )
    for number, run in enumerate(runs):
        value = 2.5 + 0.01 * (number * 7919 % 100)
        rows = [{"step": s, "train/loss": value + 1 / s, "cost/tokens": 20 * s} for s in (1, 3, 5)]
        measure(record, run.key, rows)
        Record(record.home.root, run.key).finish(result(value))
    return record, names


def test_everything_is_written_and_names_every_arm(made):
    """Warnings are errors here: no letter that a font lacks makes one."""
    record, names = made
    summary = summarise(record)
    assert summary.progress.complete
    page, markdown = (file.read_text() for file in write_files(summary, record)[:2])
    cells = [unescape(cell) for cell in re.findall(r'<td class="text">(.*?)</td>', page)]
    assert set(names) <= set(cells)
    rows = re.findall(r"^\| \d+ \|.*$", markdown, flags=re.MULTILINE)
    assert len(rows) == len(names)
    for table in re.findall(r"(?:^\|.*\n)+", markdown, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", page)]
    assert max(b - a for a, b in pairwise(levels)) == 1
    console = Console(width=80, record=True, file=StringIO())
    print_summary(summary, console)
    tables = [line for line in console.export_text().splitlines() if line[:1] in "│┃┏└"]
    assert max(map(cell_len, tables)) <= 80


def test_a_legend_names_what_begins_with_an_underscore(record):
    part = only_part(record)
    names = {"base": "_base", "mine <b>": "mine <b>", "worse": "worse"}
    arms = [replace(arm, name=names[arm.name]) for arm in part.arms]
    runs = [replace(run, arm=names[run.arm]) for run in part.runs]
    change_part(record, baseline="_base", arms=tuple(arms), runs=tuple(runs), contrasts=())
    measure(record, "00", [{"step": s, "train/loss": 3.0, "cost/tokens": 20 * s} for s in (1, 5)])
    (drawing,) = [
        file for file in write_pages(summarise(record), record) if file.name.endswith("-losses.svg")
    ]
    assert re.search(r">_base</text>", drawing.read_text())


def test_names_are_folded_by_their_width_and_cut():
    assert folded("gpt2 + rope", 24) == "gpt2 + rope"
    assert folded("界" * 24, 24) == "\n".join(["界" * 12] * 2)
    lines = folded("x" * 300, 24).splitlines()
    assert (len(lines), max(map(len, lines)), lines[-1][-1]) == (6, 24, "…")


@pytest.fixture(scope="module")
def visit():
    with browser() as started:

        def call(file, **options):
            page = started.visit(file, **options)
            assert page.evaluate("document.documentElement.scrollWidth") <= options["width"]
            assert page.said == []
            assert page.requests == [file.as_uri()]
            assert started.errors == started.asked == []
            return page

        yield call


@pytest.mark.system
@pytest.mark.parametrize("width", [390, 1440])
def test_two_studies_side_by_side_in_a_browser(visit, studies, width):
    found = compare(*map(summarise, studies))
    visit(write_comparison(found, *studies), width=width)


@pytest.mark.system
def test_a_study_in_parts_in_a_browser(visit, summary_of):
    summary, record = summary_of("budgets: [{steps: 4}, {steps: 8}]")
    file = write_pages(summary, record)[0]
    visit(file, width=1440)
    page = visit(file, width=390)
    levels = page.eval_on_selector_all(
        "h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))"
    )
    assert max(b - a for a, b in pairwise(levels)) == 1
    ids = page.eval_on_selector_all("[id]", "all => all.map(element => element.id)")
    assert len(ids) == len(set(ids)) > 4


@pytest.mark.parametrize("made", ["long names", "odd names"], indirect=True)
def test_long_and_odd_names_fit_a_phone(visit, made):
    record, _ = made
    visit(write_pages(summarise(record), record)[0], width=390)
