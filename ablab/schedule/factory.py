"""The choice of the source from which a study's runs come."""

from dataclasses import replace
from pathlib import Path

from ablab.arch.composition.registry import Registry
from ablab.design.expand import check_order, parts_of
from ablab.errors import UserError
from ablab.plan.cost_cache import CostCache
from ablab.plan.plan import Plan, StudyPlan, baseline_flops
from ablab.plan.planned_arm import plan_design
from ablab.plan.planner import Planner
from ablab.plan.study_file import StudyFile
from ablab.records.home import edition
from ablab.schedule.source import FixedSource, Source
from ablab.schedule.study_source import StudySource
from ablab.spec.design import Search
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document

_MAX_ARMS = 1_024  # in all parts of a study
_MAX_RUNS = 20_000


def source_of(planner: Planner, root: Path) -> Source[Plan]:
    """Return the source of a part's runs. `root` is the folder of the home's records."""
    if planner.study.tune is not None:
        from ablab.schedule.tuning import TuningSource

        return TuningSource(planner, root)
    if isinstance(planner.study.design, Search):
        from ablab.schedule.search import SearchSource

        return SearchSource(planner, root, planner.study.design)
    if planner.study.adaptive is not None:
        from ablab.schedule.adaptive_seeds import AdaptiveSeedsSource

        return AdaptiveSeedsSource(planner, root)
    seeds = planner.study.seed_list()
    arms = [planner.arm(name, model) for name, model in planner.layout.arms.items()]
    return FixedSource(plan_design(planner.layout, arms, lambda arm: seeds), root)


def study_source(
    file: StudyFile, registry: Registry, root: Path, costs: CostCache | None = None
) -> StudySource:
    """Return the source of the runs of all parts of a study.

    `root` is the folder of the home's records; `costs` holds what the home has counted before.

    Raises:
        UserError: with the position of what is invalid in the study file.

    """
    costs = costs or CostCache()
    owner = edition(file.name, file.study.revision())
    parts = parts_of(file.study, file.document)
    planners = [
        Planner(
            replace(file, study=part.study, document=part.document),
            registry,
            costs,
            part=part.label,
            owner=owner,
        )
        for part in parts
    ]
    _check_size(file, sum(len(planner.layout.arms) for planner in planners))
    sources = [source_of(planner, root) for planner in planners]
    if file.study.scales is not None:
        flops = [baseline_flops(source.plan) for source in sources]
        check_order(parts, flops, file.document)
    return StudySource(list(zip(parts, sources, strict=True)))


def _check_size(file: StudyFile, arms: int) -> None:
    """Raise UserError for a study of more arms or runs than can be planned.

    `arms` is their number in all parts.
    """
    study = file.study
    if arms > _MAX_ARMS:
        key = "scales" if study.scales is not None else "budgets"
        raise UserError(
            f"{file.document.at([key])}: {arms:,} arms in all parts: a study has at most "
            f"{_MAX_ARMS:,}"
        )
    trials = study.tune.trials if study.tune is not None else 0
    runs = arms * (len(study.seed_list()) + trials)
    if runs > _MAX_RUNS:
        key = "tune" if trials > len(study.seed_list()) else "seeds"
        raise UserError(
            f"{file.document.at([key])}: {runs:,} runs and trials of {arms} arms: a study has at "
            f"most {_MAX_RUNS:,}"
        )


def make_plan(name: str, study: Study, document: Document, registry: Registry) -> StudyPlan:
    """Validate a whole study and plan it as if nothing had been trained. Nothing is created.

    Raises:
        UserError: with the position of what is invalid in the study file.

    """
    return study_source(StudyFile(name, study, document), registry, Path("/nowhere")).plan
