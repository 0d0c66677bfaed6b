"""The fork server: it is fit to fork, and what it forks is like a new process."""

import os
import signal
import sys

import pytest
import torch

from ablab.execute.executors.fork_server import process_context

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone"),
]


def describe(queue):
    """Put what the worker finds before it does anything, then what it computes."""
    server = os.getppid()
    queue.put(
        {
            "server threads": len(os.listdir(f"/proc/{server}/task")),
            "imported": {"torch", "lightning"} <= set(sys.modules),
            "CUDA": torch.cuda.is_initialized(),
            "group": os.getpgid(server),
            "blocked": signal.pthread_sigmask(signal.SIG_BLOCK, []),
            "SIGTERM": signal.getsignal(signal.SIGTERM),
        }
    )
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(512, 512, generator=generator)
    for threads in (2, 1):
        torch.set_num_threads(threads)
        queue.put((torch.get_num_threads(), (a @ a).sum().item()))


def run(context):
    queue = context.Queue()
    process = context.Process(target=describe, args=(queue,))
    process.start()
    answers = [queue.get(timeout=60) for _ in range(3)]
    process.join()
    assert process.exitcode == 0
    return answers


def test_a_forked_worker_computes_what_a_spawned_one_does():
    forked = process_context([])
    assert forked.get_start_method() == "forkserver"
    for _ in range(2):  # the second is forked when the first has used several threads
        found, *sums = run(forked)
        assert found["server threads"] == 1  # a thread pool would not survive the fork
        assert found["imported"]
        assert not found["CUDA"]
        assert found["group"] != os.getpgid(0)  # Ctrl-C does not reach it
        assert not found["blocked"]
        assert found["SIGTERM"] == signal.SIG_DFL
        assert [threads for threads, _ in sums] == [2, 1]
        assert sums == run(process_context(["0"]))[1:]


@pytest.mark.parametrize(
    ("devices", "method"), [([], "forkserver"), ([""], "forkserver"), (["0", "1"], "spawn")]
)
def test_workers_with_gpus_are_spawned(devices, method):
    assert process_context(devices).get_start_method() == method
