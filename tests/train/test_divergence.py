"""When a run ended above its start: planted losses, and real runs at extreme learning rates."""

import math
from dataclasses import replace
from random import Random

import pytest
import torch
import torch.nn.functional as F

import ablab
from ablab.arch.composition.model import architecture
from ablab.arch.recipe import Recipe
from ablab.data.batches import Batches, Sequences
from ablab.train import run as training
from ablab.train.divergence import WINDOW, batch_noise, ended_above_start
from ablab.train.job import Job
from ablab.train.recorder import SILENT
from ablab.train.run import train

DIMS = {"layers": 1, "width": 16, "heads": 2, "vocab": 300, "context": 16}
STEPS = 40


@pytest.fixture
def job(registry, store, tmp_path):
    recipe = Recipe(batch_tokens=64, lr=3e-3, precision="fp32", warmup=0.0)
    return Job(
        architecture("gpt2", registry, DIMS),
        recipe,
        store,
        Batches(((4, STEPS),)),
        seed=1,
        flops_per_token=1.0,
        folder=tmp_path,
        validate_at=(),
    )


def judged(losses):
    return ended_above_start(losses[:WINDOW], losses[-WINDOW:])


def noisy(means, sd, seed):
    draw = Random(seed)
    return [mean + draw.gauss(0, sd) for mean in means]


def learning(start, end, steps):
    """A curve that falls fast at first, from `start` to `end`."""
    return [end + (start - end) * math.exp(-8 * step / steps) for step in range(steps)]


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10, 20, 33, 64, 300])
def test_noise_is_no_divergence(steps):
    assert not any(judged(noisy([6.9] * steps, 0.02, seed)) for seed in range(300))


@pytest.mark.parametrize("steps", [40, 300])
def test_a_true_rise_is_found(steps):
    """0.3 above the start, fifteen times the noise of a batch: reached at once, or after a phase of
    learning and with noisier batches.
    """
    for seed in range(50):
        assert judged(noisy([6.9] + [7.2] * (steps - 1), 0.02, seed))
        fall = noisy(learning(6.9, 5.0, steps), 0.02, seed)
        end = noisy([7.2] * steps, 0.05, seed + 1)
        assert judged(fall + end)
        assert not judged(fall)


def test_the_start_is_the_untrained_model_and_no_phase_of_learning():
    """A run that loses what it learned, and ends 0.4 above the mean of its first losses but below
    the very first, has not diverged.
    """
    fall = learning(6.9, 5.0, 40)
    end = [sum(fall[:WINDOW]) / WINDOW + 0.4] * 40
    assert end[0] < fall[0]
    assert not judged(noisy(fall + end, 0.02, 0))


def test_an_unstable_run_does_not_hide_behind_its_own_noise():
    draw = Random(0)
    wild = [6.9] + [math.exp(draw.uniform(2, 7)) for _ in range(60)]
    for steps in (2, 3, 5, 12, 61):
        assert judged(wild[:steps])
    assert judged([6.9, 9.0, 10.8, 9.7, 8.4, *noisy([7.4] * 60, 0.02, 0)])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_a_divergence(value):
    assert judged([6.9, 5.0, value])


def test_the_noise_of_a_batch_is_found_about_a_trend():
    trend = [3 + 4 * math.exp(-step / 300) for step in range(3000)]
    assert batch_noise(noisy(trend, 0.05, 0)) == pytest.approx(0.05, rel=0.06)
    assert batch_noise([7 - 0.1 * step for step in range(20)]) == pytest.approx(0, abs=1e-12)


def diverged(job, seed, **recipe):
    folder = job.folder / f"{seed}"
    folder.mkdir()
    run = replace(job, seed=seed, folder=folder, recipe=replace(job.recipe, **recipe))
    result = train(run, SILENT).result
    assert result is not None
    return result.diverged


def test_the_batches_of_an_untrained_model_are_no_divergence(job):
    for seed in range(30):
        sequences = Sequences(job.store.tokens("train"), 16, seed)
        tokens = sequences.__getitems__(range(4 * STEPS))
        model = ablab.build("gpt2", seed=seed, **DIMS)
        with torch.no_grad():
            logits = model(tokens[:, :-1]).transpose(1, 2)
            losses = F.cross_entropy(logits, tokens[:, 1:], reduction="none")
        assert not judged(losses.view(STEPS, -1).mean(1).tolist())


@pytest.mark.slow
def test_a_run_that_learns_nothing_has_not_diverged(job):
    assert not any(diverged(job, seed, lr=1e-8) for seed in range(6))


@pytest.mark.slow
def test_a_run_that_learns_has_not_diverged(job):
    assert not any(diverged(job, seed) for seed in range(2))


@pytest.mark.slow
def test_a_run_at_a_huge_learning_rate_has(job):
    assert all(diverged(job, seed, lr=lr, clip=0.0) for seed, lr in enumerate((30.0, 1e3)))


@pytest.mark.slow
def test_a_resumed_run_is_judged_by_the_same_losses(job, monkeypatch):
    judged: list[tuple[list[float], list[float]]] = []

    def note(first, latest):
        judged.append((list(first), list(latest)))
        return False

    monkeypatch.setattr(training, "ended_above_start", note)
    train(job, SILENT)
    (job.folder / "cut").mkdir()
    cut = replace(job, folder=job.folder / "cut")
    for stop_at in (3, 35, None):
        steps = iter(range(1, STEPS + 1))
        train(cut, replace(SILENT, stop=lambda at=stop_at, seen=steps: next(seen) == at))
    whole, resumed = judged
    assert resumed == whole
    assert [len(losses) for losses in whole] == [WINDOW, WINDOW]
