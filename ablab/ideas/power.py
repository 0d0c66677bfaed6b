"""The effect that a trial of an idea will find, from runs of the same protocol on record."""

from collections.abc import Iterator
from dataclasses import dataclass

from ablab.analysis.forecast.noise_floor import NoiseFloor, noise_floor
from ablab.records.home import Home
from ablab.records.study_content import StudyContent
from ablab.records.study_record import revisions, study_names
from ablab.schedule.durations import Speed, speed_on_record
from ablab.spec.study import Study
from ablab.stats.inference.online import two_sided
from ablab.stats.inference.power import Noise, PowerTarget, smallest_found

_SAME = ("model", "data", "recipe", "metric", "nuisance")


@dataclass(frozen=True)
class EarlierRuns:
    """Runs with the sizes, the data and the recipe of a protocol."""

    speed: Speed
    """How fast they were."""
    noise: NoiseFloor
    """Their run-to-run noise."""
    name: str
    """Name of their study."""


def on_record(study: Study, home: Home) -> EarlierRuns | None:
    """Return runs like those of a study that a home has; None if there are none.

    They are preferably at the same budget, and those of the study with most arms: the noise of a
    change that hardly does anything is smaller than that of others.
    """
    found: list[tuple[bool, int, EarlierRuns]] = []
    for name in study_names(home):
        alike = [content for content in contents(home, name) if _is_like(study, content)]
        if not alike:
            continue
        speed = speed_on_record(home, name)
        noise = noise_floor(home, name, study.metric)
        if speed is not None and noise is not None:
            same = any(content.study.budget == study.budget for content in alike)
            arms = len({arm for arm, _ in noise.table.values(study.metric)})
            found.append((same, arms, EarlierRuns(speed, noise, name)))
    return max(found, key=lambda each: each[:2])[2] if found else None


def contents(home: Home, name: str) -> Iterator[StudyContent]:
    """Yield the records of a study that this version can read."""
    for record in revisions(home, name):
        content = record.read_if_possible()
        if content is not None:
            yield content


def _is_like(study: Study, content: StudyContent) -> bool:
    return len(content.parts) == 1 and all(
        getattr(content.study, key) == getattr(study, key) for key in _SAME
    )


def detected(
    runs: EarlierRuns, seeds: int, contexts: int, level: float, looks: tuple[int, ...] = ()
) -> float:
    """Return the effect in one of several contexts that is kept with 80 % power, by a one-sided
    test at `level`.
    """
    target = PowerTarget(contexts, looks=looks, helps_level=two_sided(level))
    return smallest_found(Noise(2 * runs.noise.sd**2, 1.0), seeds, target)
