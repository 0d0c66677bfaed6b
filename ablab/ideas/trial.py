"""From an idea to its study: what is checked, registered and written before anything is trained."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablab.analysis.effects import looks_of
from ablab.arch.composition.registry import Registry, load_registry
from ablab.errors import UserError
from ablab.execute.request import Planned, Request, planned
from ablab.files import write_atomically
from ablab.ideas.conformance import require_conforming
from ablab.ideas.idea import Idea
from ablab.ideas.ledger import Attempt, Entry, Ledger, new_seeds, on_new_seeds
from ablab.ideas.protocol import Protocol, study_text
from ablab.records.home import Home
from ablab.records.run_record import finished_keys
from ablab.spec.seeds import seed_list


@dataclass(frozen=True)
class Laboratory:
    """Where and how ideas are tried."""

    home: Home
    """Where they are recorded."""
    protocol: Protocol
    """How their runs are trained and judged."""
    plugins: tuple[Path, ...]
    """Loose plugin files and folders, besides those of the ideas."""
    skip_checks: bool = False
    """Whether ideas are tried without being checked."""

    def registry(self, idea: Idea) -> Registry:
        """Return all plugins that an idea may use. Raises UserError if one does not load."""
        return load_registry([*self.plugins, *idea.files])

    def request(self, file: Path, idea: Idea) -> Request:
        """Return the request for the study of an idea."""
        return Request(file, None, (), (*self.plugins, *idea.files), self.skip_checks)

    def plan(self, idea: Idea, seeds: Any = None) -> Planned:
        """Return the plan of an idea's study. Raises UserError if there is none."""
        settings = self.protocol.settings(idea.change, idea.contexts, seeds)
        with TemporaryDirectory() as folder:
            file = Path(folder) / "idea.yaml"
            file.write_text(study_text(settings, ()))
            try:
                return planned(self.request(file, idea), self.home.root)
            except UserError as error:
                # Nobody has seen the file that the place is in.
                place = re.compile(rf"^{re.escape(str(file))}(:\d+:\d+)?: ", re.MULTILINE)
                raise UserError(place.sub("", str(error))) from None


@dataclass(frozen=True)
class Trial:
    """An idea that can be tried: its study is valid, and its arms pass the checks."""

    idea: Idea
    """The idea."""
    attempt: Attempt
    """What the ledger keeps of it."""
    seeds: Any = None
    """Seeds in place of the protocol's, as in a study file; None for the protocol's."""


def prepare(idea: Idea, lab: Laboratory, seeds: Any = None, again: int | None = None) -> Trial:
    """Check an idea and plan its study. Nothing is created.

    Args:
        idea: the idea.
        lab: where and how it is tried.
        seeds: seeds in place of the protocol's, as in a study file.
        again: number of seeds, on none of which it was tried before.

    Raises:
        UserError: if the idea fails a check, if its study cannot be planned or gives no verdicts,
            or if results of its runs are known already.

    """
    if not lab.skip_checks:
        require_conforming(idea, lab.registry(idea))
    arms = _arm_digests(idea, lab)
    if again is not None:
        seeds = _unseen_seeds(idea, lab, arms, again)
    study = lab.plan(idea, seeds).study
    every_seed = seed_list(study.seeds)
    fewest = study.fewest_seeds
    if len(every_seed) < fewest:
        raise UserError(
            f"{idea.change}: verdicts need {fewest} seeds or more, and the protocol has "
            f"{len(every_seed)}: `--set seeds={fewest}`"
        )
    rules = json.dumps([looks_of(study), study.metric, study.margin])
    digest = hashlib.sha256(rules.encode()).hexdigest()[:12]
    attempt = Attempt(idea.change, idea.contexts, tuple(arms), tuple(every_seed), digest)
    if Ledger(lab.home).known(attempt) is None and _is_seen(idea, lab, every_seed):
        raise UserError(
            f"{idea.change}: a study outside the ledger has trained some of its runs, whose "
            f"results are known: {on_new_seeds(attempt)}"
        )
    return Trial(idea, attempt, seeds)


def _keys(plan: Planned) -> dict[str, list[str]]:
    """Return the keys of the runs, or of the trials, of each arm with the change."""
    (part,) = plan.plan.parts
    changed = [
        arm
        for contrast in part.plan.contrasts
        for arm, weight in contrast.weights.items()
        if weight > 0
    ]
    specs = [*part.plan.runs, *(trial.run for trial in part.plan.trials)]
    return {arm: [spec.key for spec in specs if spec.arm == arm] for arm in changed}


def _arm_digests(idea: Idea, lab: Laboratory) -> list[str]:
    """Return a digest of each context with the change, from the keys that its runs have on the
    first few seeds.
    """
    count = lab.protocol.study.fewest_seeds
    keys = _keys(lab.plan(idea, list(range(1, count + 1))))
    return [hashlib.sha256("".join(each).encode()).hexdigest()[:24] for each in keys.values()]


def _unseen_seeds(idea: Idea, lab: Laboratory, arms: Sequence[str], again: int) -> list[int]:
    """Return new seeds for an idea, in numbers that balance the nuisance factors."""
    count = again + -again % lab.protocol.study.seed_step
    entries = Ledger(lab.home).entries()
    seeds = new_seeds(arms, entries, count)
    if any(entry.decision is None and entry.attempt.seeds == tuple(seeds) for entry in entries):
        return seeds  # an attempt that goes on
    while _is_seen(idea, lab, seeds):
        seeds = [seed + count for seed in seeds]
    return seeds


def _is_seen(idea: Idea, lab: Laboratory, seeds: Sequence[int]) -> bool:
    """Return whether runs with the change are finished on some of these seeds."""
    keys = _keys(lab.plan(idea, list(seeds)))
    return bool(finished_keys(lab.home.root, [key for each in keys.values() for key in each]))


def register(trial: Trial, lab: Laboratory) -> tuple[Entry, Request]:
    """Enter an idea into the ledger and write its study file. Return its entry, and the request
    that trains it.

    An idea that the ledger has is not entered again, and its file stays as it is.

    Raises:
        UserError: as `Ledger.register` does.

    """
    entry = Ledger(lab.home).register(trial.attempt, trial.idea.slug)
    file = lab.home.root / "ideas" / f"{entry.study}.yaml"
    request = lab.request(file, trial.idea)
    if not file.exists():
        first = entry.attempt
        settings = lab.protocol.settings(first.change, first.contexts, trial.seeds)
        settings["helps_level"] = entry.helps_level
        comment = [
            f"Idea {entry.number} of the ledger, tried with the protocol {lab.protocol.source}.",
            f"Run it again: {command(request, lab.home)}",
        ]
        text = study_text(settings, comment)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda stream: stream.write(text.encode()))
    return entry, request


def command(request: Request, home: Home) -> str:
    """Return the command that trains a request in a home."""
    return f"ablab run {request.command}{home.option}"


def prepare_all(
    ideas: Sequence[Idea], lab: Laboratory, seeds: Any = None, again: int | None = None
) -> list[Trial]:
    """Return the trials of several ideas, each once.

    Raises UserError with a line for each idea that cannot be tried.
    """
    trials: list[Trial] = []
    errors: list[str] = []
    for idea in ideas:
        try:
            trial = prepare(idea, lab, seeds, again)
        except UserError as error:
            errors.append(str(error))
            continue
        if not any(trial.attempt.repeats(other.attempt) for other in trials):
            trials.append(trial)
    if errors:
        raise UserError("\n".join(errors))
    return trials
