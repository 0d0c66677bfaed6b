"""What travels beside the residual stream through one forward pass, and what a model keeps between
decoding steps.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

_LOSS = "loss/"
_GROWTH, _ROOM = 8, 16  # a buffer grows by an eighth and by 16 rows


class KVCache:
    """What a model, or one part of it, keeps between decoding steps: tensors by name, and a memory
    for each part.

    `seen`: how many tokens the model has read; kept at the root. A part that keeps a state of fixed
    size writes `tensors` itself; one that keeps one row per token calls `append`.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.tensors: dict[str, Tensor] = {}
        self.parts: dict[str, KVCache] = {}
        self._rows: dict[str, _Rows] = {}

    def part(self, name: str) -> "KVCache":
        """The memory of the part `name`, made when it is first asked for."""
        return self.parts.setdefault(name, KVCache())

    def append(self, name: str, new: Tensor, keep: int | None = None) -> Tensor:
        """All rows held under `name` with `new` (batch, heads, time, dim) behind them; of these the
        last `keep` stay.
        """
        if name not in self._rows:
            self._rows[name] = _Rows(new)
        return self._rows[name].append(new, keep)

    def values(self) -> int:
        """How many numbers are held, parts included."""
        return sum(tensor.numel() for tensor in self._held())

    def held(self) -> int:
        """How many bytes the numbers that are held take, parts included."""
        return sum(tensor.nbytes for tensor in self._held())

    def bytes(self) -> int:
        """How many bytes are allocated for what is held, parts included: all of a buffer, its room
        to grow too.
        """
        storages = [tensor.untyped_storage() for tensor in self._held()]
        return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

    def _held(self) -> Iterator[Tensor]:
        yield from self.tensors.values()
        yield from (rows.held for rows in self._rows.values())
        for part in self.parts.values():
            yield from part._held()


class _Rows:
    """Rows along dimension 2 of a buffer that has room for an eighth more than is kept: no step but
    one in many copies them.
    """

    def __init__(self, like: Tensor) -> None:
        self._buffer, self._first, self._last = (
            like.new_empty(*like.shape[:2], 0, like.shape[3]),
            0,
            0,
        )

    @property
    def held(self) -> Tensor:
        return self._buffer[:, :, self._first : self._last]

    def append(self, new: Tensor, keep: int | None) -> Tensor:
        end = self._last + new.shape[2]
        if end <= self._buffer.shape[2]:
            self._buffer[:, :, self._last : end] = new
            self._last = end
            everything = self.held
        else:
            everything = torch.cat((self.held, new), dim=2)
            self._move(
                everything[:, :, -keep:]
                if keep
                else everything
                if keep is None
                else everything[:, :, :0]
            )
        if keep is not None:
            self._first = max(self._first, self._last - keep)
        return everything

    def _move(self, rows: Tensor) -> None:
        """Into a buffer of their own size: a band's is as small behind a long prompt as behind a
        short one.
        """
        batch, heads, time, width = rows.shape
        self._buffer = rows.new_empty(batch, heads, time + time // _GROWTH + _ROOM, width)
        self._buffer[:, :, :time] = rows
        self._first, self._last = 0, time


class ForwardContext:
    """One forward pass. `start`: the position of its first token. `carry`: values that go from
    layer to layer, by name. `memory`: what this part keeps between decoding steps; None where the
    whole sequence is read at once.

    A branch whose `forward` has a parameter `flow` is given it: (x, flow) -> y.
    """

    # No dataclass: FSDP hands a block a copy of one that holds tensors, and what the block writes
    # into it would be lost.
    def __init__(
        self, start: int = 0, carry: dict[str, Tensor] | None = None, memory: KVCache | None = None
    ) -> None:
        self.start, self.carry, self.memory = start, {} if carry is None else carry, memory

    def part(self, name: str) -> "ForwardContext":
        """The flow as the part `name` sees it: the same carry, a memory of its own."""
        return ForwardContext(
            self.start, self.carry, None if self.memory is None else self.memory.part(name)
        )

    def add_loss(self, name: str, value: Tensor) -> None:
        """Adds `value` (a scalar, in nats per token) to what is minimised in training; layers
        add up under a name.

        A mean over the sequences of what each comes to by itself: else it depends on how many a
        device takes at once.
        """
        key = _LOSS + name
        self.carry[key] = self.carry[key] + value if key in self.carry else value

    def losses(self) -> Tensor | None:
        """The sum of all added losses; None where there is none."""
        added = [value for key, value in self.carry.items() if key.startswith(_LOSS)]
        return torch.stack(added).sum() if added else None
