"""Other encodings, closed pipes, a user without a name, SLURM jobs, and Ctrl-C at any moment."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import pytest

from ablab.errors import UserError
from ablab.execute.executors.launcher import launched_environment
from tests.conftest import command, environment

# A shell starts commands in the background with SIGINT ignored.
STARTING = """\
import os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ablab.cli.app import main  # imports nothing that the interpreter has not
os.write(2, b".")
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_an_output_that_lacks_characters_gets_escapes(tmp_path, encoding):
    settings = {**environment(), "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        command("families", "--home", "hömé ✓ …"),
        cwd=tmp_path,
        env=settings,
        capture_output=True,
        check=False,
    )
    told = (done.stdout + done.stderr).decode(encoding)  # all of it is in the encoding
    assert "Traceback" not in told
    listed = subprocess.run(
        command("plan", "nø … file.yaml"),
        cwd=tmp_path,
        env=settings,
        capture_output=True,
        check=False,
    )
    assert listed.returncode == 2
    expected = "ablab: nø … file.yaml: no such study file".encode(encoding, "backslashreplace")
    assert listed.stderr.startswith(expected)


def print_schema(output: IO[bytes], folder: Path) -> tuple[int, bytes]:
    """Print the schema to `output`, and return the exit status and what is said of it."""
    done = subprocess.run(
        command("schema"),
        stdout=output,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment(),
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        assert print_schema(closed, tmp_path) == (1, b"")


@pytest.mark.slow
def test_a_full_disk_under_the_output_is_said_in_a_line(tmp_path):
    with open("/dev/full", "wb") as full:
        assert print_schema(full, tmp_path) == (1, b"ablab: the disk is full: make room\n")


JOB = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "study", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}


@pytest.mark.parametrize("name", ["study", "bash", "interactive"])
def test_a_process_of_a_slurm_job_is_a_task_only_under_srun(monkeypatch, capsys, name):
    for key, value in {**JOB, "SLURM_JOB_NAME": name}.items():
        monkeypatch.setenv(key, value)
    assert launched_environment() is None
    assert capsys.readouterr().err == (
        "ablab: SLURM allocated 4 tasks, of which this process is one; `srun ablab run …` starts "
        "all of them\n"
    )
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    with pytest.raises(UserError, match="srun started 4 tasks: give it --ntasks-per-node, too"):
        launched_environment()
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    started = launched_environment()
    assert started is not None
    assert (started.world_size(), started.global_rank()) == (4, 0)


def interrupted(arguments, folder, delay, group=False):
    """Exit status and output of a command that gets Ctrl-C `delay` seconds after it began."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTING, *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )
    assert process.stderr is not None
    process.stderr.read(1)  # it is about to import typer, torch and the rest
    time.sleep(0.01 + delay)
    (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    return process.returncode, told.decode()


@pytest.mark.system
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, 4) for name in ("plan", "run")),
        *(pytest.param(name, 50, marks=pytest.mark.soak) for name in ("plan", "run", "schema")),
    ],
)
def test_ctrl_c_at_any_moment_ends_with_130_and_no_traceback(tmp_path, study_text, name, count):
    (tmp_path / "x.yaml").write_text(study_text.replace("steps: 4", "steps: 3000"))
    arguments = {
        "plan": ("plan", "x.yaml", "--home", "home"),
        "run": ("run", "x.yaml", "--home", "home", "--workers", 1),
        "schema": ("schema",),
    }[name]
    longest = {"plan": 1.5, "run": 8.0, "schema": 0.3}[name]
    moments = random.Random(0)
    for number in range(count):
        delay = 0.0 if number == 0 else moments.uniform(0.0, longest)
        status, told = interrupted(arguments, tmp_path, delay, group=True)
        assert "Traceback" not in told, (delay, told)
        assert status in ({130, 0} if name == "schema" else {130}), (delay, told)
    assert not list(tmp_path.glob("home/runs/*/failure.json"))


@pytest.mark.system
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root may take another uid"
)
def test_a_user_without_a_name_and_a_home_trains_and_tracks(study_text):
    text = study_text.replace("leave_one_out", "compare").replace("seeds: 2", "seeds: 1")
    # Another uid still has to read this installation, wherever it is.
    reading = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    ids = ["--reuid", "54321", "--regid", "54321", "--clear-groups"]
    with TemporaryDirectory() as name:  # pytest's own folders are for their owner alone
        folder = Path(name)
        (folder / "x.yaml").write_text(text)
        for path in (folder, folder / "x.yaml"):
            os.chown(path, 54321, 54321)
        done = subprocess.run(
            ["setpriv", *ids, *reading, *command("run", "x.yaml", "--home", "home")],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "MLflow is behind" not in done.stdout
        assert "Traceback" not in done.stderr
        assert (folder / "home" / "mlflow" / "mlflow.db").exists()
        assert {path.name for path in folder.iterdir()} == {"home", "x.yaml"}  # no folder `~`
