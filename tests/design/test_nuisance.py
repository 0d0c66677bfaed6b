"""Nuisance factors: their combinations over the seeds, what a study file may say, and the runs."""

from itertools import combinations as pairs

import numpy as np
import pytest

from ablab.design.nuisance import NuisanceDesign, combinations
from ablab.errors import UserError
from ablab.execute.request import Request, planned
from ablab.spec.study import load_study
from ablab.tracking.mlflow.parameters import TrackedRuns

NUISANCE = 'nuisance: {recipe.lr: {factor: 2}, init: ["", "width_init"]}\n'


@pytest.fixture
def study(tmp_path, study_text):
    """Writes a study with nuisance factors, and returns its file."""

    def write(nuisance=NUISANCE, seeds="8", more=""):
        file = tmp_path / "x.yaml"
        text = "".join(f"{line}\n" for line in study_text.splitlines() if "seeds" not in line)
        file.write_text(f"{text}seeds: {seeds}\n{nuisance}{more}")
        return file

    return write


@pytest.mark.parametrize("factors", [1, 2, 3])
@pytest.mark.parametrize("seeds", [4, 8, 12, 16])
def test_levels_are_balanced_at_every_look(factors, seeds):
    codes = 2 * combinations(seeds, factors) - 1
    assert (codes.sum(0) == 0).all()
    for a, b in pairs(range(factors), 2):
        assert codes[:, a] @ codes[:, b] == 0
    if seeds % 8 == 0:
        _, counts = np.unique(codes, axis=0, return_counts=True)
        assert counts.tolist() == [seeds // 2**factors] * 2**factors


def test_every_arm_has_the_combination_of_the_seed(study, tmp_path):
    plan = planned(Request(study(), None, (), ()), tmp_path).plan
    runs = {(run.arm, run.seed): run for run in plan.runs}
    arms = sorted({arm for arm, _ in runs})
    lr = {1: 0.5, 2: 2.0, 3: 0.5, 4: 2.0, 5: 0.5}
    base = load_study(study(nuisance=""), None, [])[0].recipe.lr
    for arm in arms:
        for seed, factor in lr.items():
            run = runs[arm, seed]
            assert run.recipe["lr"] == pytest.approx(base * factor)
            assert ("width_init" in dict(run.plugins)) == (seed in (3, 4))
    assert len(plan.unique) == len(arms) * 8


def test_views_show_the_recipe_of_each_run(study, tmp_path):
    plan = planned(Request(study(), None, (), ()), tmp_path).plan
    tracked = TrackedRuns.of(plan)
    rates = {key: recipe["lr"] for key, recipe in tracked.recipes.items()}
    assert rates == {key: spec.recipe["lr"] for key, spec in plan.unique.items()}
    assert len(set(rates.values())) == 2


def test_the_runs_are_those_of_a_study_with_that_recipe(study, tmp_path):
    spread = planned(Request(study(), None, (), ()), tmp_path).plan.unique
    base = load_study(study(nuisance=""), None, [])[0].recipe.lr
    alone = planned(
        Request(study(nuisance=""), None, (f"recipe.lr={base * 2}", "seeds=[2]"), ()), tmp_path
    ).plan.unique
    assert alone.keys() <= spread.keys()


def test_labels_say_what_a_level_is(study):
    design = NuisanceDesign.of(load_study(study(), None, [])[0])
    assert design is not None
    assert design.labels == {"recipe.lr": ("÷ 2", "× 2"), "init": ("no plugin", "width_init")}


@pytest.mark.parametrize(
    ("nuisance", "message"),
    [
        ("nuisance: {}\n", "one to 3 nuisance factors, not 0"),
        ("nuisance: {recipe.lrr: {factor: 2}}\n", "did you mean 'lr'"),
        ("nuisance: {recipe.lr: [1.0e-3]}\n", "two different levels"),
        ("nuisance: {recipe.lr: [1.0e-3, 1.0e-3]}\n", "two different levels"),
        ("nuisance: {recipe.lr: [1.0e-3, -1]}\n", "greater than 0"),
        ("nuisance: {recipe.lr: {factor: 1}}\n", "greater than 1"),
        ("nuisance: {recipe.schedule: {factor: 2}}\n", "it is no real number"),
        ("nuisance: {recipe.batch_tokens: {factor: 2}}\n", "it is no real number"),
        ("nuisance: {recipe.warmup: [0.1, high]}\n", "recipe.warmup: Input should be a valid"),
        ("nuisance: {recipe.warmup: {factor: 30}}\n", "less than 1, not 1.5"),
        ("nuisance: {recipe.batch_tokens: [64, 65]}\n", "nuisance.recipe.batch_tokens ("),
        ("nuisance: {recipe: {lr: [1.0e-3, 2.0e-3]}}\n", "is one key, such as `recipe.lr:"),
        ("nuisance: {recipe.optimizer: [null, muon]}\n", "a level is a number or a text"),
        ("nuisance: {recipe.preset: [a, b]}\n", "no option of the recipe named 'preset'"),
        ("nuisance: {init: {factor: 2}}\n", "a list of two plugin expressions"),
        ('nuisance: {init: ["", width_int]}\n', "did you mean 'width_init'"),
        (
            'nuisance: {init: ["", width_init]}\ntune: {lr: [1.0e-3, 2.0e-3], trials: 2}\n',
            "trials choose one recipe",
        ),
    ],
)
def test_what_is_refused_of_nuisance_factors(study, tmp_path, nuisance, message):
    with pytest.raises(UserError) as error:
        planned(Request(study(nuisance), None, (), ()), tmp_path)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/x.yaml:")


@pytest.mark.parametrize(
    ("nuisance", "override", "message"),
    [
        ('{tok: ["", "sentencepiece(vocab=300)"]}', "budget={flops: 1.0e+8}", "change the data"),
        ("{recipe.clip: {factor: 2}}", "recipe.clip=0", "both levels are the same to arm"),
        ("{recipe.lr: {factor: 2}}", "to=gpt2 + rope", None),
        ('{init: ["", width_init]}', "to=gpt2 + width_init + rope", "both levels are the same"),
    ],
)
def test_a_factor_changes_every_arm_and_no_data(study, tmp_path, nuisance, override, message):
    request = Request(study(f"nuisance: {nuisance}\n"), None, (override,), ())
    if message is None:
        planned(request, tmp_path)
        return
    with pytest.raises(UserError, match=message) as error:
        planned(request, tmp_path)
    assert str(error.value).startswith(f"{tmp_path}/x.yaml:")


def test_replicates_have_no_nuisance_factors(study, tmp_path):
    arms = "arms={a: gpt2, b: {model: gpt2, replicate: 1}}"
    overrides = (arms, "design={kind: compare}", "from=null", "to=null")
    with pytest.raises(UserError, match="replicates have seeds of their own"):
        planned(Request(study(), None, overrides, ()), tmp_path)


def test_rungs_keep_their_own_rates(study, tmp_path):
    rungs = "[{model: {width: 16}}, {model: {width: 32}}, {model: {width: 64}}]"
    overrides = (f"scales={{lr: inverse_width, rungs: {rungs}}}", "to=gpt2 + rope")
    listed = study("nuisance: {recipe.lr: [1.0e-3, 2.0e-3]}\n")
    with pytest.raises(UserError, match="two values would replace those of all rungs"):
        planned(Request(listed, None, overrides, ()), tmp_path)
    around = study("nuisance: {recipe.lr: {factor: 2}}\n")
    plan = planned(Request(around, None, overrides, ()), tmp_path).plan
    rates = sorted({run.recipe["lr"] for run in plan.unique.values()})
    assert rates == pytest.approx([1.25e-4, 2.5e-4, 5e-4, 1e-3, 2e-3])


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("7", "need at least 8 seeds (4 + 2 for each factor), in multiples of 4"),
        ("10", "not 10"),
        ("{start: 4, max: 12}", "not 4"),
        ("{start: 8, max: 10}", "not 10"),
    ],
)
def test_too_few_seeds_are_refused(study, tmp_path, seeds, message):
    with pytest.raises(UserError, match=r"x\.yaml:") as error:
        planned(Request(study(seeds=seeds), None, (), ()), tmp_path)
    assert message in str(error.value)
