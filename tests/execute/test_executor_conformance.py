"""The public suite for executors, on the lab's own."""

import pytest

from ablab.execute.executors.local import LocalExecutor
from ablab.testing.executors import ExecutorConformance

pytestmark = [pytest.mark.slow, pytest.mark.system]


class TestLocalExecutor(ExecutorConformance):
    @pytest.fixture
    def make_executor(self):
        return lambda context, slots: LocalExecutor(slots, context)
