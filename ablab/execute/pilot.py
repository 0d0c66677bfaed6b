"""The runs of a pilot: a few of a study's arms at neighbouring learning rates and budgets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

from ablab.errors import UserError
from ablab.execute.request import Planned, Request
from ablab.names import PILOT
from ablab.plan.plan import Plan
from ablab.records.study_content import Arm
from ablab.spec.study import Study

SEEDS = 3
_FIRST_SEED = 20_001  # far from those of studies and of trials
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

    Each learning rate has seeds of its own, so that what seeds do to the arms is independent noise
    in the pooled estimate.

    Raises:
        UserError: if the study has several budgets or scales, a single arm, or only arms of one
            model.

    """
    study = planned.study
    if study.budgets is not None or study.scales is not None:
        raise UserError("--pilot takes a study of one budget and scale: give it `budget` alone")
    (part,) = planned.plan.parts
    arms = _arms(part.plan)
    budgets = [study.budget.scaled(share).model_dump(exclude_none=True) for share in _SHARES]
    settings = {
        "design": {"kind": "compare", "baseline": part.plan.baseline},
        # A mapping of overrides is laid over the file's: other arms are taken out by null.
        "arms": {**dict.fromkeys(study.arms or {}), **arms},
        "budget": None,
        "budgets": budgets,
        "validate_at": [],
        **dict.fromkeys(("from", "to", "tune", "match", "nuisance")),
    }
    first = max(_FIRST_SEED, max(study.every_seed()) + 1)
    middle = _middle_rate(study, part.plan)
    requests: dict[float, Request] = {}
    for number, factor in enumerate(_FACTORS):
        rate = factor * middle
        seeds = list(range(first + SEEDS * number, first + SEEDS * (number + 1)))
        own = {**settings, "seeds": seeds, "recipe.lr": rate}
        requests[rate] = _variant(planned.request, own)
    other = next(name for name in arms if name != part.plan.baseline)
    return PilotRequests(requests, (part.plan.baseline, other))


def _middle_rate(study: Study, plan: Plan) -> float:
    """Return the learning rate of the study's recipe, or the geometric middle of those to tune."""
    rates = study.tune.lr if study.tune is not None else None
    if rates is None:
        baseline = next(arm for arm in plan.arms if arm.name == plan.baseline)
        return float(baseline.recipe["lr"])
    low, high = (min(rates), max(rates)) if isinstance(rates, list) else (rates.low, rates.high)
    return sqrt(low * high)


def _arms(plan: Plan) -> dict[str, str]:
    """Return the expressions of the baseline and of the arm that has most plugins it has not."""
    by_name = {arm.name: arm for arm in plan.arms}
    baseline = by_name[plan.baseline]

    def difference(arm: Arm) -> int:
        return len({*arm.plugins} ^ {*baseline.plugins})

    others = [arm for arm in plan.arms if arm.name != plan.baseline]
    if not others:
        raise UserError("--pilot needs two arms, and the plan of this study has one so far")
    other = max(others, key=difference)
    if not difference(other):
        raise UserError("--pilot needs arms that differ: those of this study are one model")
    return {arm.name: arm.expression for arm in (baseline, other)}


def _variant(request: Request, settings: Mapping[str, Any]) -> Request:
    # JSON is YAML, so that any name and expression can be quoted.
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return replace(request, overrides=(*request.overrides, *overrides), variant=PILOT)
