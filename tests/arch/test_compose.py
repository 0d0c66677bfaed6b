"""Composition, conflicts and paths, with plugins made here: the core knows none by name."""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

import ablab
from ablab.arch.composition.compose import Composite, EditClaim, compose, overlap
from ablab.arch.modules.attention import Attention, NoRotation
from ablab.arch.modules.layers import LayerNorm, NoPosition
from ablab.arch.modules.mlp import PlainMlp
from ablab.arch.recipe import LossTerm
from ablab.errors import UserError

BASE = Composite()


@dataclass(frozen=True)
class Term(LossTerm):
    scale: float = 1.0

    def __call__(self, log_z, target):
        return self.scale * log_z


def test_edits_reach_all_three_roots():
    value = compose(
        BASE,
        [
            EditClaim("a", {"mixer.kv_heads": 1, "arch.bias": False}),
            EditClaim("b", {"recipe.clip": 0.5, "recipe.loss.z": Term()}),
            EditClaim("c", {"recipe.loss.a": Term(2.0)}),
        ],
    )
    assert value.arch.mixer == Attention(kv_heads=1)
    assert value.arch.bias is False
    assert value.recipe.clip == 0.5
    assert [key for key, _ in value.recipe.loss.entries] == ["a", "z"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"norm": LayerNorm()}, {"norm": LayerNorm(1e-6)}),
        ({"mixer": Attention()}, {"mixer.rotate": NoRotation()}),
        ({"mixer.rotate": NoRotation()}, {"arch.mixer": Attention()}),
        ({"recipe.loss.z": Term()}, {"recipe.loss.z": Term()}),
    ],
)
def test_two_writers_of_a_path_conflict(first, second):
    with pytest.raises(UserError) as error:
        compose(BASE, [EditClaim("one", first), EditClaim("two", second)])
    text = str(error.value)
    assert "'one'" in text
    assert "'two'" in text
    assert "`- one`" in text
    assert "`" + next(iter(first)) in text


def test_a_name_that_only_begins_alike_is_no_conflict():
    assert overlap({"mixer.kv": 1}, {"mixer.kv_heads": 1}) is None


def test_requires_and_conflicts_that_paths_cannot_see():
    with pytest.raises(UserError, match="'a' needs 'b'"):
        compose(BASE, [EditClaim("a", {"bias": False}, requires=("b",))])
    with pytest.raises(UserError, match="'a' does not go with 'b'"):
        compose(BASE, [EditClaim("a", {}, conflicts=("b",)), EditClaim("b", {})])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"mixr.kv_heads": 1}, "no slot named 'mixr.kv_heads'"),
        ({"mixer.kv_head": 1}, "mixer.kv_heads"),
        ({"norm": PlainMlp()}, "which holds a Norm"),
        ({"bias": "no"}, "which holds a bool"),
        ({"mixer.kv_heads": True}, "which holds a"),
    ],
)
def test_wrong_edits_are_refused_with_the_plugin_and_the_path(edit, message):
    with pytest.raises(UserError, match="plugin 'mine'") as error:
        compose(BASE, [EditClaim("mine", edit)])
    assert message in str(error.value)


def test_equal_values_are_equal_and_hashable():
    a = compose(BASE, [EditClaim("a", {"position": NoPosition()}), EditClaim("b", {"bias": False})])
    b = compose(BASE, [EditClaim("b", {"bias": False}), EditClaim("a", {"position": NoPosition()})])
    assert a == b
    assert hash(a.arch) == hash(b.arch)


def modules():
    return sorted(Path(ablab.__file__).parent.rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", modules(), ids=lambda p: "/".join(p.parts[-2:]))
def test_the_core_imports_no_plugin(path):
    assert not [name for name in imports(path) if name.split(".")[0] == "ablab_plugins"]


def test_plugins_import_only_the_public_api():
    for path in (Path(ablab.__file__).parents[1] / "plugins").glob("*.py"):
        ours = [name for name in imports(path) if name.split(".")[0] == "ablab"]
        assert set(ours) <= {"ablab.plugin"}, path
