"""The figures of a study, as every report shows them."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ablab.analysis.arms import ArmSummary, uneven
from ablab.analysis.effects import EffectSummary
from ablab.analysis.trials import ArmTuning, TrialSummary
from ablab.text.truncate import some_of


@dataclass(frozen=True)
class Summary:
    """All that a report shows. `overhead`: share of the execution's time not spent in training
    steps or validation. `survivors`: of a search whose confirming runs are all in, each confirmed
    arm with the one that beats it, if one does. `objectives`: what runs are judged by. `apart`: by
    cost, why it is not compared between arms. `margin`, `noise_floor`, `detectable_effect`: see
    `verdicts.Findings`. `shared`: the parameters of the one recipe for all that every arm was tried
    with beside its own, if there was one. `spared`: runs fewer than with the most seeds everywhere;
    `looks`: after how many seeds an adaptive study may end. `parts`: of a study in several parts,
    each part's figures (`part`: its label); `across`: what only all of them tell.
    """

    study: str
    revision: str
    question: str
    metric: str
    objectives: list[str]
    arms: list[ArmSummary]
    effects: list[EffectSummary]
    infeasible: dict[str, str]
    runs: int
    finished: int
    failed: dict[str, str]
    sd: float | None
    dof: int
    overhead: float | None
    wall_seconds: float | None
    workers: int | None
    scope: list[str]
    holds_for: str
    devices: list[str]
    trials: list[TrialSummary]
    tuning: list[ArmTuning]
    survivors: dict[str, str | None]
    notes: list[str]
    baseline: str
    margin: float | None
    noise_floor: float | None
    detectable_effect: float | None
    shared: dict[str, Any] | None
    spared: int | None
    looks: list[int]
    apart: dict[str, str] = field(default_factory=dict)
    part: str = ""
    parts: list["Summary"] = field(default_factory=list)
    across: dict[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every run is finished."""
        return self.finished == self.runs

    @property
    def spread(self) -> float | None:
        """What decides how many digits a mean is shown with."""
        return self.noise_floor if self.sd is None else self.sd

    @property
    def uneven(self) -> bool:
        """Whether means are adjusted, since arms have unequal seeds."""
        return uneven(self.arms)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types; figures that are not finite are null."""
        return _finite(_without_parts(asdict(self)))


def _without_parts(content: dict[str, Any]) -> dict[str, Any]:
    """Less what is empty in a study without parts, and cut where much was left out."""
    content = {**content, "infeasible": some_of(content["infeasible"])}
    empty = {key for key in ("part", "parts", "across") if not content[key]}
    parts = (
        {"parts": [_without_parts(part) for part in content["parts"]]} if content["parts"] else {}
    )
    return {key: value for key, value in {**content, **parts}.items() if key not in empty}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
