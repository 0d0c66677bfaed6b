"""Plans arms: what a run of each costs, and its runs' specifications."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from ablab.arch.accounting import Account
from ablab.arch.compose import Composite
from ablab.arch.expression import Model, Use
from ablab.arch.model import composite
from ablab.arch.registry import Registry
from ablab.data.store import store_fingerprint
from ablab.errors import UserError
from ablab.study.accounts import Accounts
from ablab.study.arm_data import AnyData, arm_data
from ablab.study.contradictions import check
from ablab.study.designs import Layout, lay_out
from ablab.study.home import edition
from ablab.study.plan import Arm, Expected, Plan, RunSpec, identity, recipe_value, run_key, shown_recipe
from ablab.study.recipes import StudyRecipe, study_recipe
from ablab.study.schema import Compare, RecipeConfig, Study
from ablab.study.yaml_file import Document
from ablab.train.budget import Budget, ramped


@dataclass(frozen=True)
class Choice:
    """How an arm is trained where that differs from the study: options of the recipe, and a share of the budget."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0


@dataclass(frozen=True)
class PlannedArm:
    """An arm with what its runs are made of. `shared`: the identity of its runs, seeds apart."""

    arm: Arm
    model: Model
    account: Account
    shared: str
    template: RunSpec
    data: AnyData

    def runs(self, seeds: Iterable[int], trial: int | None = None) -> list[RunSpec]:
        """A run a seed."""
        return [replace(self.template, key=run_key(self.shared, seed), seed=seed, trial=trial) for seed in seeds]


class Planner:
    """Plans the arms of one study. What it was given is validated when an arm is planned; nothing is created. `accounts`: what
    is counted already. `part`: which part of a study this is; `owner` is then the whole study's.
    """

    def __init__(self, name: str, study: Study, document: Document, registry: Registry, accounts: Accounts | None = None) -> None:
        self.name, self.study, self.document, self.registry = name, study, document, registry
        self._accounts = accounts or Accounts()
        self.owner = edition(name, study.revision())
        self.part = ""
        self._fingerprints: dict[str, str] = {}
        check(study, document)
        self.layout = lay_out(study, registry, document)
        # In a design all arms have the sizes of its first; in `compare` each has its own.
        self._dims = None if isinstance(study.design, Compare) else next(iter(self.layout.arms.values())).dims

    def arm(self, name: str, model: Model, choice: Choice | None = None) -> PlannedArm:
        """Raises UserError with the place of what is wrong."""
        choice = choice or Choice()
        recipe = self._recipe(choice.recipe)
        base = Composite(recipe=recipe_value(recipe.config))
        try:
            full = recipe.under(replace(model, dims=self._dims or model.dims))
            data, sizes = arm_data(self.study, full.compose(base).data)
            value = composite(full, base, sizes)
            self.study.hardware.check(value)
            return self._planned(name, full, value, _Setting(choice, recipe.config, data))
        except UserError as error:
            raise error.at(self._place(name)) from None

    def _recipe(self, options: Mapping[str, Any]) -> StudyRecipe:
        config = self.study.recipe
        if self.study.hardware.accelerator == "cpu" and config.precision == "auto":  # this machine may have a GPU all the same
            config = config.model_copy(update={"precision": "fp32"})
        try:
            if options:
                config = RecipeConfig.model_validate({**config.model_dump(exclude_unset=True), **options})
            return study_recipe(config, self.registry, self.document, lambda key: ": ".join(self._written(key, options)))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(f"{self.document.at(['tune'])}: {where}: {first['msg']}, not {first['input']!r}") from None

    def _written(self, key: str, options: Mapping[str, Any]) -> tuple[str, str]:
        """The place and the name of what gives the recipe's `key` its value: `tune` in a trial that has it among its options."""
        if key not in options:
            return self.document.place(["recipe", key]), f"recipe.{key}"
        listed = getattr(self.study.tune, key, None)
        item = [str(listed.index(options[key]))] if isinstance(listed, list) and options[key] in listed else []
        return self.document.place(["tune", key, *item]), f"tune.{key}"

    def _place(self, arm: str) -> str:
        study, document = self.study, self.document
        if study.arms is not None:
            return f"{document.place(['arms', arm])}: arms.{arm}"
        key = next((key for key, text in (("from", study.from_), ("to", study.to)) if text == arm), "design")
        return f"{document.place([key])}: arm {arm!r}"

    def _planned(self, name: str, model: Model, value: Composite, setting: "_Setting") -> PlannedArm:
        counted = self._accounts.of(value.arch, model.uses)
        arm = self._arm(name, model, (value, counted), setting.choice)
        fingerprint = self._fingerprint(setting.data)
        shared = identity(value.arch, value.recipe, model.uses, fingerprint, arm.batches)
        template = RunSpec(
            key="", study=self.name, arm=name, seed=0, family=model.family,
            plugins=tuple((plugin, _options(use)) for plugin, use in model.uses.items()), dims=asdict(value.arch.dims),
            recipe=setting.recipe.model_dump(), data=fingerprint, batches=arm.batches.runs,
            flops_per_token=arm.flops_per_token, validate_at=tuple(self.study.validate_at),
            checkpoint_seconds=self.study.checkpoint_seconds, part=self.part,
        )  # fmt: skip
        return PlannedArm(arm, model, counted, shared, template, setting.data)

    def _fingerprint(self, data: AnyData) -> str:
        """Arms mostly share their data: it is read once."""
        if (known := data.model_dump_json()) not in self._fingerprints:
            self._fingerprints[known] = store_fingerprint(data)
        return self._fingerprints[known]

    def _arm(self, name: str, model: Model, made: tuple[Composite, Account], choice: Choice) -> Arm:
        value, counted = made
        batch, context = value.recipe.batch_tokens, value.arch.dims.context
        if batch % context:
            place, name = self._written("batch_tokens", choice.recipe)
            raise UserError(f"{name} ({place}): {batch} is not a multiple of the context of {context} tokens")
        per_token = counted.flops_per_token.training
        whole = self.study.budget.budget()
        budget = Budget(whole.kind, whole.amount * choice.share)
        try:
            steps = budget.steps(batch, per_token)
        except UserError as error:
            trial = f" (a trial's share of it is {choice.share:g})" if choice.share < 1 else ""
            raise error.at(f"budget{trial} ({self.document.place(['budget'])})") from None
        batches = ramped(value.recipe.ramp, batch // context, steps, budget.kind)
        return Arm(
            name=name, expression=model.expression, plugins=tuple(str(use) for use in model.uses.values()),
            parameters=counted.parameters.total, flops_per_token=per_token, tokens=batches.sequences * context,
            steps=batches.steps, batches=batches, recipe=shown_recipe(value.recipe), params=choice.recipe,
        )  # fmt: skip


@dataclass(frozen=True)
class _Setting:
    choice: Choice
    recipe: RecipeConfig
    data: AnyData


def _options(use: Use) -> dict[str, Any]:
    default = use.plugin.options
    return {name: v for name, v in asdict(use.instance).items() if v != default[name]}


def training_flops(arms: Iterable[Arm]) -> float:
    """Training FLOPs of one run of each."""
    return sum(arm.tokens * arm.flops_per_token for arm in arms)


def plan_of(layout: Layout, arms: Sequence[PlannedArm], seeds: Sequence[int]) -> Plan:
    """The plan of a design whose arms are all trained as the study says: every arm on every seed."""
    made = [(planned.arm, run) for planned in arms for run in planned.runs(seeds)]
    arm_of = {run.key: arm for arm, run in made}
    return Plan(
        arms=tuple(planned.arm for planned in arms), runs=tuple(run for _, run in made), contrasts=tuple(layout.contrasts),
        infeasible=layout.infeasible, data={planned.template.data: planned.data for planned in arms},
        expected=Expected(len(arm_of), 0, training_flops(arm_of.values())), notes=tuple(layout.notes),
    )  # fmt: skip
