"""ablab: a plugin-based ablation lab for transformer language models."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ablab.arch.decoder.decoder import Decoder

__version__ = "0.1.0"
__all__ = ["build", "from_hf", "to_hf"]


def build(
    expression: str, *, seed: int = 0, plugins: "list[str | Path] | None" = None, **dims: Any
) -> "Decoder":
    """The model of an expression (`gpt2 + rope`) on the CPU in float32: token ids (batch, time) ->
    logits (batch, time, vocab).

    `dims` override the family's sizes: layers, width, heads, head_dim, vocab, context. `plugins`:
    folders of loose plugin files. Raises `ablab.errors.UserError` for a wrong expression or size.
    """
    from ablab.arch.composition.model import architecture
    from ablab.arch.composition.registry import load_registry
    from ablab.arch.decoder.build import build_model

    registry = load_registry([Path(folder) for folder in plugins or []])
    return build_model(architecture(expression, registry, dims), seed)


def from_hf(model: Any, *, plugins: "list[str | Path] | None" = None) -> "Decoder":
    """The model of a `transformers` GPT-1, GPT-2 or LLaMA with its language-model head: the same
    logits, weights copied.

    `plugins`: folders of loose plugin files, whose families may have more forms. Raises
    `ablab.errors.UserError` that names the model type, or the setting of its config, that has no
    form here.
    """
    from ablab.arch.composition.registry import load_registry
    from ablab.hf.exchange import from_transformers

    return from_transformers(model, load_registry([Path(folder) for folder in plugins or []]))


def to_hf(module: "Decoder", *, plugins: "list[str | Path] | None" = None) -> Any:
    """The `transformers` model (with its language-model head) of a decoder whose architecture has a
    form there.

    Its weights are bit for bit those of `module`; it is in evaluation mode. Raises
    `ablab.errors.UserError` that names the paths that have no form there.
    """
    from ablab.arch.composition.registry import load_registry
    from ablab.hf.exchange import to_transformers

    return to_transformers(module, load_registry([Path(folder) for folder in plugins or []]))
