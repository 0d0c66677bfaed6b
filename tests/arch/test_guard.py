"""Plugins that end the process, hang, print or change torch while a study is planned."""

import sys

import pytest

from ablab.arch.composition import guard
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.counting.account import account
from ablab.cli import app
from ablab.errors import UserError
from tests.conftest import SMALL

PLUGIN = '''
import os, sys, time
import torch
from dataclasses import dataclass
from torch import nn
from ablab.plugin import Activation, Edit, plugin

def misbehave(how):
    if how == "exit": os._exit(0)
    if how == "sys.exit": sys.exit(4)
    if how == "base": raise BaseException("no")
    if how == "interrupt": raise KeyboardInterrupt
    while how == "loop": pass
    while how == "catch":
        try:
            time.sleep(0.01)
        except Exception:
            pass
    if how == "print": print("x" * 10_000_000)

{at_import}

@dataclass(frozen=True)
class BadActivation(Activation):
    how: str
    def build(self):
        misbehave(self.how)
        return nn.ReLU()

@plugin(source="a test")
class Bad:
    """Misbehaves in its edit or in its build."""
    how: str
    where: str = "edit"
    def edit(self) -> Edit:
        if self.where == "edit":
            misbehave(self.how)
        return {{"mlp.activation": BadActivation(self.how if self.where == "build" else "")}}
'''
REASONS = {
    "exit": r"it calls os\._exit\(0\)",
    "sys.exit": r"it calls sys\.exit\(4\)",
    "base": "BaseException: no",
    "interrupt": "KeyboardInterrupt",
    "loop": r"it does not end within 0\.3 s",
    "catch": r"it does not end within 0\.3 s",
}


@pytest.fixture
def little_time(monkeypatch, registry):
    """Leave calls little time, once what the first of them imports is there."""
    account(architecture("gpt2", registry, SMALL))
    monkeypatch.setattr(guard, "PLANNING_SECONDS", 0.3)
    monkeypatch.setattr(guard, "_LATEST", 2.0)


@pytest.fixture
def folder(tmp_path):
    return lambda at_import="": write(tmp_path, at_import)


def write(tmp_path, at_import):
    (tmp_path / "bad.py").write_text(PLUGIN.format(at_import=at_import))
    return tmp_path


@pytest.mark.usefixtures("little_time")
@pytest.mark.parametrize("where", ["edit", "build"])
@pytest.mark.parametrize("how", REASONS)
def test_a_plugin_that_ends_the_process_or_hangs_is_named(folder, where, how):
    registry = load_registry([folder()])
    with pytest.raises(UserError, match=rf"{REASONS[how]} \(plugin bad, .*bad\.py:\d+\)"):
        account(architecture(f"gpt2 + bad(how={how}, where={where})", registry, SMALL))


@pytest.mark.usefixtures("little_time")
@pytest.mark.parametrize("how", REASONS)
def test_so_is_a_file_that_does_so_when_it_is_imported(folder, how):
    with pytest.raises(UserError, match=rf"bad\.py: the plugin file does not load: {REASONS[how]}"):
        load_registry([folder(f'misbehave("{how}")')])


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("torch.set_default_dtype(torch.float64)", "torch's default dtype"),
        ("torch.nn.functional.gelu = torch.relu", r"torch\.nn\.functional\.gelu"),
        ("torch.set_num_threads(3)", "torch's number of threads"),
    ],
)
def test_a_file_that_changes_torch_when_it_is_imported_is_refused(folder, code, change):
    import torch

    gelu = torch.nn.functional.gelu
    try:
        with pytest.raises(UserError, match=f"importing its files changes .*{change}"):
            load_registry([folder(code)])
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(1)
        torch.nn.functional.gelu = gelu


def test_what_a_plugin_prints_is_bounded_and_kept_from_standard_output(folder, capsys):
    registry = load_registry([folder()])
    architecture("gpt2 + bad(how=print)", registry, SMALL)
    output, errors = capsys.readouterr()
    assert output == ""
    assert 10_000 <= len(errors) < 11_000
    assert "further output of plugins is dropped" in errors


def test_the_command_ends_with_2_and_one_line(folder, tmp_path, study_text, capsys, monkeypatch):
    (tmp_path / "x.yaml").write_text(study_text.replace("to: llama", "to: gpt2 + bad(how=exit)"))
    arguments = ["ablab", "plan", str(tmp_path / "x.yaml"), "--plugins", str(folder())]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.count("\n") == 1
    assert "it calls os._exit(0) (plugin bad, " in errors
