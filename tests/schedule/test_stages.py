"""What of a study is sequential, and how long it takes: against counts and sums made by hand."""

import pytest

from ablab.execute.session import Request, planned
from ablab.records.home import make_home
from ablab.report.durations import duration_lines
from ablab.schedule.durations import (
    Speed,
    Storage,
    device_seconds,
    speed_on_record,
    storage_of,
    wall_seconds,
)
from ablab.schedule.stages import Stage, stages_of
from tests.standin import carry_out, result

STUDY = """\
question: How long?
from: gpt2
to: gpt2 + rope
design: {kind: compare}
model: {layers: 1, width: 16, heads: 2, context: 16}
data: {source: text, files: ["%s/*.txt"], tokenizer: {kind: byte}}
budget: {steps: 400}
recipe: {batch_tokens: 64}
"""
ADAPTIVE = "seeds: {start: 4, max: 12, until: decided}\n"
SEEDS = "seeds: 3\n"
TUNED = "tune: {weight_decay: {low: 0.01, high: 0.2}, trials: 12, shared: false}\n"
SEARCH = (
    "{kind: search, changes: [rmsnorm, no_bias, swiglu, rope], trials: 7, at_once: 3, confirm: 1}"
)


@pytest.fixture
def stages(tmp_path, corpus):
    def call(text, design="{kind: compare}", to="to: "):
        file = tmp_path / "x.yaml"
        study = STUDY.replace("{kind: compare}", design).replace("to: ", to) % corpus
        file.write_text(study + text)
        plan = planned(Request(file, None, (), ()), tmp_path / "home")
        (part,) = stages_of(plan.study, plan.plan)
        return [(stage.title, stage.runs, stage.certain) for stage in part]

    return call


def test_fixed_seeds_are_trained_at_once(stages):
    assert stages(SEEDS) == [("runs", 6, True)]


def test_each_look_at_adaptive_seeds_waits_for_the_seeds_before(stages):
    found = stages(ADAPTIVE)
    assert found[0] == ("runs", 8, True)
    assert sum(runs for _, runs, _ in found) == 24
    assert len(found) > 2
    assert not any(certain for _, _, certain in found[1:])


def test_a_sampler_waits_for_the_trials_that_it_learns_from(stages):
    # Ten of twelve trials fill the space evenly; two are proposed one after another.
    assert stages(SEEDS + TUNED) == [
        ("trials", 20, True),
        ("trials", 2, True),
        ("trials", 2, True),
        ("runs", 6, True),
    ]


def test_a_search_waits_for_each_of_its_rounds(stages):
    # Seven trials, three at a time; then the baseline and the best one on three seeds.
    assert stages(SEEDS, SEARCH, "# ") == [
        ("trials", 3, True),
        ("trials", 3, True),
        ("trials", 1, True),
        ("runs", 6, True),
    ]


def test_times_are_those_of_turns():
    part = [Stage("trials", 4, 1e9), Stage("runs", 10, 3e9), Stage("runs", 2, 3e9, certain=False)]
    speed = Speed(1e9, 5)
    assert device_seconds([part], speed) == 34
    assert wall_seconds([part], speed, 1) == 34
    assert wall_seconds([part], speed, 2) == 2 * 1 + 5 * 3
    assert wall_seconds([part], speed, 4) == 1 + 3 * 3
    assert wall_seconds([part], speed, 4, most=True) == 1 + 3 * 3 + 3
    assert wall_seconds([part], speed, 100) == 4
    assert wall_seconds([part, part], speed, 4) == 68 / 4  # each fills the other's gaps
    assert device_seconds([[Stage("runs", 2, None)]], speed) is None


def test_what_is_sequential_is_said_in_a_line():
    part = [*[Stage("trials", 4, 1e9)] * 3, Stage("runs", 9, 1e9), Stage("runs", 2, 1e9, False)]
    lines = duration_lines([part], Speed(1e9, 5), Storage(2_000_000, 10), (2,))
    assert lines[0] == "in sequence: 3 rounds of 4 trials, then 9 runs, then up to 2 runs"
    assert lines[2] == "with 2 run(s) at a time: about 11 s, at most 12 s"
    assert lines[3].startswith("storage: 2MB of weights in all")
    assert (
        "known once a run of it is finished" in duration_lines([part], None, Storage(1, 1), ())[1]
    )


def test_the_speed_is_that_of_finished_runs(tmp_path, corpus):
    file = tmp_path / "x.yaml"
    file.write_text(STUDY % corpus + SEEDS)
    home = make_home(tmp_path / "home")
    assert speed_on_record(home, "x") is None
    carry_out(
        file,
        tmp_path / "home",
        lambda spec: result(3.0, flops=6e9, seconds=2.0, validation_seconds=1.0),
    )
    assert speed_on_record(home, "x") == Speed(2e9, 6)
    plan = planned(Request(file, None, (), ()), home.root).plan
    arms = plan.plans[0].arms
    largest = max(arm.parameters for arm in arms)
    assert storage_of(plan) == Storage(3 * 4 * sum(arm.parameters for arm in arms), 24 * largest)
