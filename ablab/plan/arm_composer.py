"""Composition of an arm: its plugins and the study's recipe, at the arm's size."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import Model, resolve
from ablab.arch.composition.model import composite
from ablab.arch.composition.registry import Registry
from ablab.design.build import DesignLayout
from ablab.errors import UserError
from ablab.plan.arm_data import AnyData, arm_data
from ablab.plan.cost_cache import CostCache
from ablab.plan.matching import SizeMatch, SizeMatcher
from ablab.plan.recipe import StudyRecipe, study_recipe, with_level
from ablab.plan.run_key import recipe_value
from ablab.plan.study_file import StudyFile
from ablab.spec.design import Compare
from ablab.spec.run import RecipeConfig


@dataclass(frozen=True)
class Overrides:
    """How an arm is trained where that differs from the study."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Options of the recipe."""
    share: float = 1.0
    """Share of the budget."""
    nuisance: Mapping[str, int] = field(default_factory=dict)
    """Level of each nuisance factor, 0 or 1."""


@dataclass(frozen=True)
class ComposedArm:
    """An arm that has been composed but not counted."""

    name: str
    """Name of the arm."""
    model: Model
    """Its model, including the plugins of the recipe."""
    value: Composite
    """Its architecture, recipe and choice of data."""
    recipe: RecipeConfig
    """The recipe before the edits of plugins."""
    data: AnyData
    """The data it is trained on."""
    overrides: Overrides
    """How it is trained where that differs from the study."""
    match: SizeMatch | None
    """How its size was matched; None where the study matches nothing."""


class ArmComposer:
    """Composes the arms of one design."""

    def __init__(
        self, file: StudyFile, registry: Registry, layout: DesignLayout, costs: CostCache
    ) -> None:
        self._file = file
        self._study = file.study
        self._registry = registry
        self._layout = layout
        self._costs = costs
        # In a design all arms have the sizes of the first; in `compare` each has its own.
        self._dims = None
        if not isinstance(file.study.design, Compare):
            self._dims = next(iter(layout.arms.values())).dims

    def compose(self, name: str, model: Model, overrides: Overrides) -> ComposedArm:
        """Compose an arm at its size.

        Raises UserError with the position of what is invalid in the study file.
        """
        recipe = self._recipe(overrides.recipe)
        if overrides.nuisance:
            recipe = self._with_nuisance(recipe.config, overrides.nuisance)
        matcher = self._matcher
        match = None
        with self._file.errors_of_arm(name):
            full_model, value, data = self._compose(model, recipe)
            if matcher is not None:
                match = matcher.match(value.arch, full_model.uses)
                value = replace(value, arch=match.arch)
            self._study.hardware.check(value)
        return ComposedArm(name, full_model, value, recipe.config, data, overrides, match)

    def _compose(self, model: Model, recipe: StudyRecipe) -> tuple[Model, Composite, AnyData]:
        """Return the model with the recipe's plugins, its value before matching, and its data."""
        base = Composite(recipe=recipe_value(recipe.config))
        full_model = recipe.under(replace(model, dims=self._dims or model.dims))
        data, sizes = arm_data(self._study, full_model.compose(base).data)
        return full_model, composite(full_model, base, sizes), data

    @cached_property
    def _matcher(self) -> SizeMatcher | None:
        """Matches arms to the size of the baseline: of `from` in a design, of the arm that is the
        baseline in `compare`. None where the study matches nothing.
        """
        study = self._study
        if study.match is None:
            return None
        if isinstance(study.design, Compare):
            name = study.design.baseline or next(iter(self._layout.arms))
            model = self._layout.arms[name]
        else:
            name = str(study.from_)
            model = resolve(name, self._registry)
        with self._file.errors_of_arm(name):
            full_model, value, _ = self._compose(model, self._recipe({}))
            return SizeMatcher(study.match, self._costs, value.arch, full_model.uses)

    def _with_nuisance(self, config: RecipeConfig, levels: Mapping[str, int]) -> StudyRecipe:
        """Return a complete recipe with the levels of nuisance factors."""
        factors = self._study.nuisance or {}
        document = self._file.document
        for name, which in levels.items():
            try:
                config = with_level(config, name, factors[name], which)
            except ValidationError as error:
                first = error.errors()[0]
                raise UserError(
                    f"{document.place(['nuisance', name])}: nuisance.{name}: {first['msg']}, not "
                    f"{first['input']!r}"
                ) from None
        return study_recipe(
            config,
            self._registry,
            document,
            lambda key: f"{document.place(['nuisance'])}: nuisance: {key}",
        )

    def _recipe(self, options: Mapping[str, Any]) -> StudyRecipe:
        """Return the study's recipe with the `options` of a trial."""
        config = self._study.recipe
        # The machine that plans may have a GPU even if the study is trained on the CPU, so `auto`
        # must not be left to it.
        if self._study.hardware.accelerator == "cpu" and config.precision == "auto":
            config = config.model_copy(update={"precision": "fp32"})
        document = self._file.document
        try:
            if options:
                config = RecipeConfig.model_validate(
                    {**config.model_dump(exclude_unset=True), **options}
                )
            return study_recipe(
                config,
                self._registry,
                document,
                lambda key: ": ".join(self._file.recipe_source(key, options)),
            )
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{document.at(['tune'])}: {location}: {first['msg']}, not {first['input']!r}"
            ) from None
