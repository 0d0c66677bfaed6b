"""The table of runs that verdicts are drawn from, for many studies at once."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.sparse.csgraph import connected_components

from ablab.stats.effects import Question
from ablab.stats.two_way import Cells


class Table:
    """The values of an arm on a seed in each study, `(studies, arms, seeds)`.

    `present` `(arms, seeds)` states which runs there are, in all studies alike. Arms with a seed in
    common, directly or through other arms, form a stream.
    """

    def __init__(self, arms: Sequence[str], values: np.ndarray, present: np.ndarray) -> None:
        self.index = {arm: i for i, arm in enumerate(arms)}
        self.values = values
        self.present = present
        self.streams = _streams(present)

    @classmethod
    def of(cls, cells: Cells) -> "Table":
        """Return the table of one study, from its values by (arm, seed)."""
        arms = list(dict.fromkeys(arm for arm, _ in cells))
        seeds = sorted({seed for _, seed in cells})
        values = np.full((1, len(arms), len(seeds)), np.nan)
        row = {arm: i for i, arm in enumerate(arms)}
        column = {seed: i for i, seed in enumerate(seeds)}
        for (arm, seed), value in cells.items():
            values[0, row[arm], column[seed]] = value
        return cls(arms, values, ~np.isnan(values[0]))

    def spans_streams(self, question: Question) -> bool:
        """Return whether a question compares arms without a common seed."""
        arms = [self.index[arm] for arm, weight in question.weights.items() if weight]
        return len(set(self.streams[arms].tolist())) > 1

    def first(self, counts: Mapping[str, int]) -> "Table":
        """Return the table of the first seeds of each arm's stream."""
        present = np.zeros_like(self.present)
        for arm, count in counts.items():
            i = self.index[arm]
            seeds = np.flatnonzero(self.present[self.streams == self.streams[i]].any(0))[:count]
            present[i, seeds] = self.present[i, seeds]
        return Table(list(self.index), self.values, present)

    def complete(self, arm: str, count: int) -> bool:
        """Return whether an arm has the first `count` seeds of its stream."""
        i = self.index.get(arm)
        if i is None or not self.present[i].any():
            return False
        seeds = np.flatnonzero(self.present[self.streams == self.streams[i]].any(0))[:count]
        return len(seeds) == count and bool(self.present[i, seeds].all())

    def per_seed(self, weights: Mapping[str, float]) -> list[np.ndarray]:
        """Return the contrast's values by seed, `(studies, seeds)`, for each stream that it spans.

        Only seeds that all of its arms in the stream have count.
        """
        return [
            np.einsum("a,san->sn", sizes, self.values[:, arms[:, None], seeds[None, :]])
            for arms, sizes, seeds in self._spanned(weights)
        ]

    def columns_of(self, weights: Mapping[str, float]) -> list[np.ndarray]:
        """Return the columns of the seeds whose values `per_seed` returns; empty if an arm has no
        run.
        """
        if not {arm for arm, weight in weights.items() if weight} <= self.index.keys():
            return []
        return [seeds for _, _, seeds in self._spanned(weights)]

    def _spanned(
        self, weights: Mapping[str, float]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the arms, their weights and their common seeds for each stream of a contrast."""
        rows = np.array([self.index[arm] for arm, weight in weights.items() if weight], int)
        sizes = np.array([weight for weight in weights.values() if weight])
        for stream in dict.fromkeys(self.streams[rows].tolist()):
            inside = self.streams[rows] == stream
            arms = rows[inside]
            yield arms, sizes[inside], np.flatnonzero(self.present[arms].all(0))


def _streams(present: np.ndarray) -> np.ndarray:
    """Return the number of each arm's stream, `(arms,)`."""
    linked = (present.astype(int) @ present.T.astype(int)) > 0
    return connected_components(linked, directed=False)[1]
