"""Budgets of seconds: what is counted, when a run ends, what its schedule and its ramp follow; with
a clock made by hand, and a real one.
"""

import math
import time
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import pytest

from ablab.arch.recipe import FullBatch, RampSlot, ScheduleSlot
from ablab.data.batches import StepSampler
from ablab.train.budget import StepEvents, TimeLimit, TimeProgress
from tests.train.test_run import Watch, finished, job, train  # noqa: F401

NOTHING = StepEvents()


def limit(seconds, batch=4):
    return TimeLimit(seconds, batch, "a machine", "1 device")


class Clock:
    """A clock that goes on by what a test says."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@dataclass(frozen=True)
class Ticking(ScheduleSlot):
    """Falls in a straight line from 1 to 0, and lets every step take as long as the next of
    `lengths`. The trainer asks for the rate when a step begins.
    """

    clock: Clock
    lengths: list[float]
    asked: list[float]

    def factor(self, share):
        self.clock.now += (
            self.lengths[len(self.asked)]
            if len(self.asked) < len(self.lengths)
            else self.lengths[-1]
        )
        self.asked.append(share)
        return 1 - share


@dataclass(frozen=True)
class Straight(RampSlot):
    start: float

    def fraction(self, share):
        return min(1.0, self.start + (1 - self.start) * share)


def ticking(job, seconds, lengths, **changes):  # noqa: F811
    """A run by such a clock, and the shares at which its schedule was asked."""
    asked: list[float] = []
    clock = Clock()
    recipe = replace(job.recipe, schedule=Ticking(clock, lengths, asked), warmup=0.0, **changes)
    return replace(job, recipe=recipe, batches=limit(seconds)), clock, asked


def test_a_run_ends_with_the_step_in_which_its_seconds_are_spent(job):  # noqa: F811
    its, clock, asked = ticking(job, 2.1, [0.25])
    watch = Watch()
    result = train(its, replace(watch.hooks(), clock=clock)).result
    assert result is not None
    assert result.steps == 9  # eight steps take 2.0 seconds
    assert result.cost.seconds == 2.25
    assert result.cost.tokens == 9 * 4 * 16
    assert result.cost.flops == 9 * 4 * 16 * its.flops_per_token
    # How long the first takes is not known when it begins.
    assert asked == pytest.approx([0.0, *(0.25 * n / 2.1 for n in range(2, 9)), 1.0])
    assert [step for step, row in watch.rows if "val/bpb" in row] == [
        5
    ]  # 1.05 seconds are passed in the fifth


def test_steps_that_take_longer_are_fewer(job):  # noqa: F811
    its, clock, asked = ticking(job, 4.0, [0.25, 0.25, 1.0, 1.0, 2.0])
    result = train(its, replace(Watch().hooks(), clock=clock)).result
    assert result is not None
    assert (result.steps, result.cost.seconds) == (5, 4.5)
    # spent when the step begins, and as much again as the last one took
    assert asked == pytest.approx([share / 4 for share in (0.0, 0.5, 0.75, 2.5, 3.5)])


def test_validation_checkpoints_and_telling_take_nothing_from_the_budget(job, monkeypatch):  # noqa: F811
    """Each of them lets a day pass."""
    from ablab.train import recorder, run

    monkeypatch.setattr(recorder, "BEAT_SECONDS", 0.0)
    its, clock, _ = ticking(job, 2.0, [0.25])
    its = replace(its, validate_at=(0.25, 0.5), checkpoint_seconds=1e-9)
    told = []

    def day(*arguments):
        clock.now += 86_400
        told.append(arguments)

    score, save = run.score, run.L.Trainer.save_checkpoint
    monkeypatch.setattr(run, "score", lambda *given: (day(), score(*given))[1])
    monkeypatch.setattr(
        run.L.Trainer, "save_checkpoint", lambda *given, **more: (day(), save(*given, **more))[1]
    )
    hooks = replace(Watch().hooks(), clock=clock, log=day, beat=day)
    result = train(its, hooks).result
    assert result is not None
    assert (result.steps, result.cost.seconds) == (8, 2.0)
    assert len(told) > 20


def test_a_run_that_was_stopped_goes_on_with_the_seconds_that_are_left(job, tmp_path):  # noqa: F811
    whole, clock, asked = ticking(job, 2.0, [0.25])
    expected = train(whole, replace(Watch().hooks(), clock=clock)).result
    (tmp_path / "cut").mkdir()
    cut, clock, again = ticking(replace(job, folder=tmp_path / "cut"), 2.0, [0.25])
    first, second = Watch(stop_after=3), Watch()
    assert train(cut, replace(first.hooks(), clock=clock)).result is None
    clock.now += 1e6
    found = train(cut, replace(second.hooks(), clock=clock)).result
    assert expected is not None
    assert found is not None
    assert second.resumed == [4]
    assert again == asked
    assert found.steps == expected.steps == 8
    assert found.cost.seconds == 2.0
    assert found.metrics == expected.metrics
    rows = [
        [(step, row) for step, row in watch.rows if "val/bpb" in row] for watch in (first, second)
    ]
    assert [step for step, _ in (*rows[0], *rows[1])] == [4]  # once


def test_a_checkpoint_of_the_end_is_not_trained_on(job):  # noqa: F811
    its, clock, _ = ticking(job, 1.0, [0.25])
    its = replace(its, checkpoint_seconds=1e-9)
    first = train(its, replace(Watch().hooks(), clock=clock)).result
    again = train(
        its, replace(Watch().hooks(), clock=clock)
    ).result  # as if killed before the result was written
    assert first is not None
    assert again is not None
    assert (again.steps, again.cost.seconds) == (first.steps, first.cost.seconds) == (4, 1.0)
    assert again.metrics == first.metrics


def test_a_ramp_follows_the_seconds(job):  # noqa: F811
    """From one sequence of four in a straight line: 1 + 3 × the share spent. A batch is drawn while
    the one before trains, so the share is what it was two steps earlier, and two steps more.
    """
    its, clock, _ = ticking(job, 4.0, [0.5], ramp=Straight(0.25))
    result = train(its, replace(Watch().hooks(), clock=clock)).result
    assert result is not None
    # The first two are drawn before anything is known.
    sizes = [1, 1, *(int(1 + 3 * n / 8) for n in range(2, 8))]
    assert result.steps == 8
    assert result.cost.tokens == 16 * sum(sizes)


def test_a_rehearsal_trains_nothing_and_draws_nothing(job, registry):  # noqa: F811
    """Losses are those of the same steps under a budget of steps, dropout's masks included."""
    dropped = replace(
        job, arch=replace(job.arch, dropout=0.1), batches=replace(job.batches, runs=((4, 8),))
    )
    constant = replace(job.recipe, schedule=Still(), warmup=0.0)
    by_steps, by_seconds = Watch(), Watch()
    train(replace(dropped, recipe=constant), by_steps.hooks())
    its, clock, _ = ticking(dropped, 2.0, [0.25])
    its = replace(its, recipe=replace(constant, schedule=Still(clock)))
    train(its, replace(by_seconds.hooks(), clock=clock))
    losses = [
        [row["train/loss"] for _, row in watch.rows if "train/loss" in row]
        for watch in (by_steps, by_seconds)
    ]
    assert len(losses[0]) == 8
    assert losses[0] == losses[1]


@dataclass(frozen=True)
class Still(ScheduleSlot):
    """A constant rate."""

    clock: Clock | None = None

    def factor(self, share):
        if self.clock is not None:
            self.clock.now += 0.25
        return 1.0


@dataclass(frozen=True)
class Wrong(ScheduleSlot):
    """No rate at all."""

    def factor(self, share):
        return math.nan


def test_a_run_whose_loss_is_not_finite_ends_there(job):  # noqa: F811
    watch = Watch()
    result = finished(
        replace(
            job, recipe=replace(job.recipe, schedule=Wrong(), warmup=0.0), batches=limit(1000.0)
        ),
        watch,
    )
    assert result.diverged
    assert result.steps == 2
    assert [
        step for step, row in watch.rows if "train/loss" in row and math.isnan(row["train/loss"])
    ] == [2]


def test_two_real_seconds(job):  # noqa: F811
    rates = []
    recipe = replace(job.recipe, warmup=0.1, schedule=Noted(rates))
    began = time.perf_counter()
    watch = Watch()
    result = finished(
        replace(job, recipe=recipe, batches=limit(2.0), validate_at=(0.25, 0.5, 0.75)), watch
    )
    took = time.perf_counter() - began
    assert 2.0 <= result.cost.seconds < 2.5
    assert took >= result.cost.seconds
    assert result.steps > 20
    assert result.cost.tokens == result.steps * 64
    assert all(
        later - before > -0.1 for before, later in pairwise(rates)
    )  # steps are not equally long
    assert rates[-1] > 0.95  # the schedule ends with the budget
    assert len([row for _, row in watch.rows if "val/bpb" in row]) == 3
    assert 20 <= len([row for _, row in watch.rows if "train/loss" in row]) <= 110


@dataclass(frozen=True)
class Noted(ScheduleSlot):
    shares: list[float]

    def factor(self, share):
        self.shares.append(share)
        return 1.0


def test_the_clock_is_read_in_stretches_where_the_device_must_be_waited_for():
    progress = TimeProgress(limit(10.0), FullBatch(), (0.5,), pause=1.0)
    read, seconds = [], 0.0
    for step in range(1, 1000):
        seconds += 0.125
        if progress.reads(step):
            read.append(step)
            progress.spend(step, seconds)
        else:
            assert progress.events(step) == NOTHING
        assert progress.share(step) == seconds / 10  # steps of one length are told exactly
        if progress.over:
            break
    assert read[:4] == [1, 9, 17, 25]
    assert read[-2:] == [73, 80]  # 9.125 seconds, then the 7 steps that are left
    assert seconds == 10.0


def test_when_things_happen():
    progress = TimeProgress(limit(1.0), FullBatch(), (0.25, 0.5))
    moments = []
    for step, seconds in enumerate([0.001, 0.002, 0.012, 0.26, 0.9, 1.1], start=1):
        progress.spend(step, seconds)
        moments.append(progress.events(step))
    assert moments == [
        NOTHING,
        NOTHING,
        StepEvents(record=True),
        StepEvents(record=True, validate=True),
        StepEvents(record=True, validate=True),
        StepEvents(record=True, last=True),
    ]


def test_sizes_that_were_drawn_stay_when_a_run_goes_on():
    progress = TimeProgress(limit(10.0), Straight(0.25), ())
    progress.seen(3)
    progress.spend(3, 6.0)
    drawn = list(islice(StepSampler(progress), 5))
    assert drawn == [[0], [1], [2], [3, 4], [5, 6, 7]]  # at 0.6 and 0.8 of the seconds
    again = TimeProgress(limit(10.0), Straight(0.25), ())
    again.restore(progress.state())
    again.spend(4, 7.0)
    assert list(islice(StepSampler(again), 5)) == drawn
