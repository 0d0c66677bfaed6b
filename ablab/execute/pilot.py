"""The runs of a pilot: a few of a study's arms at neighbouring learning rates and budgets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ablab.errors import UserError
from ablab.execute.request import Planned, Request
from ablab.plan.plan import Plan

VARIANT = "pilot"
SEEDS = 3
_SHARES = (0.5, 1.0)  # of the study's budget
_FACTORS = (0.5, 1.0, 2.0)  # of the study's learning rate


@dataclass(frozen=True)
class PilotRequests:
    """What a pilot runs: one study over two budgets for each learning rate."""

    requests: Mapping[float, Request]
    """The studies by learning rate."""
    arms: tuple[str, str]
    """The baseline, and the arm that differs most from it."""

    @property
    def runs(self) -> int:
        """Number of runs in all."""
        return len(self.requests) * len(_SHARES) * len(self.arms) * SEEDS

    @property
    def cost(self) -> float:
        """Cost in runs of the study's own budget."""
        return len(self.requests) * sum(_SHARES) * len(self.arms) * SEEDS


def pilot_requests(planned: Planned) -> PilotRequests:
    """Return the studies of a pilot for a planned study, which trains none of its own runs.

    Raises:
        UserError: if the study has several budgets or scales, or a single arm.

    """
    study = planned.study
    if study.budgets is not None or study.scales is not None:
        raise UserError("--pilot takes a study of one budget and scale: give it `budget` alone")
    (part,) = planned.plan.parts
    arms = _arms(part.plan)
    first = max(study.every_seed()) + 1
    budgets = [study.budget.scaled(share).model_dump(exclude_none=True) for share in _SHARES]
    settings = {
        "design": {"kind": "compare", "baseline": part.plan.baseline},
        "arms": arms,
        "seeds": list(range(first, first + SEEDS)),
        "budget": None,
        "budgets": budgets,
        "validate_at": [],
        **dict.fromkeys(("from", "to", "tune", "match", "nuisance")),
    }
    rates = [factor * study.recipe.lr for factor in _FACTORS]
    return PilotRequests(
        {rate: _variant(planned.request, {**settings, "recipe.lr": rate}) for rate in rates},
        (part.plan.baseline, next(name for name in arms if name != part.plan.baseline)),
    )


def _arms(plan: Plan) -> dict[str, str]:
    """Return the expressions of the baseline and of the arm that has most plugins it has not."""
    by_name = {arm.name: arm for arm in plan.arms}
    baseline = by_name[plan.baseline]
    others = [arm for arm in plan.arms if arm.name != plan.baseline]
    if not others:
        raise UserError("--pilot needs two arms, and the plan of this study has one so far")
    other = max(others, key=lambda arm: len({*arm.plugins} ^ {*baseline.plugins}))
    return {arm.name: arm.expression for arm in (baseline, other)}


def _variant(request: Request, settings: Mapping[str, Any]) -> Request:
    # JSON is YAML, so that any name and expression can be quoted.
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return replace(request, overrides=(*request.overrides, *overrides), variant=VARIANT)
