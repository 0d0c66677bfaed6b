"""What a report says of running its study again."""

import os
import re
import shutil
import subprocess

import pytest

from ablab.analysis.summarise import summarise
from ablab.records.provenance import provenance
from ablab.report.evidence import how_to_repeat
from ablab.train.numerics import NUMERICS_VERSION
from tests.report.test_report import record  # noqa: F401


def git(folder, *arguments):
    env = {"HOME": str(folder), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    return subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        env=env,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_the_commit_of_the_working_folder_and_whether_it_was_changed(tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    (tmp_path / "x").write_text("1")
    git(tmp_path, "add", "x")
    git(tmp_path, "commit", "-qm", "x")
    monkeypatch.chdir(tmp_path)
    sources = provenance("x.yaml", "counted", None)
    assert sources.commit == git(tmp_path, "rev-parse", "HEAD").strip()
    assert not sources.changed
    (tmp_path / "x").write_text("2")
    assert provenance("x.yaml", "counted", None).changed


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
@pytest.mark.parametrize(
    "setting", ["fsmonitor", "hooks", "clean", "process", "pager", "submodule"]
)
def test_git_executes_nothing_that_the_repository_configures(tmp_path, monkeypatch, setting):
    """The working folder may have come from a stranger."""
    repository = tmp_path / "repository"
    repository.mkdir()
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    trap.chmod(0o755)
    git(repository, "init", "-q")
    (repository / ".gitattributes").write_text("* filter=f\n")
    (repository / "x").write_text("1")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "x")
    if setting == "submodule":
        git(repository, "-c", "protocol.file.allow=always", "submodule", "add", repository, "sub")
        git(repository, "commit", "-qm", "sub")
    settings = {
        "fsmonitor": {"core.fsmonitor": trap},
        "hooks": {"core.hooksPath": tmp_path / "hooks"},
        "clean": {"filter.f.clean": trap, "filter.f.required": "true"},
        "process": {"filter.f.process": trap},
        "pager": {"core.pager": trap, "pager.status": trap, "diff.external": trap},
        "submodule": {"filter.f.clean": trap, "core.fsmonitor": trap},
    }[setting]
    configured = repository / "sub" if setting == "submodule" else repository
    for key, value in settings.items():
        git(configured, "config", key, str(value))
    (tmp_path / "hooks").mkdir()
    shutil.copy(trap, tmp_path / "hooks" / "post-index-change")
    (configured / "x").write_text("2")
    monkeypatch.chdir(repository)
    sources = provenance("x.yaml", "counted", None)
    assert sources.commit
    assert sources.changed == (setting != "submodule")
    assert not (tmp_path / "executed").exists()


def test_without_a_repository_or_without_git_there_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    sources = provenance("x.yaml", "counted", None)
    assert (sources.commit, sources.changed) == (None, False)
    monkeypatch.setenv("PATH", "")
    assert provenance("x.yaml", "counted", None).commit is None


def test_what_is_not_recorded_is_said(record):  # noqa: F811
    shown = dict(how_to_repeat(summarise(record), record.home))
    assert shown["Command"] == "ablab run x.yaml"
    assert "not recorded" in shown["Code"]
    assert shown["Machine"] == "not recorded"
    assert shown["Numerics"] == "version 1"  # records that do not say are of version 1
    assert shown["Devices"] == "nothing ran yet"


def test_a_study_that_was_run_says_all(studies):
    shown = dict(how_to_repeat(summarise(studies[0]), studies[0].home))
    assert re.fullmatch(
        r"ablab 0\.1\.0; the working folder's commit at the last run: [0-9a-f]{40}.*", shown["Code"]
    )
    assert shown["Numerics"] == f"version {NUMERICS_VERSION}"
    assert re.search(r"fingerprint [0-9a-f]{12,}$", shown["Data"])
    assert "torch 2.13.0" in shown["Devices"]
    assert shown["Command"] == "ablab run tuned.yaml"
