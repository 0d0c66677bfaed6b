"""Contrasts of the studies in homes."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ablab.analysis.summarise import summarise
from ablab.evidence.gather import distinct, gather
from ablab.records.study_record import revisions
from tests.evidence.contrasts import make_contrast


def by_effect(home):
    contrasts, left_out = gather([home])
    assert left_out == []
    return {contrast.origin.effect: contrast for contrast in contrasts}


def values_of(home, arm):
    """Return the values of an arm by seed, read from the study's own summary."""
    summary = summarise(revisions(home, "x")[-1])
    values = next(each.values for each in summary.parts[0].arms if each.name == arm)
    return np.array([value.value for value in values])


def test_a_pair_of_arms_has_the_error_of_a_paired_t_test(homes):
    home = homes("equal arms")
    contrast = by_effect(home)["c"]
    difference = values_of(home, "c") - values_of(home, "a")
    reference = stats.ttest_1samp(difference, 0.0)
    low, high = reference.confidence_interval()
    assert contrast.change == "rope"
    assert contrast.estimate == pytest.approx(difference.mean())
    assert contrast.error == pytest.approx(difference.std(ddof=1) / 2)
    assert contrast.dof == pytest.approx(3)
    assert (contrast.low, contrast.high) == pytest.approx((low, high))
    # Half of each arm's weight of one on each of four seeds.
    assert sorted(contrast.runs.values()) == pytest.approx([-0.25] * 4 + [0.25] * 4)


def test_equal_arms_are_no_contrast(homes):
    assert [contrast.change for contrast in by_effect(homes("equal arms")).values()] == ["rope"]


def test_a_factorial_gives_its_main_effects_and_their_setting(homes):
    contrasts = by_effect(homes("interactions"))
    assert {contrast.change for contrast in contrasts.values()} == {
        "rope",
        "swiglu",
        "rope + swiglu",
    }
    rope = contrasts["rope"]
    assert rope.verdict == "helps"
    assert rope.setting.context == "average over gpt2 … gpt2 + rope + swiglu"
    assert (rope.setting.layers, rope.setting.width, rope.setting.context_length) == (1, 16, 16)
    assert rope.setting.budget == "{steps: 4.0}"
    assert rope.setting.tokenizer == "{kind: bpe, vocab: 300}"
    assert rope.setting.recipe == "{batch_tokens: 64}"
    assert not rope.setting.tuned
    assert len(rope.runs) == 16
    assert rope.origin.study == "x"


def test_parts_and_tuning_are_settings_of_their_own(homes):
    settings = [contrast.setting for contrast in gather([homes("scales")])[0]]
    # The widths and the steps of 64 tokens that the file gives to its scales.
    assert [(setting.width, setting.tokens) for setting in settings] == [
        (16, 256),
        (32, 512),
        (64, 1024),
    ]
    (tuned,) = gather([homes("tuned")])[0]
    assert tuned.setting.tuned


@pytest.mark.parametrize("kind", ["unfinished", "diverged", "one seed"])
def test_studies_without_verdicts_are_no_evidence(homes, kind):
    assert gather([homes(kind)])[0] == []


def test_the_same_runs_count_once_in_two_homes(homes):
    home = homes("interactions")
    once = gather([home])[0]
    assert [c.runs for c in gather([home, home])[0]] == [c.runs for c in once]


def test_fewer_of_the_same_runs_are_contained_in_more_of_them():
    few = make_contrast(-0.1, runs={"a": 1.0, "b": -1.0})
    more = make_contrast(-0.1, runs={"a": 0.5, "b": -0.5, "c": 0.5, "d": -0.5})
    elsewhere = replace(few, setting=replace(few.setting, context="llama"))
    assert distinct([few, more]) == [more]
    assert distinct([elsewhere, more]) == [more, elsewhere]
    # Contrasts whose runs are not known may be any.
    unknown = [make_contrast(-0.1), make_contrast(-0.1)]
    assert distinct(unknown) == unknown
