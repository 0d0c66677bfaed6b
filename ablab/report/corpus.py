"""The corpora of a study in words: how they are divided, and how often runs read them."""

from collections.abc import Sequence

from ablab.analysis.summary import StudySummary
from ablab.plan.corpus import CorpusSizes, CorpusUse, stored
from ablab.records.home import Home
from ablab.records.run_record import Record
from ablab.text.numbers import short
from ablab.text.truncate import in_a_line


def corpus_lines(uses: Sequence[CorpusUse]) -> list[str]:
    """Return a line for each corpus: the sizes of its splits, and the number of epochs of a run."""
    lines = []
    for sizes in dict.fromkeys(use.sizes for use in uses):
        own = [use for use in uses if use.sizes == sizes]
        arms = list(dict.fromkeys(use.arm for use in own))
        others = any(use.sizes != sizes for use in uses)
        subject = f"corpus of {in_a_line(arms)}" if others else "corpus"
        lines.append(f"{subject}: {_shares(sizes)}{_epochs(own)}")
    return lines


def corpus_notes(summary: StudySummary, home: Home) -> list[str]:
    """Return the lines on the corpora of a study's runs, as far as the home has their stores."""
    uses: dict[str, CorpusUse] = {}
    for part in summary.parts:
        tokens = {arm.name: arm.tokens for arm in part.arms}
        for key, entry in part.content.run_entries.items():
            name = part.content.title(entry.arm)
            spec = None if name in uses else Record(home.root, key).spec
            sizes = None if spec is None else stored(home.tokens / spec.data)
            if sizes is not None:
                uses[name] = CorpusUse(name, tokens.get(entry.arm), sizes)
    return corpus_lines(list(uses.values()))


def _shares(sizes: CorpusSizes) -> str:
    splits = {"train": sizes.train_bytes, "val": sizes.val_bytes, "test": sizes.test_bytes}
    total = sum(splits.values())
    return ", ".join(
        f"{name} {short(size)}B ({100 * size / total:.3g} %)" for name, size in splits.items()
    )


def _epochs(uses: Sequence[CorpusUse]) -> str:
    """Return how often a run reads the training split, as a clause; empty where it is unknown."""
    tokens = [use.tokens for use in uses if use.tokens is not None]
    if not tokens:
        return ""
    size = uses[0].sizes.train_tokens
    amounts = _range(short(min(tokens)), short(max(tokens)))
    epochs = _range(f"{min(tokens) / size:.3g}", f"{max(tokens) / size:.3g}")
    return f"; a run trains on {amounts} tokens of a split of {short(size)}: {epochs} epochs"


def _range(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"
