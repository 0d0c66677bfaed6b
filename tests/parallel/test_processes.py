"""Runs whose processes are started, looked after and ended by a worker."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from tests.conftest import STUDY, environment, results
from tests.inprocess import run_command
from tests.processes import free_port, start, until

pytestmark = pytest.mark.system

SHARED = ["--devices", 2, "--workers", 1]


@pytest.fixture(scope="module")
def study(tmp_path_factory, corpus):
    """Two arms, a seed each."""
    text = (
        STUDY.format(corpus=corpus)
        .replace("leave_one_out", "compare")
        .replace("seeds: 2", "seeds: 1")
        .replace("width: 16", "width: 32")
    )
    file = tmp_path_factory.mktemp("shared") / "x.yaml"
    file.write_text(text)
    return file


@pytest.fixture(scope="module")
def alone(study):
    home = study.parent / "alone"
    ended = run_command(study.parent, "run", study, "--home", home)
    assert ended.returncode == 0, ended.stderr
    return results(home)


@pytest.mark.parametrize("options", [["--strategy", "ddp"], ["--strategy", "tensor"]], ids=" ".join)
def test_a_study_on_two_processes_a_run_comes_to_the_same(ablab, study, alone, tmp_path, options):
    shared = ablab("run", study, "--home", tmp_path / "home", *SHARED, *options)
    assert shared.returncode == 0, shared.stdout + shared.stderr
    assert "each run on 2 processes" in shared.stdout
    found = results(tmp_path / "home")
    assert found.keys() == alone.keys()
    for key, (metrics, losses) in alone.items():
        assert found[key][0] == pytest.approx(metrics, rel=1e-4)
        assert len(found[key][1]) == len(losses)  # each measured once
    assert not list((tmp_path / "home").glob("runs/*/lease.json"))


LONG = "steps: 100000"


def _begun(study, tmp_path, *options):
    """A study of long runs, each on two processes, under way; and the processes that share the
    first.
    """
    long = tmp_path / "long.yaml"
    long.write_text(study.read_text().replace("steps: 4", LONG))
    home = tmp_path / "home"
    driver = start("run", long, "--home", home, *SHARED, *options, cwd=tmp_path)
    until(lambda: list(home.glob("runs/*/progress.json")) or driver.poll() is not None)
    assert driver.poll() is None, driver.communicate()[0]
    return driver, _ranks(driver.pid)


def _ranks(driver):
    found = psutil.Process(driver).children(recursive=True)
    return sorted(
        (p for p in found if "ablab.execute.rank_main" in p.cmdline()), key=lambda p: p.pid
    )


def test_a_process_that_dies_ends_its_run_with_the_reason_and_leaves_none_behind(study, tmp_path):
    driver, ranks = _begun(study, tmp_path)
    assert len(ranks) == 2
    ranks[1].kill()
    _, alive = psutil.wait_procs(ranks, timeout=10)
    assert not alive
    (failure,) = until(lambda: list((tmp_path / "home").glob("runs/*/failure.json")), 30)
    assert json.loads(failure.read_text())["reason"] == "process 1 of 2 died (killed by SIGKILL)"
    os.killpg(driver.pid, signal.SIGINT)
    driver.communicate(timeout=60)


def test_ctrl_c_writes_a_checkpoint_and_leaves_no_process(study, tmp_path):
    driver, ranks = _begun(study, tmp_path, "--strategy", "fsdp")
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 130, output
    assert "Traceback" not in output
    assert list((tmp_path / "home").glob("runs/*/checkpoint.ckpt"))
    assert not psutil.wait_procs(ranks, timeout=5)[1]


def test_processes_end_with_the_worker_that_looks_after_them(study, tmp_path):
    driver, ranks = _begun(study, tmp_path)
    (log,) = {file.path for file in ranks[0].open_files() if file.path.endswith("/log0")}
    psutil.Process(ranks[0].ppid()).kill()
    assert not psutil.wait_procs(ranks, timeout=10)[1]
    assert not Path(log).parent.exists()  # nor a folder of theirs
    os.killpg(driver.pid, signal.SIGINT)
    driver.communicate(timeout=60)


PLUGINS = """
import os, torch
from dataclasses import dataclass
from torch import Tensor, nn
from ablab.plugin import Branch, Edit, PlainMlp, BuildContext, plugin


class _Odd(nn.Module):
    def __init__(self, inner, most):
        super().__init__()
        self.inner, self.most = inner, most

    def forward(self, x: Tensor) -> Tensor:
        distributed = torch.distributed
        if self.most == 0 and distributed.is_initialized() and distributed.get_rank() == 1:
            raise ValueError("rank 1 says no")
        if self.most and torch.is_grad_enabled() and x.shape[0] > self.most:
            raise torch.OutOfMemoryError("too many")
        return self.inner(x)


@dataclass(frozen=True)
class OddMlp(Branch):
    most: int

    def build(self, site: BuildContext) -> nn.Module:
        return _Odd(PlainMlp().build(site), self.most)


@plugin(source="a test")
class Odd:
    '''An MLP that takes at most `most` sequences at once; at 0 it fails in one process.'''

    most: int = 0

    def edit(self) -> Edit:
        return {"mlp": OddMlp(self.most)}
"""


@pytest.fixture
def plugins(tmp_path):
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "odd.py").write_text(PLUGINS)
    return tmp_path / "odd"


def test_micro_batches_are_halved_when_a_process_is_short_of_memory(
    ablab, study, plugins, tmp_path
):
    """A global batch of 16 sequences: 8 a process, of which 3 at once fit."""
    text = (
        study.read_text()
        .replace("to: llama\n", "")
        .replace("from: gpt2\n", "arms: {few: gpt2 + odd(most=3)}\n")
    )
    (tmp_path / "few.yaml").write_text(text)
    given = ["few.yaml", "recipe.batch_tokens=256", "--plugins", plugins]
    shared = ablab("run", *given, "--home", tmp_path / "two", *SHARED)
    assert shared.returncode == 0, shared.stdout + shared.stderr
    assert ablab("run", *given, "--home", tmp_path / "one").returncode == 0
    (two,), (one,) = results(tmp_path / "two").values(), results(tmp_path / "one").values()
    assert two[0] == pytest.approx(one[0], rel=1e-4)


def test_the_reason_is_that_of_the_process_that_failed_first(ablab, study, plugins, tmp_path):
    text = (
        study.read_text()
        .replace("to: llama\n", "")
        .replace("from: gpt2\n", "arms: {odd: gpt2 + odd}\n")
    )
    (tmp_path / "odd.yaml").write_text(text)
    result = ablab("run", "odd.yaml", "--plugins", plugins, "--home", tmp_path / "home", *SHARED)
    assert result.returncode == 1
    (failure,) = (tmp_path / "home").glob("runs/*/failure.json")
    content = json.loads(failure.read_text())
    assert content["reason"].startswith("ValueError: rank 1 says no (plugin odd, ")
    assert "odd.py" in content["detail"]


# Of three ranks the second alone has heads of both halves; a vocabulary that three divide.
STRIDED = [
    "to=gpt2 + sparse_attention(band=4, strided=true, layers=all) + padded_vocab(multiple=3)"
]
STRIDED += ["from=gpt2", "model.heads=6", "model.width=48", "design.kind=compare"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--devices", 63], "hardware.devices: 63 are more than this machine has"),
        (["--devices", 2, "--tensor", 3], "tensor 3 does not divide devices 2: take 1 or 2"),
        (["--devices", 3, "--strategy", "tensor"], "a tensor size of 3 does not divide"),
        (["--devices", 3, "--strategy", "tensor", *STRIDED], "split between its halves"),
        (
            ["--devices", 2, "--strategy", "ddp", "--tensor", 2],
            "tensor goes with strategy tensor, not ddp",
        ),
        (["--devices", 2, "--strategy", "fsdp", "recipe.optimizer=muon"], "needs whole weights"),
        (["--devices", 2, "--strategy", "megatron"], "hardware.strategy"),
        (["--accelerator", "cuda"], "this machine has no GPU"),
        (["--nodes", 2], "start `ablab run` on every node, by torchrun or srun"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(ablab, study, tmp_path, given, said):
    if "cuda" in given and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    result = ablab("run", study, "--home", tmp_path / "home", *given)
    assert result.returncode == 2
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "home").exists()


def _torchrun(port, nodes):
    """The start of a command for each node: agents on loopback."""
    rendezvous = ["--rdzv-backend", "static", "--master-addr", "127.0.0.1", "--master-port", port]
    count = ["--nproc-per-node", 2 // nodes, "--nnodes", nodes]
    return [
        (
            [
                sys.executable,
                "-m",
                "torch.distributed.run",
                *rendezvous,
                *count,
                "--node-rank",
                n,
                "-m",
            ],
            {},
        )
        for n in range(nodes)
    ]


def _srun(port):
    """The start of a command for each of two tasks on one node, and what SLURM says to them."""
    said = {
        "SLURM_JOB_NAME": "study",
        "SLURM_JOB_ID": "1",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NODEID": "0",
        "SLURM_STEP_ID": "0",
    }
    said |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        ([sys.executable, "-m"], {**said, "SLURM_PROCID": str(n), "SLURM_LOCALID": str(n)})
        for n in range(2)
    ]


def _started(commands, *given):
    """Starts `ablab run` so, and gives exit statuses and outputs."""
    base = environment() | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [*map(str, command), "ablab.cli.app", "run", *map(str, given)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=base | said,
        )
        for command, said in commands
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    return [process.returncode for process in processes], "\n".join(outputs)


@pytest.mark.parametrize("by", ["torchrun on two nodes", "srun"])
def test_processes_that_torchrun_or_slurm_started(study, alone, tmp_path, by):
    """Every one is `ablab run`: the first speaks, all train."""
    nodes = 1 if by == "srun" else 2
    started = _srun(free_port()) if by == "srun" else _torchrun(free_port(), nodes)
    given = [
        "--home",
        tmp_path / "home",
        "--devices",
        2 // nodes,
        "--nodes",
        nodes,
        "--strategy",
        "fsdp",
    ]
    codes, output = _started(started, study, *given)
    assert not any(codes), output
    assert output.count("each run on 2 processes, fsdp over 2") == 1
    found = results(tmp_path / "home")
    assert found.keys() == alone.keys()
    for key, (metrics, _) in alone.items():
        assert found[key][0] == pytest.approx(metrics, rel=1e-4)


def test_started_together_they_take_smaller_micro_batches_at_the_next_start(
    study, plugins, tmp_path
):
    text = (
        study.read_text()
        .replace("to: llama\n", "")
        .replace("from: gpt2\n", "arms: {few: gpt2 + odd(most=4)}\n")
    )
    (tmp_path / "few.yaml").write_text(text)
    given = [
        tmp_path / "few.yaml",
        "recipe.batch_tokens=256",
        "--plugins",
        plugins,
        "--home",
        tmp_path / "home",
        "--devices",
        2,
    ]
    codes, output = _started(_torchrun(free_port(), 1), *given)
    assert any(codes)
    assert "4 sequences at once may fit: start again" in output
    codes, output = _started(_torchrun(free_port(), 1), *given)
    assert not any(codes), output
