"""What a worker and the processes that share its run tell each other.

Values are pickled, as between a driver and its workers: both ends run the same code.
"""

import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ablab.execute.worker_context import WorkerContext
from ablab.files import write_atomically
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.records.run_state import RunState


@dataclass(frozen=True)
class RankReport:
    """How a process of a run ended: with the attempt's `outcome`, short of memory, or failed for
    `reason` with `traceback`. `time` is in Unix seconds.
    """

    outcome: AttemptOutcome | None = None
    memory_short: bool = False
    reason: str = ""
    traceback: str = ""
    time: float = field(default_factory=time.time)

    @property
    def blocked(self) -> bool:
        """Whether the machine could not go on, as with a full disk."""
        return self.outcome is not None and self.outcome.state == RunState.BLOCKED


@dataclass(frozen=True)
class RankTask:
    """What the process `rank` trains. `lease` is the nonce of the worker's lease of the run.
    `folder` is where the processes of the run find each other and leave their reports; it is
    removed after each attempt.
    """

    spec: RunSpec
    context: WorkerContext
    lease: str
    folder: Path
    rank: int

    @property
    def rendezvous(self) -> Path:
        """The file through which the processes form their process group."""
        return self.folder / "meeting"

    @property
    def log(self) -> Path:
        """What the process printed."""
        return self.folder / f"log{self.rank}"

    def send(self, stream: IO[bytes]) -> None:
        """Write the task to the standard input of its process."""
        pickle.dump(self, stream)
        stream.flush()

    @staticmethod
    def receive(stream: IO[bytes]) -> "RankTask":
        """Read what `send` wrote."""
        return pickle.load(stream)

    def write_report(self, report: RankReport) -> None:
        """Leave the report where the worker looks for it."""
        write_atomically(self._report_path, lambda file: pickle.dump(report, file), sync=False)

    def read_report(self) -> RankReport | None:
        """Return the report of the process; None if it left none."""
        try:
            return pickle.loads(self._report_path.read_bytes())
        except FileNotFoundError:
            return None

    @property
    def _report_path(self) -> Path:
        return self.folder / f"rank{self.rank}.pickle"
