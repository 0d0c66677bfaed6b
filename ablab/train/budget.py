"""Training budgets and the batches in which an arm spends them."""

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
    """A budget of `seconds` of training steps on `machine`, in batches of `batch` sequences
    (smaller on a ramp) divided as in `layout`.

    Only training steps count: compilation, validation, checkpointing and progress reports do not.
    The number of steps depends on the machine's load, so a run is not bitwise reproducible. Runs in
    parallel slow each other down; `--workers 1` avoids that.
    """

    seconds: float
    batch: int
    machine: str
    layout: str


@dataclass(frozen=True)
class Budget:
    """A training budget. `amount` is in tokens, steps, training FLOPs (see
    `accounting.FLOP_CONVENTION`) or seconds (see `TimeLimit`).
    """

    kind: Kind
    amount: float

    def steps(self, batch_tokens: int, flops_per_token: float) -> int:
        """Return the number of full batches closest to the budget, which must not be in seconds.

        Raises UserError if the budget is less than one step.
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
    """Return the batches of a budget worth `steps` full batches of `full` sequences.

    Under a budget of steps, the number of steps is unchanged and the ramp is a function of the
    share of steps. Under any other budget, the number of sequences is unchanged up to half a batch,
    and the ramp is a function of the share of sequences.
    """
    sizes: list[int] = []
    unit = 1 if kind == "steps" else full
    spent = 0  # in steps, or in sequences
    while spent < steps * unit:
        fraction = ramp.fraction(spent / (steps * unit))
        if fraction >= 1.0:
            break
        sizes.append(max(1, min(full, int(fraction * full))))
        spent += 1 if kind == "steps" else sizes[-1]
    rest = max(0, round((steps * unit - spent) / unit))
    runs = [(size, len(list(group))) for size, group in groupby(sizes)]
    return Batches((*runs, (full, rest)) if rest else tuple(runs))
