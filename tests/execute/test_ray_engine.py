"""The Ray engine: the public suite for executors, and clusters whose nodes come and go."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from ablab.execute.executors.ray_engine.connection import Connection
from ablab.execute.executors.ray_engine.executor import RayExecutor
from ablab.execute.executors.ray_engine.need import Need
from ablab.spec.execution import RayOptions
from ablab.testing.executors import ExecutorConformance
from tests.conftest import ROOT, environment

# Not imported here: the token of a cluster is set before.
HAS_RAY = find_spec("ray") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed"),
]


@pytest.fixture(scope="module")
def connection():
    """A cluster on this machine."""
    connection = Connection(RayOptions())
    connection.open()
    yield connection
    connection.close()


class TestRayExecutor(ExecutorConformance):
    @pytest.fixture
    def make_executor(self, connection):
        return lambda context, slots: RayExecutor(connection, Need(0.5, 0), context, slots)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("runs", "deaths"), [(100, 3), pytest.param(1_000, 30, marks=pytest.mark.soak)]
)
def test_deaths_of_actors_and_nodes_cost_an_attempt_each_and_no_run(tmp_path, runs, deaths):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.execute.ray_load", tmp_path, str(runs), str(deaths)],
        cwd=ROOT,
        env={**environment(), "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    found = json.loads(ended.stdout.splitlines()[-1])  # Ray prints other lines
    print(found)
    assert (found["wrong"], found["failed"], found["broken"]) == ([], {}, "")
    assert found["deaths"] == deaths
    assert 1 <= len(found["said"]) <= deaths
