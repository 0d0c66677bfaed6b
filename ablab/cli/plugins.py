"""Commands on plugins: list plugins, families and recipes, and write a new plugin with its test."""

import json
from pathlib import Path
from shlex import quote
from string import Template
from typing import Annotated

import typer

from ablab.cli.options import Json, Plugins

_PLUGIN = Template('''"""$title: say here what it changes, and why."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from ablab.plugin import Activation, Edit, plugin


class _Module(nn.Module):
    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.slope * x).sigmoid()


@dataclass(frozen=True)
class ${cls}Activation(Activation):
    """x · sigmoid(slope · x)."""

    slope: float

    def build(self) -> nn.Module:
        """The module."""
        return _Module(self.slope)


@plugin(name="$name", source="say here who described it first")
class $cls:
    """$title: a sigmoid-weighted unit in the feed-forward, in place of GELU."""

    slope: Annotated[float, Field(gt=0)] = 1.0

    def edit(self) -> Edit:
        """Writes the feed-forward's activation; `ablab plugins` shows which paths others write."""
        return {"mlp.activation": ${cls}Activation(self.slope)}
''')

_TEST = Template('''"""$title: the conformance suite, and a plain version of its arithmetic."""

from pathlib import Path

import torch

import ablab
from ablab.testing import Conformance

HERE = Path(__file__).parent


class Test$cls(Conformance):
    expression = "gpt2 + $name"
    plugins = [HERE]


def test_arithmetic():
    sizes = {"layers": 1, "width": 16, "heads": 2, "vocab": 10, "context": 8}
    model = ablab.build("gpt2 + $name(slope=2)", plugins=[HERE], **sizes)
    x = torch.linspace(-3, 3, 7)
    assert torch.allclose(model.blocks[0].mlp.activation(x), x / (1 + torch.exp(-2 * x)))
''')


def plugins(
    name: Annotated[str | None, typer.Argument(help="Show one plugin in full.")] = None,
    as_json: Json = False,
    plugins: Plugins = None,
) -> None:
    """List the plugins that model expressions may name."""
    from ablab.arch.composition.registry import load_registry

    registry = load_registry(plugins or [])
    names = sorted(registry.plugins) if name is None else [name]
    listing = [registry.plugin(plugin_name) for plugin_name in names]
    if as_json:
        rows = [
            {
                "name": p.name,
                "paths": p.paths,
                "summary": p.summary,
                "source": p.declared.source,
                "options": p.options,
            }
            for p in listing
        ]
        print(json.dumps(rows, indent=1, default=str))
        return
    for p in listing:
        options = ", ".join(f"{key}={value}" for key, value in p.options.items())
        print(f"{p.name}{f'({options})' if options else ''}")
        print(f"    {p.summary}")
        if name is not None:
            print(f"    writes {', '.join(p.paths)}")
            print(f"    source: {p.declared.source}")
            print(f"    file: {p.origin}")


def families(plugins: Plugins = None) -> None:
    """List the model families with their plugins and sizes."""
    from ablab.arch.composition.registry import load_registry

    registry = load_registry(plugins or [])
    for family in (registry.families[name] for name in sorted(registry.families)):
        print(f"{family.name}: {family.summary}")
        print(f"    = {family.plugins or 'the base decoder'}")
        print(f"    sizes: {', '.join(family.sizes)}")
        if family.recipe is not None:
            settings = ", ".join(
                f"{key} {value}" for key, value in family.recipe.settings().items()
            )
            print(f"    recipe: {settings}")
        print(f"    source: {family.source}")


def recipes(plugins: Plugins = None) -> None:
    """List the recipes that a study can request by name."""
    from ablab.arch.composition.registry import load_registry

    registry = load_registry(plugins or [])
    for recipe in (registry.recipes[name] for name in sorted(registry.recipes)):
        print(f"{recipe.name}: {recipe.summary}")
        for key, value in recipe.recipe.settings().items():
            print(f"    {key}: {value}")
        print(f"    source: {recipe.source}")


def new_plugin(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name in model expressions: lower case, with underscores."
        ),
    ],
    directory: Annotated[
        Path, typer.Option("--dir", metavar="DIR", help="Folder for NAME.py and test_NAME.py.")
    ] = Path(),
) -> None:
    """Write a working plugin and its test as a starting point."""
    from ablab.arch.composition.registry import load_registry
    from ablab.errors import UserError
    from ablab.files import write_atomically

    _check(name)
    registry = load_registry()
    if name in {*registry.plugins, *registry.families, *registry.recipes}:
        raise UserError(
            f"{name!r} is taken: `ablab plugins`, `ablab families` and `ablab recipes` list the "
            "names in use"
        )
    files = [directory / f"{name}.py", directory / f"test_{name}.py"]
    for file in files:
        if file.exists():
            raise UserError(f"{file} exists already")
    words = {
        "name": name,
        "cls": "".join(map(str.capitalize, name.split("_"))),
        "title": name.replace("_", " ").capitalize(),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for file, template in zip(files, (_PLUGIN, _TEST), strict=True):
        content = template.substitute(words).encode()
        write_atomically(file, lambda out, content=content: out.write(content))
    print(f"{files[0]} and {files[1]} are written. Next:")
    print(f"  ablab check {quote(str(files[0]))}")
    print(f"  ablab inspect 'gpt2 + {name}' --plugins {quote(str(directory))}")
    print(f"  python -m pytest {quote(str(files[1]))}    # its arithmetic too; needs pytest")


def _check(name: str) -> None:
    from keyword import iskeyword
    from re import fullmatch, sub

    from ablab.errors import UserError

    if (
        not fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
        or iskeyword(name)
        or name.startswith("test_")
    ):
        near = sub(r"\W+|_+", "_", sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)).strip("_").lower()
        hint = (
            f" (did you mean {near!r}?)"
            if near and near != name and near.isidentifier() and not iskeyword(near)
            else ""
        )
        raise UserError(
            f"{name!r} is no name for a plugin: lower-case words joined by underscores{hint}"
        )
