"""Replicates: the same architecture on a seed stream of its own."""

import pytest

from ablab.errors import UserError
from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.schedule.factory import make_plan
from ablab.spec.study import load_study
from tests.schedule.test_adaptive_seeds import response, seeds_of
from tests.standin import Silent, StandIn

AA = "arms: {a: {model: gpt2, replicate: 0}, b: {model: gpt2, replicate: 1}, c: gpt2}\n"


@pytest.fixture
def write(tmp_path, study_text):
    """A study file with these arms, and more."""

    def call(arms=AA, more="", seeds="2"):
        text = study_text.replace("from: gpt2\nto: llama\n", arms).replace(
            "leave_one_out", "compare"
        )
        (tmp_path / "x.yaml").write_text(text.replace("seeds: 2", f"seeds: {seeds}") + more)
        return tmp_path / "x.yaml"

    return call


@pytest.fixture
def plan(write, registry):
    def call(*given, **changes):
        study, document = load_study(write(*given, **changes), None, [])
        (part,) = make_plan("x", study, document, registry).parts
        return part.plan

    return call


def test_a_replicate_has_seeds_and_keys_of_its_own(plan):
    made = plan()
    seeds, keys = (
        {arm: [getattr(r, of) for r in made.runs if r.arm == arm] for arm in "abc"}
        for of in ("seed", "key")
    )
    assert seeds == {"a": [1, 2], "b": [1_000_001, 1_000_002], "c": [1, 2]}
    assert not set(keys["a"]) & set(keys["b"])
    assert keys["a"] == keys["c"]
    assert made.expected.runs == len(made.unique) == 4
    as_text = plan("arms: {a: gpt2}\n")
    assert [run.key for run in as_text.runs] == keys["a"]


def test_its_trials_have_them_too(plan):
    made = plan(more="tune: {lr: [1.0e-3, 2.0e-3], trials: 2}\n")
    trials = {
        arm: [(t.run.seed, t.run.key) for t in made.trials if t.run.arm == arm] for arm in "abc"
    }
    assert [seed for seed, _ in trials["a"]] == [10_001] * 2
    assert [seed for seed, _ in trials["b"]] == [1_010_001] * 2
    assert trials["a"] == trials["c"]
    assert not {key for _, key in trials["a"]} & {key for _, key in trials["b"]}


def test_seeds_are_added_to_both_streams(write, tmp_path):
    arms = "arms: {a: gpt2, b: {model: gpt2, replicate: 1}}\n"
    file, home = (
        write(arms, "margin: 0.00001\n", "{start: 4, max: 6}"),
        make_home(tmp_path / "home"),
    )
    session = Session(planned(Request(file, None, (), ()), home.root), home, Silent())
    executor = StandIn(home.root, response)
    session.run(lambda context: executor)
    assert session.close([], complete=True) is None
    assert seeds_of(executor) == {
        "a": [1, 2, 3, 4, 5, 6],
        "b": [1_000_001 + n for n in range(6)],
    }
    (tracker,) = [t for t in session.trackers._trackers if type(t).__name__ == "OptunaTracker"]
    assert tracker._store is not None, (
        session.display.said
    )  # every seed is among the values that it was told of


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"seeds": "[1, 1000000]"},
            "x.yaml:7:1: seeds: seed 1000000: replicates use seeds from 1,000,000 on",
        ),
        (
            {"more": "tune: {lr: [1.0e-3, 2.0e-3], trials: 2, seed: 1000001}\n"},
            "x.yaml:10:41: tune.seed: seed 1000001: replicates use seeds",
        ),
        (
            {"arms": "arms: {a: {model: gpt2, replicat: 1}}\n"},
            "arms.a.replicat: no key named 'replicat' (did you mean 'replicate'?)",
        ),
        ({"arms": "arms: {a: {replicate: 1}}\n"}, "x.yaml:2:8: arms.a.model: Field required"),
        (
            {"arms": "arms: {a: {model: gpt2, replicate: -1}}\n"},
            "arms.a.replicate: Input should be greater than or equal to 0",
        ),
        (
            {"arms": "from: {model: gpt2, replicate: 1}\nto: llama\n"},
            "x.yaml:2:1: from: Input should be a valid string",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(write, changes, message, tmp_path):
    with pytest.raises(UserError) as error:
        planned(Request(write(**changes), None, (), ()), tmp_path / "home")
    assert message in str(error.value)


def test_other_designs_have_none(write, tmp_path):
    file = write("from: gpt2\nto: llama\narms: {a: {model: gpt2, replicate: 1}}\n")
    file.write_text(file.read_text().replace("compare", "one_in"))
    with pytest.raises(UserError, match="arms go with design compare"):
        planned(Request(file, None, (), ()), tmp_path / "home")
