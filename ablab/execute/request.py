"""A study as it is requested on the command line, and its plan."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from ablab.arch.composition.registry import load_registry
from ablab.execute.worker_context import WorkerContext
from ablab.plan.cost_cache import CostCache
from ablab.plan.plan import StudyPlan
from ablab.plan.study_file import StudyFile
from ablab.records.home import home_at, label_of
from ablab.records.run_record import finished_keys, settled_keys
from ablab.records.study_origin import require_same_file
from ablab.schedule.factory import study_source
from ablab.schedule.study_source import StudySource
from ablab.spec.study import Study, load_study
from ablab.train.parallel import ParallelLayout


@dataclass(frozen=True)
class Request:
    """A study file as it is requested on the command line."""

    file: Path
    """The study file."""
    profile: str | None
    """Name of a profile in it."""
    overrides: tuple[str, ...]
    """Settings that override the file's, as `KEY=VALUE`."""
    plugins: tuple[Path, ...]
    """Folders of loose plugins."""
    skip_checks: bool = False
    """Whether arms are trained without being checked."""
    variant: str = ""
    """Name of a study that is derived from the file's, as a pilot; empty for its own."""

    @property
    def name(self) -> str:
        """Name of the study in a home. Raises UserError for a file that names none."""
        kinds = [kind for kind in (self.profile, self.variant) if kind]
        return label_of(self.file, "-".join(kinds) or None)

    @property
    def command(self) -> str:
        """The arguments of `ablab run` that request the same, quoted for a shell."""
        profile = ["--profile", self.profile] if self.profile else []
        folders = [word for folder in self.plugins for word in ("--plugins", str(folder))]
        # An address of a tracker may hold a password.
        overrides = [text for text in self.overrides if not text.strip().startswith("tracking")]
        skipped = ["--skip-checks"] if self.skip_checks else []
        return shlex.join([str(self.file), *overrides, *profile, *folders, *skipped])


@dataclass(frozen=True)
class Planned:
    """A validated study and its plan. Nothing is created yet."""

    request: Request
    """The request."""
    study: Study
    """The validated study."""
    source: StudySource
    """Source of its runs."""
    costs: CostCache
    """Costs of its arms."""
    excluded: tuple[Path, ...] = ()
    """Files and folders that are no part of its corpus, since its runs write to them."""

    @property
    def plan(self) -> StudyPlan:
        """The plan, as far as it is decided."""
        return self.source.plan

    def layout(self) -> tuple[ParallelLayout, str]:
        """Return how processes share each run, and why so. Raises UserError if this machine has too
        few devices.
        """
        parameters = [arm.parameters for plan in self.plan.plans for arm in plan.arms]
        return self.study.hardware.layout(
            max(parameters, default=0), elsewhere=self.study.execution.elsewhere
        )

    def context(self, root: Path) -> WorkerContext:
        """Return what the processes that train need, with the folder of records `root`."""
        layout, _ = self.layout()
        return WorkerContext(
            root.resolve(),
            tuple(folder.resolve() for folder in self.request.plugins),
            layout,
            compile=self.study.hardware.compile,
            checks=not self.request.skip_checks,
        )

    def missing(self, root: Path) -> int:
        """Return the number of runs and trials that are not finished, as far as it is known."""
        expected = self.plan.expected
        return expected.runs + expected.trials - len(self.settled(root))

    def settled(self, root: Path) -> set[str]:
        """Return the keys of the runs and trials that a new execution leaves as they are."""
        return finished_keys(root, self.plan.unique) | settled_keys(
            root, [trial.run.key for trial in self.plan.trials]
        )


def planned(request: Request, root: Path = Path(".ablab")) -> Planned:
    """Read, validate and plan a study. `root` is the folder of records.

    Raises:
        UserError: with the place of what is wrong.

    """
    name = request.name
    study, document = load_study(request.file, request.profile, request.overrides)
    require_same_file(home_at(root), name, request.file, study.revision())
    costs = CostCache(root)
    file = StudyFile(name, study, document, home_at(root).written(study))
    source = study_source(file, load_registry(request.plugins), root, costs)
    return Planned(request, study, source, costs, file.excluded)
