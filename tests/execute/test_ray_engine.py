"""The Ray engine: the public suite for executors, and clusters whose nodes come and go."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from ablab.execute.executors.ray_engine.connection import Connection
from ablab.execute.executors.ray_engine.executor import Limits, RayExecutor
from ablab.execute.executors.ray_engine.need import Need
from ablab.spec.execution import RayOptions
from ablab.testing.executors import ExecutorConformance
from tests.conftest import ROOT, environment
from tests.execute.ray_nodes import RAY_SETTINGS

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
        return lambda context, slots: RayExecutor(
            connection, Need(0.5, 0), context, Limits(slots, False)
        )


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["token", "disabled"])
def test_who_does_not_have_the_token_cannot_use_a_cluster_that_was_started_here(mode):
    script = (
        "from ablab.execute.executors.ray_engine.connection import Connection\n"
        "from ablab.spec.execution import RayOptions\n"
        "Connection(RayOptions()).open()\n"
        "import ray; print(ray.get_runtime_context().gcs_address, flush=True); input()"
    )
    others = {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": "0" * 64}
    with subprocess.Popen(
        [sys.executable, "-c", script], env=environment(), stdin=-1, stdout=-1, text=True
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        address = owner.stdout.readline().strip()
        stranger = subprocess.run(
            [sys.executable, "-c", f"import ray; ray.init({address!r})"],
            env={**environment(), **others},
            capture_output=True,
            text=True,
            check=False,
        )
        owner.stdin.write("\n")
        owner.stdin.close()
    assert stranger.returncode != 0
    assert "Failed to connect to Ray cluster" in stranger.stderr


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("runs", "deaths"), [(100, 3), pytest.param(1_000, 30, marks=pytest.mark.soak)]
)
def test_deaths_of_actors_and_nodes_cost_an_attempt_each_and_no_run(tmp_path, runs, deaths):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.execute.ray_load", tmp_path, str(runs), str(deaths)],
        cwd=ROOT,
        env={**environment(), **RAY_SETTINGS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    found = json.loads(ended.stdout.splitlines()[-1])  # Ray prints other lines
    print(found)
    assert (found["wrong"], found["failed"], found["broken"]) == ([], {}, "")
    assert len(found["said"]) == found["deaths"] == deaths
