"""Budgets: what every run may spend, and in which batches an arm spends it."""

from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

from ablab.arch.recipe import RampSlot
from ablab.data.batches import Batches
from ablab.errors import UserError

Kind = Literal["tokens", "steps", "flops", "seconds"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class TimeLimit:
    """What a budget of `seconds` gives a run: as many batches of `batch` sequences (fewer on a
    ramp) as its training steps take on `machine`, shared out as in `layout`.

    Counted are training steps on the device alone: neither compilation, validation, checkpoints,
    nor telling how far it is. How many steps that are depends on the moment, so a run is not
    reproducible to the bit; runs side by side disturb each other, and `--workers 1` disturbs least.
    """

    seconds: float
    batch: int
    machine: str
    layout: str


@dataclass(frozen=True)
class Budget:
    """One budget. `amount`: tokens, steps, training FLOPs (see `accounting.FLOP_CONVENTION`), or
    seconds (see `TimeLimit`).
    """

    kind: Kind
    amount: float

    def steps(self, batch_tokens: int, flops_per_token: float) -> int:
        """The whole number of steps with full batches that comes nearest to a budget that is not of
        seconds. Raises UserError below one step.
        """
        cost = {
            "steps": 1.0,
            "tokens": float(batch_tokens),
            "flops": flops_per_token * batch_tokens,
        }[self.kind]
        if self.amount < cost:
            raise UserError(
                f"a budget of {self.amount:.4g} {self.kind} is below one step, which takes "
                f"{cost:.4g}; "
                "raise it, or lower recipe.batch_tokens"
            )
        return round(self.amount / cost)


def ramped(ramp: RampSlot, full: int, steps: int, kind: Kind) -> Batches:
    """The batches of a budget that is worth `steps` full batches of `full` sequences.

    With a budget of steps there are as many, and the ramp is a function of the share of the steps.
    With any other, the sequences are as many as without a ramp, up to half a batch, and the ramp is
    a function of their share.
    """
    sizes: list[int] = []
    unit = 1 if kind == "steps" else full
    spent = 0  # in steps, or in sequences
    while spent < steps * unit and (fraction := ramp.fraction(spent / (steps * unit))) < 1.0:
        sizes.append(max(1, min(full, int(fraction * full))))
        spent += 1 if kind == "steps" else sizes[-1]
    rest = max(0, round((steps * unit - spent) / unit))
    runs = [(size, len(list(group))) for size, group in groupby(sizes)]
    return Batches((*runs, (full, rest)) if rest else tuple(runs))
