"""Ladders against statsmodels called directly, and against simulated ones with known answers."""

from typing import Any

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame
from scipy import optimize, stats
from statsmodels.stats.anova import anova_lm

from ablab.stats.scaling import curves
from ablab.stats.scaling import extrapolation as scaling
from ablab.stats.scaling import multiplier as multipliers
from ablab.stats.scaling.extrapolation import paired

COMPUTES = [1e11, 2e11, 4e11, 8e11]
CHANGE = {"arm": 1.0, "base": -1.0}

# What may be None is not, where a test looks into it.
curve: Any = curves.curve
multiplier: Any = multipliers.multiplier
outlook: Any = scaling.outlook
line: Any = scaling.line
forecast: Any = scaling.forecast


def tenfold(compute):
    return np.log10(compute / 1e11)


def ladder(rng, effect=lambda x: -0.1 + 0.05 * x, loss=lambda x: 3 - 0.4 * x, seeds=3, sd=0.02):
    """Rungs of a baseline and an arm: a seed shifts both alike, everywhere."""
    of_seed = rng.normal(0, 0.05, seeds)
    rungs = []
    for compute in COMPUTES:
        x, cells = tenfold(compute), {}
        for seed in range(seeds):
            cells["base", seed] = loss(x) + of_seed[seed] + rng.normal(0, sd)
            cells["arm", seed] = loss(x) + effect(x) + of_seed[seed] + rng.normal(0, sd)
        rungs.append((compute, cells))
    return rungs


def runs(rungs, arm):
    return [
        (compute, seed, value)
        for compute, cells in rungs
        for (name, seed), value in cells.items()
        if name == arm
    ]


def table(rungs):
    rows = [
        (tenfold(c), s, cells["arm", s] - cells["base", s]) for c, cells in rungs for s in range(3)
    ]
    return DataFrame(rows, columns=["x", "seed", "effect"])


def test_a_forecast_is_the_prediction_interval_of_least_squares():
    rungs = ladder(np.random.default_rng(0))
    frame = table(rungs)
    model = smf.ols("effect ~ x", frame).fit()
    (told,) = (
        model.get_prediction(DataFrame({"x": [tenfold(1.6e12)]}))
        .summary_frame(alpha=0.05)
        .itertuples()
    )
    one = forecast(
        line([(c, e) for c, cells in rungs for e in paired(cells, CHANGE).values()]), 1.6e12, 1
    )
    assert one.estimate == pytest.approx(told.mean)
    assert (one.low, one.high) == pytest.approx((told.obs_ci_lower, told.obs_ci_upper))
    found = outlook(rungs, CHANGE)
    half = stats.t.ppf(0.975, 10) * (told.mean_se**2 + model.scale / 3) ** 0.5
    assert (found.next.compute, found.next.runs) == (1.6e12, 3)
    assert (found.next.low, found.next.high) == pytest.approx((told.mean - half, told.mean + half))
    assert (found.slope, found.low, found.high) == pytest.approx(
        (model.params["x"], *model.conf_int().loc["x"])
    )


def test_the_last_rung_is_held_out():
    rungs = ladder(np.random.default_rng(1))
    frame = table(rungs)
    model = smf.ols("effect ~ x", frame[frame.x < 0.8]).fit()
    (told,) = model.get_prediction(DataFrame({"x": [tenfold(8e11)]})).summary_frame().itertuples()
    found = outlook(rungs, CHANGE)
    assert found.held.estimate == pytest.approx(told.mean)
    assert found.came == pytest.approx(frame[frame.x > 0.8].effect.mean())
    half = stats.t.ppf(0.975, 7) * (told.mean_se**2 + model.scale / 3) ** 0.5
    assert (found.held.low, found.held.high) == pytest.approx((told.mean - half, told.mean + half))


def test_lack_of_fit_is_that_of_nested_models():
    frame = table(rungs := ladder(np.random.default_rng(2), effect=lambda x: 0.1 * (x - 0.4) ** 2))
    reference = anova_lm(smf.ols("effect ~ x", frame).fit(), smf.ols("effect ~ C(x)", frame).fit())
    assert outlook(rungs, CHANGE).misfit == pytest.approx(reference["Pr(>F)"].iloc[1])


def test_unequal_spread_is_found_by_bartletts_test():
    rungs = ladder(np.random.default_rng(11), seeds=4)
    wide = (8e11, {(a, s): v + (a == "arm") * (-1) ** s for (a, s), v in rungs[3][1].items()})
    for each in (rungs, [*rungs[:3], wide]):
        groups = [list(paired(cells, CHANGE).values()) for _, cells in each]
        assert outlook(each, CHANGE).unequal == pytest.approx(stats.bartlett(*groups).pvalue)
    assert outlook([*rungs[:3], wide], CHANGE).unequal < 0.001


def test_what_a_seed_does_to_all_arms_cancels():
    rungs = ladder(np.random.default_rng(3))
    shifted = [
        (c, {(a, s): v + (s == 1) * 7 + (s == 2) * c / 1e11 for (a, s), v in cells.items()})
        for c, cells in rungs
    ]
    assert outlook(shifted, CHANGE).next.low == pytest.approx(outlook(rungs, CHANGE).next.low)


def test_forecasts_cover_on_two_thousand_ladders():
    rng = np.random.default_rng(4)
    held = ahead = slopes = 0
    for _ in range(2000):
        found = outlook(ladder(rng), CHANGE)
        new = -0.1 + 0.05 * tenfold(1.6e12) + rng.normal(0, 0.02 * (2 / 3) ** 0.5)
        held += found.inside
        ahead += found.next.low <= new <= found.next.high
        slopes += found.low <= 0.05 <= found.high
    for covered in (held, ahead, slopes):
        assert 0.93 <= covered / 2000 <= 0.97


def test_too_few_rungs_give_no_forecast_and_say_so():
    rungs = ladder(np.random.default_rng(5))
    assert "needs three" in outlook(rungs[:2], CHANGE).reason
    assert outlook(rungs[:2], CHANGE).next is None
    lost = [*rungs[:3], (8e11, {k: v for k, v in rungs[3][1].items() if k[0] == "base"})]
    assert outlook(lost, CHANGE).reason == "the effect has no value on the last rung"
    one_seed = [(c, {k: v for k, v in cells.items() if k[1] == 0}) for c, cells in rungs[:3]]
    assert (outlook(one_seed, CHANGE).held.low, outlook(one_seed, CHANGE).inside) == (None, None)


def test_a_straight_line_is_the_model_with_seeds_as_blocks():
    points = runs(ladder(np.random.default_rng(6)), "base")
    frame = DataFrame(points, columns=["c", "seed", "loss"]).assign(
        x=lambda f: np.log(f.c / f.c.min())
    )
    model = smf.ols("loss ~ x + C(seed, Sum)", frame).fit()
    fitted = curve(points)
    assert fitted.form == "log_linear"
    assert (fitted.parameters["slope"], fitted.dof) == (
        pytest.approx(model.params["x"]),
        model.df_resid,
    )
    at = np.array([1.0, 0.0, 0.0, np.log(16)])
    (error,) = (
        (at @ model.cov_params() @ at) ** 0.5 * stats.t.ppf(0.975, model.df_resid) * np.ones(1)
    )
    mean = model.params["Intercept"] + model.params["x"] * np.log(16)
    assert fitted.at(1.6e12) == pytest.approx(mean)
    assert fitted.interval(1.6e12) == pytest.approx((mean - error, mean + error))


def law(compute):
    return 1.7 + 0.9 * (compute / 1e11) ** -0.35


def test_a_power_law_without_noise_is_recovered():
    points = [(c, s, law(c) + 0.1 * s) for c in (1e11, 4e11, 1.6e12, 6.4e12) for s in (0, 1)]
    fitted = curve(points)
    assert fitted.form == "power_law"
    told = fitted.parameters
    assert (told["floor"], told["exponent"]) == (
        pytest.approx(1.75, rel=1e-5),
        pytest.approx(0.35, rel=1e-5),
    )
    assert told["scale"] * 1e11**-0.35 == pytest.approx(0.9, rel=1e-5)
    found = multiplier(fitted, 1e12, {0: law(2.5e12), 1: law(2.5e12) + 0.1})
    assert found.value == pytest.approx(2.5, rel=1e-4)


def test_intervals_of_parameters_are_those_of_other_least_squares():
    points = runs(ladder(np.random.default_rng(12)), "base")
    frame = DataFrame(points, columns=["c", "seed", "loss"]).assign(x=lambda f: np.log(f.c))
    reference = smf.ols("loss ~ x + C(seed, Sum)", frame).fit().conf_int().loc["x"]
    assert curve(points).intervals() == {"slope": pytest.approx(tuple(reference))}
    rng = np.random.default_rng(13)
    bent = [(1e11 * 3.0**i, 0, law(1e11 * 3.0**i) + rng.normal(0, 0.005)) for i in range(8)]
    (floor, _, exponent), covariance = optimize.curve_fit(
        lambda c, floor, scale, exponent: floor + scale * c**-exponent,
        [c / 1e11 for c, _, _ in bent],
        [v for _, _, v in bent],
        p0=[1.7, 0.9, 0.35],
    )
    half = stats.t.ppf(0.975, 5) * np.diag(covariance) ** 0.5
    told = curve(bent).intervals()
    assert told["floor"] == pytest.approx((floor - half[0], floor + half[0]), rel=1e-3)
    assert told["exponent"] == pytest.approx((exponent - half[2], exponent + half[2]), rel=1e-3)


def test_a_power_law_covers_and_so_do_its_multipliers():
    rng = np.random.default_rng(7)
    computes = [1e11 * 3.0**i for i in range(6)]
    laws = multipliers = bent = 0
    for _ in range(300):
        fitted = curve([(c, s, law(c) + rng.normal(0, 0.01)) for c in computes for s in range(3)])
        bent += fitted.form == "power_law"
        low, high = fitted.interval(computes[-1] * 3)
        laws += low <= law(computes[-1] * 3) <= high
        found = multiplier(
            fitted, computes[3], {s: law(1.5 * computes[3]) + rng.normal(0, 0.01) for s in range(3)}
        )
        multipliers += found.low <= 1.5 <= found.high
    assert bent > 290
    assert laws / 300 >= 0.9
    assert multipliers / 300 >= 0.9


def test_three_computes_or_a_straight_line_identify_no_floor():
    assert curve([(c, s, law(c)) for c in COMPUTES[:3] for s in (0, 1)]).form == "log_linear"
    assert (
        curve([(c, s, 3 - 0.2 * tenfold(c)) for c in COMPUTES for s in (0, 1)]).form == "log_linear"
    )
    assert curve([(1e11, 0, 3.0), (1e11, 1, 3.1)]) is None


def test_a_multipliers_interval_is_where_the_line_could_meet_the_loss():
    """Fieller's interval, by trying multipliers one after another."""
    rungs = ladder(np.random.default_rng(8))
    points = runs(rungs, "base")
    frame = DataFrame(points, columns=["c", "seed", "loss"]).assign(x=lambda f: np.log(f.c / 4e11))
    model = smf.ols("loss ~ x + C(seed, Sum)", frame).fit()
    loss = np.mean([rungs[2][1]["arm", s] for s in range(3)])
    tried = np.linspace(-3, 5, 80_001)
    at = np.column_stack([np.ones_like(tried), 0 * tried, 0 * tried, tried])
    error = (model.scale / 3 + np.einsum("ij,jk,ik->i", at, model.cov_params(), at)) ** 0.5
    inside = tried[np.abs(loss - at @ model.params) <= stats.t.ppf(0.975, model.df_resid) * error]
    found = multiplier(curve(points), 4e11, {s: rungs[2][1]["arm", s] for s in range(3)})
    assert (found.low, found.high) == pytest.approx(
        (np.exp(inside.min()), np.exp(inside.max())), rel=1e-3
    )
    assert found.value == pytest.approx(
        np.exp((loss - model.params["Intercept"]) / model.params["x"])
    )


def test_multipliers_cover():
    rng = np.random.default_rng(9)
    covered, true = 0, 10 ** ((-0.1 + 0.05 * tenfold(4e11)) / -0.4)
    for _ in range(1000):
        rungs = ladder(rng)
        found = multiplier(
            curve(runs(rungs, "base")), 4e11, {s: rungs[2][1]["arm", s] for s in range(3)}
        )
        covered += found.value is not None and found.low <= true <= found.high
    assert 0.93 <= covered / 1000 <= 0.97


@pytest.mark.parametrize(
    ("slope", "loss", "reason"),
    [
        (-0.4, 1.0, "beyond the largest compute"),
        (-0.4, 4.5, "below the smallest compute"),
        (0.0, 2.9, "does not fall measurably"),
        (0.4, 2.9, "does not fall measurably"),
    ],
)
def test_a_multiplier_that_cannot_be_told_says_why(slope, loss, reason):
    points = runs(ladder(np.random.default_rng(10), loss=lambda x: 3 + slope * x), "base")
    found = multiplier(curve(points), 4e11, dict.fromkeys(range(3), loss))
    assert (found.value, found.low, found.high) == (None, None, None)
    assert reason in found.reason


def test_a_multiplier_needs_degrees_of_freedom_and_a_common_seed():
    exact = curve([(1e11, 0, 3.0), (2e11, 0, 2.9)])
    assert "too few runs" in multiplier(exact, 1e11, {0: 2.9}).reason
    assert "no seed in common" in multiplier(exact, 1e11, {5: 2.9}).reason
    floored = curve([(c, s, law(c)) for c in (1e11, 4e11, 1.6e12, 6.4e12) for s in (0, 1)])
    assert "below the floor" in multiplier(floored, 1e11, {0: 1.6, 1: 1.6}).reason
