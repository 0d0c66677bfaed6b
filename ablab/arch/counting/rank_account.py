"""Memory and communication of one tensor-parallel rank, found by running the split model once on
the meta device with ranks that only record.
"""

from collections import Counter as Counts
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ablab.arch.counting.account import Memory, building, count_parameters
from ablab.arch.counting.counter import Counter
from ablab.arch.decoder.decoder import Decoder, on_meta
from ablab.arch.modules.ranks import Ranks, UsesRanks
from ablab.arch.value import Architecture

COMMUNICATION_CONVENTION = (
    "all-reduces of training, without recomputation; bytes are those of the tensors summed: "
    "activations in bfloat16 (mixed "
    "precision sums the embedding's and the backward ones in float32), the softmax's sums at the "
    "head and weight gradients in "
    "float32; a ring sends 2(N-1)/N times as many from each of N ranks; the head's forward ones "
    "are for each chunk of tokens"
)
_FLOAT32 = 4  # bytes per value
_TOKENS = 8  # in the recorded batch


@dataclass(frozen=True)
class AllReduces:
    """The number of all-reduces, and the bytes they sum: per token, or for weight gradients per
    backward pass.
    """

    all_reduces: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Communication:
    """The communication of a part of the model with the other ranks.

    `weights` are gradients of weights that are replicated but used by each rank for its own part;
    they are summed once per backward pass, regardless of the number of tokens.
    """

    forward: AllReduces = AllReduces()
    backward: AllReduces = AllReduces()
    weights: AllReduces = AllReduces()

    @property
    def bytes_per_token(self) -> int:
        """Bytes of the forward and the backward pass."""
        return self.forward.bytes + self.backward.bytes

    @property
    def all_reduces(self) -> int:
        """All-reduces of the forward and the backward pass."""
        return self.forward.all_reduces + self.backward.all_reduces + self.weights.all_reduces


@dataclass(frozen=True)
class Part:
    """`times` parts of the model called `name`, with identical communication."""

    name: str
    times: int
    said: Communication


@dataclass(frozen=True)
class RankAccount:
    """The costs of each of `size` tensor-parallel ranks. `whole` is the number of its parameters
    that are replicated on the other ranks.
    """

    size: int
    parameters: int
    whole: int
    memory_bytes: Memory
    parts: tuple[Part, ...]

    @property
    def bytes_per_token(self) -> int:
        """Bytes that training all-reduces per token, by the convention."""
        return sum(part.times * part.said.bytes_per_token for part in self.parts)

    @property
    def wire_bytes_per_token(self) -> float:
        """Bytes that each rank sends per token if the all-reduces are rings (Patarasuk & Yuan
        2009).
        """
        return 2 * (self.size - 1) / self.size * self.bytes_per_token

    @property
    def weight_bytes(self) -> int:
        """Bytes all-reduced in each backward pass, regardless of the number of tokens."""
        return sum(part.times * part.said.weights.bytes for part in self.parts)

    @property
    def all_reduces(self) -> int:
        """All-reduces of a forward and backward pass over one chunk of the head's tokens. Each
        further chunk repeats the head's forward ones.
        """
        return sum(part.times * part.said.all_reduces for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the account as plain JSON types."""
        totals = ("all_reduces", "bytes_per_token", "wire_bytes_per_token", "weight_bytes")
        return {
            **asdict(self),
            **{name: getattr(self, name) for name in totals},
            "convention": COMMUNICATION_CONVENTION,
        }


def rank_account(arch: Architecture, size: int) -> RankAccount:
    """Count the costs of one of `size` ranks on the meta device. Raises UserError if the model
    cannot be split among them.
    """
    with building():
        model = on_meta(arch)
        shapes = {name: weight.shape for name, weight in model.named_parameters()}
        model.split(Ranks(0, size))
        parts = _parts(model, size)
    parameters = count_parameters(model).total
    replicated = sum(
        weight.numel() for name, weight in model.named_parameters() if weight.shape == shapes[name]
    )
    return RankAccount(size, parameters, replicated, Memory.of(parameters), parts)


def _parts(model: Decoder, size: int) -> tuple[Part, ...]:
    """Return the communication of each part in a forward and a backward pass, merging identical
    blocks.
    """
    modules = (
        model.embedding.modules(),
        *(block.modules() for block in model.blocks),
        [model.projection],
    )
    recorders = [_RecordingRanks.install(part, size) for part in modules]
    tokens = torch.zeros(1, min(_TOKENS, model.arch.dims.context), dtype=torch.long, device="meta")
    model.bfloat16()
    with Counter():  # evaluates operations that blocks have in common only once
        loss = model.loss(tokens, tokens).total
        forward = [ranks.take(tokens.numel()) for ranks in recorders]
        loss.backward()
    backward = [ranks.take(tokens.numel()) for ranks in recorders]
    embedding, *blocks, head = map(
        Communication, forward, backward, (ranks.weight_gradients() for ranks in recorders)
    )
    distinct = [Part("block", times, block) for block, times in Counts(blocks).items()]
    return Part("embedding", 1, embedding), *distinct, Part("head and loss", 1, head)


@dataclass(frozen=True, eq=False)
class _RecordingRanks(Ranks):
    """The first of several ranks, which records what it would sum with the others."""

    activations: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)

    @classmethod
    def install(cls, modules: Iterable[Any], size: int) -> "_RecordingRanks":
        """Replace the ranks of the modules of a split model."""
        ranks = cls(0, size)
        for module in modules:
            if isinstance(module, UsesRanks):
                module.ranks = ranks
        return ranks

    def shared(self, *weights: Tensor) -> tuple[Tensor, ...]:
        """Record the gradients of the weights separately."""
        return Ranks.shared(replace(self, activations=self.gradients), *weights)

    def take(self, tokens: int) -> AllReduces:
        """Return the all-reduces since the last call, per token."""
        total = sum(x.numel() * x.element_size() for x in self.activations)
        result = AllReduces(len(self.activations), total // tokens)
        self.activations.clear()
        return result

    def weight_gradients(self) -> AllReduces:
        """Return the all-reduces of weight gradients, which are float32 in training."""
        return AllReduces(len(self.gradients), _FLOAT32 * sum(x.numel() for x in self.gradients))

    def _reduced(self, x: Tensor, how: Any) -> Tensor:
        self.activations.append(x.detach())
        return x.detach().clone(memory_format=torch.contiguous_format)
