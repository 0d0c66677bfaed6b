"""Contrasts on a change, pooled over settings."""

import math

import pytest
from scipy import stats

from ablab.errors import UserError
from ablab.evidence.pooling import change_evidence, evidence_on
from tests.evidence.contrasts import make_contrast

COMPUTES = (1e11, 2e11, 4e11, 8e11)


def test_settings_are_in_the_order_of_compute_and_grow_with_it():
    # A straight line in log₁₀ of the compute, of −0.05 per tenfold.
    contrasts = [
        make_contrast(-0.05 * math.log10(compute / 1e10), 0.001, setting_compute=compute)
        for compute in reversed(COMPUTES)
    ]
    evidence = change_evidence(contrasts)
    assert [result.setting.compute for result in evidence.settings] == list(COMPUTES)
    assert evidence.trend is not None
    assert evidence.trend.slope == pytest.approx(-0.05, rel=1e-6)
    assert evidence.is_independent


def test_settings_of_nearly_the_same_compute_show_no_trend():
    contrasts = [
        make_contrast(-0.05 + 0.001 * i, 0.001, setting_compute=compute)
        for i, compute in enumerate((1.0e11, 1.2e11, 1.4e11, 1.9e11))
    ]
    assert change_evidence(contrasts).trend is None


def test_replications_of_a_setting_are_one_result():
    pair = [make_contrast(-0.04, 0.01), make_contrast(-0.06, 0.01, origin_revision="b")]
    evidence = change_evidence(pair)
    (result,) = evidence.settings
    assert result.estimate == pytest.approx(-0.05)
    # Two independent means: the error shrinks by √2, and the degrees of freedom add up.
    half = stats.t.ppf(0.975, 14) * 0.01 / math.sqrt(2)
    assert result.high == pytest.approx(-0.05 + half)
    assert (result.verdict, evidence.pooled.clusters) == ("helps", 1)


def test_settings_that_share_a_baseline_count_as_one_in_the_mean():
    def arm(name, estimate, compute):
        runs = {f"{name}1": 0.5, f"{name}2": 0.5, "base1": -0.5, "base2": -0.5}
        return make_contrast(estimate, 0.01, runs=runs, setting_compute=compute)

    evidence = change_evidence(
        [arm("a", -0.05, 1e11), arm("b", -0.05, 2e11), make_contrast(-0.05, setting_compute=4e11)]
    )
    assert [result.cluster for result in evidence.settings] == [1, 1, 2]
    assert evidence.pooled.clusters == 2
    assert not evidence.is_independent


def test_earlier_numerics_are_left_out_unless_they_are_the_only_ones():
    old = make_contrast(0.2, origin_numerics=1, setting_compute=1e11)
    new = make_contrast(-0.05)
    evidence = change_evidence([old, new])
    assert evidence.left_out == (old,)
    assert evidence.pooled.estimate == pytest.approx(-0.05)
    assert change_evidence([old]).left_out == ()


def test_a_plugin_means_all_of_its_options_and_of_what_it_replaces():
    changes = ("swiglu", "swiglu for relu", "swiglu(factor=4)", "rope", "swiglu + rope")
    contrasts = [make_contrast(-0.1, change=change) for change in changes]
    found = [evidence.change for evidence in evidence_on(contrasts, ["swiglu"])]
    assert found == ["swiglu", "swiglu for relu", "swiglu(factor=4)"]
    (only,) = evidence_on(contrasts, ["swiglu for relu"])
    assert only.change == "swiglu for relu"
    assert len(evidence_on(contrasts)) == len(changes)


@pytest.mark.parametrize(
    ("changes", "metric", "message"),
    [
        (["rop"], None, "no change with evidence named 'rop' (did you mean 'rope'?)"),
        (["rope"], None, "unlike metrics, which have no common mean: choose --metric val/bpb or"),
        (["rope"], "val/bpp", "no metric of these contrasts named 'val/bpp'"),
        (["swiglu"], None, "val/loss of unlike tokenizers has no common mean"),
    ],
)
def test_bad_questions_have_a_way_out(changes, metric, message):
    contrasts = [
        make_contrast(-0.1),
        make_contrast(-0.1, metric="val/loss"),
        make_contrast(-0.1, metric="val/loss", change="swiglu"),
        make_contrast(-0.1, metric="val/loss", change="swiglu", setting_tokenizer="{kind: byte}"),
    ]
    with pytest.raises(UserError) as error:
        evidence_on(contrasts, changes, metric)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
