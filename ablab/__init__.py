"""ablab: a plugin-based ablation lab for transformer language models."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablab.arch.decoder import Decoder

__version__ = "0.1.0"
__all__ = ["build"]


def build(expression: str, *, seed: int = 0, plugins: "list[str | Path] | None" = None, **dims: Any) -> "Decoder":
    """The model of an expression (`gpt2 + rope`) on the CPU in float32: token ids (batch, time) -> logits (batch, time, vocab).

    `dims` override the family's sizes: layers, width, heads, head_dim, vocab, context. `plugins`: folders of loose plugin
    files. Raises `ablab.errors.UserError` for a wrong expression or size.
    """
    from ablab.arch.build import build_model
    from ablab.arch.model import architecture
    from ablab.arch.registry import load_registry

    registry = load_registry([Path(folder) for folder in plugins or []])
    return build_model(architecture(expression, registry, dims), seed)
