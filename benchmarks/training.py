"""Training the studies of a benchmark, as `ablab run` does."""

from rich.console import Console

from ablab.cli.display import make_display
from ablab.errors import RunFailed
from ablab.execute.executors.choose import choose_engine
from ablab.execute.request import Planned, Request, planned
from ablab.execute.session import Session
from ablab.records.driver_lock import hold_driver_lease
from ablab.records.home import Home


def train(request: Request, home: Home, workers: int) -> Session:
    """Train the missing runs of a study, as `ablab run` does. Raises RunFailed if a run failed."""
    with hold_driver_lease(home, request.name):
        study_plan: Planned = planned(request, home.root)
        engine = choose_engine(study_plan.study)
        display = make_display(Console(), study_plan.study.metric)
        session = Session(study_plan, home, display)
        session.reset()
        missing = session.missing
        if missing:
            display.begin(missing)
        try:
            summary = session.run(lambda context: engine.executor(context, workers, missing))
        finally:
            display.close()
    if summary.signal is not None:
        raise SystemExit(128 + summary.signal)
    if summary.failed or summary.broken:
        raise RunFailed(summary.broken or f"{len(summary.failed)} runs failed: start it again")
    return session
