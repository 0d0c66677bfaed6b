"""Processes that stand for the ranks of a distributed run, kept for many tests: importing torch
takes them seconds.
"""

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_SECONDS = 240


class RankFailed(Exception):
    """What a rank raised, as text."""


class Crew:
    """`size` processes. `run(world, function, *arguments)` calls function(rank, *arguments) in
    `world` of them, which form the default process group (gloo, on loopback), and gives their
    results in the order of ranks.
    """

    def __init__(self, size: int, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._folder, self._calls = folder, 0
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(size):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there,), daemon=True)
            process.start()
            self._pipes.append(here)
            self._processes.append(process)

    def run(self, world: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Raises RankFailed with the first traceback where a rank raises."""
        self._calls += 1
        meeting = self._folder / f"meeting{self._calls}"
        for rank, pipe in enumerate(self._pipes[:world]):
            pipe.send((rank, world, meeting, function, arguments))
        answers = []
        for pipe in self._pipes[:world]:
            assert pipe.poll(_SECONDS), "a rank does not answer"
            answers.append(pipe.recv())
        for fault, _ in answers:
            if fault:
                raise RankFailed(fault)
        return [result for _, result in answers]

    def close(self) -> None:
        """Ends the processes."""
        for process in self._processes:
            process.kill()
            process.join()


def _serve(pipe: Connection) -> None:
    import torch
    import torch.distributed as dist

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    while True:
        rank, world, meeting, function, arguments = pipe.recv()
        try:
            dist.init_process_group(
                "gloo", init_method=f"file://{meeting}", rank=rank, world_size=world
            )
            answer = ("", function(rank, *arguments))
        except BaseException:
            answer = (traceback.format_exc(), None)
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
        pipe.send(answer)
