"""What a study may say: pydantic models, strict, unknown keys refused, every error with its place in the file."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from ablab.data.spec import Data, StdlibData
from ablab.errors import UserError, unknown
from ablab.study.config import Config
from ablab.study.design_schema import Compare, Design, Search, misplaced
from ablab.study.hardware import Hardware
from ablab.study.margin import DEFAULT, Margin
from ablab.study.seeds import STREAM, AdaptiveSeeds, ArmText, Replicate, Seeds, seed_list
from ablab.study.tuning_schema import Tune
from ablab.study.yaml_file import Document, read
from ablab.train.budget import KINDS, Budget


class Sizes(Config):
    """The model's sizes, in place of the family's: of `from` in a design, of each arm's own in `compare`.

    The vocabulary follows from the tokenizer.
    """

    layers: Annotated[int, Field(ge=1)] | None = None
    width: Annotated[int, Field(ge=1)] | None = None
    heads: Annotated[int, Field(ge=1)] | None = None
    head_dim: Annotated[int, Field(ge=1)] | None = None
    context: Annotated[int, Field(ge=1)] | None = None


class BudgetConfig(Config):
    """What every run may spend: exactly one of these."""

    tokens: Annotated[float, Field(gt=0)] | None = None
    steps: Annotated[float, Field(gt=0)] | None = None
    flops: Annotated[float, Field(gt=0)] | None = None
    seconds: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "BudgetConfig":
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}")
        return self

    def budget(self) -> Budget:
        """The budget as a value."""
        return next(Budget(kind, amount) for kind in KINDS if (amount := getattr(self, kind)) is not None)


class RecipeConfig(Config):
    """How every arm is trained. `preset`: a family whose published recipe fills in what is not given here. `optimizer`,
    `schedule`: a plugin that writes it, with options (`name(option=value)`); the base recipe's by default. `plugins`: terms
    given to every arm that has no own in their place. `batch_tokens`: tokens a full step. `warmup`: share of the budget.
    `clip`: gradient norm, 0 for none.
    """

    preset: str | None = None
    batch_tokens: Annotated[int, Field(ge=1)] = 4096
    lr: Annotated[float, Field(gt=0)] = 1e-3
    optimizer: str | None = None
    schedule: str | None = None
    plugins: str = ""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    clip: Annotated[float, Field(ge=0)] = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"


def _preset(value: Any) -> Any:
    """A recipe that is a name alone is that preset."""
    return {"preset": value} if isinstance(value, str) else value


RecipeField = Annotated[RecipeConfig, BeforeValidator(_preset, json_schema_input_type=RecipeConfig | str)]


class Rung(Config):
    """What one part of a study that goes up a ladder has of its own: sizes, budget, recipe, each over the study's."""

    model: Sizes = Sizes()
    budget: BudgetConfig | None = None
    recipe: RecipeField = RecipeConfig()


class Scales(Config):
    """A ladder: the study at each of `rungs`, from small to large. `lr`: how the learning rate follows from the first rung's as
    the model gets wider, where a rung has none of its own; constant by default.
    """

    rungs: list[Rung]
    lr: Literal["constant", "inverse_width", "inverse_sqrt_width"] | None = None


def _rungs(value: Any) -> Any:
    """A list is that of the rungs."""
    if not isinstance(value, list | Mapping | Scales):
        raise ValueError(f"a list of rungs is expected, or {{rungs: [...], lr: ...}}, not {value!r}")
    return {"rungs": value} if isinstance(value, list) else value


def _first_of(several: Any, ladder: Any) -> Any:
    """What a study's first part may spend; of lists that are refused later, in better words, anything that is sound."""
    if several is None:
        rungs = ladder.get("rungs") if isinstance(ladder, Mapping) else ladder
        several = [rung.get("budget") for rung in rungs if isinstance(rung, Mapping)] if isinstance(rungs, list) else None
    return (several[0] if isinstance(several, list) and several else None) or {"steps": 1.0}


Ladder = Annotated[Scales, BeforeValidator(_rungs, json_schema_input_type=Scales | list[Rung])]


class Tracking(Config):
    """`uri`: an MLflow tracking server or store in place of the local one. `optuna`: a database that a team shares
    (`postgresql+psycopg://user@host/name`) in place of a journal file.
    """

    uri: str | None = None
    optuna: str | None = None


def _match(value: Any) -> Any:
    """Accepts the names of what can be matched."""
    if value is not None and value not in MATCHES:
        raise ValueError(str(unknown("match", str(value), MATCHES)))
    return value


Match = Literal["params", "flops_per_token"]
MATCHES: tuple[Match, ...] = get_args(Match)
Share = Annotated[float, Field(gt=0, lt=1)]
# Keys that came later: at their defaults a study is the revision that it was without them.
_LATER: dict[tuple[str, ...], Any] = {
    ("margin",): DEFAULT, ("tune", "shared"): True, ("match",): None, ("budget", "seconds"): None,
}  # fmt: skip


class Study(Config):
    """A study file, resolved. `match`: what every arm has as much of as the baseline (`from`; in `compare` its `baseline`), to
    within 1 %: its feed-forward is made as wide as that takes. `budgets`, `scales`: the same question at several budgets, or up
    a ladder; `budget` is then the first's, where none is given for all. `retries`: how often a run is tried again whose worker
    process died or hung. `stall_seconds`: without progress for so long, starting and validation included, a run's worker counts
    as hung.
    """

    question: str = ""
    from_: str | None = Field(default=None, alias="from")
    to: str | None = None
    arms: Annotated[dict[str, ArmText], Field(min_length=1)] | None = None
    design: Design = Compare()
    model: Sizes = Sizes()
    data: Data = StdlibData()
    budget: BudgetConfig
    match: Annotated[Match | None, BeforeValidator(_match)] = None
    budgets: list[BudgetConfig] | None = None
    scales: Ladder | None = None
    seeds: Seeds = 3
    margin: Margin = DEFAULT
    tune: Tune | None = None
    recipe: RecipeField = RecipeConfig()
    metric: Literal["val/bpb", "val/loss"] = "val/bpb"
    validate_at: list[Share] = Field(default=[0.25, 0.5, 0.75])
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 30.0
    retries: Annotated[int, Field(ge=0)] = 1
    stall_seconds: Annotated[float, Field(gt=0)] = 600.0
    hardware: Hardware = Hardware()
    tracking: Tracking | None = None

    @model_validator(mode="before")
    @classmethod
    def _first_budget(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "budget" in values:
            return values
        several, ladder = values.get("budgets"), values.get("scales")
        return values if several is None and ladder is None else {**values, "budget": _first_of(several, ladder)}

    @model_validator(mode="after")
    def _has_arms(self) -> "Study":
        if isinstance(self.design, Compare) and self.arms is not None:
            if self.design.baseline is not None and self.design.baseline not in self.arms:
                raise ValueError(f"design.baseline: {unknown('arm', self.design.baseline, self.arms)}")
            return self
        if self.arms is not None:
            raise ValueError(f"arms go with design compare; {self.design.kind} makes its own from `from` and `to`")
        changes = getattr(self.design, "changes", None) or getattr(self.design, "factors", None)
        if self.from_ is None or (self.to is None and not changes):
            raise ValueError(f"design {self.design.kind} needs `from` and `to`")
        return self

    def seed_list(self) -> list[int]:
        """The seeds that there can be, replicates' apart: 1 to n where a number is given, or the most there may be."""
        return seed_list(self.seeds)

    @property
    def adaptive(self) -> AdaptiveSeeds | None:
        """How seeds are added, where they are."""
        return self.seeds if isinstance(self.seeds, AdaptiveSeeds) else None

    @property
    def replicates(self) -> dict[str, int]:
        """The replicate of each arm that names one above 0."""
        arms = {name: arm.replicate for name, arm in (self.arms or {}).items() if isinstance(arm, Replicate)}
        return {name: replicate for name, replicate in arms.items() if replicate}

    def every_seed(self) -> list[int]:
        """All seeds that runs and trials may have, over all streams."""
        own = [*self.seed_list(), *([] if self.trial_seed is None else [self.trial_seed])]
        return [stream * STREAM + seed for stream in sorted({0, *self.replicates.values()}) for seed in own]

    @property
    def timed(self) -> bool:
        """Whether the clock decides how long runs are, in any part."""
        return any(budget.seconds is not None for budget in (self.budget, *(self.budgets or ())))

    @property
    def objectives(self) -> list[str]:
        """What runs are judged by: the metric, or what a search asks for."""
        return list(self.design.objectives) if isinstance(self.design, Search) else [self.metric]

    @property
    def trial_seed(self) -> int | None:
        """The seed of trials, apart from the others; None where there are none."""
        trials = self.tune or self.design
        return trials.seed if isinstance(trials, Tune | Search) else None

    def content(self, *apart: str) -> dict[str, Any]:
        """In plain JSON types, less `apart`; `budgets` and `scales` only where there are some. Of a rung's recipe, and of the
        study's under a preset, only what is given: a default that is written out is not what a preset or the study would say.
        """
        none = {name for name in ("budgets", "scales") if getattr(self, name) is None}
        content = self.model_dump(mode="json", by_alias=True, exclude={*apart, *none})
        rungs = self.scales.rungs if self.scales else []
        for rung, told in zip(rungs, content.get("scales", {}).get("rungs", ()), strict=False):
            told["recipe"] = rung.recipe.model_dump(mode="json", exclude_unset=True)
        if any(recipe.preset for recipe in (self.recipe, *(rung.recipe for rung in rungs))):
            content["recipe"] = self.recipe.model_dump(mode="json", exclude_unset=True)
        return content

    def revision(self) -> str:
        """A hash of the resolved study; where it is tracked, how workers are cared for and, but for a budget of seconds, what it
        trains on does not count.
        """
        apart = ("tracking", "checkpoint_seconds", "retries", "stall_seconds")
        content = self.content(*apart) if self.timed else self.content(*apart, "hardware")
        for path, default in _LATER.items():
            *above, key = path
            place = reduce(lambda node, name: node.get(name) or {}, above, content)
            if key in place and place[key] == default:
                del place[key]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def load_study(file: Path, profile: str | None, overrides: Sequence[str]) -> tuple[Study, Document]:
    """Reads and validates a study file. Raises UserError: `file:line:column: key: what is wrong`."""
    document = read(file, profile, overrides)
    try:
        return Study.model_validate(document.values), document
    except ValidationError as error:
        raise UserError("\n".join(_messages(error, document))) from None


def _messages(error: ValidationError, document: Document) -> Iterable[str]:
    for item in error.errors():
        if item["loc"][:1] == ("budget",) and item["type"] != "missing" and "budget" not in document.values:
            continue  # said of `budgets` or `scales`, which it is taken from
        path, models = _walk(item["loc"])
        key = ".".join(path)
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            known = [alias for model in models for alias in _aliases(model)]
            elsewhere = misplaced(path[-1]) if path[0] == "design" and len(path) == 2 else None
            message = elsewhere or str(unknown("key", path[-1], known))
        elif item["type"] == "union_tag_invalid":
            context = item.get("ctx", {})
            expected = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
            message = str(unknown(context["discriminator"].strip("'"), context["tag"], expected))
        elif item["type"] not in ("missing", "value_error", "union_tag_not_found"):
            message = f"{message}, not {item['input']!r}"
        yield f"{document.place(path)}: {key}: {message}" if key else f"{document.place(path)}: {message}"


def _walk(loc: Sequence[str | int]) -> tuple[list[str], list[type[BaseModel]]]:
    """The YAML path of a pydantic location (which also names the chosen members of unions), and the models at its end."""
    path: list[str] = []
    parents: list[type[BaseModel]] = [Study]
    models: list[type[BaseModel]] = [Study]
    named = False  # the next part is a name that the user chose, as an arm's
    for part in loc:
        if named:
            named = False
            path.append(str(part))
            continue
        tagged = [m for m in models if _tag(m) == part]
        if tagged:
            models = tagged
            continue
        if isinstance(part, int):  # of a list, whose items are what `models` says
            path.append(str(part))
            continue
        fields = [f for m in models for n, f in m.model_fields.items() if part in (n, f.alias)]
        union = isinstance(part, str) and ("[" in part or part in ("int", "list", "float", "range"))
        if not fields and (union or (models and part != loc[-1])):
            continue
        path.append(str(part))
        parents, models = models, [m for f in fields for m in _models(f.annotation)]
        named = any(get_origin(leaf) is dict for f in fields for leaf in _leaves(f.annotation))
    return path, parents


def _tag(model: type[BaseModel]) -> Any:
    for name in ("kind", "source"):
        if name in model.model_fields and get_origin(model.model_fields[name].annotation) is Literal:
            return get_args(model.model_fields[name].annotation)[0]
    return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that a value may be, or in a mapping of names the values."""
    values = [get_args(leaf)[1] if get_origin(leaf) is dict else leaf for leaf in _leaves(annotation)]
    return [leaf for value in values for leaf in _leaves(value) if isinstance(leaf, type) and issubclass(leaf, BaseModel)]


def _leaves(annotation: Any) -> Iterable[Any]:
    if get_origin(annotation) in (Union, UnionType, Annotated, list):
        for part in get_args(annotation):
            yield from _leaves(part)
    else:
        yield annotation


def _aliases(model: type[BaseModel]) -> list[str]:
    return [f.alias or name for name, f in model.model_fields.items()]
