"""What the lab says of its runs to MLflow, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Point = tuple[str, int]


@dataclass(frozen=True)
class Child:
    """A run in MLflow. `status`: RUNNING, FINISHED, FAILED, KILLED. `params`: the names of its
    parameters. `ended`: when (Unix, milliseconds). `result`: what tells the result that it shows
    from others.
    """

    id: str
    status: str
    params: frozenset[str] = frozenset()
    ended: int = 0
    result: str = ""

    def outdated(self, result: str, ended: int) -> bool:
        """Whether the run was trained anew since: it has another result, and a later one."""
        return self.status == "FINISHED" and self.result != result and self.ended < ended


@dataclass(frozen=True)
class NewChild:
    """A child to be made. `began`: when the run was handed out (Unix); None for now."""

    name: str
    key: str
    began: float | None = None


@dataclass(frozen=True)
class DatasetInput:
    """A split that a run reads. `context`: what for: train, val, test. `profile`: its sizes."""

    name: str
    digest: str
    context: str
    kind: str
    source: Mapping[str, Any]
    profile: Mapping[str, Any]
