"""What reports say of the checks of a study."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from ablab.analysis.checks import checks_of
from ablab.analysis.summarise import summarise
from ablab.design.layout import Contrast
from ablab.report.checks import check_lines
from ablab.report.footnotes import footnotes
from ablab.stats.checks.equal_variances import EqualVariances
from tests.handmade import make_summary
from tests.report.pages import without_term_links

HALVES = (0.5, -0.5, -0.5, 0.5), (0.5, -0.5, 0.5, -0.5)


@pytest.fixture
def unlucky():
    """Runs of four arms on eight seeds, two of which went wrong in one arm, by arm and seed."""
    rng = np.random.default_rng(0)
    values = {(arm, seed): rng.normal(3, 0.01) for arm in "abcd" for seed in range(100, 108)}
    values["c", 103] += 0.2
    values["c", 106] += 0.1
    return values


def test_runs_and_arms_that_stand_out_are_named(unlucky):
    checks = checks_of(unlucky)
    assert [(run.arm, run.seed) for run in checks.runs] == [("c", 103), ("c", 106)]
    assert checks.runs[0].distance == pytest.approx(20, rel=0.3)
    assert [arm.arm for arm in checks.arms] == ["c"]
    first, second, third = check_lines(make_summary(checks=checks))
    assert first.startswith(f"runs that stand out: c seed 103 ({checks.runs[0].distance:+.1f} sd)")
    assert second.startswith(f"arms whose spread stands out: c ({checks.arms[0].ratio:.1f} times")
    assert third.startswith("equal noise in all arms: p = 0.")
    assert "(c); no verdict" in third


def test_a_quiet_study_states_its_variances_alone():
    rng = np.random.default_rng(1)
    values = {(arm, seed): rng.normal() for arm in "abcd" for seed in range(6)}
    checks = checks_of(values)
    assert checks.runs == checks.arms == ()
    assert checks.variances is not None
    test = EqualVariances(0.0004, "a", 0.0101, "d", 0.0931)
    lines = check_lines(make_summary(checks=type(checks)(variances=test)))
    assert lines == [
        "equal noise in all arms: p < 0.001 (Brown–Forsythe test, seed effects removed); sd from "
        "0.01 (a) to 0.093 (d); no verdict depends on this"
    ]


@pytest.mark.parametrize("seeds", [0, 1, 2])
def test_too_few_runs_say_nothing(seeds):
    values = {(arm, seed): float(seed) for arm in "ab" for seed in range(seeds)}
    assert check_lines(make_summary(checks=checks_of(values))) == []


def test_every_page_and_the_json_hold_the_checks(studies, written):
    summary = summarise(studies[0])
    (line,) = [line for line in footnotes(summary) if line.startswith("equal noise in all arms")]
    assert line.split(":")[0] in without_term_links(written[".html"].read_text())
    assert line.split(":")[0] in written[".md"].read_text()
    checks = summary.as_json()["parts"][0]["checks"]
    assert checks["variances"]["highest_sd"] >= checks["variances"]["lowest_sd"] > 0
    assert len(checks["spare"]) == 2
    assert any(text.startswith("spare columns, which test") for text in footnotes(summary))


def test_spare_columns_are_tested_by_their_own_t():
    rng = np.random.default_rng(2)
    values = rng.normal(2, 0.1, (4, 6))
    values[[0, 3]] += 0.3
    cells = {(arm, seed): values[i, seed] for i, arm in enumerate("abcd") for seed in range(6)}
    columns = [
        Contrast("x × y × z", "spare", dict(zip("abcd", HALVES[0], strict=True)), ("u × v × z",)),
        Contrast("x × y × u", "spare", dict(zip("abcd", HALVES[1], strict=True))),
    ]
    checks = checks_of(cells, columns)
    by_seed = [np.array(list(column.weights.values())) @ values for column in columns]
    p = [stats.ttest_1samp(v, 0).pvalue for v in by_seed]
    adjusted = multipletests(p, method="holm")[1]
    assert [column.p_holm for column in checks.spare] == pytest.approx(list(adjusted))
    assert [column.effect.estimate for column in checks.spare] == pytest.approx(
        [v.mean() for v in by_seed]
    )
    assert adjusted[0] < 0.05 < adjusted[1]
    (line,) = [text for text in check_lines(make_summary(checks=checks)) if "spare" in text]
    assert line == (
        "spare columns, which test that interactions of three factors or more are zero: "
        f"x × y × z = u × v × z is {by_seed[0].mean():+.3f} (p < 0.001); "
        "the assumption does not hold"
    )
    quiet = type(checks)(spare=checks.spare[1:])
    assert check_lines(make_summary(checks=quiet)) == [
        "spare columns, which test that interactions of three factors or more are zero: none of 1 "
        f"stands out (p = {adjusted[1]:.3f})"
    ]
