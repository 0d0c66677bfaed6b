"""`ablab try`: from an idea to a verdict; and `ablab ledger`, of all ideas that were tried."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ablab.cli.options import HomeDir, Json, Plugins, Workers
from ablab.cli.run_options import SkipChecks
from ablab.errors import RunFailed, UserError

if TYPE_CHECKING:
    from ablab.ideas.card import Card
    from ablab.ideas.trial import Laboratory, Trial

Ideas = Annotated[
    list[str],
    typer.Argument(
        metavar="IDEA...",
        help="A plugin file, or a change such as 'qk_norm', 'llama + qk_norm' or '- no_bias'.",
    ),
]
On = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        metavar="EXPR",
        help="Model that the change is made to. May be repeated. Default: the protocol's.",
    ),
]
ProtocolFile = Annotated[
    Path | None,
    typer.Option(
        "--protocol",
        metavar="FILE",
        help="Study file with the sizes, data, budget, recipe and seeds. Default: the example "
        "`ideas`, which shares the runs of gpt2_vs_llama.",
    ),
]
ProfileName = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Profile in the protocol.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Setting in place of the protocol's. May be repeated."
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="Time for each idea: chooses seeds, or less budget, by the speed and noise on record.",
    ),
]
Again = Annotated[
    int | None,
    typer.Option(
        min=4, metavar="N", help="Try an idea on N new seeds, as another idea of the ledger."
    ),
]
ExitCode = Annotated[
    bool, typer.Option("--exit-code", help="Exit with 0 for keep, 10 for discard, else 11.")
]


def try_idea(
    ideas: Ideas,
    on: On = None,
    minutes: Minutes = None,
    again: Again = None,
    protocol: ProtocolFile = None,
    profile: ProfileName = None,
    settings: Settings = None,
    workers: Workers = None,
    home: HomeDir = None,
    plugins: Plugins = None,
    skip_checks: SkipChecks = False,
    as_json: Json = False,
    exit_code: ExitCode = False,
) -> None:
    """Try changes in strong baselines, and say for each: keep, discard or inconclusive."""
    from ablab.ideas.card import EXIT_STATUS
    from ablab.ideas.idea import Contexts, read_ideas
    from ablab.ideas.protocol import DEFAULT, read_protocol
    from ablab.ideas.trial import Laboratory, prepare_all
    from ablab.records.home import make_home

    home_folder = make_home(home)
    if again is not None and minutes is not None:
        raise UserError("--again and --minutes both choose the seeds: give one of them")
    how = read_protocol(protocol or DEFAULT, profile, settings or [])
    contexts = Contexts(tuple(on or how.contexts or _default_contexts()), chosen=bool(on))
    found = read_ideas(ideas, contexts, plugins or [])
    folders = tuple(folder.resolve() for folder in plugins or ())
    lab = Laboratory(home_folder, how, folders, skip_checks)
    home_folder.require_current()
    seeds = None
    if minutes is not None:
        lab, seeds = _fitted(lab, minutes, workers, max(len(idea.contexts) for idea in found))
    trials = prepare_all(found, lab, seeds, again)
    cards, errors = _try_all(trials, lab, workers, as_json=as_json)
    if as_json:
        content = [card.model_dump(mode="json") for card in cards]
        print(json.dumps(content, indent=1, allow_nan=False))
    if errors:
        raise RunFailed("\n".join(errors))
    if exit_code:
        sys.exit(max(EXIT_STATUS[card.decision] for card in cards))


def ledger(home: HomeDir = None, as_json: Json = False) -> None:
    """Print all ideas that were tried in a home, with the level of each test."""
    from rich.console import Console

    from ablab.ideas.ledger import Ledger
    from ablab.records.home import make_home
    from ablab.report.card import print_ledger

    book = Ledger(make_home(home))
    entries = book.entries()
    if book.damaged:
        print(f"{book.path}: {book.damaged} damaged line(s) are left out", file=sys.stderr)
    if as_json:
        print(json.dumps([entry.as_json() for entry in entries], indent=1))
        return
    if not entries:
        raise UserError(f"no idea has been tried in {book.path.parent} yet: `ablab try IDEA` first")
    print_ledger(entries, Console())


def _try_all(
    trials: "Sequence[Trial]", lab: "Laboratory", workers: int | None, *, as_json: bool
) -> "tuple[list[Card], list[str]]":
    """Return the cards of ideas, and a line for each that failed."""
    cards: list[Card] = []
    errors: list[str] = []
    for trial in trials:
        try:
            cards.append(_carry_out(trial, lab, workers, as_json=as_json))
        except (UserError, RunFailed) as error:
            if len(trials) == 1:
                raise
            errors.append(f"{trial.idea.change}: {error}")
    return cards, errors


def _default_contexts() -> "tuple[str, ...]":
    from ablab.ideas.protocol import DEFAULT, read_protocol

    return read_protocol(DEFAULT, None, []).contexts


def _fitted(
    lab: "Laboratory", minutes: float, workers: int | None, contexts: int
) -> "tuple[Laboratory, Any]":
    """Return the laboratory with a protocol that takes so many minutes an idea, and its seeds."""
    from dataclasses import replace

    from ablab.ideas.minutes import fit_protocol

    fitted = fit_protocol(lab.protocol, lab.home, 60 * minutes, workers, contexts)
    print(fitted.text, file=sys.stderr)
    return replace(lab, protocol=fitted.protocol), fitted.seeds


def _carry_out(trial: "Trial", lab: "Laboratory", workers: int | None, *, as_json: bool) -> "Card":
    """Train the missing runs of an idea, conclude it in the ledger, and print its card."""
    from ablab.analysis.summarise import summarise
    from ablab.cli.train import StudyTraining
    from ablab.ideas.card import Places, make_card, result
    from ablab.ideas.ledger import Ledger
    from ablab.ideas.trial import command, register
    from ablab.records.study_record import StudyRecord
    from ablab.report.card import print_card
    from ablab.spec.study import load_study

    entry, request = register(trial, lab)
    training = StudyTraining(lab.home, workers, to_stderr=as_json, answers=False)
    where = " and ".join(trial.idea.contexts)
    rule = f"kept if its one-sided p is below {entry.level:.2g}"
    training.console.print(
        f"trying {trial.idea.change} in {where}: {rule}{_forecast(trial, lab, entry.level)}",
        highlight=False,
        markup=False,
    )
    training.train(request)
    study, _ = load_study(request.file, None, ())
    record = StudyRecord(lab.home, request.name, study.revision())
    page = record.reports / f"{record.revision}.html"
    report = str(page) if page.exists() else None
    places = Places(str(request.file), command(request, lab.home), report)
    summary = summarise(record)
    if not summary.progress.complete:
        raise RunFailed("runs of the idea are missing: the same command goes on")
    card = make_card(summary, entry, places, trial.idea.notes)
    Ledger(lab.home).conclude(entry, card.decision, result(card))
    if not as_json:
        print_card(card, training.console)
    return card


def _forecast(trial: "Trial", lab: "Laboratory", level: float) -> str:
    """Return the effect that an idea's trial will find; empty if no noise is on record."""
    from ablab.analysis.effects import looks_of
    from ablab.ideas.power import detected, on_record

    study = lab.protocol.study
    runs = on_record(study, lab.home)
    if runs is None:
        return ""
    seeds = len(trial.attempt.seeds)
    looks = looks_of(study) if study.adaptive and study.adaptive.max == seeds else ()
    effect = detected(runs, seeds, len(trial.idea.contexts), level, looks)
    found = f"an effect of {effect:.2g} {study.metric} is found with 80 % power"
    return f"; {found} (noise of {runs.name})"
