"""Commands that count models and compare them, without allocating or training them."""

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
    from ablab.design.changes import Change

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
    counts = account(arch)
    rank = rank_account(arch, tensor_parallel) if tensor_parallel else None
    if as_json:
        content = {"expression": expression, "plugins": list(model.uses), **counts.as_dict()}
        if rank:
            content["tensor_parallel"] = rank.as_dict()
        print(json.dumps(content, indent=1))
        return
    _print_counts(expression, model, counts, rank)


def _print_counts(
    expression: str, model: "Model", counts: "Account", rank: "RankAccount | None"
) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    plugins = " + ".join(str(use) for use in model.uses.values()) or "the base decoder"
    console.print(f"[bold]{expression}[/]: {plugins}")
    for line in _model_lines(counts):
        console.print(line)
    if rank:
        for line in _rank_lines(rank):
            console.print(line)


def _model_lines(counts: "Account") -> "Iterator[str]":
    from ablab.text.numbers import short

    parameters = counts.parameters
    flops = counts.flops_per_token
    yield "  ".join(f"{name} {value}" for name, value in counts.dims.items())
    yield (
        f"parameters        {parameters.total:,} ({parameters.embedding:,} embedding, "
        f"{parameters.non_embedding:,} other)"
    )
    yield f"FLOPs per token   {short(flops.forward)} forward, {short(flops.training)} training"
    yield f"KV cache          {counts.kv_cache_bytes_per_token:,} bytes per token (bf16)"
    yield _memory(counts.memory_bytes)


def _memory(memory: "Memory") -> str:
    from ablab.text.numbers import short

    total = memory.weights + memory.gradients + memory.optimizer
    return (
        f"memory (fp32)     {short(memory.weights)}B weights + {short(memory.gradients)}B "
        "gradients + "
        f"{short(memory.optimizer)}B AdamW = {short(total)}B, before activations"
    )


def _rank_lines(rank: "RankAccount") -> "Iterator[str]":
    """Describe what each tensor-parallel rank holds and communicates, part by part."""
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
        forward = part.said.forward
        backward = part.said.backward
        weights = part.said.weights
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
    """Return a table with a row for each change, and rows with the totals of both models."""
    from rich.table import Column

    from ablab.arch.composition.compose import Composite
    from ablab.arch.composition.model import composite
    from ablab.arch.counting.account import account
    from ablab.design.changes import difference, variant
    from ablab.text.fitting_table import FittingTable
    from ablab.text.numbers import short

    start, first_counts = _account(first, registry, sizes)
    before = first_counts
    end, last = _account(second, registry, sizes)
    table = FittingTable(
        Column("change", overflow="fold"),
        Column("writes", overflow="fold"),
        Column("parameters", no_wrap=True),
        Column("FLOPs/token", no_wrap=True),
        title=f"from {first} to {second}",
        title_justify="left",
    )
    uses = dict(start.uses)

    for change in difference(start.uses, end.uses):
        uses = change.apply(uses)
        after = account(composite(variant(start, uses), Composite(), sizes).arch)
        table.add_row(*_step_cells(change, before, after))
        before = after
    table.add_section()
    totals = [(first, first_counts), (second, last)]
    if before.dims != last.dims:
        totals[1:] = [
            (f"{second} at the size of {first}", before),
            (f"{second} at its own size", last),
        ]
    for name, counts in totals:
        flops = short(counts.flops_per_token.training)
        table.add_row(name, "", f"{counts.parameters.total:,}", flops)
    return table


def _step_cells(change: "Change", before: "Account", after: "Account") -> list[str]:
    """Return the cells of a change: name, paths, and differences in parameters and FLOPs."""
    paths = {path for _, use in (*change.removed, *change.added) for path in use.claim().edit}
    return [
        change.name,
        ", ".join(sorted(paths)),
        f"{after.parameters.total - before.parameters.total:+,}",
        _signed(after.flops_per_token.training - before.flops_per_token.training),
    ]


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
