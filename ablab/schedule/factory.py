"""Which source a study's runs come from."""

from dataclasses import dataclass
from pathlib import Path

from ablab.arch.composition.registry import Registry
from ablab.design.expand import check_order, parts_of
from ablab.plan.cost_cache import Accounts
from ablab.plan.plan import Plan, StudyPlan, baseline_flops
from ablab.plan.planner import Planner, plan_of
from ablab.records.home import edition
from ablab.schedule.source import Listed, Source
from ablab.schedule.study_source import StudySource
from ablab.spec.design import Search
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document


def source_of(planner: Planner, root: Path) -> Source[Plan]:
    """Return the source of a part's runs. `root`: folder of the records."""
    if planner.study.tune is not None:
        from ablab.schedule.tuning import Tuned

        return Tuned(planner, root)
    if isinstance(planner.study.design, Search):
        from ablab.schedule.search import Searched

        return Searched(planner, root, planner.study.design)
    if planner.study.adaptive is not None:
        from ablab.schedule.adaptive_seeds import Growing

        return Growing(planner, root)
    seeds = planner.study.seed_list()
    arms = [planner.arm(name, model) for name, model in planner.layout.arms.items()]
    return Listed(plan_of(planner.layout, arms, lambda arm: seeds), root)


@dataclass(frozen=True)
class Asked:
    """A study file as it was read, and the study's name."""

    name: str
    study: Study
    document: Document


def study_source(
    asked: Asked, registry: Registry, root: Path, accounts: Accounts | None = None
) -> StudySource:
    """Return the source of a study's runs, of all its parts.

    Raises:
        UserError: with the place of what is wrong in the study file.

    """
    accounts = accounts or Accounts()
    owner = edition(asked.name, asked.study.revision())
    parts = parts_of(asked.study, asked.document)
    sources: list[Source[Plan]] = []
    for part in parts:
        planner = Planner(asked.name, part.study, part.document, registry, accounts)
        planner.part = part.label
        planner.owner = owner
        sources.append(source_of(planner, root))
    if asked.study.scales is not None:
        flops = [baseline_flops(source.plan) for source in sources]
        check_order(parts, flops, asked.document)
    return StudySource(list(zip(parts, sources, strict=True)))


def make_plan(name: str, study: Study, document: Document, registry: Registry) -> StudyPlan:
    """Validate the whole study and plan it as if nothing were trained; nothing is created.

    Raises:
        UserError: with the place of what is wrong in the study file.

    """
    return study_source(Asked(name, study, document), registry, Path("/nowhere")).plan
