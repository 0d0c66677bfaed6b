"""What a form can say and cannot, found by walking values; transformers is not needed for it."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import nn

import ablab
from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import Registry
from ablab.arch.composition.transformers_form import Match, differences
from ablab.arch.value import ByLayer, Dims
from ablab.errors import UserError
from ablab.hf.exchange import nearest_form

LOOSE = """
from ablab.plugin import Dims, Family, TransformersForm, Match

class Mine(TransformersForm):
    model_type = "mine"
    matches = (Match("table", ("embedding",)),)
    def dims(self, config):
        return Dims(layers=config.depth, width=8, heads=1, vocab=3, context=4)
    def edit(self, config, base):
        return {}
    def settings(self, arch):
        return {"depth": arch.dims.layers}

MINE = Family(name="mine", summary="A test.", source="a test", plugins="rope", form=Mine())
"""


@dataclass
class MyConfig:
    """As the library's configs are: its settings are its fields."""

    model_type: ClassVar[str] = "mine"
    depth: int = 1
    odd: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | None = None


class MyModel(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.table = nn.Embedding(3, 8)


SMALL = {"layers": 3, "width": 16, "heads": 2, "vocab": 11, "context": 4}


@pytest.fixture
def small(registry):
    return lambda expression, **dims: architecture(expression, registry, {**SMALL, **dims})


def test_differences_are_paths_as_deep_as_both_values_are_of_one_kind(small):
    assert differences(small("gpt2"), small("gpt2")) == []
    assert differences(small("llama"), small("llama + rope(base=5)")) == ["mixer.rotate.base"]
    assert differences(small("gpt2"), small("gpt2 + swiglu")) == ["mlp"]
    assert differences(small("gpt2"), small("gpt2", width=32)) == ["dims.width", "dims.head_dim"]
    assert differences(Dims(width=16, heads=2), Dims(width=16, heads=2, head_dim=8)) == []


def test_sizes(small, registry):
    assert nearest_form(small("gpt2", head_dim=3), registry).misfits == ("dims.head_dim",)
    assert nearest_form(small("gpt2", head_dim=8), registry).misfits == ()
    assert nearest_form(small("llama", head_dim=4), registry).misfits == ()


def test_layers_that_differ_have_no_form_and_layers_that_do_not_have_one(small, registry):
    llama = small("llama")
    grouped = replace(llama, mixer=replace(llama.mixer, kv_heads=ByLayer(1, 2)))
    assert nearest_form(grouped, registry).misfits == ("mixer.kv_heads",)
    alike = replace(llama, mixer=ByLayer(llama.mixer, replace(llama.mixer, kv_heads=2)))
    assert nearest_form(alike, registry).misfits == ()


def test_initial_values_are_no_matter(small, registry):
    assert nearest_form(small("gpt2 - scaled_init"), registry).misfits == ()


def test_without_any_form():
    from ablab.arch.composition.base import BASE

    with pytest.raises(UserError, match="no family here has a form in transformers"):
        nearest_form(BASE, Registry())


def test_weights_are_joined_and_turned():
    match = Match("h.{}.c", ("b.{}.q", "b.{}.k"), transposed=True)
    assert [one.ours for one in match.layers(2)] == [("b.0.q", "b.0.k"), ("b.1.q", "b.1.k")]
    assert match.converted(torch.zeros(2, 3)).shape == (3, 2)
    assert match.converted(torch.zeros(3)).shape == (3,)


def test_a_strangers_family_brings_its_own_form(tmp_path):
    (tmp_path / "mine.py").write_text(LOOSE)
    with pytest.raises(UserError, match="mine with odd=True has no form here"):
        ablab.from_hf(MyModel(MyConfig(odd=True)), plugins=[tmp_path])
    with pytest.raises(
        UserError, match=r"those of mine with its language-model head: blocks\.0\..* has no match"
    ):
        ablab.from_hf(MyModel(MyConfig()), plugins=[tmp_path])
