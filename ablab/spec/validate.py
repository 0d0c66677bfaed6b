"""Checks of a study that concern several of its keys, made when it is planned."""

from collections.abc import Callable, Mapping

from ablab.data.spec import AnyTokenizer
from ablab.errors import UserError
from ablab.metrics import METRICS
from ablab.spec.design import Search
from ablab.spec.seeds import STREAM
from ablab.spec.study import Study
from ablab.spec.tune import Tune
from ablab.spec.yaml_document import Document
from ablab.stats.inference.limits import MIN_SEEDS


def check(study: Study, document: Document) -> None:
    """Raise UserError for the first pair of settings that cannot be combined."""
    if study.tune is not None and study.design.kind == "search":
        raise _error(
            document,
            ("tune",),
            "a search has trials of its own: leave `tune` out, or confirm its best arms in a "
            "study with `tune`",
        )
    if study.adaptive is not None and study.design.kind == "search":
        raise _error(
            document,
            ("seeds",),
            "a search confirms its best arms on a fixed number of seeds: give a count or a list",
        )
    if study.adaptive is not None and study.adaptive.start < MIN_SEEDS:
        raise _error(
            document,
            ("seeds", "start"),
            f"{study.adaptive.start} seeds give no verdict: start with {MIN_SEEDS} or more",
        )
    trials = study.tune or study.design
    if isinstance(trials, Tune | Search) and trials.prune != "none" and not study.validate_at:
        key = ("tune" if study.tune is not None else "design", "prune")
        raise _error(
            document,
            key,
            "trials are compared where they are validated: give `validate_at` shares of the "
            "budget, such as [0.25, 0.5]",
        )
    if study.nuisance is not None:
        _check_nuisance(study, study.nuisance, document)
    if study.replicates:
        for key, seed in (
            (("seeds",), max(study.seed_list())),
            (("tune", "seed"), study.trial_seed or 0),
        ):
            if seed >= STREAM:
                raise _error(
                    document,
                    key,
                    f"seed {seed}: replicates use seeds from {STREAM:,} on, so the study's seeds "
                    "must be below",
                )
    if study.trial_seed is not None and study.trial_seed in study.seed_list():
        key = ("tune", "seed") if study.tune is not None else ("design", "seed")
        raise _error(
            document,
            key if document.places.get(key) else ("seeds",),
            f"seed {study.trial_seed} is used by the trials: confirming runs need other seeds, "
            "since the trials' results chose the recipe",
        )


def _check_nuisance(study: Study, factors: Mapping[str, object], document: Document) -> None:
    """Raise UserError if a study cannot spread its nuisance factors over its seeds."""
    if study.tune is not None or study.design.kind == "search":
        trials = "tune" if study.tune is not None else "design"
        raise _error(
            document,
            ("nuisance",),
            f"trials choose one recipe, and nuisance factors vary it: leave out `{trials}` or this",
        )
    if study.replicates:
        raise _error(
            document,
            ("nuisance",),
            "replicates have seeds of their own, so that no seed compares them at one combination "
            "of levels: leave out one of the two",
        )
    fewest, step = study.fewest_seeds, study.seed_step
    adaptive = study.adaptive
    counts = (adaptive.start, adaptive.max) if adaptive else (len(study.seed_list()),)
    wrong = [count for count in counts if count < fewest or count % step]
    if wrong:
        raise _error(
            document,
            ("seeds",),
            f"{len(factors)} nuisance factor(s) need at least {fewest} seeds (4 + 2 for each "
            f"factor), in multiples of {step}, after which levels are balanced: not {wrong[0]}",
        )


def _error(document: Document, key: tuple[str, ...], message: str) -> UserError:
    return UserError(f"{document.at(key)}: {message}")


def check_metric(
    study: Study,
    document: Document,
    tokenizers: Mapping[str, AnyTokenizer],
    place: Callable[[str], str],
) -> None:
    """Raise UserError if the metric depends on the tokenizer and two arms have different ones.

    `tokenizers`: the tokenizer of each arm, in the order of the study. `place`: returns the
    position of an arm.
    """
    metric = METRICS[study.metric]
    if metric.tokenizer_independent or not tokenizers:
        return
    first, *others = tokenizers
    for arm in others:
        if tokenizers[arm] != tokenizers[first]:
            raise _error(
                document,
                ("metric",),
                f"it is {metric.unit} per {metric.per}, and the arms' tokenizers differ: that of "
                f"{arm!r} ({place(arm)}) is not that of {first!r}; give `val/bpb`, which does not "
                "depend on the tokenizer",
            )
