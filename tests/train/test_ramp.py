"""The batch-size ramp: which sequences each batch takes, how many steps a budget gives, and
resuming in the middle.
"""

from dataclasses import dataclass, replace
from itertools import islice

import pytest

from ablab.arch.recipe import FullBatch, RampSlot
from ablab.data.batches import Batches, StepSampler
from ablab.plan.run_budget import ramp_batches
from tests.train.test_run import Watch, finished, job, train  # noqa: F401


@dataclass(frozen=True)
class Straight(RampSlot):
    start: float
    over: float

    def fraction(self, share):
        return min(1.0, self.start + (1 - self.start) * share / self.over)


def numbers(batches, start=0, count=None):
    return list(islice(StepSampler(batches, start), batches.steps if count is None else count))


def test_without_a_ramp_every_batch_is_full():
    for kind in ("steps", "tokens", "flops"):
        assert ramp_batches(FullBatch(), 4, 7, kind) == Batches(((4, 7),))


def test_a_ramp_over_sequences_by_hand():
    # 6 full batches of 4 are 24 sequences; over the first 12 of them the batch grows from 1 to 4:
    # after n it is 1 + n/4.
    batches = ramp_batches(Straight(0.25, 0.5), 4, 6, "tokens")
    assert batches.runs == ((1, 4), (2, 2), (3, 2), (4, 2))
    assert numbers(batches) == [
        [0],
        [1],
        [2],
        [3],
        [4, 5],
        [6, 7],
        [8, 9, 10],
        [11, 12, 13],
        [14, 15, 16, 17],
        [18, 19, 20, 21],
    ]
    assert batches.sequences == 22  # within one batch of the 24 budgeted
    assert (batches.steps, batches.seen(5), batches.share(5)) == (10, 6, 6 / 22)


def test_a_ramp_over_steps_by_hand():
    # As many steps as budgeted; over the first half of them the batch grows from 1 to 4.
    batches = ramp_batches(Straight(0.25, 0.5), 4, 6, "steps")
    assert batches.runs == ((1, 1), (2, 1), (3, 1), (4, 3))
    assert numbers(batches)[:4] == [[0], [1, 2], [3, 4, 5], [6, 7, 8, 9]]


@pytest.mark.parametrize("kind", ["tokens", "flops"])
@pytest.mark.parametrize(
    "ramp", [Straight(0.01, 0.04), Straight(0.3, 1.0), Straight(0.5, 0.01), Straight(0.01, 1.0)]
)
@pytest.mark.parametrize(("full", "steps"), [(1, 1), (4, 1), (7, 33), (64, 500)])
def test_every_sequence_comes_once_in_order_and_the_total_is_as_budgeted(kind, ramp, full, steps):
    batches = ramp_batches(ramp, full, steps, kind)
    taken = [n for batch in numbers(batches) for n in batch]
    assert taken == list(range(batches.sequences))
    assert abs(batches.sequences - full * steps) < full or full == 1
    sizes = [len(batch) for batch in numbers(batches)]
    assert sizes == sorted(sizes)
    assert max(sizes) <= full
    assert [batches.share(k) for k in (0, batches.steps)] == [0.0, 1.0]


def test_a_sampler_starts_in_the_middle_of_a_ramp_and_never_ends():
    batches = Batches(((1, 2), (3, 2)))
    assert numbers(batches, start=1, count=5) == [
        [1],
        [2, 3, 4],
        [5, 6, 7],
        [8, 9, 10],
        [11, 12, 13],
    ]


def test_the_step_at_a_share_counts_sequences():
    batches = Batches(((1, 4), (4, 4)))  # 20 sequences
    assert [batches.step_at(share) for share in (0.0, 0.1, 0.2, 0.4, 0.6, 1.0)] == [
        0,
        2,
        4,
        5,
        6,
        8,
    ]
    assert [Batches(((3, 12),)).step_at(share) for share in (0.25, 0.5, 0.75)] == [3, 6, 9]


@pytest.fixture
def ramped_job(job):  # noqa: F811
    return replace(job, batches=Batches(((1, 3), (2, 3), (4, 6))))  # 33 sequences


def test_a_run_follows_its_ramp(ramped_job, monkeypatch):
    monkeypatch.setattr("ablab.train.recorder.BEAT_SECONDS", 0.0)
    rates = []
    real = type(ramped_job.recipe).lr_at
    monkeypatch.setattr(
        type(ramped_job.recipe),
        "lr_at",
        lambda self, share: (rates.append(share), real(self, share))[1],
    )
    watch, shares = Watch(), []
    hooks = replace(watch.hooks(), beat=lambda share, metrics: shares.append(share))
    result = train(ramped_job, hooks).result
    assert result is not None
    seen = [1, 2, 3, 5, 7, 9, 13, 17, 21, 25, 29, 33]
    assert rates == pytest.approx([n / 33 for n in seen])
    assert shares == pytest.approx([n / 33 for n in seen])
    assert [row["cost/tokens"] for _, row in watch.rows if "cost/tokens" in row] == [
        16 * n for n in seen
    ]
    assert (result.steps, result.cost.tokens) == (12, 33 * 16)
    assert result.cost.flops == pytest.approx(33 * 16 * ramped_job.flops_per_token)
    assert [step for step, row in watch.rows if "val/bpb" in row] == [8]  # 16.5 of 33 sequences


@pytest.mark.parametrize("stop_after", [1, 4])
@pytest.mark.parametrize("expression", ["adamw", "muon", "adafactor"])
def test_a_run_stopped_on_its_ramp_goes_on_to_the_same_numbers(
    ramped_job, tmp_path, registry, stop_after, expression, monkeypatch
):
    monkeypatch.setattr("ablab.train.recorder.BEAT_SECONDS", 0.0)
    slot = registry.plugin(expression).configure({}).edit()["recipe.optimizer"]
    whole_job = replace(
        ramped_job, recipe=replace(ramped_job.recipe, optimizer=slot, checkpointing=True)
    )
    whole = Watch()
    expected = finished(whole_job, whole)
    (tmp_path / "cut").mkdir()
    cut = replace(whole_job, folder=tmp_path / "cut")
    first, second = Watch(stop_after=stop_after), Watch()
    assert train(cut, first.hooks()).result is None
    result = finished(cut, second)
    assert second.resumed == [stop_after + 1]
    assert result.metrics == expected.metrics
    assert result.cost.tokens == expected.cost.tokens
    rows = {
        step: row["train/loss"] for step, row in [*first.rows, *second.rows] if "train/loss" in row
    }
    assert rows == {step: row["train/loss"] for step, row in whole.rows if "train/loss" in row}
