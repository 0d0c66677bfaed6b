"""ablab: a plugin-based ablation lab for transformer language models."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablab.version import __version__

if TYPE_CHECKING:
    from ablab.arch.decoder.decoder import Decoder
    from ablab.frames.study_frames import StudyFrames

__all__ = ["__version__", "build", "from_hf", "study", "to_hf"]


def build(
    expression: str, *, seed: int = 0, plugins: "list[str | Path] | None" = None, **dims: Any
) -> "Decoder":
    """Build the model of an expression (`gpt2 + rope`) on the CPU in float32.

    The model maps token ids (batch, time) to logits (batch, time, vocab).

    `seed`: random seed of the weights. `plugins`: folders of loose plugin files. `dims`: sizes that
    override the family's (layers, width, heads, head_dim, vocab, context). Raises
    `ablab.errors.UserError` for an invalid expression or size.
    """
    from ablab.arch.composition.model import architecture
    from ablab.arch.composition.registry import load_registry
    from ablab.arch.decoder.build import build_model

    registry = load_registry([Path(folder) for folder in plugins or []])
    return build_model(architecture(expression, registry, dims), seed)


def from_hf(model: Any, *, plugins: "list[str | Path] | None" = None) -> "Decoder":
    """Convert a `transformers` GPT-1, GPT-2 or LLaMA with a language-model head.

    The weights are copied, and the logits are the same. `plugins`: folders of loose plugin files,
    whose families may support more model types. Raises `ablab.errors.UserError` that names the
    model type, or the setting of its config, that is not supported.
    """
    from ablab.arch.composition.registry import load_registry
    from ablab.hf.exchange import from_transformers

    return from_transformers(model, load_registry([Path(folder) for folder in plugins or []]))


def to_hf(module: "Decoder", *, plugins: "list[str | Path] | None" = None) -> Any:
    """Convert a decoder to a `transformers` model with a language-model head.

    The weights are bit for bit those of `module`, and the model is in evaluation mode. `plugins`:
    folders of loose plugin files, whose families may support more architectures. Raises
    `ablab.errors.UserError` that names the paths whose values `transformers` does not support.
    """
    from ablab.arch.composition.registry import load_registry
    from ablab.hf.exchange import to_transformers

    return to_transformers(module, load_registry([Path(folder) for folder in plugins or []]))


def study(
    name: str | Path, *, profile: str | None = None, home: "str | Path | None" = None
) -> "StudyFrames":
    """Return the numbers of a study that was run: pandas frames, effects and verdicts.

    `name`: name of the study (`gpt2_vs_llama`, `gpt2_vs_llama@smoke`), of which the latest revision
    is meant, NAME:REVISION, or its file. `profile`: profile of the study. `home`: folder of the
    records; `.ablab` in the current folder by default. Raises `ablab.errors.UserError` if there is
    no such study in the home.
    """
    from ablab.frames.study_frames import StudyFrames
    from ablab.records.home import make_home
    from ablab.records.lookup import records_of

    folder = make_home(None if home is None else Path(home))
    return StudyFrames(records_of(folder, str(name), profile)[-1])
