"""The training recipe as a frozen value, edited by plugins through the same mechanism as the
architecture.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from math import cos, pi
from typing import Any, ClassVar

from torch.optim import AdamW as TorchAdamW
from torch.optim import Optimizer

from ablab.arch.slots import Slot


class OptimizerSlot(Slot):
    """The optimizer.

    `elementwise` states whether each element of a weight is updated independently, so that
    processes holding parts of a weight can run it on their parts.
    """

    elementwise: ClassVar[bool] = False

    @abstractmethod
    def build(self, groups: list[dict[str, Any]], lr: float) -> Optimizer:
        """Return the optimizer over parameter `groups`.

        Each group has its own `weight_decay`, and `matrix` states whether it holds the hidden
        matrices (`Weight.hidden_matrix`). The trainer sets each group's `lr` before every step.
        """


class ScheduleSlot(Slot):
    """The learning rate as a function of the share of the budget spent after warm-up."""

    @abstractmethod
    def factor(self, share: float) -> float:
        """Return the factor on the peak learning rate. `share` runs from 0 (end of warm-up) to 1
        (end of the budget).
        """

    def at(self, share: float, warmup: float) -> float:
        """Return the factor once `share` of the whole budget is spent, with a warm-up over its
        first `warmup`.

        Override it if the schedule depends on the whole budget.
        """
        return self.factor(min(1.0, (share - warmup) / (1.0 - warmup)) if warmup < 1.0 else 1.0)


class RampSlot(Slot):
    """The batch size as a function of the share of the budget spent."""

    @abstractmethod
    def fraction(self, share: float) -> float:
        """Return the batch size as a fraction of the full one. `share` runs from 0 to 1; once the
        fraction is 1, it must stay 1.
        """


class LossTerm(Slot):
    """A term added to the cross entropy."""

    @abstractmethod
    def __call__(self, log_z: Any, target: Any) -> Any:
        """Return each token's term from its log Z and target logit, all `(tokens,)`."""


@dataclass(frozen=True)
class AdamW(OptimizerSlot):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101), with the β of
    LLaMA.
    """

    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    elementwise: ClassVar[bool] = True

    def build(self, groups: list[dict[str, Any]], lr: float) -> Optimizer:
        """Return torch's fused AdamW."""
        return TorchAdamW(groups, lr=lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)


@dataclass(frozen=True)
class Cosine(ScheduleSlot):
    """Cosine decay from 1 to `floor` (Loshchilov & Hutter 2017, arXiv:1608.03983)."""

    floor: float = 0.1

    def factor(self, share: float) -> float:
        """Return floor + (1 − floor)(1 + cos π·share) / 2."""
        return self.floor + (1 - self.floor) * 0.5 * (1 + cos(pi * share))


@dataclass(frozen=True)
class FullBatch(RampSlot):
    """A constant batch size."""

    def fraction(self, share: float) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Terms:
    """The open map of loss terms, ordered by key; each key has one writer."""

    entries: tuple[tuple[str, LossTerm], ...] = ()

    def with_entry(self, key: str, term: LossTerm) -> "Terms":
        """Return a copy with `key` set to `term`."""
        return Terms(tuple(sorted({**dict(self.entries), key: term}.items())))


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    `batch_tokens` is the number of tokens in a global batch, `warmup` the share of the budget over
    which the learning rate rises linearly, `clip` the largest gradient norm, and `precision` one of
    auto, fp32 and bf16. With `checkpointing`, activations are recomputed in the backward pass
    instead of being stored.
    """

    batch_tokens: int = 4096
    lr: float = 1e-3
    optimizer: OptimizerSlot = field(default_factory=AdamW)
    schedule: ScheduleSlot = field(default_factory=Cosine)
    warmup: float = 0.05
    weight_decay: float = 0.1
    clip: float = 1.0
    precision: str = "auto"
    loss: Terms = field(default_factory=Terms)
    ramp: RampSlot = field(default_factory=FullBatch)
    checkpointing: bool = False

    def lr_at(self, share: float) -> float:
        """Return the learning rate once `share` (0 to 1) of the budget is spent."""
        if share < self.warmup:
            return self.lr * share / self.warmup
        return self.lr * self.schedule.at(share, self.warmup)


@dataclass(frozen=True)
class RecipePreset:
    """A recipe as values of a study's `recipe`; None where its source states nothing that carries
    over.
    """

    lr: float | None = None
    batch_tokens: int | None = None
    optimizer: str | None = None
    schedule: str | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    clip: float | None = None
    plugins: str | None = None

    def settings(self) -> dict[str, Any]:
        """Return the stated values by their keys in a study's `recipe`."""
        return {name: value for name, value in vars(self).items() if value is not None}
