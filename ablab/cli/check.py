"""`ablab check`: hold plugins to the conformance suite, without pytest."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ablab.errors import UserError

if TYPE_CHECKING:
    from ablab.arch.composition.registry import Plugin, Registry
    from ablab.arch.conformance import Check

_FAMILY = "gpt2"

Paths = Annotated[
    list[Path], typer.Argument(metavar="PATH", help="Plugin files, or folders of them.")
]
ModelWith = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="EXPR",
        help="Check this model, such as 'llama - swiglu + mine(width=8)'. Default: "
        f"{_FAMILY} with each plugin in turn, without those that the plugin conflicts with.",
    ),
]
WithoutGradient = Annotated[
    list[str] | None,
    typer.Option(
        "--without-gradient",
        metavar="PATTERN",
        help="Weights whose gradient may be zero, such as '*.gate.bias'. May be repeated.",
    ),
]


def check(paths: Paths, model: ModelWith = None, without_gradient: WithoutGradient = None) -> None:
    """Hold plugins to the conformance suite, which every plugin must pass.

    Exit status: 0 if there are no problems, else 1; 2 for invalid input.
    """
    from ablab.arch.conformance import checks

    registry, plugins = _load(paths)
    suite = checks(without_gradient or ())
    groups = (
        [[plugin] for plugin in plugins] if model is None else [_used(plugins, model, registry)]
    )
    failed = [group for group in groups if _check(group, model, registry, suite)]
    count = sum(map(len, groups))
    if failed:
        names = ", ".join(plugin.name for group in failed for plugin in group)
        print(f"{count} plugin(s) checked, problems in {names}")
        sys.exit(1)
    print(f"{count} plugin(s) checked, no problems")


def _check(
    plugins: "Sequence[Plugin]", model: str | None, registry: "Registry", suite: "Sequence[Check]"
) -> bool:
    """Print the problems of a model with plugins, and return whether there are any."""
    print(", ".join(f"{plugin.name} ({plugin.place})" for plugin in plugins), flush=True)
    problems = 0
    for is_problem, text in _lines(plugins, model, registry, suite):
        print(f"  {'problem' if is_problem else 'ok':7}  {text}", flush=True)
        problems += is_problem
    return problems > 0


def _lines(
    plugins: "Sequence[Plugin]", model: str | None, registry: "Registry", suite: "Sequence[Check]"
) -> Iterator[tuple[bool, str]]:
    """Check a model with plugins, by default an example; yield whether there is a problem, and
    which, or what is as it should be.
    """
    from ablab.arch.composition.compose import is_architecture
    from ablab.arch.composition.expression import resolve
    from ablab.arch.composition.model import architecture
    from ablab.arch.conformance import SMALL, apply

    try:
        expression = model or _example(plugins[0], registry)
        arch = architecture(expression, registry, SMALL)
    except UserError as error:
        yield True, f"model: {error}"
        return
    yield False, f"model: {expression}"
    uses = resolve(expression, registry).uses
    paths = sorted(path for plugin in plugins for path in uses[plugin.name].claim().edit)
    if not any(map(is_architecture, paths)):
        yield False, f"edits {', '.join(paths) or 'nothing'}, and no part of the model"
        return
    for check, fault in apply(suite, arch):
        yield bool(fault), f"{check.name}: {fault or check.claim}"


def _example(plugin: "Plugin", registry: "Registry") -> str:
    from ablab.arch.composition.example import example_model

    if plugin.required_options:
        options = ", ".join(f"{name}=…" for name in plugin.required_options)
        raise UserError(
            "options without a default: check it with "
            f"--model '{_FAMILY} + {plugin.name}({options})'"
        )
    return example_model(plugin, _FAMILY, registry)


def _used(plugins: "Iterable[Plugin]", model: str, registry: "Registry") -> "list[Plugin]":
    """Return those of the plugins that a model uses. Raises UserError if it uses none of them."""
    from ablab.arch.composition.expression import resolve

    uses = resolve(model, registry).uses
    used = [plugin for plugin in plugins if plugin.name in uses]
    if not used:
        names = ", ".join(plugin.name for plugin in plugins)
        raise UserError(f"--model {model!r} has none of the plugins to check: {names}")
    return used


def _load(paths: Iterable[Path]) -> "tuple[Registry, list[Plugin]]":
    """Return the registry with the plugins in `paths`, and these plugins.

    Raises UserError with a line for each path or file that cannot be used.
    """
    from ablab.arch.composition.loose_files import loose_files
    from ablab.arch.composition.registry import load_registry

    registry = load_registry()
    plugins: dict[str, Plugin] = {}
    errors: list[str] = []
    for path in paths:
        try:
            _add(loose_files(path), registry)
            plugins |= {plugin.name: plugin for plugin in registry.declared_in(path)}
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise UserError("\n".join(errors))
    return registry, list(plugins.values())


def _add(files: Iterable[Path], registry: "Registry") -> None:
    """Register the plugins of files, unless they are those of an installed package.

    Raises UserError with a line for each file that does not load.
    """
    from ablab.arch.composition.registry import add_loose_files

    known = registry.files
    errors: list[str] = []
    for file in files:
        try:
            if file not in known:
                add_loose_files(registry, file)
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise UserError("\n".join(errors))
