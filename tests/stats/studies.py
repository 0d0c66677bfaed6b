"""Studies with known answers: layouts by the study's own code, and tables of values with seed
effects and noise.
"""

import numpy as np

from ablab.arch.composition.registry import load_registry
from ablab.design.build import Contrast, lay_out
from ablab.spec.study import load_study

HEAD = "budget: {steps: 5}\nmodel: {layers: 1, width: 16, heads: 2, context: 16}\n"
FOUR = "[rope, swiglu, no_bias, rmsnorm]"
SIX = "[rope, swiglu, no_bias, rmsnorm, mqa, qk_norm]"
SEVEN = "[rope, swiglu, no_bias, rmsnorm, mqa, untied_embeddings, qk_norm]"
DESIGNS = {
    "compare": (
        "arms: {a: gpt2, b: gpt2 + rope, c: gpt2 + swiglu, d: gpt2 + no_bias}\ndesign: {kind: "
        "compare}\n"
    ),
    "path": "from: gpt2\nto: llama\ndesign: {kind: path}\n",
    "one_in": "from: gpt2\nto: llama\ndesign: {kind: one_in}\n",
    "leave_one_out": "from: gpt2\nto: llama\ndesign: {kind: leave_one_out}\n",
    "one_in_one_out": f"from: gpt2\ndesign: {{kind: one_in_one_out, changes: {FOUR}}}\n",
    "factorial": "from: gpt2\ndesign: {kind: factorial, changes: [rope, swiglu, no_bias]}\n",
    "fractional_factorial": "from: gpt2\n"
    f"design: {{kind: fractional_factorial, changes: {SIX}, resolution: 4}}\n",
    "shapley": f"from: gpt2\ndesign: {{kind: shapley, changes: {FOUR}}}\n",
    "shapley_sampled": f"from: gpt2\ndesign: {{kind: shapley, changes: {SEVEN}, orders: 8}}\n",
}


def layout(name, folder, more=""):
    """The layout of one of the designs; `more`: options of its kind."""
    file = folder / f"{name}.yaml"
    file.write_text(HEAD + DESIGNS[name].replace("}\n", f"{more}}}\n"))
    study, document = load_study(file, None, [])
    return lay_out(study, load_registry(), document)


def mean_of(names, effects, together=0.0):
    """An arm's true mean: 10, what each plugin adds, and `together` times a normal draw that is its
    own (interactions of every order).
    """
    own = (
        together * np.random.default_rng([5, *"".join(sorted(names)).encode()]).normal()
        if together
        else 0.0
    )
    return 10 + sum(effects.get(name, 0.0) for name in names) + own


def arm_means(layout, effects, together=0.0):
    """By arm."""
    return {arm: mean_of(model.uses, effects, together) for arm, model in layout.arms.items()}


def run(rng, means, seeds, sd=1.0):
    """A table of values: arm means, an effect of each seed three times the noise, and noise. Seeds
    count from 1.
    """
    of_seed = 3 * rng.normal(size=seeds)
    noise = sd * rng.normal(size=(len(means), seeds))
    return {
        (arm, s + 1): mean + of_seed[s] + noise[i, s]
        for i, (arm, mean) in enumerate(means.items())
        for s in range(seeds)
    }


def truth(question, means):
    """The contrast of the true means."""
    return sum(weight * means[arm] for arm, weight in question.weights.items())


def change(arm, base="a"):
    """The question of one arm against another."""
    return Contrast(arm, "change", {arm: 1.0, base: -1.0})


def table(means, seeds, seed=0, sd=1.0):
    """One study's values, drawn with a seed of its own."""
    return run(np.random.default_rng(seed), means, seeds, sd)


def first(cells, seeds_of):
    """The first seeds of each arm."""
    return {(arm, seed): value for (arm, seed), value in cells.items() if seed <= seeds_of[arm]}


def column(cells, arm):
    """An arm's values, by seed."""
    return np.array([value for (name, _), value in sorted(cells.items()) if name == arm])
