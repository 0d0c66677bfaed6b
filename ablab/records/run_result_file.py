"""The result of a finished run on disk, with the digests of the files that belong to it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ablab.errors import UserError
from ablab.files import file_sha256
from ablab.sealed import DamagedFile, read_sealed, require_digest, write_sealed
from ablab.train.file_names import WEIGHTS, WINDOW_SCORES
from ablab.train.result import RunResult

RESULT_FILE = "result.json"
_READ_BY_REPORTS = ("metrics.jsonl", WINDOW_SCORES)
_RESULT = TypeAdapter(RunResult)


class ResultFile:
    """The file `path` in the folder of a run of the home `root`."""

    def __init__(self, path: Path, root: Path) -> None:
        self._path = path
        self._root = root

    def exists(self) -> bool:
        """Return whether there is a result, damaged or not."""
        return self._path.exists()

    def write(self, result: RunResult) -> None:
        """Write a result with the digests of the other files that there are now."""
        write_sealed(self._path, {**asdict(result), "files": digests_of(self._path.parent)})

    def read(self) -> RunResult | None:
        """Return the result; None if there is none.

        Raises:
            DamagedFile: if it is damaged, or a file that reports read.
            UserError: if another version of ablab wrote it.

        """
        content = self._verified(*_READ_BY_REPORTS)
        if content is None:
            return None
        try:
            result = _RESULT.validate_python(content)
        except ValueError as error:
            raise UserError(f"{self._path} was written by another version of ablab") from error
        if "kv_cache_bytes" not in content["cost"] and result.device == "cpu":
            # Before the cache was measured, the peak memory of a CPU run was the worker's resident
            # memory, which earlier runs had raised.
            result = replace(result, cost=replace(result.cost, peak_memory_bytes=None))
        return result

    def damage(self) -> str:
        """Return what is damaged of the result and the files that reports read; empty if nothing
        is, or there is no result.
        """
        return self._damage(*_READ_BY_REPORTS)

    def damage_of_weights(self) -> str:
        """Return what is damaged of the result and the weights; empty if nothing is."""
        return self._damage(WEIGHTS)

    def _damage(self, *names: str) -> str:
        try:
            self._verified(*names)
        except DamagedFile as error:
            return error.fault
        return ""

    def _verified(self, *names: str) -> dict[str, Any] | None:
        """Return the content after checking the digests of the files `names`; None if there is no
        result.
        """
        content = read_sealed(self._path, self._root)
        if content is None:
            return None
        digests: Mapping[str, str] = content.get("files", {})
        for name in names:
            if name in digests:
                require_digest(self._path.with_name(name), digests[name])
        return content


def digests_of(folder: Path) -> dict[str, str]:
    """Return the digests of the files in a run's folder that belong to its result, by name."""
    files = [folder / name for name in (*_READ_BY_REPORTS, WEIGHTS)]
    return {file.name: file_sha256(file) for file in files if file.exists()}
