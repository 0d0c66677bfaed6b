"""What is said of one tensor-parallel rank: against what two ranks really sum, and sizes added up
by hand.
"""

from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor.debug import CommDebugMode
from torch.utils._python_dispatch import TorchDispatchMode

from ablab.arch.composition.model import architecture
from ablab.arch.composition.registry import load_registry
from ablab.arch.counting.account import account
from ablab.arch.counting.rank_account import rank_account
from ablab.arch.decoder.build import build_model
from ablab.arch.decoder.decoder import Decoder
from ablab.arch.modules.ranks import Ranks
from ablab.arch.value import Architecture
from ablab.errors import UserError

SIZES = {"layers": 2, "width": 64, "heads": 4, "vocab": 304, "context": 16}
BATCH = 3
EXPRESSIONS = [
    *(
        "gpt2",
        "llama",
        "palm",
        "gpt2 + parallel_block",
        "gpt2 + mqa",
        "llama + gqa(groups=1) + qk_norm",
    ),
    *("palm + qk_norm(kind=layer)", "gpt2 + alibi + mqa + sparse_attention(band=4, strided=true)"),
]


def _arch(expression: str, **sizes: int) -> Architecture:
    return architecture(expression, load_registry(), sizes)


class _Summed(TorchDispatchMode):
    """Notes what all-reduces sum: bytes, and the number type."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, torch.dtype]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is torch.ops.c10d.allreduce_.default:
            self.seen += [(x.numel() * x.element_size(), x.dtype) for x in args[0]]
        return func(*args, **(kwargs or {}))


def _split(rank: int, expression: str) -> Decoder:
    model = build_model(_arch(expression, **SIZES), 1)
    model.split(Ranks(rank, 2, dist.group.WORLD))
    for block in model.blocks:  # torch's counter loses its way in a module that is called twice
        del block.dropout
        block.dropout = lambda x: x
    return model


def _real(rank: int, expression: str) -> tuple[int, int, int]:
    """How many all-reduces a training step of a bfloat16 model takes, the bytes that they sum, and
    the rank's parameters.
    """
    model, tokens = (
        _split(rank, expression).bfloat16(),
        torch.zeros(BATCH, SIZES["context"], dtype=torch.long),
    )
    with _Summed() as summed, CommDebugMode() as counter:
        model.loss(tokens, tokens).total.backward()
    return (
        counter.get_total_counts(),
        sum(size for size, _ in summed.seen),
        sum(p.numel() for p in model.parameters()),
    )


def _mixed(rank: int) -> list[torch.dtype]:
    """The number types that a training step sums in mixed precision."""
    model, tokens = _split(rank, "gpt2"), torch.zeros(BATCH, SIZES["context"], dtype=torch.long)
    with _Summed() as summed:
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(tokens, tokens).total
        loss.backward()
    return [dtype for _, dtype in summed.seen]


@pytest.mark.slow
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_said_is_what_two_ranks_sum(crew, expression):
    said = rank_account(_arch(expression, **SIZES), 2)
    gradients = said.weight_bytes // 2  # of a model that is bfloat16 throughout
    expected = (
        said.all_reduces,
        BATCH * SIZES["context"] * said.bytes_per_token + gradients,
        said.parameters,
    )
    assert crew.run(2, _real, expression) == [expected] * 2


def test_mixed_precision_sums_more_than_the_convention_counts(crew):
    """As the convention says: the embedding's, then the blocks' forward, the head's, and all
    backward.
    """
    forward = [torch.float32, *[torch.bfloat16] * 2 * SIZES["layers"], torch.float32, torch.float32]
    assert crew.run(2, _mixed) == [forward + [torch.float32] * (1 + 2 * SIZES["layers"])] * 2


def test_a_rank_of_megatron_holds_what_its_dimensions_add_up_to():
    """Shoeybi et al. 2019, table 1 and section 3: 8.3 billion parameters over 8 GPUs."""
    layers, width, rows, context, size = 72, 3072, 51200, 1024, 8
    split = rows * width // size  # the table
    split += (
        layers * (4 * width**2 + 3 * width) // size
    )  # queries, keys, values and output, with the biases of the first three
    split += (
        layers * (2 * 4 * width**2 + 4 * width) // size
    )  # the feed-forward, with the bias of its inner layer
    whole = (
        context * width + (2 * layers + 1) * 2 * width + layers * 2 * width
    )  # positions, norms, biases added to the stream
    said = rank_account(_arch("megatron:8.3B"), size)
    assert (said.parameters, said.whole) == (split + whole, whole)
    assert 8.3e9 / 8 < said.parameters < 1.01 * 8.3e9 / 8 + whole
    assert said.memory_bytes.optimizer == 8 * said.parameters
    # Figure 4: two all-reduces of the stream forward and two backward in each layer; and the
    # embedding's and the head's.
    head = 3 * 4
    assert said.bytes_per_token == (4 * layers + 2) * 2 * width + head
    assert said.wire_bytes_per_token == pytest.approx(said.bytes_per_token * 2 * 7 / 8)


@pytest.mark.parametrize("expression", ["gpt2", "palm"])
def test_one_rank_holds_all_and_says_nothing(expression):
    arch = _arch(expression, **SIZES)
    said, whole = rank_account(arch, 1), account(arch)
    assert said.parameters == said.whole == whole.parameters.total
    assert said.memory_bytes == whole.memory_bytes
    assert (said.all_reduces, said.bytes_per_token, said.weight_bytes) == (0, 0, 0)


def test_blocks_that_say_the_same_are_counted_together():
    said = rank_account(_arch("llama", **SIZES), 2)
    assert [(part.name, part.times) for part in said.parts] == [
        ("embedding", 1),
        ("block", 2),
        ("head and loss", 1),
    ]
    _, block, _ = said.parts
    assert (
        block.said.forward.all_reduces,
        block.said.backward.all_reduces,
        block.said.weights.all_reduces,
    ) == (2, 2, 0)


def test_what_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match="does not divide the heads"):
        rank_account(_arch("gpt2", **SIZES), 8)
