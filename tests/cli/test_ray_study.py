"""Studies on a Ray cluster through the real command, and what is refused."""

import json
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT, command, environment, results
from tests.execute.ray_nodes import RAY_SETTINGS

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


class Nodes:
    """The process of `tests.execute.ray_nodes`."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.execute.ray_nodes"],
            cwd=ROOT,
            env={**environment(), **RAY_SETTINGS},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.commands = self.process.stdin
        self.lines = self.process.stdout
        self.address = self.answer("address")

    def answer(self, word):
        """The rest of the next line that begins with a word; Ray prints others."""
        for line in self.lines:
            if line.startswith(word):
                return line.removeprefix(word).strip()
        raise AssertionError("the cluster has ended")

    def replace(self):
        self.commands.write("replace\n")
        self.commands.flush()
        self.answer("replaced")


@pytest.fixture
def nodes():
    nodes = Nodes()
    with nodes.process:
        yield nodes
        nodes.commands.close()


@pytest.mark.slow
@pytest.mark.system
def test_a_node_dies_and_another_one_comes_and_the_numbers_are_the_local_ones(
    nodes, long_study, uninterrupted, tmp_path
):
    home = tmp_path / "home"
    address = f"execution.ray.address={nodes.address}"
    process = subprocess.Popen(
        command("run", long_study, address, "--home", home, "--engine", "ray"),
        cwd=tmp_path,
        env={**environment(), **RAY_SETTINGS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    end = time.monotonic() + 120
    while len(list(home.glob("runs/*/checkpoint.ckpt"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)
    nodes.replace()
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert output.count("it is tried again") <= 1
    assert results(home) == uninterrupted
    assert not list(home.glob("runs/*/lease.json"))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("execution.ray.address=127.0.0.1:9", "no Ray cluster can be used there: Connection"),
        ("execution.ray.address=http://x", "expected `auto`, `HOST:PORT` or `ray://HOST:PORT`"),
        ("execution.ray.address=x:99999", "expected `auto`, `HOST:PORT` or `ray://HOST:PORT`"),
        ("execution.ray.cpu=1", "no key named 'cpu' (did you mean 'cpus'"),
        ("execution.engine=rai", "no engine named 'rai' (did you mean 'ray'?)"),
        ("hardware.nodes=2", "on Ray, the processes of a run share a node"),
        ("budget={seconds: 5}", "under a budget of seconds, runs need machines of the same"),
    ],
)
def test_what_a_cluster_cannot_do_is_refused_in_a_line(ablab, study_text, tmp_path, override, told):
    file = tmp_path / "x.yaml"
    file.write_text(study_text)
    overrides = ["execution.engine=ray", override]
    ended = ablab("run", file, *overrides, "--home", tmp_path / "home")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert told in ended.stderr
    assert not (tmp_path / "home").exists()


def test_a_plan_says_what_is_sequential_without_a_cluster(ablab, study_text, tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text(study_text)
    ended = ablab("plan", file, "--engine", "ray", "--home", tmp_path / "home")
    assert ended.returncode == 0, ended.stderr
    assert "in sequence: 16 runs" in ended.stdout
    assert "how long it takes is known once a run of it is finished" in ended.stdout
    told = ablab(
        "plan", file, "--engine", "ray", "--workers", 4, "--json", "--home", tmp_path / "home"
    )
    durations = json.loads(told.stdout)["durations"]
    ((stage,),) = durations["stages"]
    assert (stage["runs"], stage["certain"]) == (16, True)
    assert (durations["device_seconds"], durations["wall"]) == (None, {})  # no run is finished
    refused = ablab("plan", file, "--workers", 4, "--home", tmp_path / "home")
    assert (refused.returncode, refused.stderr) == (
        2,
        "ablab: --workers goes with --pilot or --engine\n",
    )
    assert not (tmp_path / "home").exists()


def test_an_engine_that_is_not_installed_is_named_with_the_remedy(
    ablab, study_text, tmp_path, monkeypatch
):
    file = tmp_path / "x.yaml"
    file.write_text(study_text)
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = ablab("run", file, "--engine", "ray", "--home", tmp_path / "home")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "ray is not installed: pip install 'ablab[ray]'" in ended.stderr
