"""A run of a study with its settings: plugins, recipe, budget, sizes and factors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ablab.design.nuisance import NuisanceDesign
from ablab.plan.plan import shown_options
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Arm, Entry, PartContent, TrialEntry
from ablab.spec.nuisance import RECIPE, varied

_PLUGIN = "plugin"


@dataclass(frozen=True)
class PlannedRun:
    """A run or a trial in the record of a study."""

    part: PartContent
    """The part of the study that it belongs to."""
    entry: Entry
    """Its arm, seed and key."""
    arm: Arm | None
    """Its arm; None for a trial of a search whose arm was not confirmed."""
    shared: bool = False
    """Whether it has the recipe that all arms share, beside the run with that of its own arm."""

    @property
    def trial(self) -> int | None:
        """Number among the trials; None for a run of the design."""
        return self.entry.number if isinstance(self.entry, TrialEntry) else None

    @property
    def params(self) -> Mapping[str, Any]:
        """Options that it tries, or that tuning or search chose for it."""
        if isinstance(self.entry, TrialEntry):
            return self.entry.params
        if self.shared and self.part.shared:
            return self.part.shared.params
        return self.arm.params if self.arm else {}

    @property
    def recipe(self) -> Mapping[str, Any]:
        """Recipe in force, without the options that nuisance factors vary; empty if unknown."""
        if isinstance(self.entry, TrialEntry) and self.entry.recipe is not None:
            return self.entry.recipe
        if self.arm is None:
            return {}
        nuisance = self.part.study.nuisance or {}
        recipe = {**self.arm.recipe, **(self.params if self.shared else {})}
        return {name: value for name, value in recipe.items() if RECIPE + name not in nuisance}

    def settings(self, spec: RunSpec | None) -> dict[str, Any]:
        """Return the settings by name, such as `recipe.lr`, as far as they are recorded.

        `spec` is the specification of the run; None before it is started.
        """
        study = self.part.study
        sizes = {name: size for name, size in spec.dims.items() if size is not None} if spec else {}
        recipe = {**self.recipe, **(varied(study.nuisance, spec.recipe) if spec else {})}
        groups = {
            _PLUGIN: self._plugins(spec),
            "nuisance": self._nuisance_levels,
            "params": self.params,
            "budget": study.budget.model_dump(exclude_none=True),
            "recipe": recipe,
            "dims": sizes,
        }
        return {
            f"{group}.{name}": value
            for group, values in groups.items()
            for name, value in values.items()
        }

    def _plugins(self, spec: RunSpec | None) -> dict[str, str]:
        """Return the plugins with their options in words."""
        if spec is not None:
            return {name: shown_options(options) for name, options in spec.plugins}
        uses = self.arm.plugins if self.arm else ()
        named = (use.removesuffix(")").partition("(") for use in uses)
        return {name: options or shown_options({}) for name, _, options in named}

    @property
    def _nuisance_levels(self) -> dict[str, str]:
        design = NuisanceDesign.of(self.part.study)
        levels = design.levels.get(self.entry.seed) if design else None
        if design is None or levels is None:
            return {}
        pairs = zip(design.factors, levels, strict=True)
        return {factor: design.labels[factor][level] for factor, level in pairs}


def planned_runs(part: PartContent) -> Iterator[PlannedRun]:
    """Yield the runs of a part of a study: those of the design, those with the recipe that all arms
    share, and the trials.
    """
    arms = {arm.name: arm for arm in part.arms}
    for run in part.runs:
        yield PlannedRun(part, run, arms.get(run.arm))
    for run in part.shared.runs if part.shared else ():
        yield PlannedRun(part, run, arms.get(run.arm), shared=True)
    for trial in part.trials:
        yield PlannedRun(part, trial, arms.get(trial.arm))


def plugins_off(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the plugins among some settings, each as switched off."""
    return {name: shown_options(None) for name in settings if name.startswith(f"{_PLUGIN}.")}
