"""The numeric precision of a run."""

import torch


def resolve_precision(precision: str) -> str:
    """Resolve `auto`: bf16 if the device supports it natively, otherwise fp32."""
    if precision != "auto":
        return precision
    return (
        "bf16"
        if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        else "fp32"
    )
