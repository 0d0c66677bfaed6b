"""An idea, as it is given on the command line: a plugin file, or terms of a model expression."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ablab.arch.composition.expression import Model, parse_terms, resolve
from ablab.arch.composition.loose_files import loose_files
from ablab.arch.composition.registry import Registry, load_registry
from ablab.design.changes import variant
from ablab.design.contexts import change_in, replacement
from ablab.errors import UserError

_HEAD = re.compile(r"\s*([A-Za-z_]\w*(?::[\w.]+)?)\s*(?=[+-]|$)")
_MAX_SLUG = 40  # characters


@dataclass(frozen=True)
class Idea:
    """A change, and the models that it is tried in."""

    change: str
    """Terms of a model expression: `relu_squared`, `- scaled_init`, `rope + qk_norm`."""
    contexts: tuple[str, ...]
    """Model expressions that the change is made to."""
    notes: tuple[str, ...] = ()
    """Contexts that were left out, and plugins that the change replaces."""
    files: tuple[Path, ...] = ()
    """The plugin files among the ideas that it needs."""

    @property
    def slug(self) -> str:
        """The change as a part of a file's name."""
        words = re.sub(r"\W+", "_", self.change.replace("-", "without"), flags=re.ASCII)
        return words.strip("_")[:_MAX_SLUG].rstrip("_") or "idea"

    def pairs(self, registry: Registry) -> list[tuple[Model, Model]]:
        """Return each context, and the context with the change.

        Raises UserError if the change cannot be made.
        """
        pairs = []
        for text in self.contexts:
            context = resolve(text, registry)
            change = change_in(context, self.change, registry)
            pairs.append((context, variant(context, change.apply(context.uses))))
        return pairs


@dataclass(frozen=True)
class Contexts:
    """Where ideas are tried that name no model."""

    expressions: tuple[str, ...]
    """Model expressions."""
    chosen: bool = False
    """Whether the user chose them. Others are left out where an idea changes nothing."""


def read_ideas(words: Sequence[str], contexts: Contexts, plugins: Sequence[Path]) -> list[Idea]:
    """Return the ideas that words of the command line mean.

    A word is a plugin file, each of whose plugins is an idea; or terms, which may begin with a
    family (`llama + qk_norm`), which then is the only context unless the user chose others.

    Raises:
        UserError: with a line for each word that is no idea.

    """
    files = {word: Path(word) for word in words if _is_file(word)}
    paths = dict.fromkeys([*plugins, *(path.resolve() for path in files.values())])
    registry = load_registry(list(paths))
    ideas: list[Idea] = []
    errors: list[str] = []
    for word in words:
        try:
            if word in files:
                ideas += _of_file(files[word], contexts, registry)
            else:
                ideas.append(_of_terms(word, contexts, registry))
        except UserError as error:
            errors.append(str(error if word in files else error.at(repr(word))))
    if errors:
        raise UserError("\n".join(errors))
    own = {file for path in files.values() for file in loose_files(path)}
    return [replace(idea, files=_needed(idea, own, registry)) for idea in ideas]


def _needed(idea: Idea, files: set[Path], registry: Registry) -> tuple[Path, ...]:
    """Return those of the plugin files that the arms of an idea use."""
    origins = {
        Path(use.plugin.origin).resolve()
        for pair in idea.pairs(registry)
        for model in pair
        for use in model.uses.values()
    }
    return tuple(sorted(files & origins))


def _is_file(word: str) -> bool:
    return word.endswith(".py") or "/" in word


def _of_file(path: Path, contexts: Contexts, registry: Registry) -> list[Idea]:
    plugins = registry.declared_in(path)
    for plugin in plugins:
        if plugin.required_options:
            options = ", ".join(f"{name}=…" for name in plugin.required_options)
            raise UserError(
                f"{path}: {plugin.name} has options without a default: name them, as in `ablab try "
                f"'{plugin.name}({options})' --plugins {path}`"
            )
    return [_idea(plugin.name, contexts, registry) for plugin in plugins]


def _of_terms(word: str, contexts: Contexts, registry: Registry) -> Idea:
    head = _HEAD.match(word)
    family = head.group(1).partition(":")[0] if head else ""
    if head is None or family not in registry.families:
        return _idea(word.strip(), contexts, registry)
    change = word[head.end() :].strip().removeprefix("+").strip()
    if not change:
        raise UserError("a model without a change: write `llama + qk_norm`, or a change alone")
    if not contexts.chosen:
        contexts = Contexts((head.group(1),), chosen=True)
    return _idea(change, contexts, registry)


def _idea(change: str, contexts: Contexts, registry: Registry) -> Idea:
    kept: list[str] = []
    notes: list[str] = []
    for context in contexts.expressions:
        reason = "" if contexts.chosen else _no_change(change, resolve(context, registry))
        if reason:
            notes.append(f"not tried in {context}, which {reason}")
        else:
            kept.append(context)
    if not kept:
        where = "; ".join(notes)
        raise UserError(f"{where}: name a model that it changes, as in `--on gpt2`")
    for expression in kept:
        context = resolve(expression, registry)
        notes += replacement(change_in(context, change, registry), context)
    return Idea(change, tuple(kept), tuple(notes))


def _no_change(change: str, context: Model) -> str:
    """Return why a change would leave a context as it is; empty if it does not."""
    for term in parse_terms(change):
        if term.sign == "+" and not term.options and term.name in context.uses:
            return f"has {term.name} already"
        if term.sign == "-" and term.name not in context.uses:
            return f"has no {term.name}"
    return ""
