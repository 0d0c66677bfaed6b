"""The notebook in the documentation was run, and runs on any home with the study `demo`."""

import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

from ablab.records.home import make_home
from tests.report.realistic import carry_out

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def cells() -> list[dict[str, Any]]:
    notebook = json.loads(NOTEBOOK.read_text())
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_was_run_from_top_to_bottom_without_errors():
    assert [cell["execution_count"] for cell in cells()] == list(range(1, len(cells()) + 1))
    kinds = {output["output_type"] for cell in cells() for output in cell["outputs"]}
    assert kinds == {"execute_result", "stream", "display_data"}
    assert all(cell["outputs"] for cell in cells())


@pytest.fixture
def demo(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a made-up study of that name."""
    text = (ROOT / "studies" / "demo.yaml").read_text()
    file = tmp_path / "demo.yaml"
    file.write_text(text.replace("source: stdlib", f'source: text, files: ["{corpus}/*.txt"]'))
    carry_out(file, make_home(tmp_path / ".ablab"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_its_interval_by_hand_is_that_of_the_study(demo, capsys):
    names: dict[str, Any] = {}
    with mpl.rc_context({"backend": "agg"}):
        for number, cell in zip(count(1), cells(), strict=False):
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    by_hand, ablab = capsys.readouterr().out.splitlines()
    numbers = re.compile(r"[-+]\d\.\d{5}")
    assert numbers.findall(by_hand) == numbers.findall(ablab)
    assert len(numbers.findall(ablab)) == 3
    assert set(names["mean"].columns) == {"gpt2", "gpt2 + rope", "gpt2 + rmsnorm"}
