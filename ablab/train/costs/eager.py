"""Running a compiled model uncompiled."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn


def uncompiled(model: nn.Module) -> AbstractContextManager[Any]:
    """Return a context in which nothing is compiled: for shapes that occur once, as do the lengths
    of a cache.
    """
    compiled = any(
        getattr(module, "_compiled_call_impl", None) is not None for module in model.modules()
    )
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
