"""Checks the records of studies, and what all studies of a home share."""

from collections.abc import Iterator

from ablab.fsck.finding import Finding, damaged
from ablab.fsck.logs import damaged_lines
from ablab.plan.cost_cache import COST_CACHE
from ablab.records.home import Home
from ablab.records.study_record import study_names
from ablab.sealed import DamagedFile, read_sealed


def check_studies(home: Home) -> Iterator[Finding]:
    """Yield the faults of the records of studies in a home, and of its cache of costs."""
    for name in study_names(home):
        folder = home.root / "studies" / name
        for file in sorted(folder.glob("*.json")):
            try:
                read_sealed(file, home.root)
            except DamagedFile as error:
                yield damaged(file, error.reason, "`ablab run` of the study's file writes it again")
        for file in sorted([*folder.glob("*.executions"), *folder.glob("*.timings")]):
            yield from damaged_lines(file)
    try:
        read_sealed(home.root / COST_CACHE, home.root)
    except DamagedFile as error:
        yield damaged(error.path, error.reason, "costs are counted again")
