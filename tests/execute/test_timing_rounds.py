"""The stage that times arms side by side, on simulated times and loads."""

import random
from dataclasses import replace
from math import exp

import numpy as np
import pytest
from scipy import stats

from ablab.analysis.timings import usable
from ablab.execute.timing import rounds as rounds_module
from ablab.execute.timing.rounds import TimingRequest, run_rounds
from ablab.records.timings import TimingLog, TimingRound
from ablab.stats.costs import log_table, measured_ratio
from ablab.train.result import ArmTime


class Clock:
    """A time that passes only when something is timed, and a load that is a function of it."""

    def __init__(self, load=lambda now: 0.0):
        self.now = 0.0
        self.load = load
        self.sampled = 0.0

    def sample(self):
        times = np.linspace(self.sampled, self.now, 9)
        self.sampled = self.now
        return float(np.mean([self.load(t) for t in times]))


class Simulated:
    """An arm whose time grows with the load."""

    def __init__(self, clock, seconds=1e-5, noise=0.01, seed=0):
        self.clock = clock
        self.seconds = seconds
        self.noise = random.Random(seed)
        self.sd = noise
        self.turns = []

    def take_turn(self, seconds):
        self.turns.append(self.clock.now)
        slow = (1 + self.clock.load(self.clock.now)) * exp(self.noise.gauss(0, self.sd))
        self.clock.now += seconds
        return ArmTime(self.seconds * slow, 1000 / slow)


@pytest.fixture
def request_of(tmp_path, monkeypatch):
    monkeypatch.setattr(rounds_module, "cores", lambda: 2)
    monkeypatch.setattr(rounds_module, "_POLL_SECONDS", 0.0)

    def make(**changes):
        log = tmp_path / "s" / "r.timings"
        runs = {"a0": "a", "b0": "b"}
        request = TimingRequest({}, runs, log, tmp_path, 12, 0.25, patience_seconds=0.0)
        return replace(request, **changes)

    return make


def never():
    return False


def ratio_of(log, cost="seconds_per_token"):
    cells = {
        (arm, number): getattr(times, cost)
        for number, done in enumerate(usable(TimingLog(log).rounds()))
        for arm, times in done.times.items()
    }
    return measured_ratio(log_table(cells), {"b": 1.0, "a": -1.0})


def test_every_arm_takes_one_turn_per_round_in_an_order_drawn_anew(request_of):
    clock = Clock()
    arms = {name: Simulated(clock, seed=n) for n, name in enumerate("abc")}
    request = request_of()
    run_rounds(request, arms, clock, "here", never)
    rounds = TimingLog(request.log).rounds()
    assert len(rounds) == 12
    assert {len(arm.turns) for arm in arms.values()} == {12}
    orders = {tuple(sorted(arms, key=lambda name: arms[name].turns[r])) for r in range(12)}
    assert len(orders) > 3
    assert all(done.quiet and done.cores == 2 for done in rounds)


def test_the_ratio_is_the_paired_t_of_the_logarithms_within_rounds(request_of):
    clock = Clock()
    arms = {"a": Simulated(clock, seed=1), "b": Simulated(clock, seconds=1.1e-5, seed=2)}
    request = request_of()
    run_rounds(request, arms, clock, "here", never)
    rounds = TimingLog(request.log).rounds()
    logs = np.log([r.times["b"].seconds_per_token / r.times["a"].seconds_per_token for r in rounds])
    interval = stats.t.interval(0.95, 11, logs.mean(), stats.sem(logs))
    ratio = ratio_of(request.log)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx(
        tuple(np.exp([logs.mean(), *interval]))
    )
    assert ratio.low < 1.1 < ratio.high
    assert ratio.differs


def test_a_disturbed_round_is_recorded_and_repeated(request_of):
    clock = Clock(lambda now: 1.5 if 2.0 <= now < 4.0 else 0.0)
    arms = {"a": Simulated(clock), "b": Simulated(clock, seed=1)}
    request = request_of()
    run_rounds(request, arms, clock, "here", never)
    rounds = TimingLog(request.log).rounds()
    assert sum(done.quiet for done in rounds) == 12
    assert [number for number, done in enumerate(rounds) if not done.quiet] == [4, 5, 6, 7]
    assert usable(rounds) == [done for done in rounds if done.quiet]


@pytest.mark.parametrize(("quiet", "used"), [(5, 24), (6, 6), (7, 7)])
def test_few_quiet_rounds_are_not_taken_alone(quiet, used):
    times = {"a": ArmTime(1.0, 1.0), "b": ArmTime(1.0, 1.0)}
    rounds = [
        TimingRound("here", 2, 0.0 if number < quiet else 1.5, {"a0": "a", "b0": "b"}, times)
        for number in range(24)
    ]
    assert len(usable(rounds)) == used


def test_a_machine_that_is_always_busy_gets_twice_the_rounds(request_of):
    clock = Clock(lambda now: 1.0)
    arms = {"a": Simulated(clock), "b": Simulated(clock, seed=1)}
    request = request_of()
    run_rounds(request, arms, clock, "here", never)
    rounds = TimingLog(request.log).rounds()
    assert len(rounds) == 24
    assert not any(done.quiet for done in rounds)
    assert usable(rounds) == rounds


def test_it_waits_for_other_processes_to_end(request_of, monkeypatch):
    clock = Clock(lambda now: 1.0 if now < 5.0 else 0.0)

    def sleep(seconds):
        clock.now += 0.5

    monkeypatch.setattr(rounds_module.time, "sleep", sleep)
    monkeypatch.setattr(rounds_module.time, "monotonic", lambda: clock.now)
    arms = {"a": Simulated(clock), "b": Simulated(clock, seed=1)}
    request = request_of(patience_seconds=20.0)
    run_rounds(request, arms, clock, "here", never)
    assert min(arms["a"].turns) >= 5.0
    assert len(TimingLog(request.log).rounds()) == 12


def test_an_interrupted_stage_goes_on_with_the_next_round(request_of):
    clock = Clock()
    arms = {"a": Simulated(clock), "b": Simulated(clock, seed=1)}
    request = request_of()
    run_rounds(request, arms, clock, "here", lambda: len(arms["a"].turns) == 5)
    before = len(TimingLog(request.log).rounds())
    assert before in (4, 5)
    run_rounds(request, arms, clock, "here", never)
    assert len(TimingLog(request.log).rounds()) == 12


def test_another_machine_begins_anew(request_of):
    clock = Clock()
    arms = {"a": Simulated(clock), "b": Simulated(clock, seed=1)}
    request = request_of(rounds=3)
    run_rounds(request, arms, clock, "here", never)
    run_rounds(request, arms, clock, "there", never)
    log = TimingLog(request.log)
    assert [done.conditions for done in log.rounds()] == ["there"] * 3
    turns = len(arms["a"].turns)
    run_rounds(request, arms, clock, "here", never)  # those made here before count again
    assert len(arms["a"].turns) == turns
    assert len(log.rounds(conditions="here")) == 3


def test_rows_of_another_version_and_of_other_arms_are_left_out(tmp_path):
    log = TimingLog(tmp_path / "r.timings")
    done = TimingRound("here", 2, 0.0, {"a0": "a"}, {"a": ArmTime(1.0)})
    log.append(done)
    with log.path.open("a") as file:
        file.write('{"number": 2, "unknown": 1}\n{"number": 3')
    assert log.rounds() == [done]
    assert log.rounds(runs=["a0"], digests=["a"]) == [done]
    assert log.rounds(runs=["a0", "b0"]) == []
    assert log.rounds(digests=["other"]) == []
    # Of a plugin that has changed since, other runs have other times.
    log.append(replace(done, runs={"a0": "b"}, times={"b": ArmTime(2.0)}))
    assert [r.runs for r in usable(log.rounds(runs=["a0"]))] == [{"a0": "b"}]


def test_equal_arms_under_a_load_that_comes_and_goes_are_seldom_called_different(request_of):
    """At 95 %, 200 comparisons: more than 16 would be a sign that load counts for an arm."""
    different = 0
    for number in range(200):
        drawn = random.Random(number)
        switches = np.cumsum([drawn.uniform(0.05, 3.0) for _ in range(40)])
        clock = Clock(lambda now, s=switches: 1.2 * (np.searchsorted(s, now) % 2))
        arms = {name: Simulated(clock, seed=f"{number}{name}") for name in "ab"}
        request = request_of()
        request.log.unlink(missing_ok=True)
        run_rounds(request, arms, clock, f"study {number}", never)
        different += ratio_of(request.log).differs
    assert different <= 16
