"""Parameters of a study's runs, by which MLflow's table of runs is filtered and grouped."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ablab.plan.plan import StudyPlan, shown_options
from ablab.records.run_spec import RunSpec
from ablab.spec.nuisance import varied
from ablab.spec.study import Study

PLUGIN = "plugin."
SWITCH = "with."
OFF = shown_options(None)


@dataclass(frozen=True)
class TrackedRuns:
    """The runs of a study, as far as MLflow shows them."""

    specs: Mapping[str, RunSpec]
    """Specifications of the runs and trials, by key."""
    recipes: Mapping[str, Mapping[str, Any]]
    """Recipe in force of each of them, by key."""
    studies: Mapping[str, Study]
    """The study as each part asks it, by the label of the part."""

    @classmethod
    def of(cls, plan: StudyPlan) -> "TrackedRuns":
        """Return the runs of a plan."""
        recipes = {
            key: {**arm.recipe, **varied(part.study.nuisance, part.plan.unique[key].recipe)}
            for part in plan.parts
            for key, arm in part.plan.arm_of.items()
        }
        return cls(plan.unique, recipes, {part.label: part.study for part in plan.parts})


class RunParameters:
    """The parameters of a study's runs: every run has two for each plugin of the study.

    `plugin.NAME` has the options of the plugin in the run. `with.NAME` is 1 or 0: MLflow averages
    parameters over groups of runs, and draws them as axes, only if they are numbers.
    """

    def __init__(self) -> None:
        self.specs: Mapping[str, RunSpec] = {}
        self._recipes: Mapping[str, Mapping[str, Any]] = {}
        self._studies: Mapping[str, Study] = {}
        self._plugins: list[str] = []

    def set_runs(self, runs: TrackedRuns) -> None:
        """Set the runs, and the plugins to those that some run has."""
        self.specs = runs.specs
        self._recipes = runs.recipes
        self._studies = runs.studies
        self._plugins = sorted({name for run in self.specs.values() for name, _ in run.plugins})

    def of(self, spec: RunSpec) -> dict[str, str]:
        """Return the parameters of one run."""
        options = dict(spec.plugins)
        study = self._studies[spec.part]
        budget = study.budget.model_dump(exclude_none=True)
        params = {"arm": spec.arm, "seed": str(spec.seed)}
        for name in self._plugins:
            params |= _plugin_params(name, options.get(name))
        params |= {f"budget.{name}": str(value) for name, value in budget.items()}
        if spec.part:
            params["part"] = spec.part
        recipe = self._recipes[spec.key]
        params |= {f"recipe.{name}": str(value) for name, value in recipe.items()}
        params |= {
            f"dims.{name}": str(size) for name, size in spec.dims.items() if size is not None
        }
        if spec.feed_forward:
            params["dims.feed_forward"] = str(max(spec.feed_forward))
        return params

    def any_run(self) -> dict[str, str]:
        """Return the parameters of the first run; empty if there is none."""
        first = next(iter(self.specs.values()), None)
        return {} if first is None else self.of(first)


def plugins_off(params: Iterable[str]) -> dict[str, str]:
    """Return the plugin parameters among the names in `params`, with their values for "off"."""
    off: dict[str, str] = {}
    for name in params:
        if name.startswith(PLUGIN):
            off |= _plugin_params(name.removeprefix(PLUGIN), None)
    return off


def _plugin_params(name: str, options: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the parameters of a plugin with `options`, or None in a run without it."""
    return {
        f"{PLUGIN}{name}": shown_options(options),
        f"{SWITCH}{name}": "0" if options is None else "1",
    }
