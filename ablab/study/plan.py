"""The plan of a study: its arms with what they cost, and its runs with their keys."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ablab.arch.accounting import account
from ablab.arch.compose import Composite
from ablab.arch.expression import Model, Use
from ablab.arch.model import composite, sized
from ablab.arch.recipe import Recipe
from ablab.arch.registry import Registry
from ablab.arch.value import Architecture, canonical
from ablab.data.batches import Batches
from ablab.data.store import store_fingerprint
from ablab.errors import UserError
from ablab.study.arm_data import AnyData, arm_data
from ablab.study.designs import Contrast, lay_out
from ablab.study.recipes import study_recipe
from ablab.study.schema import Compare, RecipeConfig, Study
from ablab.study.yaml_file import Document
from ablab.train.budget import ramped
from ablab.train.precision import resolve_precision

# Raised whenever the core's numbers change (a golden-loss test says when): finished runs are then trained anew.
NUMERICS_VERSION = 1


@dataclass(frozen=True)
class RunSpec:
    """A run, as plain values that any process can rebuild it from. `batches`: see `ablab.data.batches.Batches`."""

    key: str
    study: str
    arm: str
    seed: int
    family: str
    plugins: tuple[tuple[str, Mapping[str, Any]], ...]
    dims: Mapping[str, int | None]
    recipe: Mapping[str, Any]
    data: str
    batches: tuple[tuple[int, int], ...]
    flops_per_token: float
    validate_at: tuple[float, ...]
    checkpoint_seconds: float


@dataclass(frozen=True)
class Arm:
    """An arm under test, at its size. `plugins`: its own and the recipe's. `tokens`: what a run trains on. `recipe`: how, with
    the plugins' edits.
    """

    name: str
    expression: str
    plugins: tuple[str, ...]
    parameters: int
    flops_per_token: float
    tokens: int
    steps: int
    batches: Batches
    recipe: Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """All that a study will do. Arms whose values are equal share their runs. `data`: what to tokenize, by fingerprint.
    `notes`: what a reader must know of the design.
    """

    arms: tuple[Arm, ...]
    runs: tuple[RunSpec, ...]
    contrasts: tuple[Contrast, ...]
    infeasible: Mapping[str, str]
    data: Mapping[str, AnyData]
    notes: tuple[str, ...] = ()

    @property
    def unique(self) -> dict[str, RunSpec]:
        """The runs by key, each once."""
        return {run.key: run for run in self.runs}

    @property
    def training_flops(self) -> float:
        """Training FLOPs of all runs together."""
        cost = {arm.name: arm.tokens * arm.flops_per_token for arm in self.arms}
        return sum(cost[run.arm] for run in self.unique.values())


def recipe_value(config: RecipeConfig) -> Recipe:
    """The recipe that a study's `recipe` describes, its plugins' edits apart, its precision resolved."""
    fields = config.model_dump(exclude={"preset", "optimizer", "schedule", "plugins"})
    return Recipe(**{**fields, "precision": resolve_precision(config.precision)})


def shown_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe in force, in plain values."""
    shown = {f.name: getattr(recipe, f.name) for f in fields(recipe) if f.name != "loss"}
    terms = {f"loss.{key}": term for key, term in recipe.loss.entries}
    return {key: v if isinstance(v, int | float | str) else str(v) for key, v in {**shown, **terms}.items()}


def make_plan(name: str, study: Study, document: Document, registry: Registry) -> Plan:
    """Validates the whole study and plans it; nothing is created. Raises UserError with the place of what is wrong."""
    layout = lay_out(study, registry, document)
    shared = None if isinstance(study.design, Compare) else next(iter(layout.arms.values())).dims
    recipe = study_recipe(study.recipe, registry, document)
    study = study.model_copy(update={"recipe": recipe.config})
    base = Composite(recipe=recipe_value(recipe.config))
    arms: list[Arm] = []
    runs: list[RunSpec] = []
    data: dict[str, AnyData] = {}
    for arm_name, model in layout.arms.items():
        at = _place(arm_name, study, document)
        try:
            full = recipe.under(replace(model, dims=shared or model.dims))
            own, sizes = arm_data(study, full.compose(base).data)
            value = composite(full, base, sizes)
            arm = _arm(arm_name, full, value, study, document)
            fingerprint = store_fingerprint(own)
        except UserError as error:
            raise error.at(at) from None
        arms.append(arm)
        data[fingerprint] = own
        runs += _runs(name, arm, full, value, study, fingerprint)
    return Plan(tuple(arms), tuple(runs), tuple(layout.contrasts), layout.infeasible, data, tuple(layout.notes))


def _place(arm: str, study: Study, document: Document) -> str:
    if study.arms is not None:
        return f"{document.place(['arms', arm])}: arms.{arm}"
    key = next((key for key, text in (("from", study.from_), ("to", study.to)) if text == arm), "design")
    return f"{document.place([key])}: arm {arm!r}"


def _arm(name: str, model: Model, value: Composite, study: Study, document: Document) -> Arm:
    batch, context = value.recipe.batch_tokens, value.arch.dims.context
    if batch % context:
        place = document.place(["recipe", "batch_tokens"])
        raise UserError(f"recipe.batch_tokens ({place}): {batch} is not a multiple of the context of {context} tokens")
    counted = account(value.arch)
    per_token = counted.flops_per_token.training
    budget = study.budget.budget()
    try:
        steps = budget.steps(batch, per_token)
    except UserError as error:
        raise error.at(f"budget ({document.place(['budget'])})") from None
    batches = ramped(value.recipe.ramp, batch // context, steps, budget.kind)
    return Arm(
        name=name, expression=model.expression, plugins=tuple(str(use) for use in model.uses.values()),
        parameters=counted.parameters.total, flops_per_token=per_token, tokens=batches.sequences * context,
        steps=batches.steps, batches=batches, recipe=shown_recipe(value.recipe),
    )  # fmt: skip


def _runs(study_name: str, arm: Arm, model: Model, value: Composite, study: Study, data: str) -> list[RunSpec]:
    plugins = tuple((name, _options(use)) for name, use in model.uses.items())
    shared = identity(value.arch, value.recipe, model.uses, data, arm.batches)
    return [
        RunSpec(
            key=run_key(shared, seed), study=study_name, arm=arm.name, seed=seed, family=model.family, plugins=plugins,
            dims=asdict(value.arch.dims), recipe=study.recipe.model_dump(), data=data, batches=arm.batches.runs,
            flops_per_token=arm.flops_per_token, validate_at=tuple(study.validate_at),
            checkpoint_seconds=study.checkpoint_seconds,
        )
        for seed in study.seed_list()
    ]  # fmt: skip


def _options(use: Use) -> dict[str, Any]:
    default = use.plugin.options
    return {name: v for name, v in asdict(use.instance).items() if v != default[name]}


def identity(arch: Architecture, recipe: Recipe, uses: Mapping[str, Use], data: str, batches: Batches) -> str:
    """Everything but the seed that determines a run's numbers, as a digest. The device layout is not in it."""
    parts = {
        "numerics": NUMERICS_VERSION,
        "arch": canonical(arch),
        "recipe": canonical(recipe),
        "plugins": {name: use.plugin.digest for name, use in sorted(uses.items())},
        "data": data,
        "batches": canonical(batches.runs),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def run_key(shared: str, seed: int) -> str:
    """A run's key."""
    return hashlib.sha256(f"{shared}/{seed}".encode()).hexdigest()[:24]


def rebuild(spec: RunSpec, registry: Registry) -> Composite:
    """The run's value, composed anew. Raises UserError where the plugins are not those that made the key."""
    uses = {}
    for name, options in spec.plugins:
        plugin = registry.plugin(name)
        uses[name] = Use(plugin, plugin.configure(options))
    family = registry.family(spec.family)
    model = Model(spec.arm, spec.family, None, uses, sized(family.dims(None), {}))
    recipe = recipe_value(RecipeConfig.model_validate(spec.recipe))
    value = composite(model, Composite(recipe=recipe), {k: v for k, v in spec.dims.items() if v is not None})
    if run_key(identity(value.arch, value.recipe, uses, spec.data, Batches(spec.batches)), spec.seed) != spec.key:
        raise UserError(f"{spec.arm}: its plugins' source, or the machine's precision, changed since the study was planned")
    return value
