"""The training compute to a verdict, by replay of the bank."""

import json
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from benchmarks import verdict_cost
from benchmarks.bank.table import TABLE, read_bank
from benchmarks.verdict_cost import ALONE, FLAGSHIP, WAYS, Bench, Way, runs_of


@pytest.fixture(scope="module")
def bench():
    return Bench(read_bank(TABLE), studies=40)


def test_a_fixed_study_has_a_run_for_each_arm_and_seed(bench):
    usual = bench.price(WAYS[-1], 3.0, 5)
    # The baseline, six changes to it: seven arms, of which each is tuned by 8 trials of half a run.
    assert (usual.runs, usual.trials) == (7 * 5, 7 * 4)
    assert usual.flops == pytest.approx((35 + 28) * 2e11)


def test_large_effects_are_settled_at_the_first_look(bench):
    flagship = bench.price(FLAGSHIP, 3.0, 6)
    assert (flagship.right, flagship.error, flagship.runs) == (1.0, 0.0, 16 * 6)
    assert flagship.trials == 2 * 4


def test_effects_of_none_take_further_looks(bench):
    flagship = bench.price(FLAGSHIP, 0.0, 6)
    assert 16 * 6 < flagship.runs <= 16 * 12


def test_what_matches_is_right_as_often_with_the_fewest_seeds(bench):
    way = Way("", ALONE, adaptive=False, tuned=None)
    found = bench.match(way, 1.0, 0.9)
    assert found is not None
    assert found.right >= 0.9
    fewer = verdict_cost.SEEDS[verdict_cost.SEEDS.index(found.seeds) - 1]
    assert bench.price(way, 1.0, fewer).right < 0.9


def test_a_way_that_errs_more_gets_more_seeds(bench):
    way = Way("", ALONE, adaptive=False, tuned=None)
    errors = {seeds: bench.price(way, 0.0, seeds).error for seeds in verdict_cost.SEEDS}
    limit = sorted(set(errors.values()))[0]
    expected = next(seeds for seeds, error in errors.items() if error <= limit)
    found = bench.match(way, 0.0, right=0.0, error=limit)
    assert found is not None
    assert found.seeds == expected


def test_a_larger_margin_makes_noise_and_real_effects_smaller(bench):
    design = verdict_cost._designs()[ALONE]
    plain, wide = (
        bench._noise(design),
        Bench(bench.bank, 40, margin=2 * bench.margin)._noise(design),
    )
    assert wide[0] == pytest.approx(plain[0] / 2)
    assert wide[1] == pytest.approx(plain[1] / 2)


def test_seeds_drawn_with_replacement_vary_as_new_ones(bench):
    design = verdict_cost._designs()[ALONE]
    runs = bench.bank.arms(list(design.changes.values()))
    # The variance of a draw, the mean square of what is drawn from, is to be the unbiased one.
    drawn = (bench._noise(design)[0] ** 2).mean(1)
    estimates = runs.var(1, ddof=1)
    assert drawn / drawn[0] == pytest.approx(estimates / estimates[0])
    every = {c for each in verdict_cost._designs().values() for c in each.changes.values()}
    pooled = bench.bank.arms(list(every)).var(1, ddof=1).mean()
    assert drawn == pytest.approx(estimates / pooled)


def test_the_correlation_is_that_of_pairs_of_arms(bench):
    design = verdict_cost._designs()[ALONE]
    runs = bench.bank.arms(list(design.changes.values()))
    pairs = [stats.pearsonr(a, b).statistic for a, b in combinations(runs, 2)]
    assert verdict_cost.correlation(bench.bank, design) == pytest.approx(fmean(pairs))


def test_a_target_out_of_reach_has_no_price(bench):
    assert bench.match(WAYS[-1], 1.0, 1.1) is None


def test_an_arm_has_as_many_seeds_as_its_most_demanding_contrast():
    design = verdict_cost._designs()[ALONE]
    seeds = np.full((1, len(design.contrasts)), 6)
    change = next(i for i, c in enumerate(design.contrasts) if c.kind == "change")
    seeds[0, change] = 12  # for the baseline and for one arm
    assert runs_of(design, seeds).tolist() == [2 * 12 + 5 * 6]


def test_the_tables_are_printed_and_written(tmp_path, capsys):
    path = tmp_path / "cost.json"
    verdict_cost.main(["--studies", "10", "--json", str(path)])
    printed = capsys.readouterr().out
    assert all(way.name in printed for way in WAYS)
    assert set(json.loads(path.read_text())) == {"real", "0.0", "0.5", "1.0", "3.0"}
