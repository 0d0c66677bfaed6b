"""Chooses the seeds, or a smaller budget, of a protocol so that an idea takes a given time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import floor

from ablab.analysis.forecast.noise_floor import NoiseFloor, noise_floor
from ablab.errors import UserError
from ablab.ideas.ledger import ALPHA, Ledger
from ablab.ideas.protocol import Protocol
from ablab.records.home import Home
from ablab.records.study_content import StudyContent
from ablab.records.study_record import revisions, study_names
from ablab.schedule.durations import Speed, speed_on_record
from ablab.spec.nuisance import balanced_step, fewest_seeds
from ablab.spec.study import Study
from ablab.stats.inference.limits import MIN_SEEDS
from ablab.stats.inference.online import lond_level
from ablab.stats.inference.power import Noise, PowerTarget, smallest_found
from ablab.text.numbers import duration, exact

_MOST_SEEDS = 48
_LEAST_SHARE = 1 / 8  # of the protocol's budget
_START_SECONDS = 20.0  # of workers, and of timing the arms
_SAME = ("model", "data", "recipe", "metric", "nuisance")


@dataclass(frozen=True)
class FittedProtocol:
    """A protocol whose study of one idea takes about a given time."""

    protocol: Protocol
    """The protocol, whose budget may be smaller."""
    seeds: int
    """Number of seeds of each arm."""
    text: str
    """What was chosen, and which effect it finds, in a sentence."""


@dataclass(frozen=True)
class _Record:
    """What is on record of runs like a protocol's."""

    speed: Speed
    noise: NoiseFloor
    name: str


def fit_protocol(
    protocol: Protocol, home: Home, seconds: float, workers: int | None, contexts: int
) -> FittedProtocol:
    """Return a protocol that takes about so long for one idea whose baselines are trained already.

    It has as many seeds as fit, 48 at most. Where the fewest seeds that give a verdict do not fit,
    it has these at a smaller budget, an eighth of the protocol's at least, whose baselines are new.

    Raises:
        UserError: if no such runs are on record, if the protocol's budget is not in FLOPs or
            tokens, or if the time is too short.

    """
    study = protocol.study
    record = _on_record(study, home)
    flops = _run_flops(study, record, home)
    slots = study.hardware.workers(workers, 2 * contexts * _MOST_SEEDS)
    work = max(0.0, seconds - _START_SECONDS) * slots * record.speed.flops_per_second
    fewest = _fewest(study)
    step = balanced_step(len(study.nuisance)) if study.nuisance else 1
    affordable = floor(work / (contexts * flops))
    seeds = min(_MOST_SEEDS, affordable - affordable % step)
    share = 1.0
    if seeds < fewest:
        seeds = fewest
        share = work / (2 * contexts * fewest * flops)
    if share < _LEAST_SHARE:
        needed = _LEAST_SHARE * 2 * contexts * fewest * flops / record.speed.flops_per_second
        raise UserError(
            f"--minutes: {duration(seconds)} are too few: {fewest} seeds at an eighth of the "
            f"budget take {duration(needed / slots + _START_SECONDS)} with {slots} workers"
        )
    effect = _detected(record.noise.sd, seeds, contexts, home)
    text = (
        f"{seeds} seeds at {_budget_text(study, share)}: an effect of {effect:.2g} {study.metric} "
        f"is kept with 80 % power (run-to-run sd {record.noise.sd:.2g} of {record.name}"
        f"{', at the whole budget' if share < 1 else ''})"
    )
    return FittedProtocol(_scaled(protocol, share), seeds, text)


def _on_record(study: Study, home: Home) -> _Record:
    """Return speed and noise of runs with the sizes, the data and the recipe of a protocol."""
    for name in reversed(study_names(home)):
        if not any(_is_like(study, content) for content in _contents(home, name)):
            continue
        speed = speed_on_record(home, name)
        noise = noise_floor(home, name, study.metric)
        if speed is not None and noise is not None:
            return _Record(speed, noise, name)
    raise UserError(
        "--minutes goes by the speed and the noise of runs of the same protocol, and there are "
        f"none in {home.root}: try an idea without it first, or run the baselines' study"
    )


def _contents(home: Home, name: str) -> Iterator[StudyContent]:
    for record in revisions(home, name):
        try:
            yield record.read()
        except UserError:  # another version of ablab wrote it
            continue


def _is_like(study: Study, content: StudyContent) -> bool:
    return len(content.parts) == 1 and all(
        getattr(content.study, key) == getattr(study, key) for key in _SAME
    )


def _run_flops(study: Study, record: _Record, home: Home) -> float:
    """Return the training FLOPs of a run of the protocol."""
    if study.budget.flops is not None:
        return study.budget.flops
    if study.budget.tokens is None and study.budget.steps is None:
        raise UserError("--minutes: the protocol's budget is in seconds, which fixes its time")
    alike = [
        arm.flops_per_token
        for content in _contents(home, record.name)
        for arm in content.parts[0].arms
    ]
    tokens = study.budget.tokens or (study.budget.steps or 0) * study.recipe.batch_tokens
    return tokens * sum(alike) / len(alike)


def _fewest(study: Study) -> int:
    """Return the smallest number of seeds that gives verdicts."""
    return fewest_seeds(len(study.nuisance)) if study.nuisance else MIN_SEEDS


def _detected(sd: float, seeds: int, contexts: int, home: Home) -> float:
    """Return the effect in one context that is kept with 80 % power."""
    entries = Ledger(home).entries()
    kept = sum(entry.decision == "keep" for entry in entries)
    level = min(0.05, 2 * lond_level(len(entries) + 1, kept, ALPHA))
    target = PowerTarget(contexts, helps_level=level)
    return smallest_found(Noise(2 * sd**2, 1.0), seeds, target)


def _budget_text(study: Study, share: float) -> str:
    amounts = study.budget.scaled(share).model_dump(exclude_none=True)
    return " and ".join(f"{exact(float(f'{value:.3g}'))} {name}" for name, value in amounts.items())


def _scaled(protocol: Protocol, share: float) -> Protocol:
    if share == 1:
        return protocol
    budget = protocol.study.budget.scaled(share)
    # Two digits, so that the next idea with about as much time shares the baselines.
    amounts = {
        name: float(f"{value:.2g}") if isinstance(value, float) else value
        for name, value in budget.model_dump(exclude_none=True).items()
    }
    values = {**protocol.values, "budget": amounts}
    return replace(protocol, values=values, source=f"{protocol.source}, with less budget")
