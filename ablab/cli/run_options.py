"""Options of `ablab run`: the hardware of each run, and how the command goes about it."""

from typing import Annotated

import typer

Accelerator = Annotated[
    str | None, typer.Option(help="auto, cpu or cuda. Default: the study's `hardware`.")
]
Devices = Annotated[
    int | None,
    typer.Option(min=1, help="Processes per run, each on one GPU or on CPU cores."),
]
Nodes = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Nodes of each run: start `ablab run` on each with torchrun, unless the engine does.",
    ),
]
StrategyName = Annotated[str | None, typer.Option("--strategy", help="auto, ddp, fsdp or tensor.")]
TensorSize = Annotated[
    int | None,
    typer.Option(
        "--tensor", min=1, help="Tensor-parallel size: processes that share one copy of the model."
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option("--compile/--no-compile", help="Compile the blocks with torch.compile."),
]
SkipChecks = Annotated[
    bool,
    typer.Option(
        "--skip-checks",
        help="Train arms without checking their causality, gradients and shapes first.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="CPU threads of each process of a run; part of its key. Default: the study's."
    ),
]
Detach = Annotated[
    bool,
    typer.Option(
        "--detach",
        help="Leave the runs to the queue of the engine. The same command goes on with the study.",
    ),
]
