"""Tables on narrow terminals: names fold, and numbers are never cut."""

import re
from io import StringIO

import pytest
from rich.console import Console

from ablab.text.fitting_table import FittingTable

ROWS = [
    ("untied_embeddings of a model with a long name", "-0.0529", "-0.0579 … -0.0479", "equivalent"),
    ("rope", "+0.1840", "+0.1420 … +0.2260", "hurts"),
]
HEADERS = ("estimate", "95 % interval", "verdict")


def printed(width):
    table = FittingTable(title="Effect on val/bpb (with minus without)")
    table.add_column("change", overflow="fold", ratio=1)
    for name in HEADERS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in ROWS:
        table.add_row(*row)
    console = Console(width=width, file=StringIO())
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [20, 40, 59, 60, 61, 62, 80])
def test_every_number_is_whole_on_a_line_of_its_width(width):
    text = printed(width)
    assert max(map(len, text.splitlines())) <= width
    assert re.findall(r"[-+]\d\.\d{4}", text.replace("\n", " ")) == [
        *("-0.0529", "-0.0579", "-0.0479"),
        *("+0.1840", "+0.1420", "+0.2260"),
    ]
    assert "…" in text
    assert "".join(re.findall(r"[a-z_]", text)).count("rope") == 1


def test_a_narrow_terminal_gets_lists():
    lines = [line.strip() for line in printed(40).splitlines()]
    assert lines[-4:] == [
        "rope",
        "estimate: +0.1840",
        "95 % interval: +0.1420 … +0.2260",
        "verdict: hurts",
    ]
