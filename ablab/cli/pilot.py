"""`ablab plan --pilot`: spends a few runs on the noise of a study, and proposes its settings."""

import sys
from typing import TYPE_CHECKING

from ablab.errors import RunFailed, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from ablab.cli.train import StudyTraining
    from ablab.execute.executors.base import Engine
    from ablab.execute.pilot import PilotRequests
    from ablab.execute.session import Planned, Request
    from ablab.records.home import Home
    from ablab.records.study_record import StudyRecord


def run_pilot(study_plan: "Planned", home: "Home", workers: int | None) -> None:
    """Train the pilot's runs and print what they show, unless the noise is on record."""
    from rich.console import Console

    from ablab.analysis.forecast.power import power_forecasts
    from ablab.cli.train import StudyTraining
    from ablab.execute.executors.choose import choose_engine
    from ablab.execute.executors.launcher import launched_environment
    from ablab.execute.pilot import pilot_requests

    console = Console(highlight=False)
    known = power_forecasts(home, study_plan.request.name, study_plan.plan)
    if any(known):
        console.print(
            "the noise of this study is on record, and the plan above rests on it: no pilot is "
            "needed",
            markup=False,
        )
        return
    pilot = pilot_requests(study_plan)
    rates = ", ".join(f"{rate:.3g}" for rate in pilot.requests)
    console.print(
        f"pilot: {pilot.runs} runs of {pilot.arms[0]} and {pilot.arms[1]}, at learning rates "
        f"{rates} and at half and all of the budget, which cost as much as {pilot.cost:g} runs",
        markup=False,
    )
    if launched_environment() is not None:
        raise UserError("--pilot is started once: start it without a launcher")
    engine = choose_engine(study_plan.study)
    engine.check(study_plan.context(home.root), pilot.runs)
    training = StudyTraining(home, workers)
    with engine.leading():
        records = {
            rate: _train(request, training, engine) for rate, request in pilot.requests.items()
        }
    _print_findings(study_plan, pilot, records, console)


def _train(request: "Request", training: "StudyTraining", engine: "Engine") -> "StudyRecord":
    """Train the missing runs at one learning rate."""
    from ablab.execute.session import planned
    from ablab.files import require_writable
    from ablab.records.driver_lock import hold_driver_lease

    home = training.home
    workers = training.workers
    require_writable([home.root])
    with hold_driver_lease(home, request.name):
        session, display = training.open(planned(request, home.root))
        missing = session.missing
        if missing:
            display.begin(missing, missing)
        try:
            summary = session.run(lambda context: engine.executor(context, workers, missing))
        finally:
            display.close()
        session.close([], complete=not (summary.signal or summary.failed))
    if summary.signal is not None:
        sys.exit(128 + summary.signal)
    if summary.failed or summary.broken or summary.stopped:
        raise RunFailed(
            f"the pilot is not complete: {summary.broken or 'runs failed or were cancelled'}; "
            f"`ablab status {request.name}` shows them, and the same command goes on"
        )
    return session.record


def _print_findings(
    study_plan: "Planned",
    pilot: "PilotRequests",
    records: "dict[float, StudyRecord]",
    console: "Console",
) -> None:
    from ablab.analysis.forecast.pilot import pilot_setting, proposals
    from ablab.report.pilot import pilot_table, proposal_lines, turning_line

    metric = study_plan.study.metric
    parts = range(len(next(iter(records.values())).read().parts))
    settings = [
        pilot_setting(record, part, rate, pilot.arms)
        for part in parts
        for rate, record in records.items()
    ]
    console.print(pilot_table(settings, pilot.arms, metric))
    found = proposals(settings, study_plan.study, study_plan.plan.plans[0])
    tune = study_plan.study.tune
    is_tuned = tune is not None and tune.lr is not None
    for line in [*proposal_lines(found, metric, is_tuned=is_tuned), *turning_line(settings)]:
        console.print(line, markup=False)
