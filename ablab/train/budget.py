"""Budgets: what every run may spend, and how many steps that is for an arm."""

from dataclasses import dataclass
from typing import Literal

from ablab.errors import UserError

Kind = Literal["tokens", "steps", "flops"]


@dataclass(frozen=True)
class Budget:
    """One budget. `amount`: tokens, steps, or training FLOPs (see `accounting.FLOP_CONVENTION`)."""

    kind: Kind
    amount: float

    def steps(self, batch_tokens: int, flops_per_token: float) -> int:
        """The whole number of steps that comes nearest to the budget. Raises UserError below one step."""
        cost = {"steps": 1.0, "tokens": float(batch_tokens), "flops": flops_per_token * batch_tokens}[self.kind]
        if self.amount < cost:
            raise UserError(
                f"a budget of {self.amount:.4g} {self.kind} is below one step, which takes {cost:.4g}; "
                "raise it, or lower recipe.batch_tokens"
            )
        return round(self.amount / cost)
