"""Disks that are full, and other faults of the machine: they are not failures of a run."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import save_file

from ablab.cli.app import exit_status
from ablab.errors import machine_fault
from ablab.execute.worker import Worker
from ablab.execute.worker_context import WorkerContext
from ablab.records.run_record import Record
from ablab.records.run_state import RunState
from ablab.train.checkpoints import load_checkpoint, save_checkpoint
from tests.conftest import results
from tests.execute.inline import Never
from tests.execute.test_driver import SPEC


@contextmanager
def file_size_limit(size):
    """Writing more than `size` bytes to a file fails with EFBIG in this process."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_it(tmp_path):
    file = tmp_path / "checkpoint.ckpt"
    save_checkpoint({"global_step": 1}, file, rows=0)
    with file_size_limit(10_000), pytest.raises(RuntimeError, match="unexpected pos") as raised:
        save_checkpoint({"global_step": 2, "weights": torch.zeros(100_000)}, file, rows=0)
    # torch raises an error of its own while it handles the one of the disk
    assert "`ulimit -f`" in machine_fault(raised.value)
    assert load_checkpoint(file) == {"global_step": 1}
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_the_fault_is_found_in_errors_of_libraries(tmp_path):
    with file_size_limit(1000), pytest.raises(Exception, match="os error") as raised:
        save_file({"a": torch.zeros(10_000)}, tmp_path / "x.safetensors")  # written in Rust
    assert "ulimit -f" in machine_fault(raised.value)
    assert machine_fault(ValueError("no space left on device")) is None
    assert machine_fault(FileNotFoundError(errno.ENOENT, "no such file", "x")) is None
    assert machine_fault(OSError(errno.ENOSPC, "full", "x")) == "x: the disk is full: make room"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("where", ["lease", "training", "failure"])
def test_a_run_is_not_failed_by_its_machine(tmp_path, monkeypatch, number, where):
    def fail(*arguments, **options):
        raise OSError(number, os.strerror(number))

    worker = Worker(WorkerContext(tmp_path), Never())
    record = Record(tmp_path, SPEC.key)
    record.create(SPEC)
    monkeypatch.setattr(worker, "_attempt", lambda *_: 1 / 0 if where == "failure" else fail())
    if where == "lease":
        monkeypatch.setattr("ablab.records.lease.write_json", fail)
    if where == "failure":
        monkeypatch.setattr(Record, "fail", fail)
    outcome = worker.train(SPEC)
    assert outcome.state == RunState.BLOCKED
    assert str(record.folder) in outcome.reason
    assert record.failure is None
    assert record.attempts.rows() == []
    assert not record.lease().held()


@pytest.mark.system
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="only root may mount a small disk"
)
def test_a_study_goes_on_when_a_full_disk_has_room_again(ablab, tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(
        study_text.replace("leave_one_out", "compare").replace("steps: 4", "steps: 300")
        + "checkpoint_seconds: 0.2\n"
        # A local store is made at the start: it would fill the disk before there is a checkpoint.
        + f"tracking: {{uri: 'sqlite:///{tmp_path}/mlflow.db'}}\n"
    )
    arguments = ("run", "x.yaml", "--home", "disk", "--workers", 2)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount a disk")
    try:
        full = ablab(*arguments)
        assert full.returncode == 1
        last = full.stderr.splitlines()[-1]
        assert last.startswith("ablab: ")
        assert last.endswith("the disk is full: make room; run `ablab run` again to continue")
        assert "Traceback" not in full.stdout + full.stderr
        assert not list(disk.glob("runs/*/failure.json"))
        checkpoints = list(disk.glob("runs/*/checkpoint.ckpt"))
        assert checkpoints  # no other run was started
        assert all(torch.load(path, weights_only=True) for path in checkpoints)
        subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
        resumed = ablab(*arguments)
        assert resumed.returncode == 0, resumed.stderr
        assert len(results(disk)) == 4
    finally:
        # Lazily: the fork server of these tests may have files open on it.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_errors_of_the_system_end_any_command_in_a_line(monkeypatch, capsys):
    for number, told in (
        (errno.ENOSPC, "some/file: the disk is full: make room"),
        (errno.EROFS, "some/file: the file system is read-only"),
        (errno.ENOTDIR, "[Errno 20] no: 'some/file'"),
    ):

        def fail(*arguments, number=number):
            raise OSError(number, "no", "some/file")

        monkeypatch.setattr("ablab.cli.plan.request_of", fail)
        monkeypatch.setattr(sys, "argv", ["ablab", "plan", "x.yaml"])
        assert (exit_status(), capsys.readouterr().err) == (1, f"ablab: {told}\n")
