"""The document error of the effects of a study, from the scores by window of its runs."""

from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path

import numpy as np

from ablab.analysis.result_table import ResultTable
from ablab.design.layout import Contrast
from ablab.records.run_record import Record
from ablab.stats.checks.documents import DocumentError, by_document, document_error
from ablab.train.window_scores import WindowScores


def document_errors(
    home: Path, table: ResultTable, contrasts: Sequence[Contrast], metric: str
) -> list[DocumentError | None]:
    """Return the document error of each contrast of a metric.

    An arm's loss of a document is the mean over its seeds. None where an arm has diverged, or a run
    has no scores by window or those of other windows; and for metrics other than `val/bpb` and
    `val/loss`.
    """
    if metric not in ("val/bpb", "val/loss"):
        return [None] * len(contrasts)
    scores = {arm: _scores(home, table, arm) for arm in dict.fromkeys(table.first.values())}
    return [_error(scores, table.weights(contrast.weights), metric) for contrast in contrasts]


def _scores(home: Path, table: ResultTable, arm: str) -> list[WindowScores]:
    """Return the scores of an arm's runs; empty if some runs have none."""
    if arm in table.diverged:
        return []
    runs = [run for run, _ in table.finished if run.arm == arm]
    scores = [Record(home, run.key).window_scores for run in runs]
    return [] if None in scores else [score for score in scores if score is not None]


def _error(
    scores: Mapping[str, Sequence[WindowScores]], weights: Mapping[str, float], metric: str
) -> DocumentError | None:
    arms = {arm: weight for arm, weight in weights.items() if weight}
    runs = [score for arm in arms for score in scores.get(arm, ())]
    if not arms or not all(scores.get(arm) for arm in arms):
        return None
    first = runs[0]
    if not all(run.same_windows(first) for run in runs):
        return None
    difference = sum(
        weight * np.mean([run.nll for run in scores[arm]], axis=0) for arm, weight in arms.items()
    )
    size = first.bytes
    if metric == "val/loss":
        size = first.tokens
    else:
        difference = difference / log(2)
    return document_error(
        by_document(np.asarray(difference), first.document), by_document(size, first.document)
    )
