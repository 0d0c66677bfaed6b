"""Every study that is shipped plans, whole and as a smoke test, and asks a question."""

from pathlib import Path

import pytest

from ablab.schedule.factory import make_plan
from ablab.spec.study import load_study

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))


def test_there_is_a_study_for_each_step_of_the_lineage():
    steps = {
        "gpt1_to_gpt2",
        "gpt2_to_gpt3",
        "gpt2_to_palm",
        "gpt2_vs_llama",
        "palm_vs_llama",
        "claims",
    }
    steps |= {"gpt2_vs_llama_tuned", "block_search", "megatron_tp", "scaling"}
    assert steps <= {file.stem for file in STUDIES}


@pytest.mark.parametrize("profile", [None, "smoke"])
@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_it_plans(file, profile, registry):
    study, document = load_study(file, profile, [])
    plan = make_plan(file.stem, study, document, registry)
    assert study.question.endswith(("?", "."))
    assert not plan.infeasible
    assert len({run.key for run in plan.runs}) == len(plan.runs), "two arms are the same model"
    assert plan.expected.runs
