"""From an idea to its study: what is checked, registered and written before anything is trained."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ablab.arch.composition.registry import Registry, load_registry
from ablab.errors import UserError
from ablab.execute.request import Request, planned
from ablab.files import write_atomically
from ablab.ideas.conformance import require_conforming
from ablab.ideas.idea import Idea
from ablab.ideas.ledger import Attempt, Entry, Ledger, new_seeds
from ablab.ideas.protocol import Protocol, idea_digest, seeds_of, study_text
from ablab.records.home import Home
from ablab.spec.nuisance import balanced_step
from ablab.spec.study import Study


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


@dataclass(frozen=True)
class Trial:
    """An idea that can be tried: its study is valid, and its arms pass the checks."""

    idea: Idea
    """The idea."""
    settings: dict[str, Any]
    """Its study, without the level."""
    attempt: Attempt
    """What the ledger keeps of it."""


def prepare(idea: Idea, lab: Laboratory, seeds: Any = None, again: int | None = None) -> Trial:
    """Check an idea and plan its study. Nothing is created.

    Args:
        idea: the idea.
        lab: where and how it is tried.
        seeds: seeds in place of the protocol's, as in a study file.
        again: number of seeds, on none of which it was tried before.

    Raises:
        UserError: if the idea fails a check, or if its study cannot be planned.

    """
    registry = lab.registry(idea)
    if not lab.skip_checks:
        require_conforming(idea, registry)
    study = _plan(lab, idea, seeds)
    digest = idea_digest(study, idea, registry)
    if again is not None:
        step = balanced_step(len(study.nuisance)) if study.nuisance else 1
        count = again + -again % step
        seeds = new_seeds(digest, Ledger(lab.home).entries(), count)
        study = _plan(lab, idea, seeds)
    attempt = Attempt(digest, idea.change, idea.contexts, seeds_of(study))
    return Trial(idea, lab.protocol.settings(idea, seeds), attempt)


def _plan(lab: Laboratory, idea: Idea, seeds: Any) -> Study:
    """Return the study of an idea. Raises UserError if it cannot be planned."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "idea.yaml"
        file.write_text(study_text(lab.protocol.settings(idea, seeds), ()))
        try:
            return planned(lab.request(file, idea), lab.home.root).study
        except UserError as error:
            # Nobody has seen the file that the place is in.
            place = re.compile(rf"^{re.escape(str(file))}(:\d+:\d+)?: ", re.MULTILINE)
            raise UserError(place.sub("", str(error))) from None


def register(trial: Trial, lab: Laboratory) -> tuple[Entry, Request]:
    """Enter an idea into the ledger and write its study file. Return its entry, and the request
    that trains it.

    An idea that the ledger has is not entered again.

    Raises:
        UserError: as `Ledger.register` does.

    """
    entry = Ledger(lab.home).register(trial.attempt, trial.idea.slug)
    file = lab.home.root / "ideas" / f"{entry.study}.yaml"
    request = lab.request(file, trial.idea)
    # The level is one-sided, and the p-values of studies are two-sided.
    settings = {**trial.settings, "helps_level": min(0.05, 2 * entry.level)}
    comment = [
        f"Idea {entry.number} of the ledger, tried with the protocol {lab.protocol.source}.",
        f"Run it again: {command(request, lab.home)}",
    ]
    text = study_text(settings, comment)
    if not file.exists() or file.read_text() != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, lambda stream: stream.write(text.encode()))
    return entry, request


def command(request: Request, home: Home) -> str:
    """Return the command that trains a request in a home."""
    return f"ablab run {request.command}{home.option}"


def prepare_all(
    ideas: Sequence[Idea], lab: Laboratory, seeds: Any = None, again: int | None = None
) -> list[Trial]:
    """Return the trials of several ideas. Raises UserError if one of them cannot be tried."""
    trials = [prepare(idea, lab, seeds, again) for idea in ideas]
    unique = {trial.attempt.digest: trial for trial in trials}
    return list(unique.values())
