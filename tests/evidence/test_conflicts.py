"""What separates settings in which a change helps from those in which it hurts."""

import pytest

from ablab.design.build import lay_out
from ablab.evidence.conflicts import conflict_in
from ablab.evidence.follow_up import follow_up, with_change, without_change
from ablab.evidence.pooling import change_evidence
from ablab.execute.request import Request, planned
from ablab.spec.study import load_study
from tests.evidence.contrasts import make_contrast

HELPS, HURTS = -0.1, 0.1


def conflict(helps, hurts, change="parallel_block"):
    """Return the conflict between settings that differ from the plain one in these fields."""
    sides = ((HELPS, helps), (HURTS, hurts))
    contrasts = [
        make_contrast(
            estimate, change=change, **{f"setting_{name}": value for name, value in each.items()}
        )
        for estimate, settings in sides
        for each in settings
    ]
    return conflict_in(change_evidence(contrasts))


def test_settings_that_agree_are_no_conflict():
    contrasts = [make_contrast(HELPS), make_contrast(0.001, setting_context="llama")]
    assert conflict_in(change_evidence(contrasts)) is None


def test_factors_whose_levels_are_disjoint_separate():
    found = conflict(
        [{"context": "gpt2"}, {"context": "gpt2 + relu", "compute": 4e11}],
        [{"context": "llama", "compute": 3e11}],
    )
    assert found is not None
    # 3e11 lies between 2e11 and 4e11, so that no threshold of the compute separates them.
    assert [each.factor for each in found.separations] == ["block"]
    assert found.separations[0].helps == ("gpt2",)
    assert found.separations[0].hurts == ("llama",)


def test_nothing_separates_equal_levels():
    found = conflict([{"lr": 0.002}, {"lr": 0.006}], [{"lr": 0.004}])
    assert found is not None
    assert found.separations == ()
    assert follow_up(found) is None


@pytest.mark.parametrize(
    ("helps", "hurts", "arms"),
    [
        ({"context": "gpt2 + relu"}, {"context": "llama"}, 4),
        ({"lr": 0.002}, {"lr": 0.008}, 2),
        ({"compute": 2e11}, {"compute": 4e11, "budget": "{flops: 4.0e+11}"}, 2),
        ({"budget": "{tokens: 1.85e+5}"}, {"budget": "{flops: 2.0e+11}"}, 2),
        ({"nuisance": "{recipe.lr: {factor: 1.5}}"}, {"nuisance": ""}, 2),
    ],
)
def test_the_study_that_would_test_it_plans(tmp_path, helps, hurts, arms, registry):
    found = conflict([helps], [hurts])
    assert found is not None
    study = follow_up(found)
    assert study is not None
    file = tmp_path / "test.yaml"
    file.write_text(study.text)
    loaded, document = load_study(file, None, [])
    layout = lay_out(loaded, registry, document)
    assert len(layout.arms) == arms
    plan = planned(Request(file, None, (), ()), tmp_path / "home")
    assert plan is not None


def test_a_change_is_put_into_its_context_and_taken_out():
    assert with_change("llama - pre_norm", "pre_norm") == "llama"
    assert with_change("gpt2 + relu", "rope") == "gpt2 + relu + rope"
    assert without_change("gpt2 + rope + relu", "rope") == "gpt2 + relu"


def test_factors_that_no_study_varies_give_no_file():
    found = conflict([{"corpus": "{source: stdlib}"}], [{"corpus": "{source: hub, name: x}"}])
    assert found is not None
    assert [each.factor for each in found.separations] == ["corpus"]
    assert follow_up(found) is None
