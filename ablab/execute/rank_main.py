"""One of the processes that share a run: `python -m ablab.execute.rank_main`, with what it needs as
JSON in the first line it reads.

A second line asks it to write a checkpoint and end. When what it reads from closes, nobody wants
it: it ends at once.
"""

import json
import os
import shutil
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ablab.errors import UserError
from ablab.execute.attempt import Means, attempt
from ablab.files import write_json
from ablab.records.outcome import AttemptOutcome
from ablab.records.run_spec import RunSpec
from ablab.train.parallel import MemoryShort, ParallelContext, ParallelLayout


@dataclass(frozen=True)
class Place:
    """Which process of which run. `meeting`: the file by which the processes find each other; what
    a process has to say of the attempt lies beside it, under its rank.
    """

    home: Path
    plugins: tuple[Path, ...]
    meeting: Path
    spec: RunSpec
    layout: ParallelLayout
    threads: int
    compile: bool
    rank: int = 0

    def line(self) -> str:
        """As a line of JSON."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def read(cls, line: str) -> "Place":
        """From such a line."""
        content = json.loads(line)
        spec, layout = RunSpec.read(content.pop("spec")), ParallelLayout(**content.pop("layout"))
        paths = {name: Path(content.pop(name)) for name in ("home", "meeting")}
        return cls(
            spec=spec,
            layout=layout,
            plugins=tuple(map(Path, content.pop("plugins"))),
            **paths,
            **content,
        )

    @property
    def said(self) -> Path:
        """Where the process says how it ended."""
        return self.meeting.with_name(f"rank{self.rank}.json")


def main() -> None:
    """Trains, and says how that ended."""
    place, stop = Place.read(sys.stdin.readline()), threading.Event()
    threading.Thread(target=_listen, args=(stop, place.meeting.parent), daemon=True).start()
    try:
        report = _trained(place, stop)
    except MemoryShort:
        _say(place, {"again": True})
        os._exit(1)
    except UserError as error:
        _say(place, {"reason": str(error)})
        os._exit(1)
    except (Exception, SystemExit) as error:  # a plugin may call sys.exit
        _say(
            place,
            {"reason": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()},
        )
        os._exit(1)  # the others may wait for this one for ever: no goodbyes
    _say(place, asdict(report))
    os._exit(0)


def _trained(place: Place, stop: threading.Event) -> AttemptOutcome:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(place.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(place.rank % place.layout.local)
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"file://{place.meeting}",
        rank=place.rank,
        world_size=place.layout.processes,
    )
    from ablab.arch.composition.registry import load_registry

    means = Means(place.home, load_registry(place.plugins), stop.is_set, place.compile)
    report = attempt(place.spec, means, ParallelContext.join(place.layout, device))
    dist.barrier()  # none leaves while another still asks it for something
    return report


def _say(place: Place, content: dict[str, Any]) -> None:
    write_json(place.said, {**content, "time": time.time()}, sync=False)


def _listen(stop: threading.Event, folder: Path) -> None:
    if sys.stdin.readline():
        stop.set()
        sys.stdin.readline()
    shutil.rmtree(folder, ignore_errors=True)  # whoever made it is gone
    os._exit(1)


if __name__ == "__main__":
    main()
