"""The numerics of a run: the version of the core's numerics and the resolved precision."""

# Part of every run's key. Raised whenever the core's numbers change (a golden-loss test says when),
# or the meaning of keys: finished runs are then trained anew.
NUMERICS_VERSION = 2


def resolve_precision(precision: str) -> str:
    """Resolve `auto`: bf16 if the device supports it natively, otherwise fp32."""
    import torch

    if precision != "auto":
        return precision
    native = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if native else "fp32"
