"""The check of a home."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ablab.errors import UserError
from ablab.fsck.earlier_home import check_home_file
from ablab.fsck.finding import Finding
from ablab.fsck.ledger import check_ledger
from ablab.fsck.leftovers import check_leftovers
from ablab.fsck.runs import check_runs
from ablab.fsck.studies import check_studies
from ablab.fsck.tokens import check_tokens
from ablab.fsck.views import check_views
from ablab.records.driver_lock import drivers, no_driver_begins
from ablab.records.home import Home
from ablab.records.study_record import study_names


def check_home(home: Home) -> Iterator[Finding]:
    """Yield the faults of a home.

    Those of the home's own file come last, since digests are added to what is left after all other
    repairs. What drivers write at the same time may be reported as incomplete.
    """
    yield from check_studies(home)
    yield from check_runs(home.root)
    yield from check_tokens(home.tokens)
    yield from check_views(home)
    yield from check_ledger(home)
    yield from check_leftovers(home.root)
    yield from check_home_file(home)


def repair_home(home: Home, tell: Callable[[Finding], None]) -> int:
    """Repair every fault of a home, after `tell` was called with it, and return their number.

    Raises:
        UserError: before anything is changed, while a study of the home is being run.

    """
    count = 0
    with _no_drivers(home):
        for finding in check_home(home):
            tell(finding)
            finding.repair()
            count += 1
    return count


@contextmanager
def _no_drivers(home: Home) -> Iterator[None]:
    with no_driver_begins(home):
        running = drivers(home, study_names(home))
        if running:
            raise UserError(
                f"study {running[0].owner['study']} is being run by {running[0].holder}: let it "
                "end first"
            )
        yield
