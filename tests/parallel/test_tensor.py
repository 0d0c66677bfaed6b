"""Tensor parallelism: the gradients of one process, and as many all-reduces as the papers say."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor.debug import CommDebugMode

from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.decoder.build import build_model
from ablab.arch.decoder.decoder import Decoder, on_meta
from ablab.arch.modules.context import ForwardContext
from ablab.arch.modules.ranks import Ranks
from ablab.arch.value import Architecture, Dims
from ablab.errors import UserError
from tests.plugins.legal import NAMES, larger, legal

pytestmark = pytest.mark.slow

SIZES = {"layers": 2, "width": 64, "heads": 4, "vocab": 304, "context": 16}
EXPRESSIONS = [
    *("gpt1", "gpt2", "gpt3", "megatron", "palm", "llama"),
    "palm - parallel_block",
    "palm + qk_norm",
    "gpt2 + mqa + qk_norm(kind=layer)",
    "llama + gqa(groups=2) + qk_norm",
    "gpt2 + alibi + sparse_attention(band=4, strided=true)",
    "gpt2 + alibi + mqa + sparse_attention(band=4, strided=true, layers=all)",
    "llama + sliding_window(band=5) + logit_softcap",
    "gpt1 + parallel_block + geglu + no_bias + sandwich_norm",
    "palm + padded_vocab(multiple=64)",
]
SAMPLE = [
    names for names in [*((name,) for name in NAMES), *larger(24)] if not {"dropout"} & set(names)
]


def _arch(expression: str) -> Architecture:
    return architecture(expression, load_registry(), SIZES)


def _lively(arch: Architecture) -> Decoder:
    model = build_model(arch, 3).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():  # nothing hides in zeros and ones
        parameter.data += 0.2 * torch.randn(
            parameter.shape, generator=generator, dtype=torch.float64
        )
    return model


def _tokens() -> Tensor:
    return torch.randint(
        0, SIZES["vocab"], (3, SIZES["context"] + 1), generator=torch.Generator().manual_seed(1)
    )


def _gradients(model: Decoder) -> tuple[float, dict[str, Tensor]]:
    tokens = _tokens()
    loss = model.loss(
        tokens[:, :-1], tokens[:, 1:], [lambda log_z, target: 1e-3 * log_z.square()]
    ).total
    loss.backward()
    return loss.item(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _worst(rank: int, arch: Architecture, size: int) -> tuple[float, float]:
    """The largest differences of loss (relative) and gradients (of the largest) between `size`
    ranks and one process.
    """
    whole = _lively(arch)
    split = copy.deepcopy(whole)
    split.split(Ranks(rank, size, dist.group.WORLD))
    assert sum(p.numel() for p in split.parameters()) < sum(p.numel() for p in whole.parameters())
    (loss, expected), (found_loss, found) = _gradients(whole), _gradients(split)
    assert expected.keys() == found.keys()
    largest = max(grad.abs().max().item() for grad in expected.values())
    worst = 0.0
    for name, grad in expected.items():
        own = grad
        for dim in range(grad.ndim):
            if found[name].shape[dim] != grad.shape[dim]:
                own = grad.chunk(size, dim)[rank]
        worst = max(worst, (found[name] - own).abs().max().item() / largest)
    tokens = _tokens()[:, :-1]
    torch.testing.assert_close(split(tokens), whole(tokens), rtol=0, atol=1e-10)
    return abs(found_loss / loss - 1), worst


def _worst_of(rank: int, expression: str, size: int) -> tuple[float, float]:
    return _worst(rank, _arch(expression), size)


def _worst_of_set(rank: int, names: tuple[str, ...], size: int) -> tuple[float, float]:
    value = legal(names)
    assert value is not None
    return _worst(rank, replace(value.arch, dims=Dims(**SIZES)), size)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_gradients_are_those_of_one_process(crew, expression, size):
    assert all(
        loss < 1e-12 and gradients < 1e-12
        for loss, gradients in crew.run(size, _worst_of, expression, size)
    )


@pytest.mark.parametrize("names", SAMPLE, ids="+".join)
def test_every_plugin_and_a_sample_of_sets_have_the_gradients_of_one_process(crew, names):
    assert all(
        loss < 1e-12 and gradients < 1e-12
        for loss, gradients in crew.run(2, _worst_of_set, names, 2)
    )


class _Parts(torch.nn.Module):
    """A model in three parts, each with a graph of its own. As a module: the counter follows one
    tree of modules only.
    """

    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, count: Callable[[], int]) -> dict[str, tuple[Tensor, int]]:
        x, parts = tokens[:, :-1], {}
        for part in ("embedding", "block", "loss"):
            start = count()
            if part == "loss":
                y = self.model.scored(x, ForwardContext(), tokens[:, 1:]).total
            else:
                y = (self.model.embedding if part == "embedding" else self.model.blocks[0])(x)
            parts[part] = y, count() - start
            x = y.detach().requires_grad_()
        return parts


def _counts(rank: int, expression: str) -> dict[str, int]:
    """All-reduces by part of the model and direction."""
    model = _lively(_arch(expression))
    model.split(Ranks(rank, 2, dist.group.WORLD))
    for block in model.blocks:  # the counter loses its way in a module that is called twice
        del block.dropout
        block.dropout = lambda x: x  # pyright: ignore[reportAttributeAccessIssue]
    found: dict[str, int] = {}
    with CommDebugMode() as counter:
        for part, (y, forward) in _Parts(model)(_tokens(), counter.get_total_counts).items():
            start = counter.get_total_counts()
            y.sum().backward()
            found[part], found[f"{part} backward"] = forward, counter.get_total_counts() - start
    return found


# Embedding: one forward (Shoeybi et al. 2019, section 3). Loss: the largest logit, and the sums,
# forward; the gradient of what the head reads, backward.
OUTSIDE = {"embedding": 1, "embedding backward": 0, "loss": 2, "loss backward": 1}


@pytest.mark.parametrize(
    ("expression", "forward", "backward"),
    [
        ("gpt2", 2, 2),
        ("megatron", 2, 2),
        ("llama", 2, 2),
        ("llama + gqa(groups=2)", 2, 2),
        ("gpt2 + parallel_block", 1, 1),
        ("gpt2 + mqa", 2, 3),
        ("palm", 1, 2),
        ("palm + qk_norm", 1, 2),
    ],
)
def test_all_reduces_are_as_many_as_the_paper_says(crew, expression, forward, backward):
    expected = {**OUTSIDE, "block": forward, "block backward": backward}
    assert crew.run(2, _counts, expression) == [expected] * 2


def _draws(rank: int) -> tuple[list[int], int, float, float]:
    """The generator's state where each attention draws and at the end, and the sums of the stream
    and of a second one.
    """
    model = _lively(_arch("gpt2 + dropout(p=0.5) + mqa"))
    model.split(Ranks(rank, 2, dist.group.WORLD))
    model.checkpointing, states = True, []
    torch.manual_seed(5)
    for block in model.blocks:
        block.mixer.attend.register_forward_pre_hook(
            lambda *_: states.append(torch.randint(1 << 40, ()).item())
        )
    hidden = model.hidden(_tokens()[:, :-1], ForwardContext())
    hidden.sum().backward()
    again = model.hidden(_tokens()[:, :-1], ForwardContext())
    return states, int(torch.randint(1 << 40, ())), float(hidden.sum()), float(again.sum())


def test_ranks_drop_other_attention_weights_and_the_same_of_the_stream(crew):
    (first, end, hidden, again), (second, other_end, other_hidden, _) = crew.run(2, _draws)
    assert not set(first) & set(second)
    assert (
        first[:2] == first[3:1:-1]
    )  # the backward pass drew the same once more, the last block first
    assert end == other_end
    assert hidden == pytest.approx(other_hidden, rel=1e-12)
    assert hidden != again


@pytest.mark.parametrize(
    ("expression", "size", "said"),
    [
        ("gpt2", 3, "a tensor size of 3 does not divide"),
        ("gpt2", 8, "a tensor size of 8 does not divide the heads, 4: take 4"),
    ],
)
def test_what_cannot_be_split_is_refused(expression, size, said):
    with pytest.raises(UserError, match=said):
        on_meta(_arch(expression)).split(Ranks(0, size))
