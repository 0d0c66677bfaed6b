"""The steps of a factorial whose factors have levels, from what the design itself lays out."""

import pytest

from ablab.analysis.effect_summary import EffectSummary
from ablab.analysis.waterfall_steps import steps_of
from ablab.design.build import lay_out
from ablab.spec.study import load_study
from tests.handmade import make_arm, make_arm_summary, make_part, make_summary

HEAD = "budget: {steps: 5}\nmodel: {layers: 1, width: 16, heads: 2, context: 16}\nfrom: gpt2\n"
WORTH = {"rope": -0.5, "alibi": -0.2, "swiglu": -0.3}


@pytest.fixture
def steps(tmp_path, registry):
    """The steps of a study whose changes are worth what `WORTH` says, and nothing more together."""

    def call(end, factors):
        file = tmp_path / "x.yaml"
        file.write_text(f"{HEAD}to: {end}\ndesign: {{kind: factorial, factors: {factors}}}\n")
        study, document = load_study(file, None, [])
        layout = lay_out(study, registry, document)
        means = {
            name: 3 + sum(WORTH.get(used, 0.0) for used in arm.uses)
            for name, arm in layout.arms.items()
        }
        worth = [
            sum(weight * means[arm] for arm, weight in c.weights.items()) for c in layout.contrasts
        ]
        effects = [
            EffectSummary(c.name, c.kind, estimate, None, None, None)
            for c, estimate in zip(layout.contrasts, worth, strict=True)
        ]
        part = make_part(study, [make_arm(name) for name in layout.arms], [], layout.contrasts)
        arms = [make_arm_summary(name, mean=mean) for name, mean in means.items()]
        return steps_of(make_summary(part, arms=arms, effects=effects))

    return call


def test_factors_of_two_levels_lead_from_one_end_to_the_other(steps):
    found = steps("gpt2 + rope + swiglu", "{position: [off, rope], feed: [off, swiglu]}")
    assert (found.start, found.end, found.first) == ("gpt2", "gpt2 + rope + swiglu", 3)
    assert {step.name: step.estimate for step in found.changes} == pytest.approx(
        {"position: rope": -0.5, "feed: swiglu": -0.3}
    )


@pytest.mark.parametrize(
    ("end", "factors"),
    [
        ("gpt2 + rope", "{position: [off, alibi, rope]}"),  # alibi is no step on the way to rope
        ("gpt2 + rope", "{position: [off, rope], feed: [off, swiglu]}"),  # the end has no swiglu
    ],
)
def test_levels_off_the_way_are_no_steps(steps, end, factors):
    assert steps(end, factors) is None
