"""The code and the machine that a study was run with, so that it can be run again. No paths, and
nothing about the user.
"""

import os
import platform
import subprocess

from ablab import __version__
from ablab.records.study_content import Sources
from ablab.spec.hardware import cores
from ablab.train.numerics import NUMERICS_VERSION


def provenance(command: str, flop_convention: str, tracking: str | None) -> Sources:
    """Return what a study's record says of its origin. See `Sources` for the arguments."""
    commit = _git("rev-parse", "HEAD")
    return Sources(
        command=command,
        flop_convention=flop_convention,
        tracking=tracking,
        version=__version__,
        numerics=NUMERICS_VERSION,
        commit=commit or None,
        changed=bool(commit and _git("status", "--porcelain", "--untracked-files=no")),
        machine=(
            f"{platform.system()} {platform.machine()}, {cores()} cores, Python "
            f"{platform.python_version()}"
        ),
    )


def _git(*arguments: str) -> str:
    # Looking must not write to a repository that others may be at work in.
    settings = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        process = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env=settings,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""
