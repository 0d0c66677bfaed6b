"""The SLURM engine, on a real cluster of one node."""

import pytest

from ablab.execute.executors.slurm_engine.executor import SlurmExecutor
from ablab.execute.executors.slurm_engine.submission import Submission
from ablab.spec.execution import SlurmOptions
from ablab.testing.executors import ExecutorConformance
from tests.slurm import slurm_cluster, why_not

pytestmark = [
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.skipif(why_not() != "", reason=why_not()),
]


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    """A cluster of two cores."""
    with slurm_cluster(tmp_path_factory.mktemp("slurm")):
        yield


class TestSlurmExecutor(ExecutorConformance):
    @pytest.fixture
    def make_executor(self):
        def make(context, slots):
            submission = Submission(SlurmOptions(), context, cpus=1, gpus=0)
            return SlurmExecutor(submission, slots, slots)

        return make
