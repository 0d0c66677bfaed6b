"""What a study says that cannot all be meant: refused when it is planned, with the place."""

from ablab.data.spec import AnyTokenizer
from ablab.errors import UserError
from ablab.metrics import METRICS
from ablab.spec.seeds import STREAM
from ablab.spec.study import Study
from ablab.spec.yaml_document import Document


def check(study: Study, document: Document) -> None:
    """Raises UserError for the first contradiction."""

    def refuse(key: tuple[str, ...], message: str) -> None:
        raise UserError(f"{document.at(key)}: {message}")

    if study.tune is not None and study.design.kind == "search":
        refuse(
            ("tune",),
            (
                "a search has trials of its own: leave `tune` out, or confirm its best arms in a "
                "study with `tune`"
            ),
        )
    if study.adaptive is not None and study.design.kind == "search":
        refuse(
            ("seeds",),
            "a search confirms its best arms on a fixed number of seeds: give a count or a list",
        )
    if study.replicates:
        own = [(("seeds",), max(study.seed_list())), (("tune", "seed"), study.trial_seed or 0)]
        if high := [(key, seed) for key, seed in own if seed >= STREAM]:
            (key, seed), *_ = high
            refuse(
                key,
                (
                    f"seed {seed}: replicates take seeds from {STREAM:,} on, so the study's own "
                    "are below"
                ),
            )
    if (seed := study.trial_seed) is not None and seed in study.seed_list():
        key = ("tune", "seed") if study.tune is not None else ("design", "seed")
        where = key if document.places.get(key) else ("seeds",)
        refuse(
            where,
            (
                f"seed {seed} is of the trials: confirming runs need other seeds, since its "
                "result chose the recipe"
            ),
        )


def check_metric(study: Study, document: Document, first: AnyTokenizer, own: AnyTokenizer) -> None:
    """Raises UserError where the metric depends on the tokenizer, and an arm's `own` tokenizer is
    not the `first` arm's.
    """
    metric = METRICS[study.metric]
    if not metric.tokenizer_independent and own != first:
        reason = (
            f"it is {metric.unit} per {metric.per}, and the arms' tokenizers differ: give "
            "`val/bpb`, which is of the same text"
        )
        raise UserError(f"{document.at(('metric',))}: {reason}")
