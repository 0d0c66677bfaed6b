"""The example of a plugin package, installed as a stranger's would be, and its own tests run
against it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parents[2] / "docs" / "example_package"


def test_the_example_package_installs_and_passes_its_tests(tmp_path):
    source = shutil.copytree(PACKAGE, tmp_path / "source")  # a build leaves files behind
    options = [
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--quiet",
        "--target",
        tmp_path / "installed",
    ]
    install = [sys.executable, "-m", "pip", "install", *map(str, options), str(source)]
    subprocess.run(install, check=True, capture_output=True)
    paths = [str(tmp_path / "installed"), *filter(None, [os.environ.get("PYTHONPATH")])]
    installed = environment() | {"PYTHONPATH": os.pathsep.join(paths)}
    tests = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests"]
    result = subprocess.run(
        tests, cwd=source, env=installed, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    assert "28 passed" in result.stdout
