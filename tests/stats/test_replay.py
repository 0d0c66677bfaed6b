"""Studies drawn from the bank of real runs."""

import numpy as np
import pytest

from benchmarks.bank.drawn_studies import DrawnTable, RealNoise, drawn_designs
from benchmarks.bank.table import LR, Bank, read_bank
from benchmarks.error_rates import Cell
from benchmarks.replay import OWN, SHUFFLED, replay, same_arm
from benchmarks.replay_tuning import BankArm
from benchmarks.replay_tuning import replay as replay_tuning
from benchmarks.simulated_studies import SimulatedDesign

STUDIES = 4000


@pytest.fixture(scope="module")
def bank():
    return read_bank()


@pytest.fixture(scope="module")
def designs():
    return drawn_designs(20)


def test_the_bank_holds_the_arms_of_the_designs_and_rates(bank, designs):
    assert {runs.shape for (_, lr), runs in bank.losses.items() if lr == LR} == {(20,)}
    assert {runs.shape for (_, lr), runs in bank.losses.items() if lr != LR} == {(12,)}
    assert sorted(len(changes) for changes, lr in bank.losses if lr != LR) == [0, 0, 1, 1, 1, 1]
    for design in designs.values():
        assert set(design.changes.values()) <= set(bank.all_changes)


def test_drawn_means_vary_as_those_of_new_runs_do(bank):
    """The variance of a mean of n new runs is s²/n, and s² is that of the runs within a study."""
    arms = bank.all_changes[:3]
    noise = RealNoise.of(bank, arms)
    drawn = noise.draw(np.random.default_rng(0), (20_000, 3, 12), disjoint=False, shuffled=False)
    plain = SimulatedDesign("", dict(zip("abc", arms, strict=True)), ()).table(drawn)
    table = DrawnTable(plain, np.array([0.0, 1.0, 2.0]), 20)
    variances = noise.deviations.var(1, ddof=1)
    for n in (4, 8, 12):
        first = table.first(dict.fromkeys("abc", n)).values[:, :, :n]
        np.testing.assert_allclose(first.mean(2).mean(0), [0.0, 1.0, 2.0], atol=0.02)
        np.testing.assert_allclose(first.mean(2).var(0), variances / n, rtol=0.05)
        np.testing.assert_allclose(first.var(2, ddof=1).mean(0), variances, rtol=0.03)


def test_arms_share_their_seeds_unless_they_are_disjoint():
    runs = np.arange(20.0)
    bank = Bank({(frozenset(name), LR): runs for name in "ab"})
    noise = RealNoise.of(bank, bank.all_changes)
    size = (5, 2, 6)
    rng = np.random.default_rng(0)
    common = noise.draw(rng, size, disjoint=False, shuffled=False)
    assert (common[:, 0] == common[:, 1]).all()
    assert all(len(set(study)) == 6 for study in common[:, 0].tolist())
    apart = noise.draw(rng, size, disjoint=True, shuffled=False)
    assert (apart[:, 0] != apart[:, 1]).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("design", "seeds"),
    [("compare 4", 6), ("compare 7, disjoint seeds", 4), ("2^(6-2)", 4), ("2^3", (4, 6))],
)
def test_verdicts_on_real_noise_err_and_cover_as_stated(bank, designs, design, seeds):
    measured = replay(bank, designs[design], Cell(design, seeds, SHUFFLED), STUDIES)
    assert measured.passes, measured


@pytest.mark.slow
def test_real_effects_are_seldom_missed_in_sign(bank, designs):
    measured = replay(bank, designs["2^(6-2)"], Cell("2^(6-2)", 6, OWN), STUDIES)
    assert measured.errors[-1] <= 0.06


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [4, 10])
def test_an_arm_is_seldom_told_from_itself(bank, designs, seeds):
    drawn = designs["compare 2"]
    plain = SimulatedDesign(drawn.name, drawn.changes, drawn.contrasts)
    errors, coverages = same_arm(bank, plain, Cell(drawn.name, seeds, OWN), 1000)
    assert 0.02 < errors.mean() <= 0.06
    assert coverages.mean() >= 0.93


@pytest.mark.slow
def test_tuned_arms_of_the_bank_are_seldom_told_from_themselves(bank):
    arms = [BankArm.of(bank, name) for name in ("gpt2", "rope", "swiglu") for _ in range(2)]
    found = replay_tuning(arms, 4, 2000)
    for pair in ((0, 1), (2, 3), (4, 5)):
        outside = np.abs(found[pair].difference) > found[pair].half
        assert 0.01 < outside.mean() <= 0.07  # 6 % and two standard errors of 2000 studies
