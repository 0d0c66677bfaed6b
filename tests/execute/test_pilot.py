"""A pilot: which runs it takes, and what it proposes."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ablab.analysis.forecast.pilot import PilotSetting, pilot_setting, pooled, proposals
from ablab.analysis.summarise import summarise
from ablab.cli.plan import plan as plan_command
from ablab.errors import UserError
from ablab.execute.pilot import pilot_requests
from ablab.execute.session import Request, Session, planned
from ablab.records.home import Home, make_home
from ablab.records.study_record import revisions
from ablab.report.pilot import proposal_lines, turning_line
from ablab.tracking.trackers import Trackers
from tests.standin import Silent, StandIn


@pytest.fixture
def plan_of(tmp_path, study_text):
    def plan(*overrides, text=study_text):
        file = tmp_path / "s.yaml"
        file.write_text(text)
        return planned(Request(file, None, overrides, ()), tmp_path / "home")

    return plan


def test_a_pilot_takes_two_arms_three_rates_two_budgets_and_seeds_of_its_own(plan_of, tmp_path):
    study = plan_of("recipe.lr=1e-3", "seeds=[3, 9]")
    pilot = pilot_requests(study)
    assert pilot.arms == ("gpt2", "llama")
    assert (pilot.runs, pilot.cost) == (36, 27)
    assert list(pilot.requests) == pytest.approx([5e-4, 1e-3, 2e-3])
    plans = [planned(request, tmp_path / "home") for request in pilot.requests.values()]
    assert {plan.request.name for plan in plans} == {"s@pilot"}
    runs = [run for plan in plans for run in plan.plan.runs]
    assert len({run.key for run in runs}) == 36
    assert {run.seed for run in runs} == set(range(20_001, 20_010))
    by_rate = {
        run.recipe["lr"]: {r.seed for r in plan.plan.runs}
        for plan in plans
        for run in plan.plan.runs
    }
    assert len({frozenset(seeds) for seeds in by_rate.values()}) == 3  # no rate shares a seed
    assert {run.batches.steps for run in runs} == {2, 4}
    assert {run.recipe["lr"] for run in runs} == {5e-4, 1e-3, 2e-3}
    assert not {run.key for run in runs} & {run.key for run in study.plan.runs}


@pytest.mark.parametrize(
    ("overrides", "rates"),
    [
        (("recipe=small",), [2e-3, 4e-3, 8e-3]),  # the preset's rate
        (("tune={trials: 2, lr: [1.0e-3, 4.0e-3]}",), [1e-3, 2e-3, 4e-3]),
        (("tune={trials: 2, lr: {low: 1.0e-3, high: 4.0e-3}}",), [1e-3, 2e-3, 4e-3]),
    ],
)
def test_the_rates_are_those_about_the_studys_own(plan_of, overrides, rates):
    assert list(pilot_requests(plan_of(*overrides)).requests) == pytest.approx(rates)


@pytest.mark.parametrize("study", ["published", "claims", "megatron_tp", "gpt2_vs_llama"])
def test_the_pilot_of_a_study_has_the_runs_that_are_announced(study, tmp_path):
    file = Path(__file__).parents[2] / "studies" / f"{study}.yaml"
    pilot = pilot_requests(planned(Request(file, None, (), ()), tmp_path))
    plans = [planned(request, tmp_path).plan for request in pilot.requests.values()]
    assert sum(plan.expected.runs for plan in plans) == pilot.runs == 36


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("budget=null", "budgets=[{steps: 4}, {steps: 8}]"), "one budget"),
        (
            (
                "from=null",
                "to=null",
                "design={kind: compare}",
                "arms={a: gpt2, b: {model: gpt2, replicate: 1}}",
            ),
            "one model",
        ),
        (("design={kind: search, changes: [rope], trials: 2, confirm: 1}",), "two arms"),
    ],
)
def test_what_has_no_pilot_is_refused(plan_of, overrides, message):
    with pytest.raises(UserError, match=message):
        pilot_requests(plan_of(*overrides))


def value_of(spec):
    """A bowl in the learning rate, with noise that grows with it."""
    drawn = np.random.default_rng([spec.seed, len(spec.plugins), round(spec.recipe["lr"] * 1e6)])
    noise = drawn.normal(0, 0.01)
    return 3.0 + 0.1 * np.log2(spec.recipe["lr"] / 1e-3) ** 2 + 0.01 * len(spec.plugins) + noise


def settings_of(plan_of, tmp_path):
    study = plan_of("recipe.lr=1e-3")
    pilot = pilot_requests(study)
    home = make_home(tmp_path / "home")
    settings = []
    for rate, request in pilot.requests.items():
        session = Session(planned(request, home.root), home, Silent())
        session.trackers = Trackers([])
        session.run(lambda context: StandIn(home.root, value_of))
        settings += [pilot_setting(session.record, part, rate, pilot.arms) for part in (0, 1)]
    return study, settings


def test_the_noise_is_that_of_the_differences(plan_of, tmp_path):
    study, settings = settings_of(plan_of, tmp_path)
    specs = {
        (spec.arm, spec.recipe["lr"], spec.seed, spec.batches.steps): spec
        for request in pilot_requests(study).requests.values()
        for spec in planned(request, tmp_path / "home").plan.runs
    }
    for setting in settings:
        steps = int(setting.budget["steps"])
        gpt2, llama = (
            np.array(
                [
                    value_of(specs[arm, setting.lr, seed, steps])
                    for seed in sorted({s for _, r, s, _ in specs if r == setting.lr})
                ]
            )
            for arm in ("gpt2", "llama")
        )
        assert setting.means == pytest.approx((gpt2.mean(), llama.mean()))
        assert setting.sd == pytest.approx((gpt2 - llama).std(ddof=1) / np.sqrt(2))
        assert setting.dof == 2
    noise = pooled([s for s in settings if s.budget["steps"] == 4])
    assert noise is not None
    sds = [s.sd for s in settings if s.budget["steps"] == 4]
    assert noise.sd == pytest.approx(np.sqrt(np.mean(np.square(sds))))
    low, high = noise.interval
    assert stats.chi2.cdf(6 * (noise.sd / low) ** 2, 6) == pytest.approx(0.975)
    assert stats.chi2.cdf(6 * (noise.sd / high) ** 2, 6) == pytest.approx(0.025)


def test_the_proposal_takes_the_lowest_loss_and_the_cheapest_budget(plan_of, tmp_path):
    study, settings = settings_of(plan_of, tmp_path)
    found = proposals(settings, study.study, study.plan.plans[0])
    assert [each.setting.lr for each in found] == [1e-3, 1e-3]
    assert not any(each.edge for each in found)
    costs = [each.seeds * each.setting.budget["steps"] for each in found]
    assert costs == sorted(costs)
    lines = proposal_lines(found, "val/bpb")
    steps = found[0].setting.budget["steps"]
    assert lines[-1] == (
        f"proposed, as the cheapest: budget.steps={steps:.4g} recipe.lr=0.001 "
        f"seeds={found[0].seeds}"
    )


def test_the_seeds_have_the_power_that_is_promised(plan_of, tmp_path):
    """By simulation: two one-sided tests of a change without an effect, at the proposed number."""
    study = plan_of("design={kind: compare}", text=plan_of().request.file.read_text())
    settings = [
        PilotSetting("x", {"steps": 4.0}, lr, (3.0 + i * 0.1, 3.1 + i * 0.1), 0.02, 2)
        for i, lr in enumerate((2e-3, 1e-3))
    ]
    (found,) = proposals(settings, study.study, study.plan.plans[0])
    drawn = np.random.default_rng(0)
    differences = drawn.normal(0, 0.02 * np.sqrt(2), (4000, found.seeds))
    errors = differences.std(1, ddof=1) / np.sqrt(found.seeds)
    bound = found.margin - stats.t.ppf(0.95, found.seeds - 1) * errors
    power = np.mean(np.abs(differences.mean(1)) < bound)
    assert 0.78 < power < 0.95


def test_a_sign_that_turns_is_said():
    def setting(effect):
        return PilotSetting("x", {"steps": 4.0}, 1e-3, (3.0, 3.0 + effect), 0.01, 2)

    assert turning_line([setting(0.1), setting(0.2)]) == []
    assert turning_line([setting(0.1), setting(-0.005)]) == []
    assert turning_line([setting(0.1), setting(-0.1)])
    drawn = np.random.default_rng(1)
    warned = 0
    for _ in range(400):  # three seeds of two arms without an effect
        found = []
        for label in "xy":
            for _ in range(3):
                d = drawn.normal(0, 0.01 * np.sqrt(2), 3)
                sd = d.std(ddof=1) / np.sqrt(2)
                found.append(
                    PilotSetting(label, {"steps": 4.0}, 1e-3, (3.0, 3.0 + d.mean()), sd, 2)
                )
        warned += bool(turning_line(found))
    assert warned <= 8


def test_nothing_is_proposed_where_all_diverged():
    lost = PilotSetting("x", {"steps": 4.0}, 1e-3, (None, None), None, 0)
    assert pooled([lost]) is None
    assert proposal_lines([], "val/bpb") == [
        "no proposal: a run diverged at every setting; try lower learning rates"
    ]


@pytest.mark.slow
def test_the_command_trains_the_pilot_and_proposes(ablab, tmp_path, study_text):
    file = tmp_path / "s.yaml"
    file.write_text(study_text)
    done = ablab("plan", file, "--pilot", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "pilot: 36 runs of gpt2 and llama" in done.stdout
    assert "run-to-run sd" in done.stdout
    records = revisions(Home(tmp_path / ".ablab", tmp_path / "mlflow"), "s@pilot")
    assert [summarise(record).progress.finished for record in records] == [12, 12, 12]


def test_workers_go_with_the_pilot_alone(tmp_path, study_text):
    file = tmp_path / "s.yaml"
    file.write_text(study_text)
    with pytest.raises(UserError, match="--workers goes with --pilot or --engine"):
        plan_command(file, workers=2, home=tmp_path / "home")
    with pytest.raises(UserError, match="leave out --json"):
        plan_command(file, pilot=True, as_json=True, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()
