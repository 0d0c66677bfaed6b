"""Many small models on one GPU: several processes, and CUDA graphs."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from time import perf_counter
from typing import Any

import torch
from torch.nn.utils import clip_grad_norm_

from benchmarks.gpu.setting import Result, Setting, Skipped
from benchmarks.gpu.speed import step_of
from benchmarks.peers import Shape, ours
from benchmarks.side_by_side import in_turn

SMALL = Shape(3, 96, 4, 128, 1024, 16)
_WAIT_SECONDS = 120.0


def _train(setting: Setting, seconds: float, start: Barrier, speeds: Any) -> None:
    """Train for `seconds`, from when all processes are ready, and put tokens a second."""
    torch.set_num_threads(1)
    shape = setting.shape(SMALL)
    step = step_of(ours("gpt2", shape), shape, setting.device)
    for _ in range(3):
        step().item()
    start.wait(_WAIT_SECONDS)
    begin = perf_counter()
    count = 0
    while perf_counter() - begin < seconds:
        step().item()
        count += 1
    speeds.put(count * shape.batch * shape.context / (perf_counter() - begin))


def _together(setting: Setting, processes: int) -> float:
    """Return the tokens a second of so many processes at once, in all."""
    context = multiprocessing.get_context("spawn")
    start, speeds = context.Barrier(processes), context.Queue()
    arguments = (setting, 0.2 if setting.dry else 4.0, start, speeds)
    started = [context.Process(target=_train, args=arguments) for _ in range(processes)]
    for process in started:
        process.start()
    try:
        return sum(speeds.get(timeout=2 * _WAIT_SECONDS) for _ in started)
    finally:
        for process in started:
            process.join(10)
            if process.is_alive():
                process.kill()


def small_runs(setting: Setting) -> Result:
    """Train small models in 1 to 8 processes on one GPU."""
    counts = (1, 2) if setting.dry else (1, 2, 4, 8)
    speeds = {count: _together(setting, count) for count in counts}
    mps = (
        "on"
        if os.path.exists(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps"))
        else "off"
    )
    return Result(
        ("processes", "tokens/s in all", "× one"),
        [(str(n), f"{speed:,.0f}", f"{speed / speeds[1]:.2f}") for n, speed in speeds.items()],
        f"{setting.shape(SMALL)}, bf16, eager; MPS {mps}.",
    )


def _captured(shape: Shape) -> Callable[[], None]:
    """Return a training step that replays a CUDA graph."""
    peer = ours("gpt2", shape)
    peer.model.cuda()
    weights = list(peer.model.parameters())
    tokens = torch.randint(0, shape.vocab, (shape.batch, shape.context + 1), device="cuda")
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True, capturable=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        # A cast that autocast caches outside the graph would be stale within it.
        with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            loss = peer.loss(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        clip_grad_norm_(weights, 1.0, foreach=True)
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def cuda_graphs(setting: Setting) -> Result:
    """Replay the training step of a small model as a CUDA graph, beside the eager one."""
    if setting.device != "cuda":
        raise Skipped("CUDA graphs need a GPU")
    actions = {"eager": step_of(ours("gpt2", SMALL), SMALL, "cuda"), "CUDA graph": _captured(SMALL)}
    times = in_turn(actions, setting.rounds, setting.calls)
    tokens = SMALL.batch * SMALL.context
    return Result(
        ("step", "tokens/s", "× eager"),
        [
            (name, f"{tokens / each.seconds:,.0f}", f"{each.faster_than(times['eager']):.2f}")
            for name, each in times.items()
        ],
        f"{SMALL}, bf16.",
    )
