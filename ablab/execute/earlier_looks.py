"""Looks that were taken at a study before its seeds were changed.

A p-value holds for the looks that were planned. Whoever reads the verdicts of four seeds, adds a
fifth where they do not please, and so on until p < 0.05, finds a difference where there is none in
10 % of studies after five looks (Armitage, McPherson & Rowe 1969). To go on with an adaptive study
only where a fixed one found nothing errs in 6 to 7 %, since the first look was taken at the whole
level. Seeds whose verdicts are known are therefore trained only in a study that plans the same look
at no lower level.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ablab.analysis.effects import looks_of
from ablab.errors import UserError
from ablab.execute.request import Planned
from ablab.records.home import Home
from ablab.records.run_record import finished_keys
from ablab.records.study_content import VERSION, PartContent, StudyContent
from ablab.records.study_record import StudyRecord, revisions
from ablab.spec.study import Study
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.sequential import nominal_alpha

# A study that differs in these alone looks at the same runs, or at some of them. What else affects
# results, such as `hardware` where the budget is in seconds, is part of the keys of runs.
_SAME_RUNS = (
    "seeds",
    "margin",
    "question",
    "notes",
    "tracking",
    "checkpoint_seconds",
    "nuisance",
    "retries",
    "stall_seconds",
    "hardware",
)


@dataclass(frozen=True)
class EarlierLook:
    """A look at an earlier revision of a study."""

    revision: str
    """The revision."""
    seeds: tuple[int, ...]
    """The seeds whose verdicts could be read."""
    highest: int
    """The highest seed of all looks that were found."""


def require_planned_looks(planned: Planned, home: Home) -> None:
    """Raise UserError if verdicts on some of a study's seeds are known that it does not pay for."""
    look = unplanned_look(planned, home)
    if look is not None:
        raise UserError(f"{planned.request.file}: seeds: {refusal(planned.study, look)}")


def unplanned_look(planned: Planned, home: Home) -> EarlierLook | None:
    """Return the latest look at some of a study's seeds that it does not plan at the same level.

    Looks at revisions that differ in more than the seeds, the nuisance factors, the margin and the
    question do not count, nor do revisions whose runs have changed or are not all finished. None if
    the study gives no verdicts, or if it was trained already.
    """
    study = planned.study
    record = StudyRecord(home, planned.request.name, study.revision())
    if record.path.exists() and planned.source.done:
        return None
    seeds = set(study.seed_list())
    planned_levels = _looks(study, len(seeds))
    if not planned_levels:
        return None
    found = [
        (content, look)
        for earlier in revisions(home, record.name)
        if earlier.revision != record.revision and (content := _finished(earlier)) is not None
        if _same_runs(content, planned)
        for look, level in _taken(content).items()
        if seeds & set(look)
        if content.study.nuisance != study.nuisance or planned_levels.get(look, 0.0) < level
    ]
    if not found:
        return None
    content, latest = found[-1]
    highest = max(seed for _, look in found for seed in look)
    return EarlierLook(content.revision, latest, highest)


def refusal(study: Study, look: EarlierLook) -> str:
    """Return why a study must not start after a look, and what to do instead."""
    old, new = set(look.seeds), set(study.seed_list())
    change = "adding" if old <= new else "leaving out" if new < old else "changing"
    return (
        f"the verdicts with {len(old)} seeds have been available (revision {look.revision}), and "
        f"{change} seeds after seeing them makes errors more frequent than 5 %: train new seeds "
        f"alone, as an independent replication: `seeds: {_new_seeds(study, look)}` (a study that "
        "may need more seeds says so before its first run: `seeds: {start: "
        f"{study.fewest_seeds}, max: {3 * study.fewest_seeds}, until: decided}}`)"
    )


def _new_seeds(study: Study, look: EarlierLook) -> list[int]:
    """Return seeds that follow those seen: as many as were to be added, or as few as possible."""
    count = max(study.fewest_seeds, len(set(study.seed_list()) - set(look.seeds)))
    count += -count % study.seed_step
    first = look.highest + 1
    seeds = [seed for seed in range(first, first + count + 1) if seed != study.trial_seed]
    return seeds[:count]


def _looks(study: Study, reached: int) -> dict[tuple[int, ...], float]:
    """Return the level of each look that gives verdicts, by its seeds, up to a number of seeds."""
    seeds = study.seed_list()
    counts: Sequence[int] = looks_of(study) or (len(seeds),)
    return {
        tuple(sorted(seeds[:count])): nominal_alpha(0.05, count, counts)
        for count in counts
        if MIN_SEEDS <= count <= reached
    }


def _taken(content: StudyContent) -> dict[tuple[int, ...], float]:
    """Return the looks at a finished study, likewise."""
    reached = max(_most_seeds(part) for part in content.parts)
    return _looks(content.study, reached)


def _most_seeds(part: PartContent) -> int:
    counts = [len({run.seed for run in part.runs if run.arm == arm.name}) for arm in part.arms]
    return max(counts, default=0)


def _finished(record: StudyRecord) -> StudyContent | None:
    """Return the content of a record; None unless all of its runs are finished."""
    content = record.read_if_possible()
    if content is None:
        return None
    for part in content.parts:
        keys = part.run_entries.keys()
        if not part.runs or len(keys) < part.expected.runs:
            return None
        if len(finished_keys(record.home.root, keys)) < len(keys):
            return None
    return content


def _same_runs(content: StudyContent, planned: Planned) -> bool:
    """Return whether an earlier revision asks the same of runs that have not changed since.

    Runs that trials have yet to decide count as unchanged: a study with other seeds may try its
    recipes for longer, so that it has no trial in common with the earlier one.
    """
    if content.study.content(*_SAME_RUNS) != planned.study.content(*_SAME_RUNS):
        return False
    if not planned.plan.runs:
        return content.version == VERSION
    return bool(content.entries.keys() & planned.plan.unique.keys())
