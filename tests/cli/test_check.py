"""`ablab check` holds plugin files to the conformance suite, without pytest."""

import subprocess
import sys

import pytest

from ablab.arch.composition import guard
from ablab.arch.composition.model import architecture
from ablab.arch.counting.account import account
from ablab.cli.check import check
from ablab.errors import UserError
from tests.conftest import ROOT, SMALL, environment

PLUGIN = '''
import os, time
import torch
from dataclasses import dataclass
from torch import nn
from ablab.plugin import Activation, Edit, Kind, Role, plugin

class Act(nn.Module):
    roles = {"extra": Role(Kind.GAIN)}
    def __init__(self, how):
        super().__init__()
        self.how = how
        if how == "unused":
            self.extra = nn.Parameter(torch.empty(3))
    def forward(self, x):
        if self.how == "future":
            return x + torch.cat([x[:, 1:], x[:, -1:]], 1)
        if self.how == "raise":
            x.nothing()
        if self.how == "exit":
            os._exit(0)
        while self.how == "hang":
            time.sleep(0.01)
        if self.how == "print":
            print("x" * 1_000_000)
        return x.relu()

@dataclass(frozen=True)
class ActSlot(Activation):
    how: str
    def build(self):
        return Act(self.how)

@plugin(source="a test")
class Mine:
    """An activation that behaves as `how` names."""
    how: str = "well"
    def edit(self) -> Edit:
        return {"mlp.activation": ActSlot(self.how)}
'''
LINE = PLUGIN.splitlines().index('@plugin(source="a test")') + 1
EMPTY = '''
from ablab.plugin import AdamW, Edit, PostNorm, plugin

@plugin(source="a test"{more})
class Mine:
    """A change."""
    {option}
    def edit(self) -> Edit:
        return {edit}
'''
OK = ["ok"] * 6


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN)
    return tmp_path / "mine.py"


@pytest.fixture
def checked(capsys):
    """Runs the command, and returns its exit status, its first line, its last, and the others."""

    def run(*paths, **options):
        status = 0
        try:
            check(list(paths), **options)
        except SystemExit as exit_request:
            status = int(exit_request.code or 0)
        title, *lines, summary = capsys.readouterr().out.splitlines()
        return status, title, summary, [line.strip() for line in lines]

    return run


def words(lines):
    return [line.split()[0] for line in lines]


def test_a_plugin_that_passes_has_a_line_for_each_check(file, checked):
    status, title, summary, (model, *lines) = checked(file)
    assert (status, summary) == (0, "1 plugin(s) checked, no problems")
    assert title == f"mine (mine.py:{LINE})"
    assert model == "ok       model: gpt2 + mine"
    assert words(lines) == OK
    assert "causal: no token sees a later one" in lines[2]


def test_what_is_wrong_is_said_in_the_line_of_its_check(file, checked):
    status, _, summary, lines = checked(file, model="gpt2 + mine(how=future)")
    assert (status, summary) == (1, "1 plugin(s) checked, problems in mine")
    assert "problem  causal: token 1 changes an earlier logit" in lines
    assert words(lines).count("problem") == 2  # a cache does not bring later tokens, either


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raise", "AttributeError: 'Tensor' object has no attribute 'nothing'"),
        ("exit", "it calls os._exit(0)"),
    ],
)
def test_an_exception_is_said_with_its_line(file, checked, how, reason):
    status, _, _, lines = checked(file, model=f"gpt2 + mine(how={how})")
    (causal,) = (line for line in lines if "causal" in line)
    place = PLUGIN.splitlines().index("            x.nothing()") + (1 if how == "raise" else 3)
    assert status == 1
    assert causal.endswith(f"{reason} (plugin mine, mine.py:{place})")


def test_a_plugin_that_hangs_is_checked_no_further(file, checked, registry, monkeypatch):
    account(architecture("gpt2", registry, SMALL))  # imports
    monkeypatch.setattr(guard, "PLANNING_SECONDS", 0.3)
    monkeypatch.setattr(guard, "_LATEST", 2.0)
    status, _, _, lines = checked(file, model="gpt2 + mine(how=hang)")
    assert (status, len(lines)) == (1, 2)
    assert "it does not end within 0.3 s (plugin mine, mine.py:" in lines[-1]


def test_what_a_plugin_prints_is_kept_from_the_lines(file, checked):
    assert words(checked(file, model="gpt2 + mine(how=print)")[3]) == ["ok", *OK]


def test_weights_without_a_gradient_can_be_named(file, checked):
    model = "gpt2 + mine(how=unused)"
    _, _, _, lines = checked(file, model=model)
    assert any("blocks.0.mlp.activation.extra gets no gradient" in line for line in lines)
    file.write_text(PLUGIN.replace("x.relu()", "x.relu() + 0 * self.extra.sum()"))
    file = file.rename(file.with_name("zero.py"))
    assert checked(file, model=model)[0] == 1
    assert checked(file, model=model, without_gradient=["*.activation.extra"])[0] == 0


@pytest.mark.parametrize(
    ("more", "edit", "model"),
    [
        ("", '{"join": PostNorm()}', "gpt2 - pre_norm + mine"),
        (', requires=["rope"]', '{"mlp.factor": 2}', "gpt2 + mine + rope"),
    ],
)
def test_the_model_has_what_the_plugin_requires_and_nothing_that_it_conflicts_with(
    file, checked, more, edit, model
):
    file.write_text(EMPTY.format(more=more, option="", edit=edit))
    status, _, _, lines = checked(file)
    assert (status, lines[0]) == (0, f"ok       model: {model}")


def test_a_plugin_that_is_no_part_of_a_model_is_only_composed(file, checked):
    file.write_text(EMPTY.format(more="", option="", edit='{"recipe.optimizer": AdamW()}'))
    status, _, _, lines = checked(file)
    assert (status, len(lines)) == (0, 2)
    assert lines[1] == "ok       edits recipe.optimizer, and no part of the model"


def test_a_plugin_that_needs_options_asks_for_a_model(file, checked):
    file.write_text(EMPTY.format(more="", option="factor: int", edit='{"mlp.factor": self.factor}'))
    status, _, _, (line,) = checked(file)
    assert status == 1
    assert line.endswith("check it with --model 'gpt2 + mine(factor=…)'")
    assert checked(file, model="gpt2 + mine(factor=2)")[0] == 0


def test_an_edit_that_does_not_fit_is_a_problem(file, checked):
    file.write_text(EMPTY.format(more="", option="", edit='{"mlp.nothing": 2}'))
    status, _, _, (line,) = checked(file)
    assert status == 1
    assert line.startswith("problem  model: plugin 'mine': ")


def test_the_file_of_an_installed_plugin(checked):
    status, title, _, lines = checked(ROOT / "plugins" / "swiglu.py")
    assert (status, words(lines)) == (0, ["ok", *OK])
    assert title.startswith("swiglu (")


def test_a_folder_and_a_file_of_it_are_checked_once(file, checked):
    (file.parent / "helper.py").write_text("x = 1")
    assert checked(file.parent, file)[2] == "1 plugin(s) checked, no problems"


def test_each_path_that_cannot_be_used_has_a_line(file):
    folder = file.parent
    (folder / "broken.py").write_text("import os\n1/0\n")
    (folder / "none.py").write_text("x = 1\n")
    (folder / "notes.txt").write_text("")
    (folder / "empty").mkdir()
    names = ("broken.py", "none.py", "notes.txt", "empty", "missing.py", "mine.py")
    with pytest.raises(UserError) as error:
        check([folder / name for name in names])
    broken, none, notes, empty, missing = str(error.value).splitlines()
    assert broken.endswith("ZeroDivisionError: division by zero (broken.py:2)")
    assert none.endswith("none.py: no plugin is declared there (a class with `@plugin`)")
    assert "notes.txt: not a Python file" in notes
    assert "empty: no plugin is declared there" in empty
    assert missing.endswith("missing.py: no such folder or file of plugins")


@pytest.mark.parametrize(
    ("model", "message"),
    [("gpt2", "has none of the plugins to check: mine"), ("gpt2 + min", "did you mean 'mine'")],
)
def test_the_model_must_have_the_plugin(file, model, message):
    with pytest.raises(UserError, match=message):
        check([file], model=model)


@pytest.mark.slow
def test_pytest_need_not_be_installed(file):
    code = "import sys; sys.modules['pytest'] = None; from ablab.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "mine.py"],
        cwd=file.parent,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("no problems\n")
