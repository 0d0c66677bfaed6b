"""Ideas as they are given on the command line."""

from pathlib import Path

import pytest

from ablab.arch.composition.registry import load_registry
from ablab.errors import UserError
from ablab.ideas.conformance import require_conforming
from ablab.ideas.idea import Contexts, Idea, read_ideas

DEFAULT = Contexts(("gpt2", "llama"))
PEEK = """
from dataclasses import dataclass
from torch import Tensor, nn
from ablab.plugin import Activation, Edit, plugin

class _Peek(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.roll(-1, dims=1)

@dataclass(frozen=True)
class Peeking(Activation):
    def build(self) -> nn.Module:
        return _Peek()

@plugin(source="none")
class Peek:
    \"\"\"Sees the next token.\"\"\"
    def edit(self) -> Edit:
        return {"mlp.activation": Peeking()}
"""


def read(word, contexts=DEFAULT, plugins=()):
    return read_ideas([word], contexts, plugins)


@pytest.mark.parametrize(
    ("word", "idea"),
    [
        ("qk_norm", Idea("qk_norm", ("gpt2", "llama"))),
        (" + qk_norm ", Idea("+ qk_norm", ("gpt2", "llama"))),
        ("llama + qk_norm", Idea("qk_norm", ("llama",))),
        ("gpt2:124M - scaled_init", Idea("- scaled_init", ("gpt2:124M",))),
        ("rope", Idea("rope", ("gpt2",), ("not tried in llama, which has rope already",))),
        ("- swiglu", Idea("- swiglu", ("llama",), ("not tried in gpt2, which has no swiglu",))),
        (
            "relu_squared",
            Idea("relu_squared", ("gpt2", "llama"), ("in llama, relu_squared replaces swiglu",)),
        ),
    ],
)
def test_words(word, idea):
    assert read(word) == [idea]


def test_chosen_contexts_replace_that_of_the_expression():
    (idea,) = read("llama + qk_norm", Contexts(("gpt2 + rope",), chosen=True))
    assert idea.contexts == ("gpt2 + rope",)


@pytest.mark.parametrize(
    ("word", "contexts", "reason"),
    [
        ("llama", DEFAULT, "a model without a change"),
        ("", DEFAULT, "the change is empty"),
        ("nope", DEFAULT, "no plugin named 'nope' (did you mean 'rope'?)"),
        ("rope", Contexts(("llama",), chosen=True), "'llama' has 'rope' already"),
        ("rope", Contexts(("lama",), chosen=True), "no family named 'lama'"),
        ("rope", Contexts(("llama",)), "name a model that it changes"),
        ("rope +", DEFAULT, "ends in '+'"),
        ("ideas/none.py", DEFAULT, "no such folder or file of plugins"),
    ],
)
def test_words_that_are_no_ideas(word, contexts, reason):
    with pytest.raises(UserError) as caught:
        read(word, contexts)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_wrong_word_has_a_line():
    with pytest.raises(UserError) as caught:
        read_ideas(["nope", "qk_norm", "llama"], DEFAULT, [])
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["'nope'", "'llama'"]


def test_a_file(tmp_path: Path, registry):
    source = Path(registry.plugin("relu_squared").origin).read_text()
    file = tmp_path / "mine.py"
    file.write_text(source.replace("class ReluSquared", "class Mine"))
    ideas = read_ideas([str(file), "gpt2 + mine", "qk_norm"], DEFAULT, [])
    assert [(idea.change, idea.contexts, idea.files) for idea in ideas] == [
        ("mine", ("gpt2", "llama"), (file,)),
        ("mine", ("gpt2",), (file,)),
        ("qk_norm", ("gpt2", "llama"), ()),
    ]
    (tmp_path / "empty.py").write_text('"""Nothing."""\n')
    with pytest.raises(UserError, match="no plugin is declared there"):
        read(str(tmp_path / "empty.py"))
    option = 'class Needy:\n    """Needs a gain."""\n    gain: float\n'
    needy = file.read_text().replace("class Mine:", option)
    (tmp_path / "needy.py").write_text(needy)
    with pytest.raises(UserError, match=r"ablab try 'needy\(gain=…\)' --plugins"):
        read(str(tmp_path / "needy.py"))


def test_a_leak_is_named_with_its_line(tmp_path: Path):
    file = tmp_path / "peek.py"
    file.write_text(PEEK)
    (idea,) = read_ideas([str(file)], DEFAULT, [])
    line = 1 + PEEK.splitlines().index('@plugin(source="none")')
    with pytest.raises(UserError) as caught:
        require_conforming(idea, load_registry([file]))
    assert f"peek.py:{line}: peek: causal: token 1 changes an earlier logit" in str(caught.value)


def test_ideas_that_conform(registry):
    for change in ("qk_norm", "z_loss", "relu_squared - no_bias"):
        context = "llama" if "no_bias" in change else "gpt2"
        require_conforming(Idea(change, (context,)), registry)


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ("- no_bias", "without_no_bias"),
        ("rope(base=5e5) + qk_norm", "rope_base_5e5_qk_norm"),
        ("é" * 300, "idea"),
    ],
)
def test_names_of_files(change, slug):
    assert Idea(change, ()).slug == slug
