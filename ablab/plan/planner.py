"""The planner of a study's arms: from a model expression to the specifications of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablab.arch.composition.expression import Model
from ablab.arch.composition.registry import Registry
from ablab.data.spec import AnyTokenizer
from ablab.design.build import lay_out
from ablab.design.nuisance import NuisanceDesign
from ablab.errors import UserError
from ablab.plan.arm_composer import ArmComposer, Overrides
from ablab.plan.cost_cache import CostCache
from ablab.plan.planned_arm import PlannedArm
from ablab.plan.run_planner import RunPlanner
from ablab.plan.study_file import StudyFile
from ablab.records.home import edition
from ablab.spec.seeds import STREAM
from ablab.spec.validate import check, check_metric


class Planner:
    """Plans the arms of a study, or of one part of it.

    The study is validated when the planner is made, and an arm when it is planned. Nothing is
    written to disk.

    `costs` holds what has been counted before. `part` is the label of the part and `owner` the
    edition of the whole study; by default the study is its only part.
    """

    def __init__(
        self,
        file: StudyFile,
        registry: Registry,
        costs: CostCache | None = None,
        *,
        part: str = "",
        owner: str | None = None,
    ) -> None:
        costs = costs or CostCache()
        self._file = file
        self.study = file.study
        self.document = file.document
        self.registry = registry
        self.owner = owner or edition(file.name, file.study.revision())
        check(file.study, file.document)
        self.layout = lay_out(file.study, registry, file.document)
        self._nuisance = NuisanceDesign.of(file.study)
        if self._nuisance is not None:
            self.layout.notes.append(self._nuisance.note)
        self._tokenizers: dict[str, AnyTokenizer] = {}  # by arm, of the arms planned so far
        self._composer = ArmComposer(file, registry, self.layout, costs)
        self._runs = RunPlanner(file, part, costs)

    def arm(self, name: str, model: Model, overrides: Overrides | None = None) -> PlannedArm:
        """Plan an arm.

        Raises UserError with the position of what is invalid in the study file.
        """
        composed = self._composer.compose(name, model, overrides or Overrides())
        planned = self._runs.plan(composed, STREAM * self.layout.replicates.get(name, 0))
        self._check_tokenizer(name, composed.data.tokenizer)
        if self._nuisance is None:
            return planned
        return self._spread(planned, model, self._nuisance)

    def _spread(self, planned: PlannedArm, model: Model, design: NuisanceDesign) -> PlannedArm:
        """Return the arm with the nuisance levels of each seed."""
        variants = {
            levels: self._runs.plan(
                self._composer.compose(
                    planned.arm.name,
                    model,
                    Overrides(nuisance=dict(zip(design.factors, levels, strict=True))),
                ),
                planned.stream,
            )
            for levels in sorted(set(design.levels.values()))
        }
        self._check_levels(planned, variants, design.factors)
        return replace(
            planned,
            identity=" ".join(variant.identity for variant in variants.values()),
            by_seed={seed: variants[levels] for seed, levels in design.levels.items()},
        )

    def _check_levels(
        self,
        planned: PlannedArm,
        variants: Mapping[tuple[int, ...], PlannedArm],
        factors: Sequence[str],
    ) -> None:
        """Raise UserError if a factor makes no difference to an arm, or changes its data."""
        for i, factor in enumerate(factors):
            place = f"{self.document.place(['nuisance', factor])}: nuisance.{factor}"
            for levels, variant in variants.items():
                if variant.template.data != planned.template.data:
                    raise UserError(f"{place}: a nuisance factor does not change the data")
                other = (*levels[:i], 1 - levels[i], *levels[i + 1 :])
                if other in variants and variants[other].identity == variant.identity:
                    raise UserError(
                        f"{place}: both levels are the same to arm {planned.arm.name!r}, which may "
                        "set this itself: leave the factor or the arm out"
                    )

    def _check_tokenizer(self, name: str, tokenizer: AnyTokenizer) -> None:
        """Check the tokenizers of all arms once the last arm of the design has been planned.

        The result does not depend on the order of planning. The arms of a search's trials are
        checked one by one, against the arms of the design; one that is refused is forgotten, since
        the search continues without it.
        """
        tokenizers = {**self._tokenizers, name: tokenizer}
        design = self.layout.arms
        if design.keys() <= tokenizers.keys():
            names = [*design, *(arm for arm in tokenizers if arm not in design)]
            ordered = {arm: tokenizers[arm] for arm in names}
            check_metric(self.study, self.document, ordered, self._file.arm_position)
        self._tokenizers = tokenizers
