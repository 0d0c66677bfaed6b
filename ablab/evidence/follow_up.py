"""The study that would test what separates the settings of a conflict, as a file."""

import re
from dataclasses import dataclass

from ablab.arch.composition.expression import resolve
from ablab.arch.composition.registry import load_registry
from ablab.design.changes import difference
from ablab.errors import UserError
from ablab.evidence.conflicts import FACTOR_NAMES, Conflict, Separation
from ablab.evidence.contrast import Setting
from ablab.evidence.flow import flow

_SEEDS = 8


@dataclass(frozen=True)
class FollowUp:
    """A study file."""

    factor: str
    """The factor that it varies."""
    text: str
    """Its text."""


def follow_up(conflict: Conflict) -> FollowUp | None:
    """Return a study that measures the change at both levels of the first factor that one study can
    vary.

    None if no such factor separates the settings, or if the change is no single plugin.
    """
    if " " in conflict.change:
        return None
    helps, hurts = conflict.helps[0].setting, conflict.hurts[0].setting
    for separation in conflict.separations:
        lines = _lines(separation, conflict.change, helps, hurts)
        if lines:
            return FollowUp(separation.factor, _file(separation, conflict.change, hurts, lines))
    return None


def _lines(separation: Separation, change: str, helps: Setting, hurts: Setting) -> dict[str, str]:
    """Return the keys of the study that vary the factor; empty if no key can."""
    plain = {
        "from": hurts.base,
        "to": with_change(hurts.base, change),
        "design": "{kind: compare}",
        "budget": hurts.budget,
    }
    match separation.factor:
        case "block" | "context":
            # The interaction of the change with everything else in which the arms differ.
            start = without_change(helps.base, change)
            rest = between(start, without_change(hurts.base, change))
            design = flow({"kind": "factorial", "changes": [change, rest]})
            return {"from": start, "design": design, "budget": hurts.budget} if rest else {}
        case "lr" if None not in (helps.lr, hurts.lr):
            levels = sorted([helps.lr or 0.0, hurts.lr or 0.0])
            return {**plain, "nuisance": flow({"recipe.lr": levels})}
        case "compute" | "budget":
            del plain["budget"]
            return {**plain, "budgets": f"[{helps.budget}, {hurts.budget}]"}
        case "nuisance" if helps.nuisance and not hurts.nuisance:
            return {**plain, "nuisance": helps.nuisance}
        case "nuisance" if hurts.nuisance:
            return {**plain, "nuisance": hurts.nuisance}
    return {}


def _file(separation: Separation, change: str, setting: Setting, lines: dict[str, str]) -> str:
    sizes = {
        "layers": setting.layers,
        "width": setting.width,
        "heads": setting.heads,
        "context": setting.context_length,
    }
    source = setting.corpus.removesuffix("}")
    content = {
        "question": _text(
            f"Does the effect of {change} depend on {FACTOR_NAMES[separation.factor]}?"
        ),
        **{key: _quoted(value) if key in ("from", "to") else value for key, value in lines.items()},
        "model": flow({name: size for name, size in sizes.items() if size is not None}),
        "data": f"{source}, tokenizer: {setting.tokenizer}}}",
        "recipe": _recipe(setting, lines),
        "seeds": str(_SEEDS),
        "margin": "0.5 %",
    }
    return "".join(f"{key}: {value}\n" for key, value in content.items() if value)


def _recipe(setting: Setting, lines: dict[str, str]) -> str:
    if setting.lr is None or setting.tuned or "nuisance" in lines:
        return "" if setting.recipe == "{}" else setting.recipe
    separator = "" if setting.recipe == "{}" else ", "
    return f"{setting.recipe.removesuffix('}')}{separator}lr: {setting.lr:g}}}"


def between(start: str, end: str) -> str:
    """Return the change that leads from one model expression to another; empty if plugins of either
    are not installed.
    """
    registry = load_registry()
    try:
        changes = difference(*(resolve(text, registry).uses for text in (start, end)))
    except UserError:
        return ""
    added = [str(use) for change in changes for _, use in change.added]
    kept = {name for change in changes for name, _ in change.added}
    removed = [name for change in changes for name, _ in change.removed if name not in kept]
    return f"{' + '.join(added)}{''.join(f' - {name}' for name in removed)}".strip()


def with_change(expression: str, change: str) -> str:
    """Return an expression of the arm with the change."""
    removal = re.compile(rf" - {re.escape(change)}(?= |$)")
    if removal.search(expression):
        return removal.sub("", expression)
    return f"{expression} + {change}"


def without_change(expression: str, change: str) -> str:
    """Return an expression of the arm without the change that `with_change` adds."""
    return re.sub(rf" \+ {re.escape(change)}(?= |$)", "", expression)


def _text(text: str) -> str:
    """Return a text as a quoted YAML scalar."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quoted(text: str) -> str:
    """Return a model expression as a YAML scalar, quoted if its options need it."""
    return _text(text) if any(sign in text for sign in ":#{}[],") else text
