"""Plans and keys."""

import json
from dataclasses import asdict, replace

import pytest

from ablab.arch.composition.registry import load_registry
from ablab.data.batches import Batches
from ablab.errors import UserError
from ablab.execute.attempt import check_machine
from ablab.plan.run_key import rebuild
from ablab.records.run_spec import RunSpec
from ablab.schedule.factory import make_plan
from ablab.spec import hardware
from ablab.spec.study import load_study
from ablab.train.budget import TimeLimit
from ablab.train.machine import machine_here
from ablab.train.numerics import NUMERICS_VERSION


@pytest.fixture
def plan(tmp_path, registry, study_text):
    def call(*changes, overrides=(), registry=registry):
        text = study_text
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "x.yaml"
        file.write_text(text)
        study, document = load_study(file, None, overrides)
        (part,) = make_plan("x", study, document, registry).parts
        return part.plan

    return call


def keys(plan):
    return {(run.arm, run.seed): run.key for run in plan.runs}


def test_arms_and_runs(plan):
    made = plan()
    assert len(made.arms) == 8
    assert len(made.unique) == 16
    llama = made.arms[0]
    assert llama.plugins == (
        "no_bias",
        "pre_norm",
        "rmsnorm",
        "rope",
        "swiglu",
        "untied_embeddings",
    )
    assert (llama.steps, llama.tokens) == (4, 256)
    assert made.expected.flops == pytest.approx(
        2 * sum(a.tokens * a.flops_per_token for a in made.arms)
    )


def test_equal_flops_means_tokens_by_cost(plan):
    made = plan(("budget: {steps: 4}", "budget: {flops: 1e9}"))
    for arm in made.arms:
        assert arm.tokens * arm.flops_per_token == pytest.approx(
            1e9, rel=0.5 * 64 * arm.flops_per_token / 1e9
        )
    assert len({arm.steps for arm in made.arms}) > 1


def test_keys_depend_on_what_determines_the_numbers_and_nothing_else(plan):
    base = keys(plan())
    assert keys(plan(("question: Does", "question: What does"))) == base
    assert keys(plan(("validate_at: [0.5]", "validate_at: [0.2]"))) == base
    assert keys(plan(("budget: {steps: 4}", "budget: {tokens: 256}"))) == base
    changes = {
        "steps: 4": "steps: 5",
        "batch_tokens: 64": "batch_tokens: 32",
        "vocab: 300": "vocab: 301",
        "width: 16": "width: 32",
    }
    for change in changes.items():
        changed = keys(plan(change))
        assert not set(changed.values()) & set(base.values()), change
    assert len(set(base.values())) == len(base)


def test_designs_share_the_runs_of_equal_arms(plan):
    first = keys(plan())
    second = keys(plan(("kind: leave_one_out", "kind: one_in")))
    assert second["gpt2", 1] == first["gpt2", 1]
    # llama written out is llama
    spelled = plan(
        ("to: llama", "to: gpt1 + pre_norm + rmsnorm + swiglu + rope + no_bias + untied_embeddings")
    )
    assert keys(spelled)[spelled.arms[0].name, 2] == first["llama", 2]


def test_a_plugins_source_is_in_the_key(plan, tmp_path):
    text = (
        "from ablab.plugin import NoPosition, plugin\n"
        "@plugin(source='a test')\nclass Mine:\n    '''Another position.'''\n"
        "    def edit(self):\n        return {'position': NoPosition()}\n"
    )
    found = []
    for name, body in {"a": text, "b": text + "\nX = 1\n"}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"mine_{name}.py").write_text(body)
        made = plan(("to: llama", "to: gpt2 + mine"), registry=load_registry([folder]))
        found.append(keys(made))
    assert found[0]["gpt2", 1] == found[1]["gpt2", 1]
    assert found[0]["gpt2 + mine", 1] != found[1]["gpt2 + mine", 1]


def test_a_run_is_rebuilt_from_plain_values(plan, registry):
    for spec in plan().runs:
        assert rebuild(spec, registry).arch.dims.width == 16
    with pytest.raises(UserError, match="changed since the study was planned"):
        rebuild(replace(plan().runs[0], batches=Batches(((4, 5),))), registry)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("batch_tokens: 64", "batch_tokens: 40"),
            "40 is not a multiple of the context of 16 tokens",
        ),
        (("budget: {steps: 4}", "budget: {tokens: 3}"), "below one step, which takes 64"),
        (("heads: 2", "heads: 3"), "width 16 is not a multiple of heads 3"),
        (("width: 16, heads: 2", "width: 15, heads: 3"), "the head dimension must be even"),
        (("*.txt", "*.none"), "matches no file"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(plan, change, message):
    with pytest.raises(UserError) as error:
        plan(change)
    assert message in str(error.value)


def test_a_large_plan_is_quick(plan):
    import time

    start = time.perf_counter()
    made = plan(("seeds: 2", "seeds: 1000"))
    assert len(made.unique) == 8_000
    assert time.perf_counter() - start < 5


TIMED = ("budget: {steps: 4}", "budget: {seconds: 2.5}")


def test_under_a_budget_of_seconds_the_clock_decides(plan, registry):
    made = plan(TIMED)
    assert {(arm.steps, arm.tokens, arm.training_flops) for arm in made.arms} == {
        (None, None, None)
    }
    assert made.expected.flops is None
    for spec in made.runs:
        read = RunSpec.read(json.loads(json.dumps(asdict(spec))))
        assert isinstance(read.batches, TimeLimit)
        assert (read.batches.seconds, read.batches.batch) == (2.5, 4)
        assert rebuild(read, registry).arch.dims.width == 16
        with pytest.raises(UserError, match="changed since the study was planned"):
            rebuild(replace(read, batches=replace(read.batches, seconds=3.0)), registry)
    assert all(spec.batches == Batches(((4, 4),)) for spec in plan().runs)


def test_what_a_run_of_seconds_trains_on_is_in_its_key(plan, monkeypatch):
    base = keys(plan(TIMED))
    assert keys(plan(TIMED)) == base
    assert keys(plan(TIMED, ("question: Does", "question: What does"))) == base
    others = [
        plan(TIMED, overrides=[f"hardware.{given}"])
        for given in ("devices=2", "strategy=ddp", "compile=true", "threads=2")
    ]
    others.append(plan(("budget: {steps: 4}", "budget: {seconds: 2.6}")))
    monkeypatch.setattr(hardware, "cores", lambda: 96)
    others.append(plan(TIMED))
    monkeypatch.undo()
    monkeypatch.setattr("ablab.train.machine.cpu_model", lambda: "another CPU")
    others.append(plan(TIMED))
    found = [
        set(keys(other).values()) for other in (plan(TIMED, ("seeds: 2", "seeds: [7]")), *others)
    ]
    monkeypatch.undo()
    every = [set(base.values()), *found]
    assert sum(map(len, every)) == len(set.union(*every))


def test_the_resolved_precision_and_the_threads_are_in_the_key(plan):
    def runs(*overrides):
        return {spec.key: spec for spec in plan(overrides=list(overrides)).runs}

    base, fp32, bf16, threads = (
        runs(),
        runs("hardware.accelerator=cpu", "recipe.precision=fp32"),
        runs("recipe.precision=bf16"),
        runs("hardware.threads=2"),
    )
    assert base.keys() == runs("hardware.accelerator=cpu").keys() == fp32.keys()
    assert len(base.keys() | bf16.keys() | threads.keys()) == 3 * len(base)
    assert {spec.threads for spec in threads.values()} == {2}
    assert {spec.numerics for spec in base.values()} == {NUMERICS_VERSION}


def test_a_run_of_another_number_of_threads_is_not_rebuilt(plan, registry):
    with pytest.raises(UserError, match="changed since the study was planned"):
        rebuild(replace(plan().runs[0], threads=2), registry)


def test_a_run_of_seconds_is_not_trained_on_another_machine(plan, monkeypatch):
    spec = plan(TIMED).runs[0]
    assert isinstance(spec.batches, TimeLimit)
    monkeypatch.setattr(
        "ablab.train.machine.cores", lambda: 1
    )  # each of one process, as the tests have it
    here = replace(spec, batches=replace(spec.batches, machine=machine_here()))
    check_machine(here)
    check_machine(plan().runs[0])
    monkeypatch.setattr("ablab.train.machine.cpu_model", lambda: "another CPU")
    with pytest.raises(
        UserError,
        match=(
            r"its seconds are of another machine: planned for 'cpu; .*it would train on 'cpu; "
            r"another CPU"
        ),
    ):
        check_machine(here)


def test_a_trial_has_its_share_of_the_seconds(plan):
    made = plan(
        TIMED,
        ("kind: leave_one_out", "kind: compare"),
        overrides=["tune={lr: [1e-3, 2e-3], trials: 2, share: 0.2}"],
    )
    assert {trial.run.batches.seconds for trial in made.trials} == {0.5}
    assert made.expected.flops is None
    assert made.expected.trials == 4
    made = plan(
        TIMED,
        overrides=[
            "design={kind: search, trials: 4, share: 0.5, changes: [rope, rmsnorm]}",
            "to=null",
        ],
    )
    assert {trial.run.batches.seconds for trial in made.trials} == {1.25}
    assert made.expected.flops is None
