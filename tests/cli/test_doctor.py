"""`ablab doctor` says what would go wrong on this machine, and versions that are not supported are
refused in a line.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path
from threading import Thread

import pytest

from ablab import requirements
from ablab.cli import supported
from ablab.cli.doctor import doctor
from ablab.cli.server import ui
from ablab.doctor import diagnose, machine, trackers
from ablab.errors import UserError
from ablab.records.driver_lock import hold_driver_lease
from ablab.records.home import make_home
from ablab.records.study_content import RunEntry
from ablab.tracking.mlflow.view_state import TESTED_VERSIONS
from ablab.version import __version__
from tests.conftest import ROOT
from tests.processes import free_port
from tests.study_records import write_study


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def examined(capsys):
    """Runs the command; returns its exit status, and the status and text of each subject."""

    def run(home=None):
        status = 0
        try:
            doctor(home=home)
        except SystemExit as exit_request:
            status = int(exit_request.code or 0)
        lines = capsys.readouterr().out.splitlines()
        rows = [re.fullmatch(r"(\w+) +(\S+(?: \S+)?) {2,}(.*)", line) for line in lines[:-1]]
        return status, {row[2].strip(): (row[1], row[3]) for row in rows if row}

    return run


@pytest.fixture
def installed(monkeypatch):
    """Sets the versions of installed packages; None is not installed."""
    real = metadata.version

    def set_versions(**versions):
        def version(name):
            if versions.get(name, "") is None:
                raise metadata.PackageNotFoundError(name)
            return versions.get(name) or real(name)

        monkeypatch.setattr(metadata, "version", version)

    return set_versions


def test_a_folder_without_a_home(examined, tmp_path):
    status, findings = examined()
    assert status == 0
    assert findings["home"] == ("ok", "none yet: `ablab run` makes it in .ablab")
    assert findings["mlflow store"] == ("ok", "none yet: `ablab run` makes it")
    assert {"python", "torch", "lightning", "optuna", "cpu", "gpu", "memory", "disk"} < {*findings}
    assert not list(tmp_path.iterdir())


def test_the_findings_as_json(capsys):
    doctor(as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {*rows[0]} == {"subject", "status", "text"}
    assert rows[0]["subject"] == "python"


def test_versions_out_of_range_are_problems(examined, installed):
    installed(torch="2.10.1", lightning="2.6.3", mlflow="2.22.0", scipy="1.12.0")
    status, findings = examined()
    assert status == 1
    assert findings["torch"] == (
        "problem",
        "torch 2.10.1 is not supported: pip install 'torch>=2.11'",
    )
    for name in ("lightning", "mlflow", "scipy"):
        assert findings[name][0] == "problem"
        assert f"pip install '{name}" in findings[name][1]
    assert "packages" not in findings


def test_versions_that_are_not_tested_or_missing_are_warnings(examined, installed):
    installed(torch="2.11.0a0+vendor", mlflow=None)
    status, findings = examined()
    assert status == 0
    assert findings["torch"] == ("warning", "2.11.0a0+vendor is supported; tested with 2.13.0")
    assert findings["mlflow"][0] == "warning"
    assert "runs are not tracked" in findings["mlflow"][1]


def test_a_container_that_may_use_fewer_cores_than_it_has(monkeypatch, tmp_path):
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(machine, "_CPU_LIMIT", limit)
    monkeypatch.setattr(machine, "cores", lambda: 8)
    for text, status in (("max 100000\n", "ok"), ("250000 100000\n", "warning")):
        limit.write_text(text)
        finding = machine._cpu()
        assert finding.status == status
    assert finding.text.endswith("may use the time of 2.5: give --workers 2")


def test_little_memory(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "available_memory", lambda: 3 * 2**30)
    (finding,) = machine.examine_memory()
    assert finding.status == "warning"
    assert "give --workers 3" in finding.text


@pytest.mark.parametrize(
    ("free", "status"), [(5e7, "problem"), (1e9, "warning"), (1e10, "ok")], ids=str
)
def test_a_disk_with_little_room(examined, monkeypatch, free, status):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free))
    assert examined()[1]["disk"][0] == status


def test_a_home_that_cannot_be_written(examined, tmp_path):
    (tmp_path / "file").write_text("")
    for home in (Path("/proc/1/home"), tmp_path / "file"):
        status, findings = examined(home)
        assert (status, findings["home"][0]) == (1, "problem"), home


def test_a_damaged_home(examined, tmp_path):
    write_study(tmp_path / "home", "x", [RunEntry("a", 1, "a1")])
    for name in ("one", "two", "three", "four"):
        (tmp_path / "home" / "studies" / "x" / f"{name}.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    status, findings = examined(tmp_path / "home")
    assert status == 1
    assert findings["home"] == ("ok", f"{tmp_path}/home can be written")
    assert findings["files"] == ("problem", "1 more: `ablab fsck` lists them")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_home_in_use_is_not_checked(examined, tmp_path):
    write_study(tmp_path / "home", "x", [RunEntry("a", 1, "a1")])
    (tmp_path / "home" / ".draft").write_text("")
    with hold_driver_lease(make_home(tmp_path / "home"), "x"):
        status, findings = examined(tmp_path / "home")
    assert status == 0
    assert "not checked while study x is being run by process" in findings["files"][1]


@pytest.mark.slow  # imports MLflow
def test_a_store_that_is_no_database(examined, tmp_path):
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_text("nothing of the kind " * 100)
    status, findings = examined()
    assert (status, findings["mlflow store"][0]) == (1, "problem")
    assert "is no database: move the file away" in findings["mlflow store"][1]


class _Tracker(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(401)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format, *args):
        pass


def test_a_server_that_answers(examined, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), _Tracker) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"me:secret@127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
        status, findings = examined()
        server.shutdown()
    assert status == 0
    assert findings["mlflow server"][1].startswith(f"http://me:***@{address.split('@')[1]} (MLFLOW")


def test_a_server_that_does_not_answer(examined, monkeypatch):
    monkeypatch.setattr(trackers, "_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (free_port(), silent.getsockname()[1]):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
            status, findings = examined()
            assert (status, findings["mlflow server"][0]) == (1, "problem")
            assert findings["mlflow server"][1].startswith(f"http://me:***@127.0.0.1:{port} (MLF")


def test_an_address_that_ablab_does_not_use(examined, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    assert examined()[1]["mlflow server"][0] == "warning"


def test_an_examination_that_fails_is_a_problem(examined, monkeypatch):
    def fail():
        raise RuntimeError("no such device\nand more")

    monkeypatch.setattr(diagnose, "examine_processors", fail)
    status, findings = examined()
    assert status == 1
    assert findings["processors"] == (
        "problem",
        "cannot be examined: RuntimeError: no such device",
    )
    assert "memory" in findings


def test_an_older_torch_is_refused_by_every_command_but_the_doctor(ablab, installed):
    installed(torch="2.10.1+cpu")
    result = ablab("plugins")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "ablab: torch 2.10.1+cpu is not supported, 2.11 or newer is needed: "
        "pip install 'torch>=2.11'\n"
    )
    assert ablab("plugins", "--help").returncode == 0
    assert ablab("--version").stdout == f"ablab {__version__}\n"
    result = ablab("doctor")
    assert result.returncode == 1
    assert "problem  torch" in result.stdout


@pytest.mark.parametrize("version", ["2.11.0", "2.11.0a0+vendor", "3.0.0", "2.14.0.dev20261130"])
def test_other_versions_of_torch_are_not(installed, version):
    installed(torch=version)
    assert supported.unsupported_torch() == ""


def test_an_older_python_is_refused(ablab, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    result = ablab("doctor")
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(
        r"ablab: Python \S+ is not supported, 3\.11 or newer is needed: install a newer one\n",
        result.stderr,
    )


def test_an_mlflow_of_another_major_version_is_refused(installed, tmp_path):
    installed(mlflow="4.0.1")
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "mlflow.db").write_text("")
    with pytest.raises(UserError, match=r"^mlflow 4\.0\.1 is not supported: pip install 'mlflow<4"):
        ui()


def test_the_versions_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    torch = next(line for line in project["dependencies"] if line.startswith("torch"))
    assert project["requires-python"] == ">={}.{}".format(*supported.OLDEST_PYTHON)
    assert torch == "torch>={}.{}".format(*supported.OLDEST_TORCH)
    pins = (ROOT / "constraints.txt").read_text()
    assert any(f"\nmlflow=={version}." in pins for version in TESTED_VERSIONS)


def test_the_version_of_torch_is_known_without_importing_it():
    code = (
        "import sys; from ablab.cli.supported import unsupported_torch; "
        "assert not unsupported_torch(); "
        "assert {'torch', 'packaging', 'typer'}.isdisjoint(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_without_metadata_nothing_is_required(monkeypatch, examined):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    for function in (requirements.requirements, requirements.required_python):
        function.cache_clear()
    monkeypatch.setattr(metadata, "requires", missing)
    monkeypatch.setattr(metadata, "metadata", missing)
    try:
        status, findings = examined()
    finally:
        for function in (requirements.requirements, requirements.required_python):
            function.cache_clear()
    assert status == 0
    assert findings["ablab"][0] == "warning"
