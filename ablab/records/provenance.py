"""The code and the machine that a study was run with, so that it can be run again. No paths, and
nothing about the user.
"""

import os
import platform
import subprocess
from collections.abc import Sequence

from ablab.records.study_content import Sources
from ablab.spec.hardware import cores
from ablab.train.numerics import NUMERICS_VERSION
from ablab.version import __version__

# Not into submodules, whose configuration is their own.
_STATUS = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")


def provenance(
    command: str, flop_convention: str, tracking: str | None, *, checked: bool = True
) -> Sources:
    """Return what a study's record says of its origin. See `Sources` for the arguments."""
    commit = _git("rev-parse", "HEAD")
    return Sources(
        command=command,
        flop_convention=flop_convention,
        tracking=tracking,
        checked=checked,
        version=__version__,
        numerics=NUMERICS_VERSION,
        commit=commit or None,
        changed=bool(commit and _git(*_STATUS)),
        machine=(
            f"{platform.system()} {platform.machine()}, {cores()} cores, Python "
            f"{platform.python_version()}"
        ),
    )


def _git(*arguments: str) -> str:
    """Return what git prints, without executing anything that the repository configures."""
    options = ["-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"]
    for name in _own_filters(options):
        # A working folder may be a stranger's, and status hashes changed files by their filter.
        for key, value in (("clean", ""), ("process", ""), ("required", "false")):
            options += ["-c", f"filter.{name}.{key}={value}"]
    return _run_git([*options, *arguments])


def _own_filters(options: Sequence[str]) -> set[str]:
    """Return the names of the filters that the repository configures itself, not the user."""
    listed = _run_git([*options, "config", "--list", "--show-scope", "--name-only", "-z"])
    fields = listed.split("\0")
    return {
        key.removeprefix("filter.").rpartition(".")[0]
        for scope, key in zip(fields[::2], fields[1::2], strict=False)
        if scope in ("local", "worktree") and key.startswith("filter.")
    }


def _run_git(arguments: Sequence[str]) -> str:
    settings = {
        **os.environ,
        # Looking must not write to a repository that others may be at work in.
        "GIT_OPTIONAL_LOCKS": "0",
        # Objects that are missing must not be fetched, which runs the remote's programs.
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "",
    }
    try:
        process = subprocess.run(
            ["git", "--no-pager", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=10,
            check=False,
            env=settings,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""
