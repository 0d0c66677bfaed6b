"""The scale of the sweeps, on trials made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ablab.analysis.trials import ArmTuning, TrialSummary
from ablab.records.run_state import RunState
from ablab.report.figures.canvas import drawing, in_sizes
from ablab.report.figures.lr_sweeps import no_sweep, single_sweeps, sweeps
from tests.handmade import make_study, make_summary


def tuned(**arms):
    """A summary: by arm its trials, as (parameters, value)."""
    tuning = []
    for name, found in arms.items():
        trials = [
            TrialSummary(name, i, params, None if value is None else [value], RunState.FINISHED)
            for i, (params, value) in enumerate(found)
        ]
        tuning.append(ArmTuning(name, trials, None, []))
    return make_summary(tuning=tuning)


def over(option, *values, lost=()):
    """Trials of one option, those of `lost` without a value."""
    return [
        ({option: value}, None if value in lost else 2.0 + i % 2) for i, value in enumerate(values)
    ]


def grid_of(summary):
    """All sweeps in one figure."""
    made = sweeps(summary)
    assert made is not None
    return made


def axes_of(summary):
    """Of both forms of the figure, those that are drawn on."""
    grid = [axes for axes in grid_of(summary).figure.axes if axes.get_visible()]
    return grid + [plot.figure.axes[0] for plot in single_sweeps(summary)]


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ((5e-4, 1.5e-3, 4.5e-3), ["0.0005", "0.0015", "0.0045"]),
        ((0.001, 0.0015, 0.01, 0.02), ["0.001", "0.02"]),  # 0.01 would run into 0.02
        ((1e-5, 1e-4, 1e-3), ["1e-5", "0.0001", "0.001"]),
        ((0.0013, 0.00237642871, 0.0041), ["0.0013", "0.00238", "0.0041"]),
        ((1.0e-3, 1.0004e-3), ["0.001", "0.0010004"]),
    ],
)
def test_a_tick_stands_where_it_says(values, labels):
    for axes in axes_of(tuned(a=over("lr", *values), b=over("lr", *values))):
        assert [label.get_text() for label in axes.get_xticklabels()] == labels
        assert list(axes.get_xticks()) == pytest.approx(
            [float(label) for label in labels], rel=1e-12
        )
        assert axes.get_xscale() == "log"


def test_one_scale_for_all_where_0_was_tried():
    """Also for an arm whose trial at 0 came to no value, which alone could be on a logarithmic
    axis.
    """
    values = (0.0, 0.01, 0.1)
    summary = tuned(a=over("weight_decay", *values), b=over("weight_decay", *values, lost=(0.0,)))
    for axes in axes_of(summary):
        assert axes.get_xscale() == "linear"
        low, high = axes.get_xlim()
        assert low < 0
        assert high > 0.1
    assert grid_of(summary).png[:4] == b"\x89PNG"


def test_the_first_option_that_is_a_number_is_drawn():
    trials = [
        ({"optimizer": name, "lr": lr}, 2.0 + lr)
        for name in ("adamw", "muon")
        for lr in (0.001, 0.002)
    ]
    summary = tuned(a=trials)
    assert grid_of(summary).caption.startswith("val/bpb by lr.")
    assert no_sweep(summary) == ""


def test_where_there_is_nothing_to_draw_a_line_says_why():
    words = tuned(a=over("optimizer", "adamw", "muon"))
    assert (sweeps(words), single_sweeps(words)) == (None, [])
    assert (
        no_sweep(words)
        == "No sweep to draw: no numeric option was tuned. The table lists all trials."
    )
    unfinished = tuned(a=over("lr", 0.001, 0.002, lost=(0.002,)))
    assert (
        no_sweep(unfinished)
        == "No sweep to draw yet: no arm has values at two points of its tuning."
    )
    assert no_sweep(tuned()) == ""


def test_an_axis_of_sizes_has_the_digits_that_it_takes():
    with drawing(2) as figure:
        axes = figure.add_subplot()
        axes.plot([1.0e6, 1.0125e6], [0, 1])
        in_sizes(axes.xaxis)
    figure.canvas.draw()
    ticks = dict(
        zip(axes.get_xticks(), (label.get_text() for label in axes.get_xticklabels()), strict=True)
    )
    assert len(set(ticks.values())) == len(ticks) > 3
    assert all(
        float(text.rstrip("Mk")) * (1e6 if "M" in text else 1e3) == pytest.approx(at, abs=1)
        for at, text in ticks.items()
    )


def test_the_surface_is_drawn_over_the_trials_with_its_optimum_and_interval():
    """Exact parabolas, of which no trial is an optimum, and a little noise for the interval."""
    lrs = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
    noise = (0.002, -0.003, 0.001, 0.002, -0.002)
    optima = {"a": 1.4e-3, "b": 2.8e-3}
    arms = {
        name: [
            ({"lr": lr}, 2.5 + 0.14 * math.log2(lr / best) ** 2 + error)
            for lr, error in zip(lrs, noise, strict=True)
        ]
        for name, best in optima.items()
    }
    study = make_study(tune={"lr": list(lrs), "trials": 5})
    summary = tuned(**arms)
    summary = replace(summary, content=replace(summary.content, study=study))
    for axes, best in zip(axes_of(summary), [*optima.values(), *optima.values()], strict=True):
        trials, curve, optimum = axes.get_lines()
        assert trials.get_linestyle() == "None"
        assert list(trials.get_xdata()) == list(lrs)
        xs = curve.get_xdata()
        inside = ~np.isnan(xs)
        expected = 2.5 + 0.14 * np.log2(xs[inside] / best) ** 2
        assert np.abs(curve.get_ydata()[inside] - expected).max() < 0.03
        assert optimum.get_xdata()[0] == pytest.approx(best, rel=0.03)
        (band,) = axes.patches
        low, high = band.get_x(), band.get_x() + band.get_width()
        assert low < best < high < 1.2 * best
    (caption,) = {plot.caption for plot in single_sweeps(summary) if plot.caption}
    assert "response surface" in caption
