"""Names of value classes in keys: independent of modules, and no name for two classes."""

import inspect
import sys
from dataclasses import replace
from types import ModuleType

import pytest

from ablab.arch.composition.canonical import canonical, stable_name
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import Registry, load_registry
from ablab.arch.modules import layers, mlp
from ablab.arch.recipe import Recipe
from ablab.data.batches import Batches
from ablab.errors import UserError
from ablab.plan.run_key import identity
from tests.arch.test_registry import LOOSE


def module_of(name, source, monkeypatch):
    """A module made of `source`."""
    module = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    exec(source, vars(module))
    return module


def test_a_class_in_another_module_gives_the_same_key(registry, monkeypatch):
    moved = module_of("ablab.arch.modules.elsewhere", inspect.getsource(layers), monkeypatch)
    moved_mlp = module_of("ablab.arch.modules.feed_forward", inspect.getsource(mlp), monkeypatch)
    arch = architecture("gpt2", registry, {"layers": 1, "width": 16, "heads": 2, "vocab": 32})
    other = replace(arch, norm=moved.LayerNorm(), mlp=moved_mlp.PlainMlp())
    assert type(other.norm) is not type(arch.norm)
    assert canonical(other) == canonical(arch)
    keys = {identity(a, Recipe(), {}, "data", Batches(((4, 4),)), 1) for a in (arch, other)}
    assert len(keys) == 1
    assert "ablab" not in str(canonical(arch))


def test_a_plugin_file_with_another_name_gives_the_same_value(tmp_path):
    values = []
    for name in ("relu", "rectified"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").write_text(LOOSE)
        registry = load_registry([tmp_path / name])
        arch = architecture("gpt2 + loose_relu", registry, {})
        values.append((canonical(arch), registry.plugin("loose_relu").digest))
    assert values[0] == values[1]
    assert values[0][0]["mlp"]["activation"] == {"type": "loose_relu.Relu"}


def test_a_renamed_class_can_keep_its_name(monkeypatch):
    source = LOOSE.replace(
        "class Relu(Activation):", 'class New(Activation):\n    stable_name = "Relu"'
    )
    module = module_of("renamed", source.replace("Relu()", "New()"), monkeypatch)
    assert stable_name(module.New) == "Relu"
    assert stable_name(type("Below", (module.New,), {"__module__": "elsewhere"})) == "Below"


def test_plugins_may_name_their_classes_alike(tmp_path):
    (tmp_path / "a.py").write_text(LOOSE)
    (tmp_path / "b.py").write_text(LOOSE.replace("LooseRelu", "OtherRelu"))
    registry = load_registry([tmp_path])
    assert {"loose_relu", "other_relu"} <= registry.plugins.keys()


def test_two_classes_with_one_name_are_refused(monkeypatch):
    source = LOOSE.replace(
        "class Relu(Activation):", 'class Relu(Activation):\n    stable_name = "R"'
    )
    registry = Registry()
    registry.add_module(module_of("first", source, monkeypatch))
    second = module_of("second", source.replace("LooseRelu", "OtherRelu"), monkeypatch)
    with pytest.raises(UserError, match=r"the stable name 'R'.*first.Relu and second.Relu"):
        registry.add_module(second)
