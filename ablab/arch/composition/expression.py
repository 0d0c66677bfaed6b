"""Model expressions such as `gpt2:124M + rope(base=5e5) - scaled_init`, the only way to name an
arm.
"""

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ablab.arch.composition.compose import Composite, EditClaim, compose
from ablab.arch.composition.guard import calling, planning
from ablab.arch.composition.registry import Plugin, Registry
from ablab.arch.value import Dims
from ablab.errors import UserError

_TOKEN = re.compile(
    r"\s*(?:(?P<sign>[+-])|(?P<name>[A-Za-z_]\w*)(?::(?P<size>[\w.]+))?(?P<open>\()?|(?P<bad>\S))"
)


MAX_LENGTH = 2_000


@dataclass(frozen=True)
class Mention:
    """One term of an expression: its sign, the name of the plugin and its explicit options."""

    sign: str
    name: str
    options: Mapping[str, Any]
    column: int


@dataclass(frozen=True)
class Use:
    """A plugin that a model uses, with its options."""

    plugin: Plugin
    instance: Any

    def claim(self) -> EditClaim:
        """Return the paths it writes, its requirements and its conflicts. Raises UserError if the
        code of the plugin fails.
        """
        declared = self.plugin.declared
        with calling(f"plugin {declared.name!r} fails"):
            edit = self.instance.edit()
        return EditClaim(declared.name, edit, declared.requires, declared.conflicts)

    def __str__(self) -> str:
        default = self.plugin.options
        options = {f.name: getattr(self.instance, f.name) for f in fields(self.instance)}
        changed = [f"{name}={value}" for name, value in options.items() if value != default[name]]
        return self.plugin.name + (f"({', '.join(changed)})" if changed else "")


@dataclass(frozen=True)
class Model:
    """A resolved expression: the plugins in use, sorted by name, and the dims of the family."""

    expression: str
    family: str
    size: str | None
    uses: Mapping[str, Use]
    dims: Dims

    def compose(self, base: Composite) -> Composite:
        """Return `base` with the edits of all plugins. Raises UserError on conflicts."""
        with planning():
            claims = [use.claim() for use in self.uses.values()]
        return compose(base, claims)


def resolve(text: str, registry: Registry) -> Model:
    """Parse an expression and look up its names in `registry`. Raises UserError with the column and
    similar names.
    """
    _check_length(text)
    head, size, mentions = _parse(text)
    family = registry.family(head)
    uses = dict(_uses(family.plugins, registry))
    names: set[str] = set()
    for mention in mentions:
        if mention.name in names:
            raise UserError(f"column {mention.column}: {mention.name!r} is named twice in {text!r}")
        names.add(mention.name)
        _apply(mention, uses, registry, text)
    return Model(text, head, size, dict(sorted(uses.items())), family.dims(size))


def parse_terms(text: str) -> list[Mention]:
    """Return the terms of `rope + rmsnorm - scaled_init`. The first sign may be omitted."""
    stripped = text.strip()
    if not stripped:
        return []
    _check_length(text)
    _, _, mentions = _parse(f"_ {stripped if stripped[0] in '+-' else '+ ' + stripped}")
    return mentions


def _apply(mention: Mention, uses: dict[str, Use], registry: Registry, text: str) -> None:
    plugin = registry.plugin(mention.name)
    present = mention.name in uses
    if mention.sign == "-":
        if not present:
            raise UserError(
                f"column {mention.column}: {text!r} removes {mention.name!r}, "
                "which it does not contain"
            )
        if mention.options:
            raise UserError(
                f"column {mention.column}: a plugin is removed without options (`- {mention.name}`)"
            )
        del uses[mention.name]
    elif present and not mention.options:
        raise UserError(
            f"column {mention.column}: {text!r} adds {mention.name!r}, which it already contains"
        )
    else:
        uses[mention.name] = Use(plugin, plugin.configure(mention.options))


def _uses(text: str, registry: Registry) -> Iterator[tuple[str, Use]]:
    for mention in parse_terms(text):
        plugin = registry.plugin(mention.name)
        yield mention.name, Use(plugin, plugin.configure(mention.options))


def _check_length(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise UserError(f"an expression has at most {MAX_LENGTH:,} characters, not {len(text):,}")


def _parse(text: str) -> tuple[str, str | None, list[Mention]]:
    position = 0
    sign: str | None = None
    column = 1
    head: tuple[str, str | None] | None = None
    mentions: list[Mention] = []
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        assert match is not None
        column = match.end() - len(match.group().lstrip()) + 1
        position = match.end()
        if match["sign"]:
            if sign is not None or head is None:
                raise UserError(
                    f"column {column}: expected a name, found {match['sign']!r} in {text!r}"
                )
            sign = match["sign"]
            continue
        if match["bad"]:
            raise UserError(f"column {column}: unexpected {match['bad']!r} in {text!r}")
        options: dict[str, Any] = {}
        if match["open"]:
            options, position = _options(text, position)
        if head is None:
            if match["open"]:
                raise UserError(
                    f"column {column}: a family takes no options; it may take a size "
                    f"(`{match['name']}:SIZE`)"
                )
            head = (match["name"], match["size"])
        elif sign is None:
            raise UserError(
                f"column {column}: expected + or - before {match['name']!r} in {text!r}"
            )
        elif match["size"]:
            raise UserError(
                f"column {column}: a plugin has no size ({match['name']}:{match['size']})"
            )
        else:
            mentions.append(Mention(sign, match["name"], options, column))
            sign = None
    if head is None:
        raise UserError("an expression begins with a family (`gpt2 + rope`)")
    if sign is not None:
        raise UserError(f"column {column}: {text!r} ends in {sign!r}")
    return head[0], head[1], mentions


def _options(text: str, start: int) -> tuple[dict[str, Any], int]:
    """Return the options that follow the opening bracket before `start`, and the position after the
    closing one.
    """
    depth = 1
    end = start
    while end < len(text) and depth:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[end], 0)
        end += 1
    if depth:
        raise UserError(f"column {start}: this bracket is not closed in {text!r}")
    inner = text[start : end - 1]
    options: dict[str, Any] = {}
    for part in re.split(r",(?![^\[(]*[\])])", inner) if inner.strip() else []:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise UserError(
                f"column {start + 1}: options are written `name=value`, found {part.strip()!r}"
            )
        if name in options:
            raise UserError(f"column {start + 1}: option {name!r} is given twice")
        options[name] = _literal(value)
    return options, end


def _literal(text: str) -> Any:
    words = {"true": True, "false": False, "null": None, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `1if` is no number, but Python warns of it
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text
