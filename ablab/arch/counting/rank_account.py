"""What one tensor-parallel rank holds and says: the split model is run once on the meta device,
with ranks that only listen.
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
from ablab.arch.modules.ranks import Ranks
from ablab.arch.value import Architecture

COMMUNICATION_CONVENTION = (
    "all-reduces of training, recomputation apart; bytes are those of the tensors summed: "
    "activations in bfloat16 (mixed "
    "precision sums the embedding's and the backward ones in float32), the softmax's sums at the "
    "head and weight gradients in "
    "float32; a ring sends 2(N-1)/N times as many from each of N ranks; the head's forward ones "
    "are for each chunk of tokens"
)
_FLOAT32, _TOKENS = 4, 8


@dataclass(frozen=True)
class Reduced:
    """How many all-reduces, and the bytes that they sum: per token, or of weight gradients per
    backward pass.
    """

    all_reduces: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Said:
    """What a part of the model says to the ranks. `weights`: the gradients of weights that every
    rank holds whole and uses for its part alone, summed once a backward pass, however many tokens
    there are.
    """

    forward: Reduced = Reduced()
    backward: Reduced = Reduced()
    weights: Reduced = Reduced()

    @property
    def bytes_per_token(self) -> int:
        """Forward and backward."""
        return self.forward.bytes + self.backward.bytes

    @property
    def all_reduces(self) -> int:
        """Forward and backward."""
        return self.forward.all_reduces + self.backward.all_reduces + self.weights.all_reduces


@dataclass(frozen=True)
class Part:
    """`times` parts of the model that are called `name` and say the same."""

    name: str
    times: int
    said: Said


@dataclass(frozen=True)
class RankAccount:
    """What each of `size` tensor-parallel ranks costs. `whole`: those of its parameters that the
    other ranks hold too.
    """

    size: int
    parameters: int
    whole: int
    memory_bytes: Memory
    parts: tuple[Part, ...]

    @property
    def bytes_per_token(self) -> int:
        """All-reduced in training, by the convention."""
        return sum(part.times * part.said.bytes_per_token for part in self.parts)

    @property
    def wire_bytes_per_token(self) -> float:
        """Sent by each rank where the all-reduces are rings (Patarasuk & Yuan 2009)."""
        return 2 * (self.size - 1) / self.size * self.bytes_per_token

    @property
    def weight_bytes(self) -> int:
        """All-reduced in each backward pass, whatever its tokens."""
        return sum(part.times * part.said.weights.bytes for part in self.parts)

    @property
    def all_reduces(self) -> int:
        """In a forward and backward pass over one chunk of the head's tokens; each more takes its
        forward ones again.
        """
        return sum(part.times * part.said.all_reduces for part in self.parts)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        totals = ("all_reduces", "bytes_per_token", "wire_bytes_per_token", "weight_bytes")
        return {
            **asdict(self),
            **{name: getattr(self, name) for name in totals},
            "convention": COMMUNICATION_CONVENTION,
        }


def rank_account(arch: Architecture, size: int) -> RankAccount:
    """Counts one of `size` ranks on the meta device. Raises UserError for a model that they cannot
    share.
    """
    with building():
        model = on_meta(arch)
        shapes = {name: weight.shape for name, weight in model.named_parameters()}
        model.split(Ranks(0, size))
        parts = _parts(model, size)
    parameters = count_parameters(model).total
    whole = sum(
        weight.numel() for name, weight in model.named_parameters() if weight.shape == shapes[name]
    )
    return RankAccount(size, parameters, whole, Memory.of(parameters), parts)


def _parts(model: Decoder, size: int) -> tuple[Part, ...]:
    """What each part says in a forward and a backward pass, blocks that say the same together."""
    speakers = (
        model.embedding.modules(),
        *(block.modules() for block in model.blocks),
        [model.projection],
    )
    listening = [_Listening.to(part, size) for part in speakers]
    tokens = torch.zeros(1, min(_TOKENS, model.arch.dims.context), dtype=torch.long, device="meta")
    model.bfloat16()
    with Counter():  # blocks are much alike, and it works out the same operation once
        loss = model.loss(tokens, tokens).total
        forward = [each.taken(tokens.numel()) for each in listening]
        loss.backward()
    backward = [each.taken(tokens.numel()) for each in listening]
    embedding, *blocks, head = map(
        Said, forward, backward, (each.weight_gradients() for each in listening)
    )
    alike = [Part("block", times, same) for same, times in Counts(blocks).items()]
    return Part("embedding", 1, embedding), *alike, Part("head and loss", 1, head)


@dataclass(frozen=True, eq=False)
class _Listening(Ranks):
    """Ranks of whom only the first is there: what it would sum with the others is noted."""

    activations: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)

    @classmethod
    def to(cls, part: Iterable[Any], size: int) -> "_Listening":
        """Listens to those in a part of a split model that have ranks."""
        made = cls(0, size)
        for speaker in part:
            if hasattr(speaker, "ranks"):
                speaker.ranks = made
        return made

    def shared(self, *weights: Tensor) -> tuple[Tensor, ...]:
        """Notes their gradients apart."""
        return Ranks.shared(replace(self, activations=self.gradients), *weights)

    def taken(self, tokens: int) -> Reduced:
        """What was summed since the last call, per token."""
        found = Reduced(
            len(self.activations),
            sum(x.numel() * x.element_size() for x in self.activations) // tokens,
        )
        self.activations.clear()
        return found

    def weight_gradients(self) -> Reduced:
        """The gradients that were summed, which are of float32 weights in training."""
        return Reduced(len(self.gradients), _FLOAT32 * sum(x.numel() for x in self.gradients))

    def _reduced(self, x: Tensor, how: Any) -> Tensor:
        self.activations.append(x.detach())
        return x.detach().clone(memory_format=torch.contiguous_format)
