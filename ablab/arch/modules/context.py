"""State that accompanies the residual stream: the context of one forward pass and the decoding
cache.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

_LOSS = "loss/"
# A buffer grows by 1/_GROWTH of its rows and by _ROOM more.
_GROWTH = 8
_ROOM = 16


class KVCache:
    """What a model, or one part of it, remembers between decoding steps: tensors by name, and a
    cache for each of its parts.

    `length` is the number of tokens processed so far, maintained at the root only. A part with a
    state of constant size assigns to `tensors`; a part that stores one row per token calls
    `append`.
    """

    def __init__(self) -> None:
        self.length = 0
        self.tensors: dict[str, Tensor] = {}
        self.parts: dict[str, KVCache] = {}
        self._rows: dict[str, _Rows] = {}

    def part(self, name: str) -> "KVCache":
        """Return the cache of the part `name`, creating it on first use."""
        return self.parts.setdefault(name, KVCache())

    def append(self, name: str, new: Tensor, keep: int | None = None) -> Tensor:
        """Append `new` `(batch, heads, time, dim)` to the rows under `name` and return all of them.

        Afterwards only the last `keep` rows are retained (all of them if `keep` is None).
        """
        if name not in self._rows:
            self._rows[name] = _Rows(new)
        return self._rows[name].append(new, keep)

    def numel(self) -> int:
        """Return the number of elements in use, including those of all parts."""
        return sum(tensor.numel() for tensor in self._tensors())

    def used_bytes(self) -> int:
        """Return the number of bytes in use, including those of all parts."""
        return sum(tensor.nbytes for tensor in self._tensors())

    def allocated_bytes(self) -> int:
        """Return the number of bytes allocated, including all parts and the spare capacity of
        buffers.
        """
        storages = [tensor.untyped_storage() for tensor in self._tensors()]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def _tensors(self) -> Iterator[Tensor]:
        yield from self.tensors.values()
        yield from (rows.content for rows in self._rows.values())
        for part in self.parts.values():
            yield from part._tensors()


class _Rows:
    """Rows along dimension 2 of a buffer with spare capacity, so that few decoding steps have to
    copy them.
    """

    def __init__(self, like: Tensor) -> None:
        self._buffer = like.new_empty(*like.shape[:2], 0, like.shape[3])
        self._first = 0
        self._last = 0

    @property
    def content(self) -> Tensor:
        return self._buffer[:, :, self._first : self._last]

    def append(self, new: Tensor, keep: int | None) -> Tensor:
        end = self._last + new.shape[2]
        if end <= self._buffer.shape[2]:
            self._buffer[:, :, self._last : end] = new
            self._last = end
            everything = self.content
        else:
            everything = torch.cat((self.content, new), dim=2)
            first = 0 if keep is None else max(0, everything.shape[2] - keep)
            self._move(everything[:, :, first:])
        if keep is not None:
            self._first = max(self._first, self._last - keep)
        return everything

    def _move(self, rows: Tensor) -> None:
        """Copy the rows into a new buffer sized for them, so that a band after a long prompt takes
        no more memory than after a short one.
        """
        batch, heads, time, width = rows.shape
        self._buffer = rows.new_empty(batch, heads, time + time // _GROWTH + _ROOM, width)
        self._buffer[:, :, :time] = rows
        self._first = 0
        self._last = time


class ForwardContext:
    """The context of one forward pass.

    `start` is the position of the first token. `carry` holds values that layers pass on to later
    layers, by name. `memory` is the decoding cache of this part, or None if the complete sequence
    is processed at once.

    A branch that derives from `ContextModule` receives it.
    """

    # No dataclass: FSDP hands a block a copy of one that holds tensors, and what the block writes
    # into it would be lost.
    def __init__(
        self, start: int = 0, carry: dict[str, Tensor] | None = None, memory: KVCache | None = None
    ) -> None:
        self.start = start
        self.carry = {} if carry is None else carry
        self.memory = memory

    def part(self, name: str) -> "ForwardContext":
        """Return the context for the part `name`: the same carry, with the part's own cache."""
        memory = None if self.memory is None else self.memory.part(name)
        return ForwardContext(self.start, self.carry, memory)

    def add_loss(self, name: str, value: Tensor) -> None:
        """Add `value` (a scalar, in nats per token) to the training loss. Values added under the
        same name are summed.

        Compute the value for each sequence separately and average over sequences: otherwise it
        depends on how many sequences a device processes at once.
        """
        key = _LOSS + name
        self.carry[key] = self.carry[key] + value if key in self.carry else value

    def losses(self) -> Tensor | None:
        """Return the sum of all added losses, or None if there are none."""
        added = [value for key, value in self.carry.items() if key.startswith(_LOSS)]
        return torch.stack(added).sum() if added else None


class ContextModule(nn.Module):
    """Base class of branches that use the context of the forward pass: `forward(x, flow) -> y`.

    A branch that does not derive from it is called with the stream alone.
    """
