"""What `ablab plan` says a study will find, against power worked out by scipy from records whose
noise is known.
"""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.power import TTestIndPower

from ablab.analysis.forecast.noise_floor import noise_floor
from ablab.analysis.forecast.power import power_forecasts
from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.tracking.trackers import Trackers
from tests.schedule.test_adaptive_seeds import noise
from tests.standin import Silent, StandIn, result


@pytest.fixture
def trained(tmp_path, study_text):
    """A comparison of three arms, trained by a stand-in under these overrides: its values (arms,
    seeds), and its revision.
    """
    arms = "arms: {a: gpt2, b: gpt2 + rope, c: gpt2 + rmsnorm}\n"
    text = study_text.replace("from: gpt2\nto: llama\n", arms).replace("leave_one_out", "compare")
    (tmp_path / "x.yaml").write_text(text)

    def call(*overrides, response=lambda spec: 3.0 + noise(spec)):
        home = make_home(tmp_path / ".ablab")
        session = Session(
            planned(Request(tmp_path / "x.yaml", None, overrides, ()), home.root), home, Silent()
        )
        session.trackers = Trackers([])
        session.run(lambda context: StandIn(home.root, response))
        runs = session.planned.plan.runs
        return np.array([3.0 + noise(run) for run in runs]).reshape(3, -1), session.record.revision

    return call


def residual_sd(values):
    """Two-way: about arm and seed means."""
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    return np.sqrt((rest**2).sum() / ((values.shape[0] - 1) * (values.shape[1] - 1)))


def detectable(sd, seeds, tests):
    """The effect that a paired t test at 0.05 / tests finds with power 0.8."""
    dof, error = seeds - 1, sd * np.sqrt(2 / seeds)
    critical = stats.t.ppf(1 - 0.025 / tests, dof)
    return error * optimize.brentq(lambda d: stats.nct.sf(critical, dof, d) - 0.8, 0, 50)


def test_a_plan_says_what_can_be_found_once_the_noise_is_known(trained, ablab):
    assert "80 % power" not in ablab("plan", "x.yaml").stdout
    values, revision = trained("seeds=3")
    (content,) = json.loads(ablab("plan", "x.yaml", "seeds=6", "--json").stdout)["parts"]
    assert content["sd"] == pytest.approx(residual_sd(values))
    assert content["detectable_effect"] == pytest.approx(
        detectable(residual_sd(values), 6, 2), rel=1e-6
    )
    shown = " ".join(ablab("plan", "x.yaml", "seeds=6").stdout.split())
    assert (
        f"with 6 seeds a change must be worth ±{content['detectable_effect']:.2g} val/bpb to "
        "be detected with 80 % power"
    ) in shown
    assert f"from revision {revision})" in shown
    planned_json = ablab("plan", "x.yaml", "seeds={start: 4, max: 6}", "--json").stdout
    (adaptive,) = json.loads(planned_json)["parts"]
    # Looking several times has its price.
    assert adaptive["detectable_effect"] > content["detectable_effect"]


def test_the_noise_is_of_the_latest_revision_that_has_some(trained, tmp_path):
    home = make_home(tmp_path / ".ablab")
    assert noise_floor(home, "x", "val/bpb") is None
    values, revision = trained("seeds=4")
    time.sleep(0.02)
    trained("seeds=1")  # one seed: no error term
    time.sleep(0.02)
    trained("recipe.lr=0.002", response=lambda spec: replace(result(9.9), diverged=True))
    found = noise_floor(home, "x", "val/bpb")
    assert found is not None
    assert (found.sd, found.revision) == (pytest.approx(residual_sd(values)), revision)
    assert noise_floor(home, "x", "val/loss") is None


def test_arms_that_share_runs_count_once(tmp_path, study_text):
    """A twin would halve the noise: its differences are nil."""
    arms = "arms: {a: gpt2, twin: gpt2, b: gpt2 + rope}\n"
    text = study_text.replace("from: gpt2\nto: llama\n", arms).replace("leave_one_out", "compare")
    (tmp_path / "x.yaml").write_text(text.replace("seeds: 2", "seeds: 3"))
    home = make_home(tmp_path / ".ablab")
    session = Session(
        planned(Request(tmp_path / "x.yaml", None, (), ()), home.root), home, Silent()
    )
    session.trackers = Trackers([])
    session.run(lambda context: StandIn(home.root, lambda spec: 3.0 + noise(spec)))
    runs = {(run.arm, run.seed): run for run in session.planned.plan.unique.values()}
    first = next(arm for arm, _ in runs if arm != "b")
    values = np.array(
        [[3.0 + noise(runs[arm, seed]) for seed in (1, 2, 3)] for arm in (first, "b")]
    )
    found = noise_floor(home, "x", "val/bpb")
    assert found is not None
    assert found.sd == pytest.approx(residual_sd(values))


def carried(tmp_path, text, response=lambda spec: 3.0 + noise(spec)):
    """Carries out what is planned as `x.yaml` in the home that the command uses; by arm and seed
    its values, and the session.
    """
    (tmp_path / "x.yaml").write_text(text)
    home = make_home(tmp_path / ".ablab")
    session = Session(
        planned(Request(tmp_path / "x.yaml", None, (), ()), home.root), home, Silent()
    )
    session.trackers = Trackers([])
    session.run(lambda context: StandIn(home.root, response))
    return session


def of_key(spec):
    """Noise that equal arms share."""
    return np.random.default_rng(int(spec.key[:8], 16)).normal(0, 0.02)


def forecasts(tmp_path, *overrides):
    """What each part of the study in `x.yaml` can detect."""
    home = make_home(tmp_path / ".ablab")
    asked = planned(Request(tmp_path / "x.yaml", None, overrides, ()), home.root)
    return power_forecasts(home, asked.request.name, asked.plan)


def test_each_part_is_foretold_from_its_own_noise(tmp_path, study_text, ablab):
    arms = "arms: {a: gpt2, b: gpt2 + rope, c: gpt2 + rmsnorm}\n"
    text = (
        study_text.replace("from: gpt2\nto: llama\n", arms)
        .replace("leave_one_out", "compare")
        .replace("seeds: 2", "seeds: 3")
    )
    text = text.replace("budget: {steps: 4}", "budgets: [{steps: 4}, {steps: 8}]")

    def response(spec):
        """Ten times the noise where there are more steps."""
        return 3.0 + noise(spec) * (1 if spec.batches.steps == 4 else 10)

    (tmp_path / "x.yaml").write_text(text)
    assert forecasts(tmp_path) == [None, None]
    session = carried(tmp_path, text, response)
    runs = session.planned.plan.runs
    sds = [
        residual_sd(np.array([response(run) for run in part.plan.runs]).reshape(3, 3))
        for part in session.planned.plan.parts
    ]
    assert len(runs) == 18
    assert sds[1] > 5 * sds[0]
    parts = [part for part in forecasts(tmp_path, "seeds=6") if part is not None]
    assert len(parts) == 2
    assert [part.sd for part in parts] == pytest.approx(sds)
    assert [part.effect for part in parts] == pytest.approx(
        [detectable(sd, 6, 2) for sd in sds], rel=1e-6
    )
    # A part that was not there has no noise of its own, wherever it stands in the list.
    moved = forecasts(tmp_path, "budgets=[{steps: 16}, {steps: 8}]", "seeds=6")
    assert moved[0] is None
    assert moved[1] is not None
    assert moved[1].sd == pytest.approx(sds[1])
    content = json.loads(ablab("plan", "x.yaml", "seeds=6", "--json").stdout)
    assert [part["detectable_effect"] for part in content["parts"]] == [
        part.effect for part in parts
    ]
    assert [part["sd"] for part in content["parts"]] == [part.sd for part in parts]
    assert not {"detectable_effect", "sd"} & content.keys()
    shown = " ".join(ablab("plan", "x.yaml", "seeds=6").stdout.split())
    first, second = (shown.index(f"must be worth ±{part.effect:.2g} val/bpb") for part in parts)
    assert shown.index("steps 4 ") < first < shown.index("steps 8 ") < second


AA = "arms: {a: gpt2, b: {model: gpt2, replicate: 1}MORE}\n"


def test_streams_apart_are_told_by_two_samples(tmp_path, study_text):
    """Two arms without a common seed leave no residual about arm and seed means."""
    text = study_text.replace("from: gpt2\nto: llama\n", AA.replace("MORE", "")).replace(
        "leave_one_out", "compare"
    )
    session = carried(tmp_path, text.replace("seeds: 2", "seeds: 4"))
    values = np.array([3.0 + noise(run) for run in session.planned.plan.runs]).reshape(2, 4)
    sd = np.sqrt(values.var(axis=1, ddof=1).mean())
    (found,) = forecasts(tmp_path, "seeds=6")
    assert found is not None
    assert found.sd == pytest.approx(sd)
    expected = TTestIndPower().solve_power(nobs1=6, alpha=0.05, power=0.8) * sd
    assert found.effect == pytest.approx(expected, rel=1e-3)
    assert forecasts(tmp_path, "seeds=1") == [None]


def test_a_replicate_beside_other_arms_is_told_by_its_own_spread(tmp_path, study_text):
    """Of the changes, tested together, the one that is hardest to find: here that without common
    seeds, which vary a lot.
    """
    more = ", c: gpt2 + rope, d: gpt2 + rmsnorm, twin: gpt2"
    text = study_text.replace("from: gpt2\nto: llama\n", AA.replace("MORE", more)).replace(
        "leave_one_out", "compare"
    )

    def response(spec):
        return 3.0 + spec.seed % 1_000_000 + of_key(spec)

    session = carried(tmp_path, text.replace("seeds: 2", "seeds: 4"), response)
    own = {
        arm: [response(run) for run in session.planned.plan.runs if run.arm == arm]
        for arm in "abcd"
    }
    sd = np.sqrt(np.var(list(own.values()), axis=1, ddof=1).mean())
    (found,) = forecasts(tmp_path)
    assert found is not None
    assert found.sd == pytest.approx(sd)
    assert found.effect == pytest.approx(
        TTestIndPower().solve_power(nobs1=4, alpha=0.05 / 3, power=0.8) * sd, rel=1e-3
    )


def test_an_arm_twice_adds_no_degrees_of_freedom_and_no_test(tmp_path, study_text):
    arms = "arms: {a: gpt2, b: gpt2 + rope, twin: gpt2}\n"
    text = (
        study_text.replace("from: gpt2\nto: llama\n", arms)
        .replace("leave_one_out", "compare")
        .replace("seeds: 2", "seeds: 3")
    )
    session = carried(tmp_path, text, lambda spec: 3.0 + of_key(spec))
    values = np.array(
        [3.0 + of_key(run) for run in session.planned.plan.runs if run.arm in "ab"]
    ).reshape(2, 3)
    (found,) = forecasts(tmp_path, "seeds=5")
    assert found is not None
    assert found.sd == pytest.approx(residual_sd(values))
    assert found.effect == pytest.approx(detectable(found.sd, 5, 1), rel=1e-6)


def tost_power(margin, error, dof, level):
    """The power of two one-sided t tests for an effect of zero, by a sum over a fine grid of the
    estimated standard error.
    """
    shares = (np.arange(100_000) + 0.5) / 100_000
    estimated = np.sqrt(stats.chi2.ppf(shares, dof) / dof)
    reach = margin / error - stats.t.isf(level, dof) * estimated
    return np.maximum(0.0, 2 * stats.norm.cdf(reach) - 1).mean()


def test_a_plan_names_equivalence_that_is_out_of_reach(trained, ablab):
    """Three arms: two changes, each with a paired t test of variance 2 sd²."""
    values, _ = trained("seeds=4")
    sd, margin = residual_sd(values), 0.005 * values[0].mean()

    def power(seeds):
        return tost_power(margin, sd * np.sqrt(2 / seeds), seeds - 1, 0.025)

    needed = next(n for n in range(4, 1000) if power(n) >= 0.8)
    (content,) = json.loads(ablab("plan", "x.yaml", "seeds=6", "--json").stdout)["parts"]
    assert content["margin"] == pytest.approx(margin)
    assert content["equivalence_power"] == pytest.approx(power(6), abs=1e-3)
    assert content["equivalence_seeds"] == needed > 8
    shown = " ".join(ablab("plan", "x.yaml", "seeds={start: 5, max: 8}").stdout.split())
    assert (
        f"'equivalent' within ±{margin:.2g} val/bpb needs {needed} seeds of a fixed study at this "
        "noise (margin 0.5 % of a's mean): with 8 seeds a change without an effect gets"
    ) in shown
    assert "will hardly end early for such a change: its arms take all 8 seeds" in shown
    enough = " ".join(ablab("plan", "x.yaml", f"seeds={needed}").stdout.split())
    assert "80 % power" in enough
    assert "'equivalent'" not in enough
    absolute = ablab("plan", "x.yaml", "seeds=6", "margin=0.001", "--json").stdout
    assert json.loads(absolute)["parts"][0]["margin"] == 0.001


def test_a_run_says_before_it_starts_what_is_out_of_reach(trained, ablab):
    trained("seeds=3")  # whose verdicts nobody has seen, since there are none
    setting = "seeds={start: 4, max: 6}"
    ran = " ".join(ablab("run", "x.yaml", setting, "margin=0.001", "--workers", "1").stdout.split())
    assert "with up to 6 seeds a change must be worth" in ran
    claim = "'equivalent' within ±0.001 val/bpb needs"
    assert ran.index(claim) < ran.index("runs, 9 of them finished")


def test_a_margin_in_percent_needs_the_mean_of_the_baseline(tmp_path, study_text):
    """Which the recorded revision does not have where another arm was the baseline's."""
    arms = "arms: {a: gpt2, b: gpt2 + rope, c: gpt2 + rmsnorm}\n"
    text = study_text.replace("from: gpt2\nto: llama\n", arms).replace("leave_one_out", "compare")
    carried(tmp_path, text.replace("seeds: 2", "seeds: 4"))
    (tmp_path / "x.yaml").write_text(text.replace("a: gpt2", "z: gpt2"))
    (unknown,) = forecasts(tmp_path, "seeds=6")
    assert unknown is not None
    assert (unknown.margin, unknown.share, unknown.equivalence) == (None, "", None)
    assert unknown.shows_equivalence
    (absolute,) = forecasts(tmp_path, "seeds=6", "margin=0.001")
    assert absolute is not None
    assert (absolute.margin, absolute.shows_equivalence) == (0.001, False)
