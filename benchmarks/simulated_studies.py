"""Simulated studies with known answers: designs laid out by ablab itself, and the noise of runs.

Used by `benchmarks.error_rates` and by the tests.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ablab.arch.composition.registry import load_registry
from ablab.design.build import lay_out
from ablab.design.layout import Contrast
from ablab.spec.study import load_study
from ablab.stats.inference.table import Table

_HEAD = "budget: {steps: 5}\nmodel: {layers: 1, width: 16, heads: 2, context: 16}\nfrom: gpt2\n"
_SIX = "[rope, swiglu, no_bias, rmsnorm, mqa, qk_norm]"
_DESIGNS = {
    "compare 2": "design: {kind: one_in, changes: [rope]}",
    "compare 4": "design: {kind: one_in, changes: [rope, swiglu, no_bias]}",
    "compare 7": f"design: {{kind: one_in, changes: {_SIX}}}",
    "2^3": "design: {kind: factorial, changes: [rope, swiglu, no_bias]}",
    "2^(6-2)": f"design: {{kind: fractional_factorial, changes: {_SIX}, resolution: 4}}",
    "shapley 4": "design: {kind: shapley, changes: [rope, swiglu, no_bias, rmsnorm]}",
}


@dataclass(frozen=True)
class SimulatedDesign:
    """A design: its arms with the changes that each of them has, and its primary contrasts."""

    name: str
    changes: Mapping[str, frozenset[str]]
    contrasts: tuple[Contrast, ...]
    disjoint: bool = False
    """Whether each arm has seeds of its own."""

    @property
    def arms(self) -> list[str]:
        """The arms; the first is the baseline."""
        return list(self.changes)

    @property
    def factors(self) -> list[str]:
        """The changes."""
        return sorted(set().union(*self.changes.values()))

    def means(self, effect: float) -> np.ndarray:
        """Return the true mean of each arm if every change adds `effect`, `(arms,)`."""
        return np.array([effect * len(changes) for changes in self.changes.values()])

    def truth(self, means: np.ndarray) -> np.ndarray:
        """Return the true value of each contrast, `(contrasts,)`, from the arms' true means."""
        by_arm = dict(zip(self.arms, means, strict=True))
        return np.array(
            [sum(w * by_arm[arm] for arm, w in c.weights.items()) for c in self.contrasts]
        ).round(12)

    def table(self, noise: np.ndarray, means: np.ndarray | None = None) -> Table:
        """Return the table of the runs `(studies, arms, seeds)` with this noise around the means
        `(arms,)`.
        """
        runs = noise if means is None else noise + means[:, None]
        if not self.disjoint:
            return Table(self.arms, runs, np.ones(runs.shape[1:], bool))
        studies, arms, seeds = runs.shape
        values = np.full((studies, arms, arms, seeds), np.nan)
        values[:, np.arange(arms), np.arange(arms)] = runs
        present = np.zeros((arms, arms, seeds), bool)
        present[np.arange(arms), np.arange(arms)] = True
        shape = (arms, arms * seeds)
        return Table(self.arms, values.reshape(studies, *shape), present.reshape(shape))


def designs() -> dict[str, SimulatedDesign]:
    """Return the designs by name; the comparisons with common and with disjoint seeds."""
    return lay_out_designs(_DESIGNS)


def lay_out_designs(texts: Mapping[str, str]) -> dict[str, SimulatedDesign]:
    """Return the designs that keys of a study describe, by name.

    Each whose name starts with `compare` comes with common and with disjoint seeds.
    """
    registry = load_registry()
    result: dict[str, SimulatedDesign] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            file = Path(folder, "study.yaml")
            file.write_text(f"{_HEAD}{text}\n")
            study, document = load_study(file, None, [])
            layout = lay_out(study, registry, document)
            base = set(layout.arms[layout.baseline].uses)
            order = sorted(layout.arms, key=lambda arm: arm != layout.baseline)
            changes = {arm: frozenset(set(layout.arms[arm].uses) ^ base) for arm in order}
            contrasts = tuple(c for c in layout.contrasts if c.kind != "interaction")
            result[name] = SimulatedDesign(name, changes, contrasts)
            if name.startswith("compare"):
                separate = f"{name}, disjoint seeds"
                result[separate] = SimulatedDesign(separate, changes, contrasts, disjoint=True)
    return result


Draw = Callable[[np.random.Generator, SimulatedDesign, int, int], np.ndarray]


@dataclass(frozen=True)
class Noise:
    """The noise of runs around the mean of their arm. `draw(generator, design, studies, seeds)`
    returns `(studies, arms, seeds)`. `limit` is the highest coverage that intervals should have.
    """

    name: str
    draw: Draw = field(repr=False)
    limit: float = 0.97


def _scaled(sds: Callable[[int], np.ndarray]) -> Draw:
    """Return normal noise with the standard deviations that `sds` gives for a number of arms, in
    units of their root mean square.
    """

    def draw(
        rng: np.random.Generator, design: SimulatedDesign, studies: int, seeds: int
    ) -> np.ndarray:
        sd = sds(len(design.arms))
        sd = sd / np.sqrt(np.mean(sd**2))
        return rng.standard_normal((studies, len(sd), seeds)) * sd[:, None]

    return draw


def _one_arm(index: int, factor: float) -> Callable[[int], np.ndarray]:
    def sds(arms: int) -> np.ndarray:
        values = np.ones(arms)
        values[index] = factor
        return values

    return sds


def _common_seed_effect(
    rng: np.random.Generator, design: SimulatedDesign, studies: int, seeds: int
) -> np.ndarray:
    runs = rng.standard_normal((studies, len(design.arms), seeds))
    shape = (studies, len(design.arms) if design.disjoint else 1, seeds)
    return runs + rng.standard_normal(shape)


def _interaction(count: int | None) -> Draw:
    """Return noise in which the effect of the first `count` factors (all if None) varies from seed
    to seed with standard deviation 1.
    """

    def draw(
        rng: np.random.Generator, design: SimulatedDesign, studies: int, seeds: int
    ) -> np.ndarray:
        noise = rng.standard_normal((studies, len(design.arms), seeds))
        for factor in design.factors[:count]:
            has = np.array([factor in changes for changes in design.changes.values()])
            shape = (studies, len(has) if design.disjoint else 1, seeds)
            noise += has[:, None] * rng.standard_normal(shape)
        return noise

    return draw


def _outliers(share: float, size: float, arms: slice) -> Draw:
    """Return noise in which a share of the runs of some arms is `size` higher, centred."""

    def draw(
        rng: np.random.Generator, design: SimulatedDesign, studies: int, seeds: int
    ) -> np.ndarray:
        noise = rng.standard_normal((studies, len(design.arms), seeds))
        affected = noise[:, arms]
        affected += size * (rng.random(affected.shape) < share) - size * share
        return noise

    return draw


NOISES = (
    Noise("equal", _scaled(np.ones)),
    Noise("common seed effect", _common_seed_effect),
    Noise("last arm × 4", _scaled(_one_arm(-1, 4.0))),
    Noise("baseline × 4", _scaled(_one_arm(0, 4.0))),
    Noise("four sds", _scaled(lambda arms: np.resize([0.020, 0.031, 0.116, 0.008], arms))),
    Noise("sds .010 to .093", _scaled(lambda arms: np.geomspace(0.010, 0.093, arms))),
    Noise("seed × one factor", _interaction(1)),
    Noise("seed × all factors", _interaction(None)),
    Noise("10 % of runs +5 sd", _outliers(0.10, 5.0, slice(None)), limit=0.98),
)
UNLUCKY_ARM = Noise("15 % of one arm +8 sd", _outliers(0.15, 8.0, slice(-1, None)))
