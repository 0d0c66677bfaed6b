"""The model of a study file, and loading with the position of every error."""

import hashlib
import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ablab.data.spec import Data, StdlibData
from ablab.errors import UserError, unknown
from ablab.spec.base import (
    MAX_ARMS,
    MAX_ITEMS,
    MAX_SECONDS,
    Config,
    Expression,
    Label,
    Text,
)
from ablab.spec.design import Compare, Contexts, Design, Search
from ablab.spec.errors import messages
from ablab.spec.execution import ExecutionConfig
from ablab.spec.hardware import Hardware
from ablab.spec.margin import DEFAULT, Margin
from ablab.spec.metric import StudyMetric
from ablab.spec.nuisance import Nuisance, balanced_step, fewest_seeds
from ablab.spec.run import BudgetConfig, Ladder, RecipeConfig, RecipeField, Sizes, first_budget
from ablab.spec.seeds import STREAM, AdaptiveSeeds, ArmText, Replicate, Seeds, seed_list
from ablab.spec.tracking import Tracking
from ablab.spec.tune import Tune
from ablab.spec.yaml_document import Document, read_document
from ablab.text.truncate import some


def _match(value: Any) -> Any:
    """Accept the names of quantities that can be matched."""
    if value is not None and value not in MATCHES:
        raise ValueError(str(unknown("match", str(value), MATCHES)))
    return value


Match = Literal["params", "flops_per_token"]
MATCHES: tuple[Match, ...] = get_args(Match)
Share = Annotated[float, Field(gt=0, lt=1)]
_NOT_HASHED = (
    "notes",
    "execution",
    "tracking",
    "checkpoint_seconds",
    "retries",
    "stall_seconds",
)
# Keys that did not exist in the first version of study files. At these defaults they are excluded
# from the hash, so that a study keeps its revision.
_DEFAULTS_OF_NEW_KEYS: dict[tuple[str, ...], Any] = {
    ("margin",): DEFAULT,
    ("helps_level",): 0.05,
    ("nuisance",): None,
    ("tune", "shared"): True,
    ("match",): None,
    ("budget", "seconds"): None,
    ("hardware", "threads"): 1,
}


class Study(Config):
    """A study: arms, trained under the same budget, and the question that their results answer."""

    question: Text = ""
    """The question that the study answers, in a sentence. Reports show it."""
    notes: list[Text] = Field(default=[], max_length=MAX_ITEMS)
    """Comments on the results, in Markdown. `docs/findings.md` shows them beside the results; no
    run depends on them.
    """
    from_: Expression | None = Field(default=None, alias="from")
    """Model expression of the arm that the changes start from (`gpt2`, `gpt2:124M + rope`)."""
    to: Expression | None = None
    """Model expression of the arm that the changes lead to (`llama`)."""
    arms: Annotated[dict[Label, ArmText], Field(min_length=1, max_length=MAX_ARMS)] | None = None
    """The arms of design `compare` by name, each a model expression; `from` and `to` if omitted."""
    design: Design = Compare()
    """Which combinations of changes are trained, and which effects are estimated from them."""
    model: Sizes = Sizes()
    """Model sizes, in place of those of the family."""
    data: Data = StdlibData()
    """The corpus and the tokenizer."""
    budget: BudgetConfig
    """What every run may spend; with `budgets` or `scales`, the first part's budget if omitted."""
    match: Annotated[Match | None, BeforeValidator(_match)] = None
    """A quantity in which every arm is matched to the baseline, to within 1 %, by adjusting the
    width of its feed-forward layers.
    """
    budgets: Annotated[list[BudgetConfig], Field(max_length=MAX_ITEMS)] | None = None
    """Several budgets, at each of which the study is repeated."""
    scales: Ladder | None = None
    """Several scales, from small to large, at each of which the study is repeated."""
    seeds: Seeds = 3
    """Random seeds of every arm: their number, a list, or `{start, max, until: decided}` to add
    seeds where verdicts are open.
    """
    margin: Margin = DEFAULT
    """Effects smaller than this count as equivalent to zero: a number in the metric's unit, or a
    percentage of the baseline's mean (`0.5 %`).
    """
    helps_level: Annotated[float, Field(gt=0, le=0.05)] = 0.05
    """A change helps if its p, corrected for the number of changes, is below this: less than 0.05
    where many ideas are tried one after another (`ablab try`).
    """
    nuisance: Nuisance | None = None
    """Choices that a verdict should not hang on, each with two levels: options of the recipe
    (`recipe.lr: {factor: 1.5}`, `recipe.warmup: [0.1, 0.3]`), or plugins that every arm has
    (`init: ["", "width_init"]`). Each seed has one combination of levels.
    """
    tune: Tune | None = None
    """Tuning of the recipe, separately for every arm."""
    recipe: RecipeField = RecipeConfig()
    """How every arm is trained: its options, or the name of a preset."""
    metric: StudyMetric = "val/bpb"
    """The metric that effects are measured in: `val/bpb` is the validation loss in bits per byte,
    `val/loss` in nats per token.
    """
    validate_at: list[Share] = Field(default=[], max_length=MAX_ITEMS)
    """Shares of the budget after which a run is validated, besides at its end. Pruning compares
    trials at these shares.
    """
    checkpoint_seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = 30.0
    """Minimum time between two checkpoints of a run, in seconds."""
    retries: Annotated[int, Field(ge=0, le=1_000)] = 1
    """How often a run is started again after its worker process died or hung."""
    stall_seconds: Annotated[float, Field(gt=0, le=MAX_SECONDS)] = 600.0
    """Time without progress after which a worker counts as hung, in seconds, including its start
    and validation.
    """
    hardware: Hardware = Hardware()
    """The devices that each run is trained on."""
    execution: ExecutionConfig = ExecutionConfig()
    """The engine that carries out the runs: on this machine, or on a cluster."""
    tracking: Tracking | None = None
    """Stores of MLflow and Optuna other than the local ones."""

    @model_validator(mode="before")
    @classmethod
    def _first_budget(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "budget" in values:
            return values
        budgets = values.get("budgets")
        scales = values.get("scales")
        if budgets is None and scales is None:
            return values
        return {**values, "budget": first_budget(budgets, scales)}

    @model_validator(mode="after")
    def _has_arms(self) -> "Study":
        if isinstance(self.design, Compare) and self.arms is not None:
            if self.design.baseline is not None and self.design.baseline not in self.arms:
                raise ValueError(
                    f"design.baseline: {unknown('arm', self.design.baseline, self.arms)}"
                )
            return self
        if self.arms is not None:
            raise ValueError(
                f"arms go with design compare; {self.design.kind} derives its arms from `from` "
                "and `to`"
            )
        if isinstance(self.design, Contexts):
            if self.from_ is not None or self.to is not None:
                raise ValueError("design contexts starts from its `contexts`, not `from` and `to`")
            return self
        changes = getattr(self.design, "changes", None) or getattr(self.design, "factors", None)
        if self.from_ is None or (self.to is None and not changes):
            raise ValueError(f"design {self.design.kind} needs `from` and `to`")
        return self

    def seed_list(self) -> list[int]:
        """Return all seeds that runs may have, without those of replicates."""
        return seed_list(self.seeds)

    @property
    def adaptive(self) -> AdaptiveSeeds | None:
        """The adaptive seeds; None if the seeds are fixed."""
        return self.seeds if isinstance(self.seeds, AdaptiveSeeds) else None

    @property
    def seed_step(self) -> int:
        """The number of seeds after which the levels of nuisance factors are balanced; 1 without
        such factors.
        """
        return balanced_step(len(self.nuisance or {}))

    @property
    def fewest_seeds(self) -> int:
        """The smallest number of seeds that gives verdicts."""
        return fewest_seeds(len(self.nuisance or {}))

    @property
    def replicates(self) -> dict[str, int]:
        """The number of the seed stream, by arm that has its own."""
        arms = {
            name: arm.replicate
            for name, arm in (self.arms or {}).items()
            if isinstance(arm, Replicate)
        }
        return {name: replicate for name, replicate in arms.items() if replicate}

    def every_seed(self) -> list[int]:
        """Return all seeds that runs and trials may have, in all streams."""
        seeds = self.seed_list()
        if self.trial_seed is not None:
            seeds.append(self.trial_seed)
        return [
            stream * STREAM + seed
            for stream in sorted({0, *self.replicates.values()})
            for seed in seeds
        ]

    @property
    def timed(self) -> bool:
        """Whether the budget of any part is in seconds."""
        return any(budget.seconds is not None for budget in (self.budget, *(self.budgets or ())))

    @property
    def objectives(self) -> list[str]:
        """The objectives of a search, or else the metric."""
        return list(self.design.objectives) if isinstance(self.design, Search) else [self.metric]

    @property
    def trial_seed(self) -> int | None:
        """The seed of all trials; None in a study without trials."""
        trials = self.tune or self.design
        return trials.seed if isinstance(trials, Tune | Search) else None

    def content(self, *excluded: str) -> dict[str, Any]:
        """Return the study in plain JSON types, without the `excluded` keys.

        Unset `budgets` and `scales` are omitted, and so are unset options of a recipe where an
        explicit default would override a preset or, on a rung, the study.
        """
        unset = {name for name in ("budgets", "scales") if getattr(self, name) is None}
        content = self.model_dump(mode="json", by_alias=True, exclude={*excluded, *unset})
        rungs = self.scales.rungs if self.scales else []
        rung_contents = content.get("scales", {}).get("rungs", ())
        for rung, rung_content in zip(rungs, rung_contents, strict=False):
            rung_content["recipe"] = rung.recipe.model_dump(mode="json", exclude_unset=True)
        if any(recipe.preset for recipe in (self.recipe, *(rung.recipe for rung in rungs))):
            content["recipe"] = self.recipe.model_dump(mode="json", exclude_unset=True)
        return content

    def revision(self) -> str:
        """Return a hash of the resolved study.

        It excludes what does not affect results: notes, the engine, tracking, checkpoints, retries
        and, unless the budget is in seconds, the hardware except for the number of threads.
        """
        content = self.content(*_NOT_HASHED, *([] if self.timed else ["hardware"]))
        if not self.timed and self.hardware.threads != Hardware().threads:
            content["hardware"] = {"threads": self.hardware.threads}
        for path, default in _DEFAULTS_OF_NEW_KEYS.items():
            *parents, key = path
            node = reduce(lambda parent, name: parent.get(name) or {}, parents, content)
            if key in node and node[key] == default:
                del node[key]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def load_study(file: Path, profile: str | None, overrides: Sequence[str]) -> tuple[Study, Document]:
    """Read and validate a study file.

    Raises UserError with one line per error: `file:line:column: key: message`.
    """
    document = read_document(file, profile, overrides)
    try:
        return Study.model_validate(document.values), document
    except ValidationError as error:
        raise UserError("\n".join(some(messages(error, document, Study)))) from None
