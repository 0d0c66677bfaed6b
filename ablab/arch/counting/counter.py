"""A FLOP counter for the meta device that uses torch's formulas and evaluates each operation only
once per combination of shapes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

# A model consists of a few hundred distinct operations, most of which occur in other models too.
_CACHE_SIZE = 20_000
# By operation and shapes: the FLOPs, and a function that recreates the results.
_cache: dict[Any, tuple[int, Callable[[], Any]]] = {}
# Operations that do not decompose into others.
_primitive: set[Any] = set()


class Counter(TorchDispatchMode):
    """Sum the FLOPs of all operations on the meta device within the context in `total`.

    The total equals that of torch's `FlopCounterMode`, in a tenth of the time: kernels of the meta
    device are slow Python code, and layers and models repeat the same operations. Exceptions of an
    operation are passed on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled within the context, and the wrapper for that is slow

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Count the operation and return its results."""
        kwargs = kwargs or {}
        if func.is_view or func._schema.is_mutable:  # the result shares memory with an input
            return self._run(func, args, kwargs)
        key = (func, _cache_key(args), _cache_key(kwargs))
        cached = _cache.get(key)
        if cached is not None:
            flops, recreate = cached
            self.total += flops
            return recreate()
        before = self.total
        results = self._run(func, args, kwargs)
        recreate = _factory(results)
        if recreate is not None:
            if len(_cache) >= _CACHE_SIZE:
                _cache.clear()
            _cache[key] = (self.total - before, recreate)
        return results

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func not in _primitive:
            with self:  # counts the operations that it decomposes into
                results = func.decompose(*args, **kwargs)
            if results is not NotImplemented:
                return results
            _primitive.add(func)
        results = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.total += formula(*args, **kwargs, out_val=results)
        return results


def _cache_key(value: Any) -> Any:
    """Return a hashable key of everything that results on the meta device can depend on."""
    if isinstance(value, Tensor):
        if not value.is_meta or value.layout is not torch.strided:
            return object()  # equal to nothing else: results may depend on the values
        return type(value), value.shape, value.stride(), value.dtype
    if isinstance(value, list | tuple):
        return tuple(map(_cache_key, value))
    if isinstance(value, dict):
        return tuple((name, _cache_key(item)) for name, item in value.items())
    return type(value), value


def _factory(results: Any) -> Callable[[], Any] | None:
    """Return a function that recreates the results, or None if they are not plain tensors on the
    meta device.
    """
    if results is None:  # a gradient that is not needed
        return lambda: None
    if type(results) is Tensor and results.is_meta and results.layout is torch.strided:
        size = results.shape
        stride = results.stride()
        dtype = results.dtype
        return lambda: torch.empty_strided(size, stride, dtype=dtype, device="meta")
    if isinstance(results, tuple | list):
        kind = type(results)
        parts = [_factory(result) for result in results]
        if None in parts:
            return None
        return lambda: kind(part() for part in parts if part)
    return None
