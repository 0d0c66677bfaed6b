"""A real SLURM cluster of one node, for the tests of one session: Debian's `slurm-wlm` and `munge`,
as root, with state and ports of its own.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import free_port

_PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch")
_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={first}
SlurmdPort={second}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=5
JobRequeue=1
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why no cluster can be started here; empty if one can."""
    if os.geteuid() != 0:
        return "only root can start a SLURM cluster"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"{', '.join(missing)}: not installed" if missing else ""


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[None]:
    """Run a cluster with its files in `folder`, and point SLURM's commands to it."""
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    conf = folder / "slurm.conf"
    first, second = free_port(), free_port()
    host = socket.gethostname().split(".")[0]
    conf.write_text(_CONF.format(host=host, folder=folder, first=first, second=second))
    with pytest.MonkeyPatch.context() as patch, _munge(folder / "munge"):
        patch.setenv("SLURM_CONF", str(conf))
        daemons = [
            subprocess.Popen([name, "-D", "-f", str(conf), *more], stderr=subprocess.DEVNULL)
            for name, more in (("slurmctld", ()), ("slurmd", ("-N", host)))
        ]
        try:
            _wait_for_node()
            yield
        finally:
            subprocess.run(["scancel", "--me"], check=False)
            for daemon in reversed(daemons):
                _end(daemon)


@contextmanager
def _munge(folder: Path) -> Iterator[None]:
    """Run munged as root with a key of its own."""
    key = folder / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log"}
    options = [f"--{name}={folder / file}" for name, file in files.items()]
    daemon = subprocess.Popen(
        ["munged", "--foreground", "--force", f"--seed-file={folder / 'seed'}", *options],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        _end(daemon)


def _end(daemon: "subprocess.Popen[bytes]") -> None:
    daemon.terminate()
    try:
        daemon.wait(30)
    except subprocess.TimeoutExpired:
        daemon.kill()


def _wait_for_node() -> None:
    end = time.monotonic() + 60
    while True:
        found = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False
        )
        if found.stdout.strip() == "idle":
            return
        if time.monotonic() > end:
            pytest.skip(f"the cluster does not start here: {found.stdout}{found.stderr}")
        time.sleep(0.5)
