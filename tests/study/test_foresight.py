"""What `ablab plan` says a study will find, against power worked out by scipy from records whose noise is known."""

import json
import time

import numpy as np
import pytest
from scipy import optimize, stats

from ablab.study.foresight import noise_floor
from ablab.study.home import make_home
from ablab.study.session import Request, Session, Share, planned
from tests.standin import Silent, StandIn, result
from tests.study.test_adaptive_seeds import noise


@pytest.fixture
def trained(tmp_path, study_text):
    """A comparison of three arms, trained by a stand-in under these overrides: its values (arms, seeds), and its revision."""
    arms = "arms: {a: gpt2, b: gpt2 + rope, c: gpt2 + rmsnorm}\n"
    text = study_text.replace("from: gpt2\nto: llama\n", arms).replace("leave_one_out", "compare")
    (tmp_path / "x.yaml").write_text(text)

    def call(*overrides, response=lambda spec: 3.0 + noise(spec)):
        home = make_home(tmp_path / ".ablab")
        session = Session(planned(Request(tmp_path / "x.yaml", None, overrides, ()), home.root), home, Silent())
        session.run(lambda setting: StandIn(home.root, response), Share(1))
        runs = session.planned.plan.runs
        return np.array([3.0 + noise(run) for run in runs]).reshape(3, -1), session.record.revision

    return call


def residual_sd(values):
    """Two-way: about arm and seed means."""
    rest = values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()
    return np.sqrt((rest**2).sum() / ((values.shape[0] - 1) * (values.shape[1] - 1)))


def detectable(sd, arms, seeds, tests):
    """The effect that a two-sided t test at 0.05 / tests finds with power 0.8."""
    dof, error = (arms - 1) * (seeds - 1), sd * np.sqrt(2 / seeds)
    critical = stats.t.ppf(1 - 0.025 / tests, dof)
    return error * optimize.brentq(lambda d: stats.nct.sf(critical, dof, d) - 0.8, 0, 50)


def test_a_plan_says_what_can_be_found_once_the_noise_is_known(trained, ablab):
    assert "4 times in 5" not in ablab("plan", "x.yaml").stdout
    values, revision = trained("seeds=3")
    content = json.loads(ablab("plan", "x.yaml", "seeds=6", "--json").stdout)
    assert content["noise_floor"] == pytest.approx(residual_sd(values))
    assert content["detectable_effect"] == pytest.approx(detectable(residual_sd(values), 3, 6, 2), rel=1e-6)
    shown = " ".join(ablab("plan", "x.yaml", "seeds=6").stdout.split())
    assert f"with 6 seeds a change must be worth ±{content['detectable_effect']:.2g} val/bpb to be found 4 times in 5" in shown
    assert f"from revision {revision})" in shown
    adaptive = json.loads(ablab("plan", "x.yaml", "seeds={start: 3, max: 6}", "--json").stdout)
    assert adaptive["detectable_effect"] > content["detectable_effect"]  # looking several times has its price


def test_the_noise_is_of_the_latest_revision_that_has_some(trained, tmp_path):
    home = make_home(tmp_path / ".ablab")
    assert noise_floor(home, "x", "val/bpb") is None
    values, revision = trained("seeds=4")
    time.sleep(0.02)
    trained("seeds=1")  # one seed: no error term
    time.sleep(0.02)
    trained("recipe.lr=0.002", response=lambda spec: {**result(9.9), "diverged": True})
    assert noise_floor(home, "x", "val/bpb") == (pytest.approx(residual_sd(values)), revision)
    assert noise_floor(home, "x", "val/loss") is None


def test_arms_that_share_runs_count_once(tmp_path, study_text):
    """A twin would halve the noise: its differences are nil."""
    arms = "arms: {a: gpt2, twin: gpt2, b: gpt2 + rope}\n"
    text = study_text.replace("from: gpt2\nto: llama\n", arms).replace("leave_one_out", "compare")
    (tmp_path / "x.yaml").write_text(text.replace("seeds: 2", "seeds: 3"))
    home = make_home(tmp_path / ".ablab")
    session = Session(planned(Request(tmp_path / "x.yaml", None, (), ()), home.root), home, Silent())
    session.run(lambda setting: StandIn(home.root, lambda spec: 3.0 + noise(spec)), Share(1))
    runs = {(run.arm, run.seed): run for run in session.planned.plan.unique.values()}
    first = next(arm for arm, _ in runs if arm != "b")
    values = np.array([[3.0 + noise(runs[arm, seed]) for seed in (1, 2, 3)] for arm in (first, "b")])
    found = noise_floor(home, "x", "val/bpb")
    assert found is not None
    assert found[0] == pytest.approx(residual_sd(values))
