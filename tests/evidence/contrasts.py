"""Contrasts made by hand."""

from typing import Any

from ablab.evidence.contrast import EvidenceContrast, Origin, Setting


def make_setting(**fields: Any) -> Setting:
    values: dict[str, Any] = {
        "context": "gpt2",
        "layers": 2,
        "width": 64,
        "heads": 2,
        "context_length": 128,
        "parameters": 173824,
        "compute": 2e11,
        "tokens": 184832,
        "budget": "{flops: 2.0e+11}",
        "corpus": "{source: stdlib}",
        "tokenizer": "{kind: bpe, vocab: 1024}",
        "recipe": "{preset: small}",
        "lr": 0.004,
    }
    return Setting(**{**values, **fields})


def make_contrast(estimate: float, error: float = 0.01, **fields: Any) -> EvidenceContrast:
    """Return a contrast with an interval of two standard errors; `setting_…` and `origin_…` name
    fields of these.
    """
    setting = {k[8:]: fields.pop(k) for k in [*fields] if k.startswith("setting_")}
    origin = {k[7:]: fields.pop(k) for k in [*fields] if k.startswith("origin_")}
    low, high = estimate - 2 * error, estimate + 2 * error
    values: dict[str, Any] = {
        "change": "rope",
        "kind": "change",
        "setting": make_setting(**setting),
        "origin": Origin(**{"study": "x", "revision": "abcdef", "numerics": 2, **origin}),
        "metric": "val/bpb",
        "estimate": estimate,
        "error": error,
        "dof": 7.0,
        "low": low,
        "high": high,
        "seeds": 8,
        "verdict": "helps" if high < 0 else "hurts" if low > 0 else "inconclusive",
        "margin": 0.013,
    }
    return EvidenceContrast(**{**values, **fields})
