"""The page in a real browser: on a phone and on a desk, in light and in dark."""

import re
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.browser import browser

pytestmark = pytest.mark.system

SVG = "{http://www.w3.org/2000/svg}"

# Of every letter in a figure: whether it lies within its figure, and its contrast with the ground
# (WCAG 2.1, 1.4.3).
LETTERS = """() => {
  const linear = (c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (rgb) => rgb.map((c) => linear(c / 255))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const parts = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const ground = light(parts(getComputedStyle(document.body).backgroundColor));
  return [...document.querySelectorAll("figure:not([hidden]) > svg")].flatMap((svg) => {
    const whole = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].map((text) => {
      const at = text.getBoundingClientRect(), own = light(parts(getComputedStyle(text).fill));
      const across = at.left < whole.left - 1 || at.right > whole.right + 1;
      const cut = across || at.top < whole.top - 1 || at.bottom > whole.bottom + 1;
      const contrast = (Math.max(own, ground) + 0.05) / (Math.min(own, ground) + 0.05);
      return [text.textContent, cut, contrast, at.height];
    });
  });
}"""
COLUMN = (
    "i => [...document.querySelectorAll('table.sortable tbody tr')].map(row => "
    "row.cells[i].textContent)"
)
SORTED = (
    "() => [...document.querySelectorAll('table.sortable th')].map(th => "
    "th.getAttribute('aria-sort'))"
)


@pytest.fixture(scope="module")
def shown(written):
    """Opens the page: `shown(width=390)`."""
    with browser() as started:

        def call(**options):
            page = started.visit(written[".html"], **options)
            page.started = started
            return page

        yield call


@pytest.mark.parametrize(("width", "scheme"), list(product((390, 1440), ("light", "dark"))))
def test_it_fits_and_can_be_read(shown, written, width, scheme):
    page = shown(width=width)
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    letters = page.evaluate(LETTERS)
    assert len(letters) > 150
    assert [text for text, cut, _, _ in letters if cut] == []
    assert [text for text, _, contrast, _ in letters if contrast < 4.5] == []
    assert min(height for _, _, _, height in letters) > 8
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    assert page.said == []
    assert page.requests == [written[".html"].as_uri()]
    assert page.started.errors == page.started.asked == []


def test_every_figure_is_there_and_says_what_it_shows(shown):
    page = shown()
    names = page.eval_on_selector_all("figure[id]", "all => all.map(figure => figure.id)")
    assert names[:4] == ["forest", "waterfall", "interactions", "losses"]
    fronts = [f"front-{cost}" for cost in ("seconds", "memory", "decode", "parameters")]
    assert [name for name in names if name.startswith("front-")] == fronts
    labels = page.eval_on_selector_all(
        "svg", "all => all.map(s => [s.getAttribute('role'), s.getAttribute('aria-label')])"
    )
    titles = page.eval_on_selector_all("svg > title", "all => all.map(title => title.textContent)")
    assert len(labels) == len(titles) == len(names) + 16
    assert all(role == "img" and len(label) > 20 for role, label in labels)
    assert [label for _, label in labels] == titles
    assert page.get_by_role("img", name="rope: -0.0").count() >= 1
    ids = page.eval_on_selector_all("[id]", "all => all.map(element => element.id)")
    assert len(ids) == len(set(ids))
    links = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page.content())
    assert len(links) > 300
    assert {name for pair in links for name in pair if name} <= set(ids)


@pytest.mark.parametrize("scripts", [True, False])
def test_the_data_of_a_figure_can_be_saved(shown, written, scripts):
    page = shown(scripts=scripts)
    for name in ("forest", "losses", "bowls"):
        file = written[f"-{name}.csv"]
        with page.expect_download() as download:
            page.locator(f"a[download='{file.name}']").click()
        assert download.value.suggested_filename == file.name
        assert Path(download.value.path()).read_bytes() == file.read_bytes()
    assert page.said == []


@pytest.mark.parametrize(("scheme", "ground"), [("light", "#fff"), ("dark", "#16181c")])
def test_a_figure_is_saved_in_the_colours_of_the_page(shown, written, scheme, ground):
    page = shown()
    page.emulate_media(color_scheme=scheme)
    name = written["-forest.svg"].name
    with page.expect_download() as download:
        page.locator(f"a[download='{name}']").click()
    assert download.value.suggested_filename == name
    svg = Path(download.value.path()).read_text()
    texts = [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    file = ElementTree.parse(written["-forest.svg"])
    assert texts == [element.text for element in file.iter(f"{SVG}text")] != []
    assert f'fill="{ground}"' in svg
    assert "var(" not in svg
    assert page.said == []


BOXES = """() => ["svg", ".wide"].map(name => document.querySelector(`.beside ${name}`))
  .map(element => element.getBoundingClientRect()).map(({left, right, top}) => [left, right, top])
"""


def test_a_figure_stands_beside_its_table_on_a_desk_and_above_it_on_a_phone(shown):
    (_, figure_right, figure_top), (table_left, table_right, table_top) = shown(
        width=1440
    ).evaluate(BOXES)
    assert figure_right < table_left < table_right <= 1440
    assert abs(figure_top - table_top) < 40
    (figure_left, _, figure_top), (table_left, _, table_top) = shown(width=390).evaluate(BOXES)
    assert figure_left == table_left
    assert figure_top < table_top


def test_a_term_leads_to_its_definition(shown):
    page = shown()
    page.locator("a.term", has_text="verdicts").first.click()
    definition = page.locator("#term-verdict")
    assert definition.is_visible()
    assert page.evaluate("location.hash") == "#term-verdict"
    assert definition.evaluate("one => one.getBoundingClientRect().top < innerHeight")


def test_the_arms_are_sorted_by_the_column_that_is_pressed(shown):
    page = shown()
    before = page.evaluate(COLUMN, 2)
    assert page.evaluate(SORTED) == [None] * 14
    page.get_by_role("button", name="val/bpb").click()
    assert page.evaluate(COLUMN, 2) == sorted(before, key=float) != before
    assert page.evaluate(SORTED)[2] == "ascending"
    page.get_by_role("button", name="val/bpb").click()
    assert page.evaluate(COLUMN, 2) == sorted(before, key=float, reverse=True)
    assert page.evaluate(SORTED)[2] == "descending"
    page.get_by_role("button", name="no.").press("Enter")
    assert page.evaluate(COLUMN, 0) == [str(i) for i in range(1, 17)]
    assert page.evaluate(SORTED) == ["ascending", *[None] * 13]


def test_the_cost_of_the_front_is_chosen(shown):
    page = shown()
    visible = [
        page.locator(f"#front-{name}").is_visible()
        for name in ("seconds", "memory", "decode", "parameters")
    ]
    assert visible == [True, False, False, False]
    page.get_by_label("Cost:").select_option("parameters")
    visible = [
        page.locator(f"#front-{name}").is_visible()
        for name in ("seconds", "memory", "decode", "parameters")
    ]
    assert visible == [False, False, False, True]


def test_without_scripts_all_is_there_but_the_choice(shown):
    page = shown(scripts=False)
    assert page.locator("#front-seconds").is_visible()
    assert not page.locator("select").is_visible()
    assert page.locator("table.sortable th").count() == 14


def test_on_paper_every_front_is_shown_on_white(shown):
    page = shown(width=700)  # A4 at 96 pixels an inch, less its margins
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert all(
        page.locator(f"#front-{name}").is_visible()
        for name in ("seconds", "memory", "decode", "parameters")
    )
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".choice").is_visible()


CLOSED = (
    "() => [...document.querySelectorAll('details table')].map(table => table.checkVisibility())"
)


def test_on_paper_nothing_is_closed(shown):
    page = shown(scripts=False)
    assert page.locator("details table").count() == 1
    assert page.evaluate(CLOSED) == [False]
    page.emulate_media(media="print")
    assert page.evaluate(CLOSED) == [True]
    page = shown()
    for event, visible in (("beforeprint", True), ("afterprint", False)):
        page.evaluate(f"dispatchEvent(new Event('{event}'))")
        assert page.evaluate(CLOSED) == [visible]
