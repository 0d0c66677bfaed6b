"""Example studies by name."""

import re
from pathlib import Path

import pytest

from ablab.errors import UserError
from ablab.spec.examples import examples, study_file
from tests.conftest import ROOT


def test_the_examples_are_the_files_of_the_folder():
    found = {name: file.resolve() for name, file in examples().items()}
    assert found == {file.stem: file for file in sorted((ROOT / "studies").glob("*.yaml"))}


def test_a_file_comes_before_an_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert study_file(Path("demo")).resolve() == ROOT / "studies" / "demo.yaml"
    (tmp_path / "demo").mkdir()  # a folder is no study
    assert study_file(Path("demo")).resolve() == ROOT / "studies" / "demo.yaml"
    (tmp_path / "demo").rmdir()
    (tmp_path / "demo").write_text("question: mine\n")
    assert study_file(Path("demo")) == Path("demo")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("gpt2_vs_lama", "no such study file (did you mean the example 'gpt2_vs_llama'?)"),
        ("studies/demo.yaml", "no such study file (`demo` alone is the example of this name)"),
        ("xyz", "no such study file (`ablab studies --examples` lists those that have names)"),
        ("xyz.yaml", "no such study file"),
        ("../demo", "no such study file (`demo` alone is the example of this name)"),
        (".", "no such study file (`ablab studies --examples` lists those that have names)"),
    ],
)
def test_what_is_neither_is_refused_with_a_hint(tmp_path, monkeypatch, word, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^{re.escape(f'{word}: {said}')}$"):
        study_file(Path(word))


def test_they_are_listed_with_their_questions(ablab):
    listed = ablab("studies", "--examples")
    assert listed.returncode == 0
    assert re.search(r"^demo +Do rotary positions and RMSNorm help", listed.stdout, re.MULTILINE)
    assert str(ROOT / "studies") in listed.stdout
