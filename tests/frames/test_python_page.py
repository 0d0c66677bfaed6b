"""The code on the page about Python runs as it is printed there."""

import re
from pathlib import Path

from tests.frames.many_studies import make

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_code_runs_on_a_study(corpus, tmp_path, monkeypatch, capsys):
    record = make("one part", corpus, tmp_path, "gpt2_vs_llama")
    record.home.root.rename(tmp_path / ".ablab")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {})
    text = capsys.readouterr().out
    assert text.startswith(f"<gpt2_vs_llama, revision {record.revision}: ")
    assert "\n[]\nhelps -0.4" in text
