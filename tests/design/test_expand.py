"""Studies in several parts: at several budgets, and up a ladder, with a stand-in trainer."""

import json
import math
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from ablab.errors import UserError
from ablab.execute.manage import cancel, find_target
from ablab.execute.session import Request, Session, planned
from ablab.plan.content import study_content
from ablab.records.home import make_home
from ablab.records.status import StatusReader
from ablab.records.study_record import StudyRecord
from tests.standin import Silent, StandIn

BUDGETS = "budgets: [{steps: 4}, {tokens: 512}, {steps: 16}]"
LADDER = """\
scales:
  - {budget: {steps: 4}}
  - {model: {width: 32}, budget: {steps: 8}}
  - {model: {width: 64, layers: 2}, budget: {steps: 16}, recipe: {lr: 5.0e-4}}
"""


def steps(spec):
    return spec.batches.steps


def response(spec):
    """Loss falls with the logarithm of the budget; llama starts worse and gains faster; each rung
    has another best lr.
    """
    llama = "rope" in dict(spec.plugins)
    best = {4: 1e-3, 8: 2e-3, 16: 4e-3}.get(steps(spec), 1e-3)
    bowl = 0.1 * math.log2(spec.recipe["lr"] / best) ** 2
    return (
        3
        - 0.1 * math.log2(steps(spec))
        + llama * (0.25 - 0.1 * math.log2(steps(spec)))
        + 0.01 * (spec.seed % 3)
        + bowl
    )


@pytest.fixture
def ask(tmp_path, study_text):
    """Plans the small study as a comparison, with other lines in place of its budget."""

    def call(parts, more="", change=("", "")):
        text = (
            study_text.replace("leave_one_out", "compare").replace("budget: {steps: 4}", parts)
            + more
        )
        (tmp_path / "x.yaml").write_text(text.replace(*change) if change[0] else text)
        home = make_home(tmp_path / "home")
        return planned(Request(tmp_path / "x.yaml", None, (), ()), home.root), home

    return call


@pytest.fixture
def carry_out(ask):
    def call(parts, more="", response=response):
        asked, home = ask(parts, more)
        session, executor = Session(asked, home, Silent()), StandIn(home.root, response)
        session.run(lambda context: executor)
        session.close([], complete=True)
        return session, executor

    return call


@pytest.mark.slow
def test_each_budget_is_a_part_whose_runs_spend_it(carry_out):
    session, executor = carry_out(BUDGETS)
    assert [(spec.part, steps(spec)) for spec in executor.trained[::4]] == [
        ("steps 4", 4),
        ("tokens 512", 8),
        ("steps 16", 16),
    ]
    assert len({spec.label for spec in executor.trained}) == len(executor.trained) == 12
    assert executor.trained[0].label == "steps 4 · gpt2 · seed 1"
    parts = session.record.read().parts
    assert [part.label for part in parts] == ["steps 4", "tokens 512", "steps 16"]
    assert [part.study.budget.steps for part in parts] == [4, None, 16]
    assert {part.baseline for part in parts} == {"gpt2"}


def test_a_part_is_what_the_study_with_its_budget_alone_would_be(carry_out, ask):
    session, _ = carry_out(BUDGETS)
    whole = session.record.read()
    asked, home = ask("budget: {steps: 4}")
    alone = StudyRecord(home, "alone", "r")
    alone.write(study_content(alone, asked.study, asked.plan, whole.sources))
    (part,) = alone.read().parts
    assert part.label == ""
    assert part.study.budgets is None
    assert replace(whole.parts[0], label="") == part
    assert asked.settled(home.root) == set(asked.plan.unique), (
        "what a part trained is not trained again"
    )


def test_sizes_budget_and_recipe_of_a_rung_are_laid_over_the_studys(ask):
    asked, _ = ask(LADDER)
    first, second, third = (part.plan.runs[0] for part in asked.plan.parts)
    assert [part.label for part in asked.plan.parts] == [
        "layers 1, width 16",
        "layers 1, width 32",
        "layers 2, width 64",
    ]
    assert [
        (run.dims["layers"], run.dims["width"], run.dims["heads"]) for run in (first, second, third)
    ] == [(1, 16, 2), (1, 32, 2), (2, 64, 2)]
    assert [run.recipe["lr"] for run in (first, second, third)] == [1e-3, 1e-3, 5e-4]
    assert {run.recipe["batch_tokens"] for run in (first, second, third)} == {64}
    assert asked.plan.expected.flops == pytest.approx(
        sum(part.plan.expected.flops for part in asked.plan.parts)
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("constant", [4e-3, 4e-3, 5e-4]),
        ("inverse_width", [4e-3, 2e-3, 5e-4]),
        ("inverse_sqrt_width", [4e-3, 4e-3 / 2**0.5, 5e-4]),
    ],
)
def test_the_learning_rate_follows_the_width_by_the_rule(ask, rule, expected):
    rungs = json.dumps(YAML(typ="safe").load(LADDER)["scales"])
    asked, _ = ask(
        f"scales: {{rungs: {rungs}, lr: {rule}}}",
        change=("batch_tokens: 64", "batch_tokens: 64, lr: 4.0e-3"),
    )
    assert [part.plan.runs[0].recipe["lr"] for part in asked.plan.parts] == pytest.approx(expected)


@pytest.mark.slow
def test_each_rung_is_tuned_anew(carry_out):
    _, executor = carry_out(
        LADDER.replace(", recipe: {lr: 5.0e-4}", ""),
        "tune: {lr: [1.0e-3, 2.0e-3, 4.0e-3], trials: 3, share: 1.0}\n",
    )
    taken = {spec.part: spec.recipe["lr"] for spec in executor.trained if spec.trial is None}
    assert taken == {
        "layers 1, width 16": 1e-3,
        "layers 1, width 32": 2e-3,
        "layers 2, width 64": 4e-3,
    }
    assert sum(spec.trial is not None for spec in executor.trained) == 3 * 2 * (3 + 2)


@pytest.mark.slow
def test_a_run_that_two_parts_want_is_trained_once(carry_out):
    session, executor = carry_out("budgets: [{steps: 4}, {tokens: 256}]")
    assert len(executor.trained) == 4
    status = StatusReader(session.record).read()
    assert (status.runs.total, status.runs.finished, status.to_come) == (4, 4, 0)


@pytest.mark.slow
def test_a_ladder_that_was_cut_off_goes_on(carry_out, tmp_path):
    tune = "tune: {lr: [1.0e-3, 2.0e-3], trials: 2}\n"
    _, whole = carry_out(LADDER, tune)
    keys = [spec.key for spec in whole.trained]
    for key in keys[9:]:
        (tmp_path / "home" / "runs" / key / "result.json").unlink()
    session, again = carry_out(LADDER, tune)
    assert sorted(spec.key for spec in again.trained) == sorted(keys[9:])
    assert StatusReader(session.record).read().settled
    assert carry_out(LADDER, tune)[1].trained == []


def test_status_and_cancel_know_the_runs_of_all_parts(ask):
    asked, home = ask(BUDGETS)
    session = Session(asked, home, Silent())
    home.create()
    session.write()
    status = StatusReader(session.record).read()
    assert status.runs.total == status.runs.waiting == 12
    target = find_target(home, "x", None)
    assert len(target.keys) == 12
    assert cancel(home, target.keys) == (0, 12)
    assert {run.arm for run in StatusReader(session.record).read().ended} >= {
        "steps 4 · gpt2",
        "steps 16 · llama",
    }


def test_trackers_show_each_runs_own_budget(carry_out):
    import optuna

    import mlflow

    session, _ = carry_out(BUDGETS)
    mlflow.set_tracking_uri(session.home.tracking_uri())
    runs = mlflow.search_runs(search_all_experiments=True)
    children = runs[runs["params.part"].notna()]
    assert len(children) == 12
    told = {
        part: set(rows["params.budget.steps"].fillna("-"))
        for part, rows in children.groupby("params.part")
    }
    assert told == {"steps 4": {"4.0"}, "tokens 512": {"-"}, "steps 16": {"16.0"}}
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(session.home.optuna("x")))
    )
    (study,) = (optuna.load_study(study_name=None, storage=storage),)
    assert sorted({trial.params["part"] for trial in study.trials}) == [
        "steps 16",
        "steps 4",
        "tokens 512",
    ]
    assert len(study.trials) == 12


RUNG = "{model: {width: 32}, budget: {steps: 8}}"


@pytest.mark.parametrize(
    ("parts", "more", "message"),
    [
        (
            "budget: {steps: 4}\nbudgets: [{steps: 4}, {steps: 8}]",
            "",
            "x.yaml:8:1: budgets: `budget` is given as well",
        ),
        ("budgets: []", "", "x.yaml:7:1: budgets: it lists none"),
        ("budgets: [{steps: 4}]", "", "x.yaml:7:1: budgets: it lists 1"),
        ("scales: []", "", "x.yaml:7:1: scales: 0 rung(s): at least 3 are needed"),
        (
            f"scales: [{{model: {{width: 8}}}}, {RUNG}, {RUNG}]",
            "",
            "x.yaml:7:10: scales.rungs.0: it has no budget",
        ),
        ("budgets: [{stps: 4}]", "", "x.yaml:7:12: budgets.0.stps: no key named 'stps'"),
        (
            "budgets: [{steps: 4}, {tokens: 9}, {steps: 4.0}]",
            "",
            "x.yaml:7:36: budgets.2: steps 4 is listed twice",
        ),
        (
            "budgets: [{steps: 4}, {stps: 8}]",
            "",
            "x.yaml:7:24: budgets.1.stps: no key named 'stps' (did you mean 'steps'?)",
        ),
        (
            "budgets: [{tokens: 512}, {tokens: 9}]",
            "",
            "x.yaml:7:26): a budget of 9 tokens is below one step",
        ),
        (f"scales: [{RUNG}, {RUNG}]", "", "x.yaml:7:1: scales: 2 rung(s): at least 3 are needed"),
        (
            f"scales: [{RUNG}, {{budget: {{steps: 4}}}}, {RUNG}]",
            "",
            "x.yaml:7:52: scales.rungs.1: scales out of order",
        ),
        (
            f"scales: [{RUNG}, {{recipe: {{lr: 0.1}}}}, {RUNG}]",
            "",
            "x.yaml:7:52: scales.rungs.1: a rung needs a `model`",
        ),
        (
            f"scales: [{RUNG}, {{model: {{width: 64}}}}, {RUNG}]",
            "",
            "x.yaml:7:52: scales.rungs.1: it has no budget",
        ),
        (
            f"scales: [{RUNG}, {{model: {{wdth: 6}}}}, {RUNG}]",
            "",
            "x.yaml:7:61: scales.rungs.1.model.wdth: no key named",
        ),
        (
            f"scales: [{RUNG}, {RUNG}, {{budget: {{steps: 0.5}}}}]",
            "",
            "x.yaml:7:95): a budget of 0.5 steps is below",
        ),
        (
            f"scales: {{rungs: [{RUNG}, {RUNG}, {RUNG}], lr: inverse_width}}",
            "tune: {lr: [1.0e-3, 2.0e-3], trials: 2}",
            "x.yaml:7:145: scales.lr: `tune` chooses the learning rate",
        ),
        (
            f"scales: [{RUNG}, {RUNG}, {RUNG}]\nbudgets: [{{steps: 4}}]",
            "",
            "x.yaml:8:1: budgets: `budgets` and `scales`",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_with_its_place(ask, tmp_path, parts, more, message):
    with pytest.raises(UserError) as error:
        ask(parts, more)
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "home").exists()


def test_a_search_has_no_parts(ask):
    with pytest.raises(UserError, match=r"x.yaml:7:1: budgets: a search has no budgets"):
        ask(
            BUDGETS,
            change=("{kind: compare}", "{kind: search, changes: [rope, swiglu], trials: 4}"),
        )


def test_plan_shows_each_part(ablab, tmp_path, study_text):
    (tmp_path / "x.yaml").write_text(
        study_text.replace("leave_one_out", "compare").replace("budget: {steps: 4}", BUDGETS)
    )
    shown = ablab("plan", "x.yaml")
    assert shown.returncode == 0, shown.stderr
    assert [
        line.strip() for line in shown.stdout.splitlines() if line.startswith(("steps", "tokens"))
    ] == ["steps 4", "tokens 512", "steps 16"]
    assert "12 runs, 12 to train" in shown.stdout
    content = json.loads(ablab("plan", "x.yaml", "--json").stdout)
    assert [part["arms"][0]["steps"] for part in content["parts"]] == [4, 8, 16]
    assert content["runs"] == 12
