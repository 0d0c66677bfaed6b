"""The page and the Markdown of a study in several parts: what each part has of its own, and the
outline.
"""

# ruff: noqa: F811  (the fixture `summary_of` is another module's)

import re
from collections import Counter
from itertools import pairwise

import pytest

from ablab.analysis.summarise import summarise
from ablab.report.html import write_pages
from ablab.report.sentences import noise
from tests.report.pages import without_term_links
from tests.report.test_parts_report import summary_of  # noqa: F401

BUDGETS = "budgets: [{steps: 4}, {steps: 8}]"
ADAPTIVE = "{start: 4, max: 5, until: decided}"


@pytest.fixture
def made(summary_of):
    """A study of two budgets whose seeds are added as verdicts need them: its summary, page and
    Markdown.
    """
    summary, record = summary_of(BUDGETS, seeds=ADAPTIVE)
    page, markdown = (
        without_term_links(file.read_text()) for file in write_pages(summary, record)[:2]
    )
    return summary, page, markdown


def test_each_part_tells_its_own_noise_margin_looks_and_what_was_equal(made):
    summary, page, markdown = made
    kinds = (
        "noise: run-to-run sd",
        "noise floor",
        "is detected with 80 % power",
        "margin:",
        "looks at 4, 5 seeds",
        "seeds added where",
    )
    plain = re.sub(r"\\(.)", r"\1", markdown)
    for text, begins in ((page, '<h2 class="part">'), (plain, "\n## steps ")):
        _, *parts = text.split(begins)
        assert len(parts) == 2
        for part, own in zip(parts, summary.parts, strict=True):
            told = part.split("Across budgets and scales")[0]
            assert [kind for kind in kinds if kind not in told] == []
            assert all(
                line.replace("'", "&#39;" if text is page else "'") in told for line in noise(own)
            )
            assert "What was equal between arms, and what was not" in told
            assert "training FLOPs" in told


def outline(page):
    return [int(level) for level in re.findall(r"<h([1-6])[ >]", page)]


def test_the_outline_goes_down_a_level_at_a_time(made):
    _, page, markdown = made
    for levels in (
        outline(page),
        [len(marks) for marks in re.findall(r"^(#+) ", markdown, flags=re.MULTILINE)],
    ):
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert max(b - a for a, b in pairwise(levels)) == 1
    sections = page[page.index('<h2 class="part">') :].split("<section>")[0].split("</section>")[0]
    assert set(outline(sections)) == {2, 3}
    assert re.findall(r"^## (.*)$", markdown, flags=re.MULTILINE)[:4] == [
        "What each change did to val/bpb, part by part",
        "Across budgets and scales",
        "steps 4",
        "steps 8",
    ]


def test_no_id_is_given_twice(made):
    ids = Counter(re.findall(r'\bid="([^"]+)"', made[1]))
    assert [name for name, count in ids.items() if count > 1] == []
    assert {"part1-forest", "part2-forest"} <= set(ids)


def test_what_was_spared_is_known_with_the_last_verdict(summary_of):
    summary, record = summary_of(BUDGETS, seeds=ADAPTIVE)
    runs = len(record.read().run_entries)
    assert sum(part.spared for part in summary.parts) == 2 * 2 * 5 - runs
    key = record.read().parts[1].runs[0].key
    (record.home.root / "runs" / key / "result.json").unlink()
    open_ = summarise(record)
    assert open_.parts[1].effects[0].verdict is None
    assert open_.parts[1].spared is None
