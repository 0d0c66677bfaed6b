"""Where plugins come from: the entry point, a stranger's package, a folder of loose files."""

import subprocess
import sys
from pathlib import Path

import pytest

from ablab.arch.composition.declare import declared_plugins
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.errors import UserError
from ablab.testing import Conformance, checks

LOOSE = '''"""A loose plugin."""

from dataclasses import dataclass

from torch import nn

from ablab.plugin import Activation, Edit, plugin


@dataclass(frozen=True)
class Relu(Activation):
    def build(self):
        return nn.ReLU()


@plugin(source="a test")
class LooseRelu:
    """ReLU in the feed-forward."""

    def edit(self) -> Edit:
        return {"mlp.activation": Relu()}
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "relu.py").write_text(LOOSE)
    (tmp_path / "test_relu.py").write_text("raise RuntimeError('test files are not plugins')")
    (tmp_path / "_helper.py").write_text("raise RuntimeError('nor are private files')")
    return tmp_path


def test_a_folder_of_loose_files(folder):
    registry = load_registry([folder])
    model = architecture("gpt2 + loose_relu", registry, {})
    assert type(model.mlp.activation).__name__ == "Relu"
    assert registry.plugin("loose_relu").origin == str(folder / "relu.py")


def test_a_loose_plugin_passes_the_conformance_suite(folder):
    class TestLoose(Conformance):
        expression = "gpt2 + loose_relu"
        plugins = (folder,)

    for check in checks():
        TestLoose().test_conforms(check)


def test_the_digest_ignores_comments_and_layout_only(tmp_path):
    digests = []
    changes = {
        "a": LOOSE,
        "b": LOOSE.replace("\n@plugin", "\n# a comment\n@plugin"),
        "c": LOOSE.replace("ReLU()", "SiLU()"),
    }
    for name, text in changes.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"relu_{name}.py").write_text(text)
        digests.append(load_registry([tmp_path / name]).plugin("loose_relu").digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_name_taken_twice_is_refused_with_both_places(folder):
    (folder / "again.py").write_text(LOOSE)
    with pytest.raises(UserError, match=r"'loose_relu'.*again.py.*relu.py"):
        load_registry([folder])


BROKEN = {
    "x = (": "SyntaxError: '(' was never closed (",
    "import nothing_there": "nothing_there",
    "1/0": "ZeroDivisionError",
}


@pytest.mark.parametrize(("text", "message"), BROKEN.items())
def test_a_broken_file_is_named(tmp_path, text, message):
    (tmp_path / "broken.py").write_text(text)
    with pytest.raises(UserError, match=r"broken\.py") as error:
        load_registry([tmp_path])
    assert message in str(error.value)
    assert str(error.value).endswith("broken.py:1)")


def test_a_folder_that_is_not_there():
    with pytest.raises(UserError, match="no such folder"):
        load_registry([Path("/nowhere")])


def test_a_strangers_installed_package(tmp_path, folder):
    """An installed distribution is a folder on the path with its metadata; its plugins are found by
    the entry point.
    """
    site = tmp_path / "site"
    (site / "stranger").mkdir(parents=True)
    (site / "stranger" / "__init__.py").write_text("")
    (site / "stranger" / "relu.py").write_text(LOOSE)
    info = site / "stranger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ablab.plugins]\nstranger = stranger\n")
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from ablab.arch.composition.registry "
        "import load_registry; "
        "print(*load_registry().plugins)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "loose_relu" in found
    assert "rope" in found


def test_the_core_works_with_an_empty_registry(monkeypatch):
    monkeypatch.setattr("ablab.arch.composition.registry.entry_points", lambda group: [])
    registry = load_registry()
    assert not registry.plugins
    with pytest.raises(UserError, match="no family named 'gpt2'"):
        architecture("gpt2", registry, {})
    from dataclasses import replace

    from ablab.arch.composition.base import BASE
    from ablab.arch.decoder.build import build_model
    from ablab.arch.value import Dims
    from ablab.testing import SMALL

    arch = replace(BASE, dims=Dims(**SMALL))
    assert build_model(arch, 0)
    for check in checks():
        check.run(arch)


def test_looking_for_plugins_in_another_module_touches_nothing_in_it():
    import torch.distributed

    # It has an object that warns when an attribute of it is read, `__class__` included.
    assert declared_plugins(torch.distributed) == {}
