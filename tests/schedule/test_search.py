"""Search, with a stand-in trainer whose best arms are known."""

from dataclasses import replace

import pytest

from ablab.analysis.costs import UNLIKE
from ablab.analysis.summarise import summarise
from ablab.errors import UserError
from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.records.run_record import Record
from ablab.report.terminal import survival
from tests.standin import Silent, StandIn, noise_seed, result
from tests.standin import carry_out as driven

HEAD = """\
question: Which set is best?
from: gpt2
model: {{layers: 1, width: 16, heads: 2, context: 16}}
data: {{source: text, files: ["{corpus}/*.txt"], tokenizer: {{kind: bpe, vocab: 300}}}}
budget: {{steps: 4}}
seeds: 3
recipe: {{batch_tokens: 64}}
design:
  kind: search
"""
FACTORS = (
    "  factors: {swiglu: {}, position: [learned, rope, alibi], rmsnorm: {eps: {low: 1.0e-8, "
    "high: 1.0e-2}}}\n"
)


def noise(spec):
    return 0.001 * ((noise_seed(spec) % 7) - 3)


def response(spec):
    """SwiGLU and RoPE help; RMSNorm helps most where eps is small, and costs time."""
    plugins = dict(spec.plugins)
    value = (
        3.0 - 0.3 * ("swiglu" in plugins) - 0.5 * ("rope" in plugins) + 0.2 * ("alibi" in plugins)
    )
    if "rmsnorm" in plugins:
        value -= 0.2 - 10 * plugins["rmsnorm"].get("eps", 1e-5)
    seconds = (
        1.0 + 0.5 * ("rmsnorm" in plugins) + 0.3 * ("rope" in plugins) + 0.1 * ("alibi" in plugins)
    )
    return result(value + noise(spec), seconds=seconds)


@pytest.fixture
def carry_out(tmp_path, corpus):
    def call(design, response=response):
        file = tmp_path / "x.yaml"
        file.write_text(HEAD.format(corpus=corpus) + design)
        return driven(file, tmp_path / "home", response)[:2]

    return call


def sets(specs):
    return [
        frozenset(
            name for name, _ in spec.plugins if name in ("swiglu", "rope", "alibi", "rmsnorm")
        )
        for spec in specs
    ]


@pytest.mark.slow
def test_one_objective_finds_the_best_set_and_confirms_it_on_fresh_seeds(carry_out):
    session, executor = carry_out(FACTORS + "  trials: 40\n")
    trials = [spec for spec in executor.trained if spec.trial is not None]
    runs = [spec for spec in executor.trained if spec.trial is None]
    assert len(trials) == len({spec.key for spec in trials}) == 40
    assert {spec.seed for spec in trials} == {10_001}
    assert {spec.seed for spec in runs} == {1, 2, 3}
    assert {"rope", "swiglu", "rmsnorm"} in sets(runs)
    assert frozenset() in sets(runs)  # the baseline
    whole = summarise(session.record)
    assert whole.progress.complete
    (summary,) = whole.parts
    assert len(summary.arms) == 4
    best = min(summary.arms[1:], key=lambda arm: arm.mean or 9)
    assert {"rope", "swiglu"} <= set(best.name.replace("(", " ").split())
    assert all(effect.high < -0.5 for effect in summary.effects)
    assert summary.survivors[summary.arms[0].name] is not None  # the baseline is beaten
    assert summary.survivors[best.name] is None


@pytest.mark.slow
def test_options_are_tried_only_where_their_plugin_is_on(carry_out):
    _, executor = carry_out(FACTORS + "  trials: 30\n")
    eps = [
        dict(spec.plugins)["rmsnorm"].get("eps")
        for spec in executor.trained
        if "rmsnorm" in dict(spec.plugins)
    ]
    assert len({e for e in eps if e is not None}) > 5
    assert all(1e-8 <= e <= 1e-2 for e in eps if e is not None)


def test_several_objectives_give_the_front(carry_out):
    design = "  changes: [swiglu, rmsnorm]\n  factors: {position: [learned, rope, alibi]}\n"
    session, executor = carry_out(
        design + "  objectives: [val/bpb, cost/seconds]\n  trials: 12\n  confirm: 8\n"
    )
    runs = {frozenset(s) for s in sets([spec for spec in executor.trained if spec.trial is None])}
    # Nothing is both better and faster: SwiGLU is free, so every best set has it; ALiBi only hurts.
    swiglu = {"swiglu"}
    front = {
        frozenset(swiglu),
        frozenset(swiglu | {"rope"}),
        frozenset(swiglu | {"rope", "rmsnorm"}),
        frozenset(),
    }
    assert runs == front
    dominated_by = summarise(session.record).parts[0].survivors
    assert dominated_by["gpt2"] == "gpt2 + learned + swiglu"
    assert [name for name, by in dominated_by.items() if by is None] == [
        n for n in dominated_by if n != "gpt2"
    ]
    moved = Record(
        session.record.home.root, next(spec.key for spec in executor.trained if spec.trial is None)
    )
    assert moved.result is not None
    moved.finish(replace(moved.result, device="H100"))
    # Seconds on unlike devices are not compared: nobody is known to be faster.
    (summary,) = summarise(session.record).parts
    assert set(summary.survivors.values()) == {None}
    told = [line.strip() for line in survival(summary)[1:]]
    assert told == [
        *(f"{arm}: not known" for arm in dominated_by),
        f"cost/seconds is not compared: {UNLIKE}",
    ]


def test_a_ceiling_is_kept_without_training(carry_out):
    free, _ = carry_out("  changes: [untied_embeddings, swiglu]\n  trials: 4\n")
    counts = sorted(arm.parameters for arm in (t.arm for t in free.planned.plan.trials))
    ceiling = counts[1] + 1
    design = (
        "  changes: [untied_embeddings, swiglu]\n  trials: 4\n  constraints: {parameters: "
        f"{ceiling}}}\n"
    )
    session, executor = carry_out(design)
    assert all(trial.arm.parameters <= ceiling for trial in session.planned.plan.trials)
    assert len([spec for spec in executor.trained if spec.trial is not None]) <= 2
    assert any(
        "ceiling of parameters" in reason for reason in session.planned.plan.infeasible.values()
    )


def test_illegal_sets_are_named_and_not_trained(carry_out):
    session, executor = carry_out("  changes: [rope, alibi]\n  trials: 4\n")
    assert {"rope", "alibi"} not in sets(executor.trained)
    assert any("conflict" in reason for reason in session.planned.plan.infeasible.values())
    assert summarise(session.record).progress.complete


@pytest.mark.slow
def test_a_search_that_was_cut_off_goes_on_to_the_same_end(carry_out, tmp_path):
    design = FACTORS + "  trials: 20\n"
    _, whole = carry_out(design)
    keys = [spec.key for spec in whole.trained]
    for lost in (2, 11, 19, 23):
        for key in keys[lost:]:
            (tmp_path / "home" / "runs" / key / "result.json").unlink()
        _, again = carry_out(design)
        assert sorted(spec.key for spec in again.trained) == sorted(keys[lost:])


@pytest.mark.slow
def test_what_is_proposed_does_not_hang_on_who_was_faster(carry_out, tmp_path, corpus):
    _, executor = carry_out(FACTORS + "  trials: 20\n")
    home = make_home(tmp_path / "other")
    session = Session(
        planned(Request(tmp_path / "x.yaml", None, (), ()), home.root), home, Silent()
    )
    source, trained = session.planned.source, []
    while not source.done:  # all that waits is handed out, and ends in the opposite order
        batch = []
        while (spec := source.next()) is not None:
            batch.append(spec)
        for spec in reversed(batch):
            record = Record(home.root, spec.key)
            record.create(spec)
            source.ended(spec, StandIn(home.root, response).submit(spec).result())
            trained.append(spec.key)
    assert sorted(trained) == sorted(spec.key for spec in executor.trained)


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ("  factors: {ropee: {}}\n", "x.yaml:10:13: design.factors.ropee: no plugin named 'ropee'"),
        (
            "  factors: {rope: {bas: [1.0]}}\n",
            "x.yaml:10:20: design.factors.rope.bas: no option of rope named 'bas'",
        ),
        ("  factors: {rope: {base: [-1.0]}}\n", "design.factors.rope.base.0"),
        ("  factors: {rope: {base: {low: 3.0, high: 1.0}}}\n", "low 3 is not below high 1"),
        (
            "  factors: {position: [learned, rop]}\n",
            "x.yaml:10:33: design.factors.position.1: no plugin named 'rop'",
        ),
        ("  factors: {position: [learned]}\n", "a list of two levels or more"),
        ("  factors: {rope: {}, position: [learned, rope]}\n", "both"),
        (
            "  factors: {rope: {}}\n  objectives: [val/bpb, cost/seconds]\n  prune: asha\n",
            "pruning compares one value",
        ),
        ("  factors: {rope: {}}\n  objectives: [val/bbp]\n", "design.objectives.0"),
        (
            "  factors: {rope: {}}\ntune: {lr: [1.0e-3, 2.0e-3], trials: 2}\n",
            "x.yaml:11:1: tune: a search has trials of its own",
        ),
        (
            "  changes: [swiglu]\n  factors: {swiglu: ['off', geglu]}\n",
            "x.yaml:11:13: design.factors.swiglu: the name is taken by",
        ),
        ("  factors: {rope: {}}\n  share: 0.1\n", "below one step"),
        (
            "  factors: {rope: {}}\n  constraints: {parameters: 10.0}\n",
            "none can be trained: above the ceiling of parameters",
        ),
        (
            "  factors: {rope: {}}\n  seed: 2\n",
            "x.yaml:11:3: design.seed: seed 2 is used by the trials",
        ),
    ],
)
def test_wrong_searches_are_refused_with_their_place(carry_out, tmp_path, design, message):
    with pytest.raises(UserError) as error:
        carry_out(design)
    assert message in str(error.value)
    assert not (tmp_path / "home").exists()
