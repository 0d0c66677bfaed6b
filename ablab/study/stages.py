"""Which source a study's runs come from."""

from pathlib import Path

from ablab.arch.registry import Registry
from ablab.study.plan import Plan
from ablab.study.planner import Planner, plan_of
from ablab.study.schema import Search, Study
from ablab.study.sources import Listed, Source
from ablab.study.yaml_file import Document


def source_of(planner: Planner, root: Path) -> Source:
    """The source of a study's runs; `root` holds the records of those that are finished."""
    if planner.study.tune is not None:
        from ablab.study.tuning import Tuned

        return Tuned(planner, root)
    if isinstance(planner.study.design, Search):
        from ablab.study.search import Searched

        return Searched(planner, root, planner.study.design)
    if planner.study.adaptive is not None:
        from ablab.study.growing import Growing

        return Growing(planner, root)
    seeds = planner.study.seed_list()
    arms = [planner.arm(name, model) for name, model in planner.layout.arms.items()]
    return Listed(plan_of(planner.layout, arms, lambda arm: seeds), root)


def make_plan(name: str, study: Study, document: Document, registry: Registry) -> Plan:
    """Validates the whole study and plans it as if nothing were done; nothing is created. Raises UserError with the place of
    what is wrong.
    """
    return source_of(Planner(name, study, document, registry), Path("/nowhere")).plan
