"""The numerics of a run: the version of the core's numerics and the resolved precision."""

from importlib.metadata import version

# Part of every run's key. Raised whenever the core's numbers change (a golden-loss test says when),
# or the meaning of keys: finished runs are then trained anew.
NUMERICS_VERSION = 2

# The release of torch that the tests run with. Others work; their last digits may differ.
TESTED_TORCH = "2.13.0"


def other_torch() -> str | None:
    """Return the version of torch that is installed, unless it is the tested release."""
    installed = version("torch")
    return None if installed.partition("+")[0] == TESTED_TORCH else installed


def resolve_precision(precision: str) -> str:
    """Resolve `auto`: bf16 if the device supports it natively, otherwise fp32."""
    import torch

    if precision != "auto":
        return precision
    native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if native else "fp32"
