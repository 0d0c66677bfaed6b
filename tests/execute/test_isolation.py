"""Plugins that change their process, end it or use it up: no other run notices."""

import json
from dataclasses import replace

import psutil
import pytest

from ablab.arch.composition.registry import load_registry
from ablab.data.store import prepare
from ablab.execute.executors.base import outcome_of
from ablab.execute.executors.local import LocalExecutor
from ablab.execute.worker_context import WorkerContext
from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.schedule.factory import make_plan
from ablab.spec.study import load_study

pytestmark = [pytest.mark.slow, pytest.mark.system]

PLUGIN = '''
"""A plugin whose model misbehaves when it is trained."""
import os, random, sys, threading, time
from dataclasses import dataclass
import numpy, torch
from torch import nn
from torch.nn import functional as F
from ablab.plugin import Activation, Edit, plugin

CALLS = 0
KEPT = []

def count():
    global CALLS
    CALLS += 1

def patched(x, approximate="none"):
    return torch.relu(x)

def interrupt():
    raise KeyboardInterrupt

def base():
    raise BaseException("no")

def memory():
    while True:
        KEPT.append(torch.ones(50_000_000))

WAYS = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "threads": lambda: torch.set_num_threads(2),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "patch": lambda: setattr(F, "gelu", patched),
    "method": lambda: setattr(nn.LayerNorm, "forward", lambda self, x: x),
    "denormal": lambda: torch.set_flush_denormal(True),
    "environment": lambda: os.environ.update(ABLAB_TEST="1"),
    "folder": lambda: os.chdir("/"),
    "variable": count,
    "path": lambda: sys.path.append("/nowhere"),
    "thread": lambda: threading.Thread(target=time.sleep, args=(60,), daemon=True).start(),
    "leak": lambda: KEPT.append(torch.ones(25_000_000)),
    "exit": lambda: os._exit(0),
    "sys.exit": lambda: sys.exit(4),
    "interrupt": interrupt,
    "base": base,
    "memory": memory,
    "print": lambda: print("x" * 20_000_000),
    "nothing": lambda: None,
    "draws": lambda: (random.random(), numpy.random.rand()),
}

class Misbehaving(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.done = False

    def forward(self, x):
        if x.device.type != "meta" and not self.done:
            self.done = True
            WAYS[self.how]()
        if self.how == "draws":
            return F.gelu(x) * (random.random() + numpy.random.rand())
        return F.gelu(x)

@dataclass(frozen=True)
class MisbehavingActivation(Activation):
    how: str
    def build(self):
        return Misbehaving(self.how)

@plugin(source="a test")
class Misbehave:
    """Does once what `how` names."""
    how: str
    def edit(self) -> Edit:
        return {"mlp.activation": MisbehavingActivation(self.how)}
'''
CHANGES = {
    "dtype": "torch's default dtype",
    "threads": "torch's number of threads",
    "deterministic": "torch's deterministic algorithms",
    "patch": "torch.nn.functional.gelu",
    "method": "torch.nn.modules.normalization.LayerNorm.forward",
    "denormal": "the flushing of denormal numbers",
    "environment": "the environment",
    "folder": "the working folder",
    "variable": "misbehave.CALLS",
    "path": "sys.path",
    "thread": "the number of Python threads",
}
FAILURES = {
    "exit": "it calls os._exit(0)",
    "sys.exit": "it calls sys.exit(4)",
    "interrupt": "KeyboardInterrupt",
    "base": "BaseException: no",
    "memory": "out of memory: a worker may use 1.5 GB (take fewer --workers for more)",
}
STUDY = """\
question: Is a run alone?
arms:
  plain: gpt2
  {arms}
design: {{kind: compare}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: byte}}}}
budget: {{steps: 4}}
seeds: 1
recipe: {{batch_tokens: 64}}
validate_at: []
"""


class Bench:
    """Runs by the name of their arm, in a home of their own."""

    def __init__(self, folder, corpus):
        (folder / "plugins").mkdir()
        (folder / "plugins" / "misbehave.py").write_text(PLUGIN)
        ways = [*CHANGES, *FAILURES, "leak", "print", "nothing", "draws"]
        arms = "\n  ".join(f"{way}: gpt2 + misbehave(how={way})" for way in ways)
        (folder / "x.yaml").write_text(STUDY.format(arms=arms, corpus=corpus))
        plugins = (folder / "plugins",)
        study, document = load_study(folder / "x.yaml", None, [])
        plan = make_plan("x", study, document, load_registry(plugins))
        self.home = folder / "home"
        for data in plan.data.values():
            prepare(data, self.home / "tokens")
        self.specs = {spec.arm: spec for spec in plan.runs}
        self.context = WorkerContext(self.home, plugins, memory=1_500_000_000)

    def train(self, executor, arm, copy=0):
        """Train an arm once more, as the run `copy`."""
        spec = replace(self.specs[arm], key=f"{arm}-{copy}", numerics=0)
        record = Record(self.home, spec.key)
        record.create(spec)
        return record, outcome_of(executor.submit(spec))


@pytest.fixture(scope="module")
def bench(tmp_path_factory, corpus):
    return Bench(tmp_path_factory.mktemp("isolation"), corpus)


@pytest.fixture(scope="module")
def executor(bench):
    made = LocalExecutor(1, bench.context)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def alone(bench, executor):
    """What plain runs come to in a fresh worker."""
    record, outcome = bench.train(executor, "plain", "alone")
    assert (outcome.state, outcome.notes, outcome.retire) == (RunState.FINISHED, (), False)
    return numbers(record)


def numbers(record):
    losses = [row.get("train/loss") for row in record.metrics.rows() if "train/loss" in row]
    return record.result.metrics, losses


@pytest.mark.parametrize("how", CHANGES)
def test_a_run_that_changes_its_process_says_so_and_no_other_notices(bench, executor, alone, how):
    record, outcome = bench.train(executor, how)
    assert outcome.state == RunState.FINISHED, outcome
    assert outcome.retire
    assert CHANGES[how] in outcome.notes[0]
    assert "(plugins: misbehave)" in outcome.notes[0]
    assert any(CHANGES[how] in change for change in record.result.process_changes)
    assert numbers(bench.train(executor, "plain", how)[0]) == alone


@pytest.mark.parametrize("how", FAILURES)
def test_a_run_that_ends_its_process_fails_in_a_line_with_the_place(bench, executor, alone, how):
    record, outcome = bench.train(executor, how)
    assert outcome.state == RunState.FAILED
    assert outcome.reason.startswith(f"{FAILURES[how]} (plugin misbehave, ")
    assert "misbehave.py:" in outcome.reason
    assert "\n" not in outcome.reason
    assert json.loads((record.folder / "failure.json").read_text())["reason"] == outcome.reason
    assert numbers(bench.train(executor, "plain", how)[0]) == alone


def test_what_a_plugin_prints_is_bounded(bench, executor, capfd):
    record, outcome = bench.train(executor, "print")
    assert (outcome.state, outcome.notes) == (RunState.FINISHED, ())
    assert 1_000_000 <= record.output.stat().st_size < 1_001_000
    assert "xxx" not in "".join(capfd.readouterr())


def test_a_worker_whose_memory_grows_is_replaced(bench, executor):
    retired = [bench.train(executor, "leak", copy)[1].retire for copy in range(3)]
    assert True in retired


def test_numbers_that_a_plugin_draws_do_not_depend_on_earlier_runs(bench, executor):
    runs = [numbers(bench.train(executor, "draws", copy)[0]) for copy in range(2)]
    assert runs[0] == runs[1]


def workers():
    """The processes whose parent is the fork server of this process."""
    servers = [
        child
        for child in psutil.Process().children()
        if any("forkserver" in part for part in child.cmdline())
    ]
    return {child.pid: child for server in servers for child in server.children()}


@pytest.mark.soak
def test_a_worker_of_100_runs_is_hardly_larger_than_after_10(bench, capsys):
    before = workers()
    executor = LocalExecutor(1, bench.context)
    sizes = []
    for copy in range(100):
        _, outcome = bench.train(executor, "plain", f"growth-{copy}")
        assert (outcome.state, outcome.retire) == (RunState.FINISHED, False)
        (worker,) = [process for pid, process in workers().items() if pid not in before]
        sizes.append(worker.memory_info().rss / 1e6)
    executor.close()
    with capsys.disabled():
        print(f"\nafter 1, 10, 100 runs: {sizes[0]:.0f}, {sizes[9]:.0f}, {sizes[99]:.0f} MB")
    assert sizes[99] <= 1.1 * sizes[9]
