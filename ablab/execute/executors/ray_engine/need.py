"""What a run takes of a node."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Need:
    """CPU cores and GPUs of one run."""

    cpus: float
    gpus: float

    def fits(self, resources: Mapping[str, float]) -> int:
        """Return how many runs fit in a node with these resources, as Ray counts them."""
        numbers = [resources.get("CPU", 0.0) / self.cpus]
        if self.gpus:
            numbers.append(resources.get("GPU", 0.0) / self.gpus)
        return int(min(numbers) + 1e-6)  # fractions of a GPU may not add up exactly

    def room(self, nodes: Iterable[Mapping[str, Any]]) -> int:
        """Return how many runs fit in nodes as Ray describes them, whoever else uses them."""
        return sum(self.fits(node["Resources"]) for node in nodes)

    def __str__(self) -> str:
        gpus = f" and {self.gpus:g} GPU" if self.gpus else ""
        return f"{self.cpus:g} CPU{gpus}"
