"""What a run takes of its machine."""

import time

import psutil

from ablab.train import usage
from ablab.train.usage import Usage


def test_it_measures_this_process_since_the_last_sample_and_no_more_often_than_it_should(
    monkeypatch,
):
    taking = Usage()
    process, before, start = psutil.Process(), time.process_time(), time.perf_counter()
    while time.process_time() - before < 0.3:
        pass
    found = taking.sample()
    share = 100 * (time.process_time() - before) / (time.perf_counter() - start)
    # The system counts processor time in hundredths of a second.
    assert abs(found["system/cpu_utilization_percentage"] - share) < 15
    assert abs(found["system/memory_usage_megabytes"] - process.memory_info().rss / 1e6) < 100
    assert taking.sample() == {}
    monkeypatch.setattr(usage, "SECONDS_BETWEEN", 0.0)
    again = Usage()
    again.sample()
    time.sleep(0.3)  # idle
    assert again.sample()["system/cpu_utilization_percentage"] < 60


def test_a_sample_is_cheap():
    taking = Usage()
    taking.sample()
    taking._next = 0.0
    before = time.process_time()
    taking.sample()
    assert time.process_time() - before < 0.02
