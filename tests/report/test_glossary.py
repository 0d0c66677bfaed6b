"""Words of a page are links to their definitions at its end."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

from ablab.report.glossary import Glossary, terms


class Page(HTMLParser):
    """The ids of a page, and those that its terms link to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.add(values.get("id") or "")
        if values.get("class") == "term":
            self.links.add((values["href"] or "").removeprefix("#"))


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("two seeds of an arm", ["seeds", "arm"]),
        ("a seed and another seed", ["seed"]),
        ("Seeds", ["Seeds"]),
        ("the plugin seed_fix, no-seed, recipe.lr, /home/x and seedling.", ["plugin"]),
        ("the seed. The arm.", ["seed", "arm"]),
        ("run-to-run sd 0.01", ["run-to-run sd"]),
        ("p (Holm)", ["p", "Holm"]),
        ("95 % intervals of main effects", ["intervals", "effects"]),
        ("nothing", []),
    ],
)
def test_the_first_occurrence_of_each_term_is_linked(text, linked):
    html = Glossary().link(text)
    assert html.striptags() == text
    assert [part.split(">")[1].split("<")[0] for part in html.split("<a ")[1:]] == linked


def test_a_list_links_a_term_once():
    glossary = Glossary()
    assert 'href="#term-seed"' in glossary.link("one seed", "notes")
    assert glossary.link("two seeds", "notes") == "two seeds"
    assert 'href="#term-seed"' in glossary.link("a seed", "another list")
    assert [term.names[0] for term in glossary.used] == ["seed"]


def test_text_is_escaped():
    assert Glossary().link("<b> & seed") == (
        f'&lt;b&gt; &amp; <a class="term" href="#term-seed" title="{meaning("seed")}">seed</a>'
    )
    assert "<b>" not in Glossary().link("seed <b> arm <b>")


def meaning(name: str) -> str:
    return next(term.meaning for term in terms() if name in term.names)


def test_the_glossary_is_in_order_and_without_doubles():
    names = [name.lower() for term in terms() for name in term.names]
    assert len(terms()) > 40
    assert len(set(names)) == len(names)
    first = [term.names[0].lower() for term in terms()]
    assert first == sorted(first)
    assert len({term.anchor for term in terms()}) == len(first)
    assert not any(set(term.meaning) & set("`*[]") for term in terms())


def test_a_page_defines_the_terms_that_it_links_and_no_others(written: dict[str, Path]):
    page = Page(written[".html"].read_text())
    assert {"term-verdict", "term-margin", "term-interval", "term-arm", "term-tuning"} <= page.links
    assert {name for name in page.ids if name.startswith("term-")} == page.links
    assert len(page.links) < len(terms())


def test_the_verdicts_and_the_columns_of_the_effects_are_terms(written: dict[str, Path]):
    page = Page(written[".html"].read_text())
    assert {"term-p", "term-change", "term-helps", "term-equivalent"} <= page.links
