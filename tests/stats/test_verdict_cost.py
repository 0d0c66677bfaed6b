"""The training compute to a verdict, by replay of the bank."""

import json

import numpy as np
import pytest

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
