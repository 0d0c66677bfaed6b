"""What one run may spend: the study's budget as the batches or the time limit of an arm."""

from itertools import groupby

from ablab.arch.composition.compose import Composite
from ablab.arch.recipe import RampSlot
from ablab.data.batches import Batches
from ablab.errors import UserError
from ablab.spec.hardware import Hardware
from ablab.spec.run import BudgetConfig, BudgetKind
from ablab.train.budget import TimeLimit

_MAX_RAMP = 200_000  # steps of a batch ramp, whose sizes are computed one by one


def run_budget(
    budget: BudgetConfig,
    value: Composite,
    flops_per_token: float,
    hardware: Hardware,
    place: str,
) -> Batches | TimeLimit:
    """Return what a run of an arm may spend under `budget`.

    `flops_per_token` are the training FLOPs of the arm; `place` names the budget and its position
    in the study file, for errors. Raises UserError if the budget is less than one step, or if a
    batch ramp would be compiled under a time limit.
    """
    batch_tokens = value.recipe.batch_tokens
    full = batch_tokens // value.arch.dims.context
    if budget.kind == "seconds":
        if hardware.compile and value.recipe.ramp.fraction(0.0) < 1.0:
            raise UserError(
                "a batch ramp is compiled anew at each size, and the clock would count "
                "it: no ramp, or no `compile`"
            )
        return TimeLimit(budget.amount, full, *hardware.identity())
    try:
        steps = budget.full_batches(batch_tokens, flops_per_token)
    except UserError as error:
        raise error.at(place) from None
    return ramp_batches(value.recipe.ramp, full, steps, budget.kind)


def ramp_batches(ramp: RampSlot, full: int, steps: int, kind: BudgetKind) -> Batches:
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
        if len(sizes) == _MAX_RAMP:
            raise UserError(f"its batch ramp takes more than {_MAX_RAMP:,} steps")
        sizes.append(max(1, min(full, int(fraction * full))))
        spent += 1 if kind == "steps" else sizes[-1]
    rest = max(0, round((steps * unit - spent) / unit))
    runs = [(size, len(list(group))) for size, group in groupby(sizes)]
    return Batches((*runs, (full, rest)) if rest else tuple(runs))
