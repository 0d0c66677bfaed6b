"""The effect of a change in one setting, as one study measured it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ablab.metrics import METRICS, Direction
from ablab.stats.inference.verdicts import Verdict
from ablab.stats.meta import Measured

Kind = Literal["change", "total"]
DIGEST = 10
"""Characters of a run's key that tell it from others in a table of evidence."""
AVERAGE = "average over "
"""How the context of an effect begins that is averaged over many arms."""
_OPPOSITE: dict[str, Verdict] = {"helps": "hurts", "hurts": "helps"}


@dataclass(frozen=True)
class Setting:
    """Everything around a change that its effect may depend on.

    Texts that stand for a part of a study file are YAML in flow style.
    """

    context: str
    """The arm without the change (`llama - swiglu`), or `average over gpt2 … llama`."""
    layers: int | None = None
    """Number of layers."""
    width: int | None = None
    """Width of the residual stream."""
    heads: int | None = None
    """Number of attention heads."""
    context_length: int | None = None
    """Context length in tokens."""
    parameters: int | None = None
    """Trainable parameters of the arm that the study compares with."""
    compute: float | None = None
    """Training FLOPs of a run of that arm; None where the clock decides."""
    tokens: int | None = None
    """Training tokens of a run of that arm; None likewise."""
    budget: str = ""
    """Budget of a run, the same for all arms (`{flops: 1.4e+11}`)."""
    match: str = ""
    """Quantity in which arms were matched by the width of their feed-forward; empty if none."""
    corpus: str = ""
    """The `data` of the study without its tokenizer."""
    tokenizer: str = ""
    """The tokenizer of the study."""
    recipe: str = ""
    """The recipe as the study names it, without the learning rate."""
    lr: float | None = None
    """Learning rate of the arm that the study compares with."""
    tuned: bool = False
    """Whether every arm has a recipe of its own."""
    nuisance: str = ""
    """Choices that were varied over the seeds; empty if none were."""

    @property
    def identity(self) -> tuple[Any, ...]:
        """What two studies of one setting have in common: all but the outcome of tuning."""
        values = asdict(self)
        if self.tuned:
            del values["lr"]
        return tuple(values.values())

    @property
    def base(self) -> str:
        """The context as one model expression: of an average, the arm that it starts from."""
        return self.context.removeprefix(AVERAGE).partition(" … ")[0]

    @property
    def family(self) -> str:
        """The family of the context (`gpt2`), without its size."""
        return self.base.split()[0].partition(":")[0] if self.base.split() else ""


@dataclass(frozen=True)
class Origin:
    """Where a contrast was measured."""

    study: str
    """Name of the study in its home."""
    revision: str
    """Revision of the study."""
    part: str = ""
    """Label of the part of the study; empty where it has one part."""
    effect: str = ""
    """Name of the effect in the study."""
    command: str = ""
    """Arguments of the `ablab run` that trained it."""
    numerics: int = 1
    """Version of the core's numerics."""
    version: str = ""
    """Version of ablab."""
    commit: str = ""
    """Commit of the folder that the study was run in; empty if unknown."""
    server: str = ""
    """Address of the MLflow server that it was read from; empty if it was read from records."""

    @property
    def name(self) -> str:
        """Name of the study with its part."""
        return f"{self.study}, {self.part}" if self.part else self.study


@dataclass(frozen=True)
class EvidenceContrast:
    """The effect of adding a change: the mean with it minus the mean without it."""

    change: str
    """The change in one form for all studies: `rope`, `swiglu for relu`, `llama vs gpt2`."""
    kind: Kind
    """`change`, or `total` for the difference of two families."""
    setting: Setting
    """What surrounds it."""
    origin: Origin
    """Where it was measured."""
    metric: str
    """Name of the metric."""
    estimate: float
    """Estimate in the metric's units."""
    error: float
    """Standard error, as for a number of seeds that was fixed beforehand."""
    dof: float
    """Degrees of freedom of the standard error."""
    low: float
    """Lower end of the 95 % interval in the study's report."""
    high: float
    """Upper end."""
    seeds: int
    """Smallest number of seeds among the arms."""
    verdict: Verdict
    """Verdict of the study on adding the change."""
    margin: float | None = None
    """Effects within the margin count as equivalent to zero."""
    runs: Mapping[str, float] = field(default_factory=dict)
    """Weight of each run, by the first characters of its key; empty if it is not known."""

    @property
    def direction(self) -> Direction:
        """Whether lower or higher values of the metric are better."""
        return METRICS[self.metric].direction

    @property
    def measured(self) -> Measured:
        """The estimate as the meta-analysis takes it."""
        return Measured(self.estimate, self.error**2, self.dof)

    @property
    def is_usable(self) -> bool:
        """Whether the estimate has an error that it can be weighed by."""
        numbers = (self.estimate, self.error, self.dof)
        return all(map(math.isfinite, numbers)) and self.error > 0 and self.dof > 2


def opposite(verdict: Verdict) -> Verdict:
    """Return the verdict on removing a change whose addition has this verdict."""
    return _OPPOSITE.get(verdict, verdict)
