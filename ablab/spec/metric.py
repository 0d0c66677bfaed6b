"""The metrics that a study file may name."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ablab.errors import unknown
from ablab.metrics import METRICS, study_metrics

# Costs of which every finished run has a value.
_COSTS = ("seconds", "parameters", "flops", "tokens", "peak_memory_bytes")


def objectives() -> list[str]:
    """What a search may optimize: the metrics of a study, and costs."""
    return [*study_metrics(), *(f"cost/{name}" for name in _COSTS)]


def _one_of(names: Callable[[], Sequence[str]]) -> tuple[AfterValidator, Any]:
    """A validator and a schema of names that are looked up when they are needed."""

    def check(name: str) -> str:
        if name not in names():
            raise ValueError(str(unknown("metric", name, names())))
        return name

    def describe(schema: dict[str, Any]) -> None:
        schema["enum"] = [name for name in METRICS if name in names()]

    return AfterValidator(check), Field(json_schema_extra=describe)


StudyMetric = Annotated[str, *_one_of(study_metrics)]
Objective = Annotated[str, *_one_of(objectives)]
