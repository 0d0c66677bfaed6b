"""The sizes of the corpora that a study's arms are trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablab.data import sources, tokenizers
from ablab.data.files import corpus_files
from ablab.data.splits import split_documents
from ablab.data.store import open_store
from ablab.plan.arm_data import AnyData
from ablab.plan.plan import StudyPlan

_SMALL = 1_000_000  # bytes; more takes seconds to tokenize


@dataclass(frozen=True)
class CorpusSizes:
    """The sizes of a tokenized corpus."""

    train_tokens: int
    """Tokens of the training split."""
    train_bytes: int
    """Bytes of its documents."""
    val_bytes: int
    """Bytes of the documents that are held out for validation."""
    test_bytes: int
    """Bytes of those that are held out for the test."""


@dataclass(frozen=True)
class CorpusUse:
    """What the runs of an arm are trained on."""

    arm: str
    """Name of the arm."""
    tokens: float | None
    """Training tokens of a run; None where the clock decides."""
    sizes: CorpusSizes
    """The corpus."""


def corpora_of(
    plan: StudyPlan, tokens: Path, excluded: Sequence[Path] = ()
) -> dict[str, CorpusSizes]:
    """Return the sizes of a study's corpora by fingerprint, as far as they are cheap to know: those
    of the stores in the folder `tokens`, and of small local corpora.

    Raises UserError if a small corpus cannot be divided, or not be tokenized as asked for.
    """
    corpora: dict[str, CorpusSizes] = {}
    for fingerprint, data in plan.data.items():
        sizes = stored(tokens / fingerprint) or _foreseen(data, excluded)
        if sizes is not None:
            corpora[fingerprint] = sizes
    return corpora


def uses_of(plan: StudyPlan, corpora: Mapping[str, CorpusSizes]) -> list[CorpusUse]:
    """Return what the runs of each arm, or else its trials, are trained on, where that is known."""
    arms = plan.arm_of
    runs = plan.runs or [trial.run for trial in plan.trials]
    return [
        CorpusUse(run.arm, arms[run.key].tokens, corpora[run.data])
        for run in runs
        if run.data in corpora
    ]


def stored(folder: Path) -> CorpusSizes | None:
    """Return the sizes of the corpus of a store; None if there is none, or of an earlier version
    that did not record them.
    """
    try:
        splits = open_store(folder).splits
    except FileNotFoundError:
        return None
    if not all(split.corpus_bytes for split in splits.values()):
        return None
    train, val, test = (splits[name] for name in ("train", "val", "test"))
    return CorpusSizes(train.tokens, train.corpus_bytes, val.corpus_bytes, test.corpus_bytes)


def _foreseen(data: AnyData, excluded: Sequence[Path]) -> CorpusSizes | None:
    """Return the sizes that the corpus will have; None for a large or a remote one."""
    if data.source == "hub":
        return None
    if sum(path.stat().st_size for path in corpus_files(data, excluded)) > _SMALL:
        return None
    split = split_documents(sources.local_rows(data, excluded), data)
    texts = {name: [row["text"] for row in rows] for name, rows in split.items()}
    sizes = {name: sum(len(text.encode()) for text in part) for name, part in texts.items()}
    encoding = tokenizers.make(data.tokenizer, texts["train"])
    tokens = sum(1 + len(ids) for ids in tokenizers.encode(encoding, texts["train"]))
    return CorpusSizes(tokens, sizes["train"], sizes["val"], sizes["test"])
