"""From a composed arm to what its runs cost, and to their specification and key."""

from dataclasses import asdict
from typing import Any

from ablab.arch.composition.expression import Use
from ablab.arch.counting.account import Account
from ablab.data.batches import Batches
from ablab.data.store import store_fingerprint
from ablab.errors import UserError
from ablab.plan.arm_composer import ComposedArm
from ablab.plan.arm_data import AnyData, data_overrides
from ablab.plan.cost_cache import CostCache
from ablab.plan.plan import shown_recipe
from ablab.plan.planned_arm import PlannedArm
from ablab.plan.run_budget import run_budget
from ablab.plan.run_key import identity
from ablab.plan.study_file import StudyFile
from ablab.records.run_spec import RunSpec
from ablab.records.study_content import Arm
from ablab.spec.nuisance import RECIPE
from ablab.train.budget import TimeLimit
from ablab.train.numerics import NUMERICS_VERSION


class RunPlanner:
    """Plans the runs of composed arms. `part` is the label of the part of the study."""

    def __init__(self, file: StudyFile, part: str, costs: CostCache) -> None:
        self._file = file
        self._study = file.study
        self._part = part
        self._costs = costs
        self._fingerprints: dict[str, str] = {}  # by the data as JSON

    def plan(self, composed: ComposedArm, stream: int) -> PlannedArm:
        """Return the arm with the specification of its runs. `stream` is added to every seed."""
        fingerprint = self._fingerprint(composed.data)
        with self._file.errors_of_arm(composed.name):
            account = self._costs.of(composed.value.arch, composed.model.uses)
            arm = self._arm(composed, account)
            digest = identity(
                composed.value.arch,
                composed.value.recipe,
                composed.model.uses,
                fingerprint,
                arm.batches,
                self._study.hardware.threads,
            )
            template = self._template(composed, arm, fingerprint)
        return PlannedArm(arm, composed.model, account, digest, template, composed.data, stream)

    def _arm(self, composed: ComposedArm, account: Account) -> Arm:
        value = composed.value
        context = value.arch.dims.context
        self._check_batch(value.recipe.batch_tokens, context, composed)
        flops_per_token = account.flops_per_token.training
        spent = self._budget(composed, flops_per_token)
        match = composed.match
        return Arm(
            name=composed.name,
            expression=composed.model.expression,
            plugins=tuple(str(use) for use in composed.model.uses.values()),
            parameters=account.parameters.total,
            flops_per_token=flops_per_token,
            tokens=spent.sequences * context if isinstance(spent, Batches) else None,
            steps=spent.steps if isinstance(spent, Batches) else None,
            batches=spent,
            recipe=shown_recipe(value.recipe),
            params=composed.overrides.recipe,
            mismatch=match.mismatch if match else None,
            feed_forward=match.widths if match else (),
            data=data_overrides(self._study, composed.data, value.data),
        )

    def _check_batch(self, batch_tokens: int, context: int, composed: ComposedArm) -> None:
        """Raise UserError if a batch is not a whole number of sequences."""
        if batch_tokens % context:
            place, name = self._file.recipe_source("batch_tokens", composed.overrides.recipe)
            if (factor := f"{RECIPE}batch_tokens") in composed.overrides.nuisance:
                place, name = self._file.document.place(["nuisance", factor]), f"nuisance.{factor}"
            raise UserError(
                f"{name} ({place}): {batch_tokens} is not a multiple of the context of {context} "
                "tokens"
            )

    def _budget(self, composed: ComposedArm, flops_per_token: float) -> Batches | TimeLimit:
        share = composed.overrides.share
        trial = f" (a trial's share of it is {share:g}; see `share`)" if share < 1 else ""
        return run_budget(
            self._study.budget.scaled(share),
            composed.value,
            flops_per_token,
            self._study.hardware,
            f"budget{trial} ({self._file.document.place(['budget'])})",
        )

    def _template(self, composed: ComposedArm, arm: Arm, fingerprint: str) -> RunSpec:
        """Return the specification of the arm's runs, without key and seed."""
        uses = composed.model.uses
        return RunSpec(
            key="",
            study=self._file.name,
            arm=arm.name,
            seed=0,
            family=composed.model.family,
            plugins=tuple((plugin, _options(use)) for plugin, use in uses.items()),
            dims=asdict(composed.value.arch.dims),
            recipe=composed.recipe.model_dump(),
            data=fingerprint,
            batches=arm.batches,
            flops_per_token=arm.flops_per_token,
            validate_at=tuple(self._study.validate_at),
            checkpoint_seconds=self._study.checkpoint_seconds,
            feed_forward=arm.feed_forward,
            part=self._part,
            threads=self._study.hardware.threads,
            numerics=NUMERICS_VERSION,
        )

    def _fingerprint(self, data: AnyData) -> str:
        """Return the fingerprint of the data. Most arms share their data, which is read once."""
        content = data.model_dump_json()
        if content not in self._fingerprints:
            try:
                fingerprint = store_fingerprint(data, self._file.excluded)
            except UserError as error:
                raise error.at(self._file.document.place(["data"])) from None
            self._fingerprints[content] = fingerprint
        return self._fingerprints[content]


def _options(use: Use) -> dict[str, Any]:
    """Return the options of a plugin that differ from its defaults."""
    default = use.plugin.options
    options = asdict(use.instance)
    return {name: value for name, value in options.items() if value != default[name]}
