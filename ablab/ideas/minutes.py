"""Chooses the seeds, or a smaller budget, of a protocol so that an idea takes a given time."""

from dataclasses import dataclass, replace
from math import floor

from ablab.errors import UserError
from ablab.ideas.ledger import ALPHA, Ledger
from ablab.ideas.power import EarlierRuns, contents, detected, on_record
from ablab.ideas.protocol import Protocol
from ablab.records.home import Home
from ablab.spec.study import Study
from ablab.stats.inference.online import lond_level
from ablab.text.numbers import duration, exact

_MOST_SEEDS = 48
_LEAST_SHARE = 1 / 8  # of the protocol's budget
_START_SECONDS = 20.0  # of workers, and of timing the arms


@dataclass(frozen=True)
class FittedProtocol:
    """A protocol whose study of one idea takes about a given time."""

    protocol: Protocol
    """The protocol, whose budget may be smaller."""
    seeds: int
    """Number of seeds of each arm."""
    text: str
    """What was chosen, and which effect it finds, in a sentence."""


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
    record = on_record(study, home)
    if record is None:
        raise UserError(
            "--minutes goes by the speed and the noise of runs of the same protocol, and there are "
            f"none in {home.root}: try an idea without it first, or run the baselines' study"
        )
    flops = _run_flops(study, record, home)
    slots = study.hardware.workers(workers, 2 * contexts * _MOST_SEEDS)
    work = max(0.0, seconds - _START_SECONDS) * slots * record.speed.flops_per_second
    fewest = study.fewest_seeds
    affordable = floor(work / (contexts * flops))
    seeds = min(_MOST_SEEDS, affordable - affordable % study.seed_step)
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
    level = lond_level(*Ledger(home).next_place(), ALPHA)
    effect = detected(record, seeds, contexts, level)
    text = (
        f"{seeds} seeds at {_budget_text(study, share)}: an effect of {effect:.2g} {study.metric} "
        f"is kept with 80 % power (run-to-run sd {record.noise.sd:.2g} of {record.name}"
        f"{', at the whole budget' if share < 1 else ''})"
    )
    return FittedProtocol(_scaled(protocol, share), seeds, text)


def _run_flops(study: Study, record: EarlierRuns, home: Home) -> float:
    """Return the training FLOPs of a run of the protocol."""
    if study.budget.flops is not None:
        return study.budget.flops
    if study.budget.tokens is None and study.budget.steps is None:
        raise UserError("--minutes: the protocol's budget is in seconds, which fixes its time")
    alike = [
        arm.flops_per_token
        for content in contents(home, record.name)
        for arm in content.parts[0].arms
    ]
    tokens = study.budget.tokens or (study.budget.steps or 0) * study.recipe.batch_tokens
    return tokens * sum(alike) / len(alike)


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
