"""Commands that look at models: nothing is trained or allocated."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.options import Json, Plugins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from ablab.arch.composition.expression import Model
    from ablab.arch.composition.registry import Registry
    from ablab.arch.counting.account import Account, Memory
    from ablab.arch.counting.rank_account import RankAccount
    from ablab.arch.value import Architecture

Expression = Annotated[
    str, typer.Argument(metavar="EXPR", help="A model expression: gpt2:124M + rope - scaled_init")
]
Size = Annotated[int | None, typer.Option(min=1, help="Overrides the family's size.")]


def inspect(
    expression: Expression,
    as_json: Json = False,
    layers: Size = None,
    width: Size = None,
    heads: Size = None,
    head_dim: Size = None,
    vocab: Size = None,
    context: Size = None,
    tensor_parallel: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Also show what each of N tensor-parallel ranks holds and sends.",
        ),
    ] = None,
    plugins: Plugins = None,
) -> None:
    """Show a model's parameters, FLOPs and memory without allocating it."""
    from ablab.arch.counting.account import account
    from ablab.arch.counting.rank_account import rank_account

    sizes = _sizes(
        layers=layers, width=width, heads=heads, head_dim=head_dim, vocab=vocab, context=context
    )
    model, arch = _arch(expression, _registry(plugins), sizes)
    counted, rank = account(arch), rank_account(arch, tensor_parallel) if tensor_parallel else None
    if as_json:
        names = {"expression": expression, "plugins": list(model.uses)}
        shared = {"tensor_parallel": rank.as_dict()} if rank else {}
        print(json.dumps({**names, **counted.as_dict(), **shared}, indent=1))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(
        f"[bold]{expression}[/]: "
        f"{' + '.join(str(use) for use in model.uses.values()) or 'the base decoder'}"
    )
    for line in (*_of_model(counted), *(_of_rank(rank) if rank else ())):
        console.print(line)


def _of_model(counted: "Account") -> "Iterator[str]":
    from ablab.text.numbers import short

    parameters, flops = counted.parameters, counted.flops_per_token
    yield "  ".join(f"{name} {value}" for name, value in counted.dims.items())
    yield (
        f"parameters        {parameters.total:,} ({parameters.embedding:,} embedding, "
        f"{parameters.non_embedding:,} other)"
    )
    yield f"FLOPs per token   {short(flops.forward)} forward, {short(flops.training)} training"
    yield f"KV cache          {counted.kv_cache_bytes_per_token:,} bytes per token (bf16)"
    yield _memory(counted.memory_bytes)


def _memory(memory: "Memory") -> str:
    from ablab.text.numbers import short

    total = memory.weights + memory.gradients + memory.optimizer
    return (
        f"memory (fp32)     {short(memory.weights)}B weights + {short(memory.gradients)}B "
        "gradients + "
        f"{short(memory.optimizer)}B AdamW = {short(total)}B, before activations"
    )


def _of_rank(rank: "RankAccount") -> "Iterator[str]":
    """What each of the ranks holds, and what it says, part by part."""
    from ablab.arch.counting.rank_account import COMMUNICATION_CONVENTION
    from ablab.text.numbers import short

    yield f"\n[bold]each of {rank.size} tensor-parallel ranks[/]"
    yield (
        f"parameters        {rank.parameters:,} ({rank.whole / rank.parameters:.1%} whole on "
        "every rank)"
    )
    yield _memory(rank.memory_bytes)
    yield (
        f"all-reduced       {short(rank.bytes_per_token)}B per token; in a ring each sends "
        f"{short(rank.wire_bytes_per_token)}B"
    )
    for part in rank.parts:
        forward, backward, weights = part.said.forward, part.said.backward, part.said.weights
        name = part.name + (f" × {part.times}" if part.times > 1 else "")
        yield (
            f"  {name:<16}{forward.all_reduces} forward + {backward.all_reduces} backward, "
            f"{forward.bytes:,} + {backward.bytes:,} bytes per token"
        )
        if weights.all_reduces:
            yield (
                f"  {'':<16}{weights.all_reduces} of weight gradients, {weights.bytes:,} bytes "
                "per backward pass"
            )
    yield f"[dim]({COMMUNICATION_CONVENTION})[/]"


def diff(
    first: Expression,
    second: Expression,
    layers: Size = None,
    width: Size = None,
    heads: Size = None,
    head_dim: Size = None,
    vocab: Size = None,
    context: Size = None,
    plugins: Plugins = None,
) -> None:
    """Show the changes from the first model to the second, at the size of the first."""
    from rich.console import Console

    registry = _registry(plugins)
    sizes = _sizes(
        layers=layers, width=width, heads=heads, head_dim=head_dim, vocab=vocab, context=context
    )
    Console(highlight=False).print(_steps(first, second, registry, sizes))


def _steps(first: str, second: str, registry: "Registry", sizes: dict[str, int]) -> "Table":
    """A row for each change from the first model to the second, and each model whole."""
    from rich.table import Table

    from ablab.arch.composition.compose import Composite
    from ablab.arch.composition.model import composite
    from ablab.arch.counting.account import account
    from ablab.design.changes import difference, variant

    start, before = _account(first, registry, sizes)
    end, last = _account(second, registry, sizes)
    table = Table(
        "change",
        "writes",
        "parameters",
        "FLOPs/token",
        title=f"from {first} to {second}",
        title_justify="left",
    )
    uses = dict(start.uses)
    whole = [(first, before)]
    for change in difference(start.uses, end.uses):
        uses = change.apply(uses)
        after = account(composite(variant(start, uses), Composite(), sizes).arch)
        touched = sorted(
            {path for _, use in (*change.removed, *change.added) for path in use.claim().edit}
        )
        more = after.flops_per_token.training - before.flops_per_token.training
        table.add_row(
            change.name,
            ", ".join(touched),
            f"{after.parameters.total - before.parameters.total:+,}",
            _signed(more),
        )
        before = after
    table.add_section()
    sized = before.dims == last.dims
    whole += (
        [(second, last)]
        if sized
        else [(f"{second} at the size of {first}", before), (f"{second} at its own size", last)]
    )
    for name, counted in whole:
        table.add_row(
            name, "", f"{counted.parameters.total:,}", _signed(counted.flops_per_token.training)[1:]
        )
    return table


def plugins(
    name: Annotated[str | None, typer.Argument(help="Show one plugin in full.")] = None,
    as_json: Json = False,
    plugins: Plugins = None,
) -> None:
    """List the plugins that model expressions may name."""
    registry = _registry(plugins)
    chosen = (
        [registry.plugin(name)]
        if name is not None
        else [registry.plugins[n] for n in sorted(registry.plugins)]
    )
    if as_json:
        rows = [
            {
                "name": p.name,
                "paths": p.paths,
                "summary": p.summary,
                "source": p.declared.source,
                "options": p.options,
            }
            for p in chosen
        ]
        print(json.dumps(rows, indent=1, default=str))
        return
    for p in chosen:
        options = ", ".join(f"{key}={value}" for key, value in p.options.items())
        print(f"{p.name}{f'({options})' if options else ''}")
        print(f"    {p.summary}")
        if name is not None:
            print(f"    writes {', '.join(p.paths)}")
            print(f"    source: {p.declared.source}")
            print(f"    file: {p.origin}")


def families(plugins: Plugins = None) -> None:
    """List the model families with their plugins and sizes."""
    registry = _registry(plugins)
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


def _registry(folders: Any) -> "Registry":
    from ablab.arch.composition.registry import load_registry

    return load_registry(folders or [])


def _sizes(**sizes: int | None) -> dict[str, int]:
    return {name: value for name, value in sizes.items() if value is not None}


def _account(
    expression: str, registry: "Registry", sizes: dict[str, int]
) -> "tuple[Model, Account]":
    from ablab.arch.counting.account import account

    model, arch = _arch(expression, registry, sizes)
    return model, account(arch)


def _arch(
    expression: str, registry: "Registry", sizes: dict[str, int]
) -> "tuple[Model, Architecture]":
    from ablab.arch.composition.compose import Composite
    from ablab.arch.composition.expression import resolve
    from ablab.arch.composition.model import composite

    model = resolve(expression, registry)
    return model, composite(model, Composite(), sizes).arch


def _signed(value: float) -> str:
    from ablab.text.numbers import short

    return ("+" if value >= 0 else "-") + short(abs(value))
