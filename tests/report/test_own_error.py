"""The effect's own t test beside a moderated one."""

import numpy as np
import pytest
from scipy import stats

from ablab.design.layout import Contrast
from ablab.report.sentences import own_error, own_errors
from ablab.report.tables import effects_table
from tests.handmade import make_summary
from tests.report.test_equal_arms import train

ARMS = ["1", "x", "y", "xy", "z", "xz", "yz", "xyz"]


@pytest.fixture
def factorial():
    """The main effects of a 2³ factorial on six seeds, and their values by seed."""
    values = np.random.default_rng(8).normal(2, 0.1, (8, 6))
    trained = train(dict(zip(ARMS, values, strict=True)))
    signs = {name: [1 if name in arm else -1 for arm in ARMS] for name in "xyz"}
    contrasts = tuple(
        Contrast(name, "change", dict(zip(ARMS, [s / 4 for s in sign], strict=True)))
        for name, sign in signs.items()
    )
    trained.change(contrasts=contrasts)
    return trained.findings.effects, {n: np.array(s) @ values / 4 for n, s in signs.items()}


def test_it_is_the_t_test_of_the_values_by_seed(factorial):
    effects, by_seed = factorial
    assert any(effect.moderated for effect in effects)
    for effect in effects:
        test = stats.ttest_1samp(by_seed[effect.name], 0)
        interval = test.confidence_interval()
        assert effect.paired.p == pytest.approx(test.pvalue)
        assert (effect.paired.low, effect.paired.high) == pytest.approx(tuple(interval))
        assert effect.as_json()["paired"]["p"] == pytest.approx(test.pvalue)
        text = f"{interval.low:+.3f} to {interval.high:+.3f} (p = {test.pvalue:.3f})"
        assert own_error(effect) == (text if effect.moderated else "–")


def test_the_table_and_the_terminal_show_it_where_it_differs(factorial):
    effects, _ = factorial
    summary = make_summary(effects=effects)
    table = effects_table(summary)
    assert table.columns[-1].name == "by its own t test"
    assert [row[-1].text for row in table.rows] == [own_error(effect) for effect in effects]
    (line,) = own_errors(summary)
    assert all((f"{e.name} {own_error(e)}" in line) == e.moderated for e in effects)


def test_two_arms_have_no_other():
    rng = np.random.default_rng(1)
    effects = train({"a": rng.normal(2, 0.1, 6), "b": rng.normal(2, 0.1, 6)}).findings.effects
    summary = make_summary(effects=effects)
    assert own_errors(summary) == []
    assert effects_table(summary).columns[-1].name == "verdict"
