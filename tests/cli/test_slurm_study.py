"""Studies on a SLURM cluster of one node through the real command, and what is refused."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ablab.testing.misbehaving import PLUGIN
from tests.conftest import results
from tests.processes import start, until
from tests.slurm import slurm_cluster, why_not

# A run of 50 s at least, however fast the machine is: a limit of a minute comes before its end.
LASTING = """\
question: Does a run go on after its time limit?
arms: {{plain: gpt2, slow: gpt2 + misbehave(how=slow)}}
design: {{kind: compare}}
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: byte}}}}
budget: {{steps: 125}}
seeds: 1
recipe: {{batch_tokens: 64}}
validate_at: []
"""

needs_slurm = pytest.mark.skipif(why_not() != "", reason=why_not())
on_a_cluster = [needs_slurm, pytest.mark.slow, pytest.mark.system]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two cores."""
    with slurm_cluster(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.fixture
def home(cluster, tmp_path):
    """A home; the jobs that are left at the end of a test are killed."""
    yield tmp_path / "home"
    subprocess.run(["scancel", "--me", "--signal=KILL"], check=False)
    subprocess.run(["scancel", "--me"], check=False)


def slurm(*command):
    """What a command of SLURM prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def jobs_of(ablab, home, study="x"):
    """The jobs of a study by their state, as `ablab status` has them."""
    told = json.loads(ablab("status", study, "--json", "--home", home).stdout)["jobs"]
    return {state: [j for j in told if j["state"] == state] for state in {j["state"] for j in told}}


def checkpoints(home):
    return list(home.glob("runs/*/checkpoint.ckpt"))


def arrays(home):
    return list(home.glob("jobs/*/array.json"))


@pytest.mark.usefixtures("home")
class TestEngine:
    pytestmark = on_a_cluster

    def test_a_killed_driver_is_followed_by_one_that_submits_nothing_twice(
        self, ablab, long_study, uninterrupted, home
    ):
        process = start("run", long_study, "--home", home, "--engine", "slurm", cwd=home.parent)
        until(lambda: len(checkpoints(home)) == 2)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        jobs = jobs_of(ablab, home)
        assert len(jobs["running"]) == 2
        assert all(job["detail"].startswith("on ") for job in jobs["running"])
        for job in jobs["running"]:
            with open(job["log"]) as log:
                assert "submitit" in log.read()
        again = ablab("run", long_study, "--home", home, "--engine", "slurm")
        assert again.returncode == 0, again.stderr
        assert results(home) == uninterrupted
        assert len(arrays(home)) == 1
        assert not list(home.glob("runs/*/attempts.jsonl"))

    def test_cancelled_and_requeued_jobs_cost_no_more_than_an_attempt(
        self, long_study, uninterrupted, home, monkeypatch
    ):
        monkeypatch.setenv("XDG_CONFIG_HOME", str(home.parent))
        setup = home.parent / "ablab" / "setup" / "mine.sh"
        setup.parent.mkdir(parents=True)
        setup.write_text("echo this is set up\n")
        run = ("run", long_study, "execution.slurm.setup=mine", "--engine", "slurm")
        process = start(*run, "--home", home, cwd=home.parent)
        until(lambda: len(checkpoints(home)) == 2)
        first, second = slurm("squeue", "--me", "--array", "-h", "-t", "R", "-o", "%i").split()
        subprocess.run(["scancel", first], check=True)
        subprocess.run(["scontrol", "requeue", second], check=True)
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
        assert output.count("it is tried again") <= 2
        assert results(home) == uninterrupted
        logs = [log.read_text() for log in home.glob("jobs/*/*_log.out")]
        assert all("this is set up" in log for log in logs)
        assert not list(home.glob("runs/*/lease.json"))

    def test_what_is_left_to_the_queue_is_found_again(self, ablab, long_study, uninterrupted, home):
        blocker = slurm("sbatch", "--parsable", "-n2", "--wrap=sleep 600", "-o/dev/null").strip()
        run = ("run", long_study, "--home", home, "--engine", "slurm")
        left = ablab(*run, "--detach")
        assert left.returncode == 0, left.stderr
        assert "left to the queue: 4 of the 4 runs that are missing" in left.stdout
        assert len(jobs_of(ablab, home)["waiting"]) == 4
        assert ablab(*run, "--detach").returncode == 0
        assert len(arrays(home)) == 1
        cancelled = ablab("cancel", "x", "--home", home)
        assert "4 runs waiting to stop" in cancelled.stdout
        until(lambda: slurm("squeue", "--me", "-h", "-o", "%A").split() == [blocker])
        assert ablab(*run, "--detach").returncode == 0
        assert len(arrays(home)) == 2
        subprocess.run(["scancel", blocker], check=True)
        until(lambda: len(list(home.glob("runs/*/result.json"))) >= 2)
        again = ablab(*run)
        assert again.returncode == 0, again.stderr
        assert results(home) == uninterrupted
        assert len(arrays(home)) == 2
        until(lambda: set(jobs_of(ablab, home)) <= {"done"})

    def test_a_job_that_is_told_of_its_end_goes_on_in_the_next_one(
        self, long_study, uninterrupted, home
    ):
        run = ("run", long_study, "--engine", "slurm", "--workers", 1)
        process = start(*run, "--home", home, cwd=home.parent)
        until(lambda: checkpoints(home))
        # What SLURM sends ahead of the time limit; `make soak` waits for a real one.
        (job,) = slurm("squeue", "--me", "-h", "-t", "R", "-o", "%i").split()
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
        output, _ = process.communicate(timeout=200)
        assert process.returncode == 0, output
        (log,) = home.glob("jobs/*/*_log.out")
        assert "Requeued job" in log.read_text()
        assert results(home) == uninterrupted
        assert not list(home.glob("runs/*/attempts.jsonl"))

    @pytest.mark.soak
    @pytest.mark.timeout(600)
    def test_a_job_whose_time_is_over_goes_on_in_the_next_one(self, ablab, corpus, tmp_path, home):
        file = tmp_path / "x.yaml"
        file.write_text(LASTING.format(corpus=corpus))
        plugin = tmp_path / "plugins" / "misbehave.py"
        plugin.parent.mkdir()
        plugin.write_text(PLUGIN.format(folder=str(tmp_path)))
        run = ("run", file, "--plugins", plugin.parent)
        local = start(*run, "--home", tmp_path / "local", cwd=tmp_path)
        limits = ("execution.slurm.time=1", "execution.slurm.signal_seconds=15")
        ended = ablab(*run, *limits, "--engine", "slurm", "--workers", 1, "--home", home)
        assert ended.returncode == 0, ended.stderr
        (array,) = arrays(home)
        (log,) = array.parent.glob("*_log.out")
        assert "Requeued job" in log.read_text()
        assert not list(home.glob("runs/*/attempts.jsonl"))
        output, _ = local.communicate(timeout=100)
        assert local.returncode == 0, output
        assert results(home) == results(tmp_path / "local")

    def test_processes_that_share_a_run_are_started_in_one_job(
        self, ablab, study_text, tmp_path, home
    ):
        file = tmp_path / "x.yaml"
        file.write_text(
            study_text.replace("leave_one_out", "compare").replace("seeds: 2", "seeds: 1")
        )
        shared = ("--devices", 2, "--accelerator", "cpu")
        ended = ablab("run", file, *shared, "--home", home, "--engine", "slurm")
        assert ended.returncode == 0, ended.stderr
        ended = ablab("run", file, *shared, "--home", tmp_path / "local")
        assert ended.returncode == 0, ended.stderr
        assert results(home) == results(tmp_path / "local")


REFUSED = [
    ("execution.slurm.time=0", "execution.slurm.time: "),
    ("execution.slurm.partition=no where", "execution.slurm.partition: "),
    ("execution.slurm.partiton=main", "no key named 'partiton' (did you mean 'partition'"),
    ("execution.slurm.setup=absent", "it is to have the shell commands for the start of each job"),
    ("budget.seconds=2", "under a budget of seconds"),
]
NOWHERE = [
    ("execution.slurm.partition=nowhere", "Invalid partition name specified"),
    ("execution.slurm.gpus_per_run=3", "execution.slurm: "),
    ("hardware.threads=64", "execution.slurm: "),
]


@pytest.mark.parametrize(("override", "told"), REFUSED)
def test_what_cannot_be_is_refused_in_a_line(
    ablab, study_text, tmp_path, monkeypatch, override, told
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    _refused(ablab, study_text, tmp_path, told, override)


@needs_slurm
@pytest.mark.system
@pytest.mark.parametrize(("override", "told"), NOWHERE)
def test_what_no_node_has_is_refused_in_a_line(
    cluster, ablab, study_text, tmp_path, override, told
):
    _refused(ablab, study_text, tmp_path, told, override)


def test_a_machine_without_slurm_is_told_so(ablab, study_text, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    _refused(ablab, study_text, tmp_path, "sbatch is not installed here")


def test_without_submitit_the_remedy_is_named(ablab, study_text, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    _refused(ablab, study_text, tmp_path, "submitit is not installed: pip install 'ablab[slurm]'")


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_only_a_queue_can_be_left(ablab, study_text, tmp_path, engine):
    told = f"--detach: engine {engine} has no queue: its runs end with `ablab run`"
    _refused(ablab, study_text, tmp_path, told, "--detach", engine=engine)


def _refused(ablab, study_text, folder, told, *arguments, engine="slurm"):
    file = folder / "x.yaml"
    file.write_text(study_text)
    ended = ablab("run", file, *arguments, "--home", folder / "home", "--engine", engine)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert told in ended.stderr
    assert not (folder / "home").exists()
