"""Seeds that are changed after the verdicts were seen: what is refused, why, and what is not."""

import json

import numpy as np
import pytest
from scipy import stats

from ablab.errors import UserError
from ablab.execute.earlier_looks import require_planned_looks
from ablab.execute.session import Request, Session, planned
from ablab.records.home import make_home
from ablab.stats.inference.sequential import looks, nominal_alpha
from ablab.tracking.trackers import Trackers
from tests.schedule.test_adaptive_seeds import noise
from tests.standin import Silent, StandIn

ARMS = "arms: {base: gpt2, far: gpt2 + rope}\n"


@pytest.fixture
def study(tmp_path, study_text):
    """A comparison of two arms in `x.yaml`, which overrides change."""
    text = study_text.replace("from: gpt2\nto: llama\n", ARMS).replace("leave_one_out", "compare")
    (tmp_path / "x.yaml").write_text(text)
    home = make_home(tmp_path / ".ablab")

    class Study:
        def plan(self, *overrides, profile=None):
            return planned(Request(tmp_path / "x.yaml", profile, overrides, ()), home.root)

        def finish(self, *overrides, response=lambda spec: 3.0 + noise(spec)):
            session = Session(self.plan(*overrides), home, Silent())
            session.trackers = Trackers([])
            session.run(lambda context: StandIn(home.root, response))
            return session

        def refused(self, *overrides):
            """The reason, or None if the study may start."""
            try:
                require_planned_looks(self.plan(*overrides), home)
            except UserError as error:
                return str(error)
            return None

    return Study()


def distant(spec):
    """Losses of two arms that are far apart."""
    return 3.0 + noise(spec) + 5.0 * ("rope" in dict(spec.plugins))


def files(folder):
    return {path for path in folder.rglob("*") if path.is_file()}


def test_more_seeds_are_refused_once_the_verdicts_are_known(study, ablab, tmp_path):
    revision = study.finish("seeds=4").record.revision
    before = files(tmp_path / ".ablab" / "studies") | files(tmp_path / ".ablab" / "runs")
    refused = ablab("run", "x.yaml", "seeds=6")
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    message = " ".join(refused.stderr.split())
    assert (
        f"x.yaml: seeds: the verdicts with 4 seeds have been available (revision {revision}), and "
        "adding seeds after seeing them makes errors more frequent than 5 %: train new seeds "
        "alone, as an independent replication: `seeds: [5, 6, 7, 8]` (a study that may need more "
        "seeds says so before its first run: `seeds: {start: 4, max: 12, until: decided}`)"
    ) in message
    after = files(tmp_path / ".ablab" / "studies") | files(tmp_path / ".ablab" / "runs")
    assert after == before
    shown = ablab("plan", "x.yaml", "seeds=6")
    assert shown.returncode == 0
    text = " ".join(shown.stdout.split())
    assert "`ablab run` refuses this study: the verdicts with 4 seeds have been available" in text
    (*_, note) = json.loads(ablab("plan", "x.yaml", "seeds=6", "--json").stdout)["notes"]
    assert note.startswith("`ablab run` refuses this study")


def test_what_the_message_advises_may_start(study, ablab):
    study.finish("seeds=4")
    assert study.refused("seeds=5")
    assert study.refused("seeds=[5, 6, 7, 8]") is None
    done = ablab("run", "x.yaml", "seeds=[5, 6, 7, 8]", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert ablab("run", "x.yaml", "seeds=4").returncode == 0  # nothing to train
    message = study.refused("seeds=8")
    assert message is not None
    assert "`seeds: [9, 10, 11, 12]`" in message  # 5 to 8 were seen too


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_without_verdicts_there_was_no_look(study, seeds):
    study.finish(f"seeds={seeds}")
    assert study.refused("seeds=8") is None


@pytest.mark.parametrize(
    ("seeds", "change"),
    [("4", "leaving out"), ("[1, 2, 3, 4, 6]", "leaving out"), ("[3, 4, 5, 9]", "changing")],
)
def test_seeds_are_not_chosen_after_the_verdicts(study, seeds, change):
    study.finish("seeds=6")
    message = study.refused(f"seeds={seeds}")
    assert message is not None
    assert f"{change} seeds after seeing them" in message
    assert study.refused("seeds=3") is None  # which gives no verdicts


def test_an_adaptive_study_pays_for_its_own_looks_only(study):
    study.finish("seeds={start: 4, max: 6}", "margin=1.0e-6")  # looks at 4, 5 and 6 seeds
    assert study.refused("seeds={start: 4, max: 6}", "margin=1.0e-6") is None
    for other in ("6", "8", "{start: 4, max: 12}", "{start: 5, max: 6}"):
        assert study.refused(f"seeds={other}"), other
    assert study.refused("seeds=[7, 8, 9, 10]") is None


@pytest.mark.parametrize("start", [4, 6])
def test_a_fixed_look_was_taken_at_a_higher_level_than_those_of_an_adaptive_study(study, start):
    study.finish("seeds=6")
    assert study.refused(f"seeds={{start: {start}, max: 12}}")


def test_looks_at_lower_levels_are_planned_by_studies_with_fewer(study):
    far = study.finish("seeds={start: 4, max: 12}", response=distant)  # decided after 4 seeds
    assert len(far.planned.source.plan.runs) == 8
    assert study.refused("seeds={start: 4, max: 6}") is None
    assert study.refused("seeds=4") is None
    assert study.refused("seeds={start: 5, max: 12}")
    other = study.finish("seeds={start: 4, max: 6}", "metric=val/loss", response=distant)
    assert len(other.planned.source.plan.runs) == 8
    assert study.refused("seeds={start: 4, max: 12}", "metric=val/loss")


def test_the_margin_and_the_question_do_not_make_another_study(study):
    study.finish("seeds=4")
    assert study.refused("seeds=5", "margin=0.1", "question=Really?", "retries=3")
    assert study.refused("seeds=4", "margin=0.1") is None


@pytest.mark.parametrize("override", ["recipe.lr=0.002", "budget.steps=6", "metric=val/loss"])
def test_another_study_may_have_other_seeds(study, override):
    study.finish("seeds=4")
    assert study.refused("seeds=6", override) is None


def test_runs_that_have_changed_since_were_not_looked_at(study, monkeypatch):
    """As after an edit of a plugin, which other keys of runs stand for."""
    study.finish("seeds=4")
    monkeypatch.setattr("ablab.plan.run_key.NUMERICS_VERSION", 999)
    assert study.refused("seeds=6") is None


def test_another_profile_is_another_study(study, tmp_path):
    study.finish("seeds=4")
    with (tmp_path / "x.yaml").open("a") as file:
        file.write("profiles: {more: {seeds: 6}}\n")
    other = study.plan(profile="more")
    assert other.study.seeds == 6
    require_planned_looks(other, make_home(tmp_path / ".ablab"))


def test_an_unfinished_study_was_not_looked_at(study):
    session = study.finish("seeds=4")
    first = session.planned.plan.runs[0]
    (session.home.root / "runs" / first.key / "result.json").unlink()
    assert study.refused("seeds=6") is None


def test_what_is_trained_already_can_be_run_again(study):
    """As in a home of a version that did not refuse."""
    study.finish("seeds=4")
    study.finish("seeds=6")
    assert study.refused("seeds=6") is None
    assert study.refused("seeds=4") is None
    assert study.refused("seeds=7")


def test_a_tuned_study_is_refused_before_its_trials(study):
    """Which are longer where there are more seeds, so that nothing is common to both."""
    tune = "tune={lr: [1.0e-3, 2.0e-3], trials: 2, shared: false}"
    before = study.finish("seeds=4", tune).planned.plan
    assert not before.unique.keys() & study.plan("seeds=6", tune).plan.unique.keys()
    assert study.refused("seeds=6", tune)
    assert study.refused("seeds=[5, 6, 7, 8]", tune) is None


def test_why_looks_after_fixed_studies_are_refused():
    """Studies without an effect, looked at after 4 to 8 seeds until a paired t test has p < 0.05,
    err in more than 10 % (Armitage, McPherson & Rowe 1969, table 2: 14 % with a known variance and
    looks of equal size). The levels of planned looks keep the 5 %, but not once a look was taken at
    5 %.
    """
    values = np.random.default_rng(1).standard_normal((40_000, 8))
    p = {n: stats.ttest_1samp(values[:, :n], 0, axis=1).pvalue for n in range(4, 9)}
    repeated = np.any([p[n] < 0.05 for n in p], axis=0).mean()
    assert 0.10 < repeated < 0.142
    counts = looks(4, 8)
    paid = np.any([p[n] < nominal_alpha(0.05, n, counts) for n in counts], axis=0)
    assert paid.mean() < 0.055
    assert ((p[4] < 0.05) | paid).mean() > 0.06
