"""Which source a study's runs come from."""

from dataclasses import dataclass
from pathlib import Path

from ablab.arch.composition.expression import resolve
from ablab.arch.composition.registry import Registry
from ablab.design.expand import Part, check_order, parts_of
from ablab.plan.cost_cache import Accounts
from ablab.plan.plan import Plan, baseline_flops
from ablab.plan.planner import Planner, plan_of
from ablab.records.home import edition
from ablab.schedule.multi_part import Joined
from ablab.schedule.source import Listed, Source
from ablab.spec.design import Compare, Search
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document


def source_of(planner: Planner, root: Path) -> Source:
    """The source of a study's runs; `root` holds the records of those that are finished."""
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
) -> Source:
    """The source of a study's runs: of all its parts, where it has several. Raises UserError with
    the place of what is wrong.
    """
    parts = parts_of(asked.study, asked.document)
    if len(parts) == 1 and not parts[0].label:
        return source_of(Planner(asked.name, asked.study, asked.document, registry, accounts), root)
    accounts, owner = accounts or Accounts(), edition(asked.name, asked.study.revision())
    sources: list[tuple[Part, str, Source]] = []
    for part in parts:
        planner = Planner(asked.name, part.study, part.document, registry, accounts)
        planner.part, planner.owner = part.label, owner
        sources.append((part, _baseline(planner), source_of(planner, root)))
    if asked.study.scales is not None:
        check_order(
            parts,
            [baseline_flops(source.plan, baseline) for _, baseline, source in sources],
            asked.document,
        )
    return Joined(sources)


def make_plan(name: str, study: Study, document: Document, registry: Registry) -> Plan:
    """Validates the whole study and plans it as if nothing were done; nothing is created. Raises
    UserError with the place of what is wrong.
    """
    return study_source(Asked(name, study, document), registry, Path("/nowhere")).plan


def _baseline(planner: Planner) -> str:
    """The arm that the others are held against: what the design names, or `from`."""
    arms, design = planner.layout.arms, planner.study.design
    if isinstance(design, Compare):
        return design.baseline or next(iter(arms))
    uses = resolve(planner.study.from_ or "", planner.registry).uses
    return next((name for name, model in arms.items() if model.uses == uses), next(iter(arms)))
