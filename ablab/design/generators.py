"""Generators of regular two-level fractions: which products of the basic factors' columns the added
factors take.

A column is a set of basic factors, written as a number whose bits they are; the product of two
columns is their exclusive or. A fraction has resolution R or more where no fewer than R columns
have the product 1 (Box & Hunter 1961). pyDOE3 builds the matrix; its own choice of generators is
not used, since `fracfact_by_res` passes over fractions that exist (2^(4−1) at IV) and returns
others below the resolution asked for (seven factors at V).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

# Nodes of the search tree that are looked at for one number of runs: enough to search the tables of
# textbooks to their end.
_MOST_NODES = 10_000


@dataclass(frozen=True)
class Fraction:
    """`columns`: each factor's set of basic factors; the first `basic` are the basic factors
    themselves.
    """

    basic: int
    columns: tuple[int, ...]

    @property
    def runs(self) -> int:
        """How many combinations it holds."""
        return 2**self.basic

    @property
    def resolution(self) -> int | None:
        """The length of the shortest word of the defining relation; None for a full factorial,
        which has none.
        """
        products: list[set[int]] = [{0}]  # of j different columns, j = 0, 1, …
        for column in self.columns:
            products = _with(products, column, len(products))
        return next(
            (length for length, found in enumerate(products) if length > 0 and 0 in found), None
        )

    @property
    def generator(self) -> str:
        """The generators as pyDOE3 reads them: `a b c ab`."""
        return " ".join(
            "".join(chr(ord("a") + i) for i in self.letters(n)) for n in range(len(self.columns))
        )

    def letters(self, factor: int) -> list[int]:
        """The basic factors whose product a factor's column is."""
        return [i for i in range(self.basic) if self.columns[factor] >> i & 1]

    def matrix(self) -> np.ndarray:
        """The runs (runs, factors): −1 where a factor is at its first level, +1 at its second."""
        import pyDOE3

        return pyDOE3.fracfact(self.generator)

    def aliased(self) -> dict[int, list[tuple[int, int]]]:
        """The pairs of factors whose interactions share a column, by column."""
        classes: dict[int, list[tuple[int, int]]] = {}
        for i, j in combinations(range(len(self.columns)), 2):
            classes.setdefault(self.columns[i] ^ self.columns[j], []).append((i, j))
        return classes

    def _order(self) -> int:
        return sum(len(pairs) * (len(pairs) - 1) // 2 for pairs in self.aliased().values())


def find_fraction(factors: int, resolution: int, most_runs: int) -> Fraction | None:
    """The smallest fraction of at least that resolution; a full factorial where there is none, None
    above `most_runs`.

    Of equal size, those come first that hold the run with every factor off and the run with every
    factor on (every added factor the product of an odd number of basic ones), then those with the
    fewest aliased pairs of two-factor interactions.
    """
    for basic in range(1, factors + 1):
        if 2**basic > most_runs:
            return None
        if factors > 2**basic - 1:
            continue
        for odd in (True, False):
            if found := _best(factors, basic, resolution, odd=odd):
                return found
    return None


def _best(factors: int, basic: int, resolution: int, *, odd: bool) -> Fraction | None:
    sizes = [mask.bit_count() for mask in range(2**basic)]
    candidates = [
        m for m in range(2**basic) if sizes[m] >= resolution - 1 and (sizes[m] % 2 or not odd)
    ]
    candidates.sort(key=lambda mask: (sizes[mask], mask))
    start = tuple(1 << i for i in range(basic))
    best, fewest = None, None
    for columns in _search(start, candidates, factors, resolution):
        found = Fraction(basic, columns)
        if fewest is None or found._order() < fewest:
            best, fewest = found, found._order()
        if fewest == 0:
            break
    return best


def _search(
    start: tuple[int, ...], candidates: Sequence[int], factors: int, resolution: int
) -> Iterator[tuple[int, ...]]:
    """Sets of `factors` columns of which no fewer than `resolution` have the product 1, as far as
    the search goes.
    """
    products: list[set[int]] = [{0}]
    for column in start:
        products = _with(products, column, resolution - 2)
    nodes = 0
    stack = [(start, products, 0)]
    while stack and nodes < _MOST_NODES:
        nodes += 1
        columns, products, first = stack.pop()
        if len(columns) == factors:
            yield columns
            continue
        # Enough candidates must be left; the last is pushed first, so that the smallest is looked
        # at first.
        for i in range(len(candidates) - (factors - len(columns)), first - 1, -1):
            if not any(candidates[i] in found for found in products):
                stack.append(
                    (
                        (*columns, candidates[i]),
                        _with(products, candidates[i], resolution - 2),
                        i + 1,
                    )
                )


def _with(products: Sequence[set[int]], column: int, most: int) -> list[set[int]]:
    """Products of up to `most` columns, with one column more."""
    longer = [set[int](), *({column ^ p for p in found} for found in products)]
    padded = [*products, set[int]()]
    return [a | b for a, b in zip(padded, longer, strict=True)][: most + 1]
