"""Plans arms: what a run of each costs, and its runs' specifications."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from ablab.arch.composition.compose import Composite
from ablab.arch.composition.expression import Model, Use, resolve
from ablab.arch.composition.model import composite
from ablab.arch.composition.registry import Registry
from ablab.arch.counting.account import Account
from ablab.data.batches import Batches
from ablab.data.spec import AnyTokenizer
from ablab.data.store import store_fingerprint
from ablab.design.build import DesignLayout, lay_out
from ablab.errors import UserError
from ablab.plan.arm_data import AnyData, arm_data, own_data
from ablab.plan.cost_cache import Accounts
from ablab.plan.matching import Matched, Matcher
from ablab.plan.plan import Plan, identity, recipe_value, run_key, shown_recipe
from ablab.plan.recipe import StudyRecipe, study_recipe
from ablab.plan.run_budget import run_budget
from ablab.records.home import edition
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Arm, Expected
from ablab.spec.design import Compare
from ablab.spec.run import RecipeConfig
from ablab.spec.seeds import STREAM
from ablab.spec.study import Study
from ablab.spec.validate import check, check_metric
from ablab.spec.yaml_document import Document
from ablab.train.budget import TimeLimit
from ablab.train.numerics import NUMERICS_VERSION


@dataclass(frozen=True)
class Choice:
    """How an arm is trained where that differs from the study: options of the recipe, and a share
    of the budget.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0


@dataclass(frozen=True)
class PlannedArm:
    """An arm with what its runs are made of. `shared`: the identity of its runs, seeds apart.
    `stream`: what is added to every seed of it, trials' too: a replicate has seeds of its own.
    """

    arm: Arm
    model: Model
    account: Account
    shared: str
    template: RunSpec
    data: AnyData
    stream: int = 0

    def runs(self, seeds: Iterable[int], trial: int | None = None) -> list[RunSpec]:
        """A run a seed."""
        own = [self.stream + seed for seed in seeds]
        return [
            replace(self.template, key=run_key(self.shared, seed), seed=seed, trial=trial)
            for seed in own
        ]


class Planner:
    """Plans the arms of one study. What it was given is validated when an arm is planned; nothing
    is created. `accounts`: what is counted already. `part`: which part of a study this is; `owner`
    is then the whole study's.
    """

    def __init__(
        self,
        name: str,
        study: Study,
        document: Document,
        registry: Registry,
        accounts: Accounts | None = None,
    ) -> None:
        self.name, self.study, self.document, self.registry = name, study, document, registry
        self._accounts = accounts or Accounts()
        self.owner = edition(name, study.revision())
        self.part = ""
        self._fingerprints: dict[str, str] = {}
        self._tokenizers: dict[str, AnyTokenizer] = {}  # of the arms planned so far
        check(study, document)
        self.layout = lay_out(study, registry, document)
        # In a design all arms have the sizes of its first; in `compare` each has its own.
        self._dims = (
            None
            if isinstance(study.design, Compare)
            else next(iter(self.layout.arms.values())).dims
        )

    def arm(self, name: str, model: Model, choice: Choice | None = None) -> PlannedArm:
        """Raises UserError with the place of what is wrong."""
        choice = choice or Choice()
        recipe, matcher = self._recipe(choice.recipe), self._matcher
        try:
            full, value, data = self._composed(model, recipe)
            matched = matcher.matched(value.arch, full.uses) if matcher else None
            value = replace(value, arch=matched.arch) if matched else value
            self.study.hardware.check(value)
            planned = self._planned(
                name, full, value, _Setting(choice, recipe.config, data, matched)
            )
        except UserError as error:
            raise error.at(self._place(name)) from None
        self._check_tokenizer(name, data.tokenizer)
        return planned

    def _check_tokenizer(self, name: str, tokenizer: AnyTokenizer) -> None:
        """Check the tokenizers of all arms once the last arm of the design has been planned.

        The result does not depend on the order of planning. The arms of a search's trials are
        checked one by one, against the arms of the design; one that is refused is forgotten, since
        the search continues without it.
        """
        tokenizers = {**self._tokenizers, name: tokenizer}
        design = self.layout.arms
        if design.keys() <= tokenizers.keys():
            names = [*design, *(arm for arm in tokenizers if arm not in design)]
            ordered = {arm: tokenizers[arm] for arm in names}
            check_metric(self.study, self.document, ordered, self._position)
        self._tokenizers = tokenizers

    def _composed(self, model: Model, recipe: StudyRecipe) -> tuple[Model, Composite, AnyData]:
        """The arm with the recipe's plugins, its value at its size, and its data."""
        base = Composite(recipe=recipe_value(recipe.config))
        full = recipe.under(replace(model, dims=self._dims or model.dims))
        data, sizes = arm_data(self.study, full.compose(base).data)
        return full, composite(full, base, sizes), data

    @cached_property
    def _matcher(self) -> Matcher | None:
        """What brings arms to the baseline's size: `from`'s in a design, in `compare` its
        baseline's.
        """
        study = self.study
        if study.match is None:
            return None
        if isinstance(study.design, Compare):
            name = study.design.baseline or next(iter(self.layout.arms))
            model = self.layout.arms[name]
        else:
            name = str(study.from_)
            model = resolve(name, self.registry)
        try:
            full, value, _ = self._composed(model, self._recipe({}))
            return Matcher(study.match, self._accounts, (value.arch, full.uses))
        except UserError as error:
            raise error.at(self._place(name)) from None

    def _recipe(self, options: Mapping[str, Any]) -> StudyRecipe:
        config = self.study.recipe
        if (
            self.study.hardware.accelerator == "cpu" and config.precision == "auto"
        ):  # this machine may have a GPU all the same
            config = config.model_copy(update={"precision": "fp32"})
        try:
            if options:
                config = RecipeConfig.model_validate(
                    {**config.model_dump(exclude_unset=True), **options}
                )
            return study_recipe(
                config,
                self.registry,
                self.document,
                lambda key: ": ".join(self._written(key, options)),
            )
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(
                f"{self.document.at(['tune'])}: {where}: {first['msg']}, not {first['input']!r}"
            ) from None

    def _written(self, key: str, options: Mapping[str, Any]) -> tuple[str, str]:
        """The place and the name of what gives the recipe's `key` its value: `tune` in a trial that
        has it among its options.
        """
        if key not in options:
            return self.document.place(["recipe", key]), f"recipe.{key}"
        listed = getattr(self.study.tune, key, None)
        item = (
            [str(listed.index(options[key]))]
            if isinstance(listed, list) and options[key] in listed
            else []
        )
        return self.document.place(["tune", key, *item]), f"tune.{key}"

    def _place(self, arm: str) -> str:
        if self.study.arms is not None:
            return f"{self._position(arm)}: arms.{arm}"
        return f"{self._position(arm)}: arm {arm!r}"

    def _position(self, arm: str) -> str:
        """Return where the study file defines an arm."""
        if self.study.arms is not None:
            return self.document.place(["arms", arm])
        for key, text in (("from", self.study.from_), ("to", self.study.to)):
            if text == arm:
                return self.document.place([key])
        return self.document.place(["design"])

    def _planned(
        self, name: str, model: Model, value: Composite, setting: "_Setting"
    ) -> PlannedArm:
        counted = self._accounts.of(value.arch, model.uses)
        arm = self._arm(name, model, (value, counted), setting.choice)
        arm = replace(arm, data=own_data(self.study, setting.data, value.data))
        if setting.matched:
            arm = replace(
                arm, mismatch=setting.matched.mismatch, feed_forward=setting.matched.widths
            )
        fingerprint, spent = self._fingerprint(setting.data), arm.batches
        threads = self.study.hardware.threads
        shared = identity(value.arch, value.recipe, model.uses, fingerprint, spent, threads)
        template = RunSpec(
            key="",
            study=self.name,
            arm=name,
            seed=0,
            family=model.family,
            plugins=tuple((plugin, _options(use)) for plugin, use in model.uses.items()),
            dims=asdict(value.arch.dims),
            recipe=setting.recipe.model_dump(),
            data=fingerprint,
            batches=spent,
            flops_per_token=arm.flops_per_token,
            validate_at=tuple(self.study.validate_at),
            checkpoint_seconds=self.study.checkpoint_seconds,
            feed_forward=arm.feed_forward,
            part=self.part,
            threads=threads,
            numerics=NUMERICS_VERSION,
        )
        stream = STREAM * self.layout.replicates.get(name, 0)
        return PlannedArm(arm, model, counted, shared, template, setting.data, stream)

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
            raise UserError(
                f"{name} ({place}): {batch} is not a multiple of the context of {context} tokens"
            )
        per_token = counted.flops_per_token.training
        spent = self._spent(value, per_token, choice.share)
        known = spent if isinstance(spent, Batches) else None
        return Arm(
            name=name,
            expression=model.expression,
            plugins=tuple(str(use) for use in model.uses.values()),
            parameters=counted.parameters.total,
            flops_per_token=per_token,
            tokens=known and known.sequences * context,
            steps=known and known.steps,
            batches=spent,
            recipe=shown_recipe(value.recipe),
            params=choice.recipe,
        )

    def _spent(self, value: Composite, flops_per_token: float, share: float) -> Batches | TimeLimit:
        """What a run may spend, which has `share` of the budget."""
        trial = f" (a trial's share of it is {share:g})" if share < 1 else ""
        return run_budget(
            self.study.budget.scaled(share),
            value,
            flops_per_token,
            self.study.hardware,
            f"budget{trial} ({self.document.place(['budget'])})",
        )


@dataclass(frozen=True)
class _Setting:
    choice: Choice
    recipe: RecipeConfig
    data: AnyData
    matched: Matched | None


def _options(use: Use) -> dict[str, Any]:
    default = use.plugin.options
    return {name: v for name, v in asdict(use.instance).items() if v != default[name]}


def training_flops(arms: Iterable[Arm]) -> float | None:
    """Training FLOPs of one run of each; None where the clock decides."""
    known = [arm.training_flops for arm in arms]
    return None if None in known else sum(flops for flops in known if flops is not None)


def plan_of(
    layout: DesignLayout, arms: Sequence[PlannedArm], seeds: Callable[[str], Sequence[int]]
) -> Plan:
    """The plan of a design whose arms are all trained as the study says: every arm on its `seeds`,
    by name.
    """
    made = [(planned.arm, run) for planned in arms for run in planned.runs(seeds(planned.arm.name))]
    arm_of = {run.key: arm for arm, run in made}
    return Plan(
        arms=tuple(planned.arm for planned in arms),
        runs=tuple(run for _, run in made),
        contrasts=tuple(layout.contrasts),
        infeasible=layout.infeasible,
        data={planned.template.data: planned.data for planned in arms},
        expected=Expected(len(arm_of), 0, training_flops(arm_of.values())),
        notes=tuple(layout.notes),
        baseline=layout.baseline,
    )
