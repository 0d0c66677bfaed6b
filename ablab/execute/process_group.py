"""The processes that share a run, started and looked after by the worker that has it: one that dies
ends them all.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablab.execute.attempt import RankFailed, exit_cause
from ablab.execute.rank_main import Place
from ablab.files import read_json
from ablab.records.outcome import AttemptOutcome

_POLL_SECONDS = 0.1
_LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def train_together(place: Place, stopping: Callable[[], bool]) -> AttemptOutcome:
    """Trains a run in as many processes as its layout has, with smaller micro-batches where memory
    is short. Raises RankFailed as soon as one of them fails, when none is left.
    """
    while True:
        with tempfile.TemporaryDirectory(prefix="ablab-") as folder:
            there = replace(place, meeting=Path(folder) / "meeting")
            said = _Processes(there).run(stopping)
        if "again" not in said:
            return AttemptOutcome(said["status"], said["reason"], said["busy_seconds"], said["pid"])


class _Processes:
    def __init__(self, place: Place) -> None:
        self._places = [replace(place, rank=rank) for rank in range(place.layout.processes)]
        threads = str(place.threads)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": threads,
            "GLOO_SOCKET_IFNAME": _LOOPBACK,
            "PYTHONUNBUFFERED": "1",
        }
        self._log = (place.meeting.parent / "log").open("w+b")
        command = [sys.executable, "-m", "ablab.execute.rank_main"]
        self._processes: list[subprocess.Popen[bytes]] = []
        for own in self._places:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, env=environment
            )
            self._processes.append(process)
            self._write(process, own.line())

    def run(self, stopping: Callable[[], bool]) -> dict[str, Any]:
        """What the main process said of the attempt."""
        asked = False
        try:
            while any(process.poll() is None for process in self._processes):
                if any(process.poll() not in (None, 0) for process in self._processes):
                    break
                if not asked and stopping():
                    asked = True
                    for process in self._processes:
                        self._write(process, "stop")
                time.sleep(_POLL_SECONDS)
        finally:
            codes = [process.poll() for process in self._processes]
            for process in self._processes:
                process.kill()
                process.wait()
            self._log.close()
        return self._outcome(codes)

    @staticmethod
    def _write(process: "subprocess.Popen[bytes]", line: str) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:  # it is gone: its exit says so
            return

    def _outcome(self, codes: list[int | None]) -> dict[str, Any]:
        said = [read_json(place.said) or {} for place in self._places]
        if all(code == 0 for code in codes):
            return said[0]
        if short := [content for content in said if "again" in content]:
            return short[0]
        silent = [
            rank for rank, code in enumerate(codes) if code not in (None, 0) and not said[rank]
        ]
        if silent:  # it died without a word, and the others' faults follow from that
            raise RankFailed(
                f"process {silent[0]} of {len(codes)} died "
                f"({exit_cause(codes[silent[0]] or 0)}){self._last_words()}"
            )
        first = min(
            (rank for rank, code in enumerate(codes) if code), key=lambda rank: said[rank]["time"]
        )
        raise RankFailed(said[first]["reason"], said[first].get("traceback", ""))

    def _last_words(self) -> str:
        text = (self._places[0].meeting.parent / "log").read_text(errors="replace").strip()
        return f": {text.splitlines()[-1]}" if text else ""
