"""Many runs, eight workers, and a death every second: complete, right, and in bounded memory."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.system
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("runs", [300, pytest.param(5000, marks=pytest.mark.soak)])
def test_deaths_cost_no_run_and_no_memory(tmp_path, runs):
    done = subprocess.run(
        [sys.executable, "-m", "tests.execute.load", tmp_path, str(runs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert (found["wrong"], found["failed"], found["broken"]) == ([], {}, "")
    assert found["kills"] >= 3
    # What a run leaves in the driver's memory is less than 2 kB, beside its plan.
    assert found["memory_late_mb"] < found["memory_early_mb"] * 1.05
