"""Settings in words: what they have in common, and what tells them apart."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from ablab.evidence.contrast import Setting
from ablab.evidence.pooling import SettingResult
from ablab.text.numbers import short

_FACTOR = re.compile(r": \{factor: ([0-9.e+-]+)\}")


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _recipe(setting: Setting) -> str:
    return plain(setting.recipe).removeprefix("preset ") or "the family's"


def _lr(setting: Setting) -> str:
    if setting.tuned:
        return "each arm's own"
    return "" if setting.lr is None else f"{setting.lr:g}"


# What is said of a setting, in this order. An empty text is left out.
_ASPECTS: dict[str, Callable[[Setting], str]] = {
    "context": lambda setting: setting.context,
    "layers": lambda setting: _count(setting.layers),
    "width": lambda setting: _count(setting.width),
    "heads": lambda setting: _count(setting.heads),
    "context length": lambda setting: _count(setting.context_length),
    "parameters": lambda setting: short(setting.parameters) if setting.parameters else "",
    "budget": lambda setting: budget_text(setting.budget),
    "FLOPs": lambda setting: f"{setting.compute:.2g}" if setting.compute else "",
    "matched": lambda setting: setting.match,
    "corpus": lambda setting: plain(setting.corpus).removeprefix("source "),
    "tokenizer": lambda setting: plain(setting.tokenizer).removeprefix("kind "),
    "recipe": _recipe,
    "learning rate": _lr,
    "nuisance": lambda setting: plain(setting.nuisance),
}


def plain(flow: str) -> str:
    """Return YAML in flow style without its outer braces and its colons."""
    bare = flow.removeprefix("{").removesuffix("}")
    return _FACTOR.sub(r" ÷ and × \1", bare).replace(": ", " ")


def budget_text(budget: str) -> str:
    """Return in what runs are equal, as `equal FLOPs` or `6 seconds`; empty if it is not known."""
    kind, _, amount = budget.strip("{}").partition(": ")
    if kind == "seconds":
        return f"{float(amount):g} seconds"
    return f"equal {'FLOPs' if kind == 'flops' else kind}" if kind else ""


def common(settings: Sequence[Setting]) -> dict[str, str]:
    """Return the aspects in which all settings are alike."""
    return {
        name: texts[0]
        for name, texts in _texts(settings).items()
        if len({*texts}) == 1 and texts[0]
    }


def differing(settings: Sequence[Setting]) -> list[dict[str, str]]:
    """Return for each setting the aspects in which settings differ."""
    texts = {name: each for name, each in _texts(settings).items() if len({*each}) > 1}
    rows = [{name: each[i] for name, each in texts.items()} for i in range(len(settings))]
    return [{name: text for name, text in row.items() if text} for row in rows]


def _texts(settings: Sequence[Setting]) -> dict[str, list[str]]:
    return {name: [text(setting) for setting in settings] for name, text in _ASPECTS.items()}


def setting_label(aspects: dict[str, str]) -> str:
    """Return the aspects that tell a setting apart, as a label."""
    named = {
        "context": "{}",
        "layers": "{} layers",
        "heads": "{} heads",
        "parameters": "{} parameters",
        "budget": "{}",
        "FLOPs": "{} FLOPs",
        "matched": "matched in {}",
        "recipe": "recipe {}",
        "learning rate": "lr {}",
        "nuisance": "over {}",
    }
    return ", ".join(named.get(name, f"{name} {{}}").format(text) for name, text in aspects.items())


def setting_name(result: SettingResult) -> str:
    """Return the study and the context of a setting."""
    return f"{result.contrasts[0].origin.name} ({result.setting.context})"


def level_text(factor: str, level: Any) -> str:
    """Return a level of a factor that separates settings."""
    if factor == "size":
        names = ("layers", "width", "heads")
        pairs = zip(names, level, strict=True)
        return " ".join(f"{name} {value}" for name, value in pairs if value is not None)
    if isinstance(level, float):
        return f"{level:.3g}"
    return plain(str(level)) or "the family's own"
