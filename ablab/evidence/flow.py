"""Parts of a study file as YAML in flow style, on one line."""

import json
from collections.abc import Mapping
from typing import Any


def flow(content: Mapping[str, Any]) -> str:
    """Return a mapping as YAML in flow style: `{kind: bpe, vocab: 1024}`."""
    pairs = ", ".join(f"{_scalar(key)}: {_scalar(value)}" for key, value in content.items())
    return f"{{{pairs}}}"


def _scalar(value: Any) -> str:
    if isinstance(value, Mapping):
        return flow(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_scalar, value))}]"
    if isinstance(value, float):
        short = f"{value:.3e}"
        mantissa, _, exponent = short.partition("e")
        if value >= 1e4 and float(short) == value:
            digits = mantissa.rstrip("0")
            return f"{digits}{'0' if digits.endswith('.') else ''}e{exponent}"
        return repr(value)
    # A text that YAML might read as something else is quoted as JSON, which is YAML.
    plain = isinstance(value, str) and value.replace("_", "").replace(".", "").isalpha()
    is_word = plain and value.lower() not in ("true", "false", "null", "yes", "no", "on", "off")
    return value if is_word else json.dumps(value, ensure_ascii=False)
