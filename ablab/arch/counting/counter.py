"""Counts FLOPs on the meta device by torch's own formulas, and works out the same operation on the
same shapes once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# Some hundred operations make a model, and most stand in the next one too.
_MOST_REMEMBERED = 20_000
# By operation and shapes: the FLOPs, and a function that gives the results again.
_outcomes: dict[Any, tuple[int, Callable[[], Any]]] = {}
# Operations that are not made of others.
_whole: set[Any] = set()


class Counter(TorchDispatchMode):
    """Adds up in `total` the FLOPs of what is run under it on the meta device.

    The total is that of torch's `FlopCounterMode` in a tenth of its time: the meta device's kernels
    are slow Python, and layers, and models, are much alike. Raises what an operation raises there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled under it, and the wrapper that sees to that is slow

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """The operation's results, charged for."""
        kwargs = kwargs or {}
        if func.is_view or func._schema.is_mutable:  # its result is no tensor of its own
            return self._run(func, args, kwargs)
        key = (func, _described(args), _described(kwargs))
        if known := _outcomes.get(key):
            flops, again = known
            self.total += flops
            return again()
        before = self.total
        results = self._run(func, args, kwargs)
        if again := _repeated(results):
            if len(_outcomes) >= _MOST_REMEMBERED:
                _outcomes.clear()
            _outcomes[key] = (self.total - before, again)
        return results

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func not in _whole:
            with self:  # an operation made of others is charged for those
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
            _whole.add(func)
        results = func(*args, **kwargs)
        if formula := flop_registry.get(func.overloadpacket):
            self.total += formula(*args, **kwargs, out_val=results)
        return results


def _described(value: Any) -> Any:
    """All that results on the meta device can depend on, hashable."""
    if isinstance(value, Tensor):
        if not value.is_meta or value.layout is not torch.strided:
            return object()  # like no other: what comes of it may depend on its values
        return type(value), value.shape, value.stride(), value.dtype
    if isinstance(value, list | tuple):
        return tuple(map(_described, value))
    if isinstance(value, dict):
        return tuple((name, _described(item)) for name, item in value.items())
    return type(value), value


def _repeated(results: Any) -> Callable[[], Any] | None:
    """A function that makes such results anew; None where they are more than plain tensors on the
    meta device.
    """
    if results is None:  # a gradient that nobody asked for
        return lambda: None
    if type(results) is Tensor and results.is_meta and results.layout is torch.strided:
        size, stride, dtype = results.shape, results.stride(), results.dtype
        return lambda: torch.empty_strided(size, stride, dtype=dtype, device="meta")
    if isinstance(results, tuple | list):
        kind, parts = type(results), [_repeated(result) for result in results]
        return None if None in parts else lambda: kind(part() for part in parts if part)
    return None
