"""The plan of a study: its arms with what they cost, and its runs with their keys."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ablab.arch.composition.canonical import canonical
from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import Model, Use
from ablab.arch.composition.model import composite, sized
from ablab.arch.composition.registry import Registry
from ablab.arch.composition.resize import with_feed_forward_widths
from ablab.arch.recipe import Recipe
from ablab.arch.value import Architecture
from ablab.data.batches import Batches
from ablab.design.build import Contrast
from ablab.errors import UserError
from ablab.plan.arm_data import AnyData
from ablab.records.run_spec import RunSpec
from ablab.spec.run import RecipeConfig
from ablab.spec.study import Study
from ablab.train.budget import TimeLimit
from ablab.train.numerics import NUMERICS_VERSION
from ablab.train.precision import resolve_precision


@dataclass(frozen=True)
class Trial:
    """One trial: which arm, with which parameters, in which run."""

    arm: "Arm"
    run: RunSpec


@dataclass(frozen=True)
class Arm:
    """An arm under test, at its size. `plugins`: its own and the recipe's. `tokens`: what a run
    trains on, in `steps`; None where the clock decides. `recipe`: how, with the plugins' edits.
    `params`: what tuning or search chose. `mismatch`: by which share of what is matched it has more
    than the baseline; None where nothing is. `feed_forward`: see `RunSpec`. `data`: what it has of
    its own in place of the study's, see `arm_data.own_data`.
    """

    name: str
    expression: str
    plugins: tuple[str, ...]
    parameters: int
    flops_per_token: float
    tokens: int | None
    steps: int | None
    batches: Batches | TimeLimit
    recipe: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    mismatch: float | None = None
    feed_forward: tuple[int, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def training_flops(self) -> float | None:
        """Of one run; None where the clock decides."""
        return None if self.tokens is None else self.tokens * self.flops_per_token


@dataclass(frozen=True)
class SharedRecipe:
    """All arms under one recipe, beside each under its own: the `params` of one trial point, and
    every arm's runs with them. An arm whose own best they are has the same runs.
    """

    params: Mapping[str, Any]
    arms: tuple[Arm, ...]
    runs: tuple[RunSpec, ...]


@dataclass(frozen=True)
class Expected:
    """What a study will come to when it is through, as far as can be said beforehand: runs, trials
    before them, and the training FLOPs of all, None where the clock decides. `most`: where more
    runs may follow, how many there can be at most; until then `runs` is the least.
    """

    runs: int
    trials: int
    flops: float | None
    most: int | None = None

    @property
    def told(self) -> str:
        """The runs in words."""
        return (
            f"{self.runs} runs"
            if self.most in (None, self.runs)
            else f"at least {self.runs}, at most {self.most} runs"
        )


@dataclass(frozen=True)
class Plan:
    """All that a study will do, as far as it is known: trials decide which runs follow. Arms whose
    values are equal share their runs. `data`: what to tokenize, by fingerprint. `space`: the values
    that trials try, by parameter: a list, or an interval. `notes`: what a reader must know of the
    design. `baseline`: the arm whose mean a margin in percent refers to. `shared`: the arms under
    one recipe, once that is decided. `parts`: the plans that it joins, of a study in several parts.
    """

    arms: tuple[Arm, ...]
    runs: tuple[RunSpec, ...]
    contrasts: tuple[Contrast, ...]
    infeasible: Mapping[str, str]
    data: Mapping[str, AnyData]
    expected: Expected
    notes: tuple[str, ...] = ()
    trials: tuple[Trial, ...] = ()
    space: Mapping[str, Any] = field(default_factory=dict)
    baseline: str = ""
    shared: SharedRecipe | None = None
    parts: tuple["PartPlan", ...] = ()

    @property
    def shared_runs(self) -> tuple[RunSpec, ...]:
        """Every arm's runs with the recipe that all share; none where there is no such recipe."""
        return self.shared.runs if self.shared else ()

    @property
    def unique(self) -> dict[str, RunSpec]:
        """The runs and trials by key, each once."""
        if self.parts:
            return {key: run for part in self.parts for key, run in part.plan.unique.items()}
        return {
            run.key: run
            for run in (*(trial.run for trial in self.trials), *self.shared_runs, *self.runs)
        }

    @property
    def arm_of(self) -> dict[str, Arm]:
        """The arm of each run and trial, by key."""
        if self.parts:
            return {key: arm for part in self.parts for key, arm in part.plan.arm_of.items()}
        arms = {arm.name: arm for arm in self.arms}
        alike = {arm.name: arm for arm in self.shared.arms} if self.shared else {}
        found = {trial.run.key: trial.arm for trial in self.trials} | {
            run.key: alike[run.arm] for run in self.shared_runs
        }
        return found | {run.key: arms[run.arm] for run in self.runs}


@dataclass(frozen=True)
class PartPlan:
    """The plan of one part of a study. `study`: the study as this part asks it. `baseline`: the arm
    that the others are held against.
    """

    label: str
    study: Study
    plan: Plan
    baseline: str


def baseline_flops(plan: Plan, baseline: str) -> float:
    """Training FLOPs of one run of the arm of that name, whose budget is not of seconds."""
    flops = next(arm.training_flops for arm in plan.arms if arm.name == baseline)
    assert flops is not None
    return flops


def recipe_value(config: RecipeConfig) -> Recipe:
    """The recipe that a study's `recipe` describes, its plugins' edits apart, its precision
    resolved.
    """
    fields = config.model_dump(exclude={"preset", "optimizer", "schedule", "plugins"})
    return Recipe(**{**fields, "precision": resolve_precision(config.precision)})


def shown_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe in force, in plain values."""
    shown = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name != "loss"}
    terms = {f"loss.{key}": term for key, term in recipe.loss.entries}
    return {
        key: v if isinstance(v, int | float | str) else str(v)
        for key, v in {**shown, **terms}.items()
    }


def shown_options(options: Mapping[str, Any] | None) -> str:
    """A plugin's options in a run, for tables: `off` where the run has no such plugin."""
    if options is None:
        return "off"
    return ", ".join(f"{name}={value}" for name, value in options.items()) or "on"


def identity(
    arch: Architecture,
    recipe: Recipe,
    uses: Mapping[str, Use],
    data: str,
    spent: Batches | TimeLimit,
    threads: int,
) -> str:
    """Everything but the seed that determines a run's numbers, as a digest. The device layout is in
    it only where seconds are; the threads always are, since a sum's rounding depends on over how
    many it is split.
    """
    parts = {
        "numerics": NUMERICS_VERSION,
        "arch": canonical(arch),
        "recipe": canonical(recipe),
        "plugins": {name: use.plugin.digest for name, use in sorted(uses.items())},
        "data": data,
        "batches": canonical(spent.runs if isinstance(spent, Batches) else spent),
        "threads": threads,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_key(shared: str, seed: int) -> str:
    """A run's key."""
    return hashlib.sha256(f"{shared}/{seed}".encode()).hexdigest()[:24]


def rebuild(spec: RunSpec, registry: Registry) -> Composite:
    """The run's value, composed anew. Raises UserError where the plugins are not those that made
    the key.
    """
    uses = {}
    for name, options in spec.plugins:
        plugin = registry.plugin(name)
        uses[name] = Use(plugin, plugin.configure(options))
    family = registry.family(spec.family)
    model = Model(spec.arm, spec.family, None, uses, sized(family.dims(None), {}))
    recipe = recipe_value(RecipeConfig.model_validate(spec.recipe))
    value = composite(
        model, Composite(recipe=recipe), {k: v for k, v in spec.dims.items() if v is not None}
    )
    if spec.feed_forward:
        value = replace(value, arch=with_feed_forward_widths(value.arch, spec.feed_forward))
    shared = identity(value.arch, value.recipe, uses, spec.data, spec.allowance, spec.threads)
    if run_key(shared, spec.seed) != spec.key:
        raise UserError(
            f"{spec.arm}: its plugins' source, or the machine's precision, changed since the "
            "study was planned"
        )
    return value
