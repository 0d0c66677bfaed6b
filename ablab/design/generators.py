"""Search for generators of regular two-level fractional factorials.

The column of an added factor is a product of columns of basic factors. A column is represented as
a bit mask of basic factors, so that the product of two columns is their exclusive or. A fraction
has resolution R or higher if no product of fewer than R columns is the identity (Box & Hunter
1961). pyDOE3 builds the matrix, but does not choose the generators: its `fracfact_by_res` misses
existing fractions (2^(4−1) at resolution IV) and returns fractions of too low a resolution (seven
factors at V).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from operator import xor

import numpy as np

# Maximum number of nodes of the search tree to visit per number of runs. It suffices for an
# exhaustive search of the designs tabulated in textbooks.
_MOST_NODES = 10_000


@dataclass(frozen=True)
class Fraction:
    """A regular fraction of a two-level factorial.

    `columns`: the bit mask of each factor's column; the first `basic` factors are basic.
    """

    basic: int
    columns: tuple[int, ...]

    @property
    def runs(self) -> int:
        """Number of combinations in the fraction."""
        return 2**self.basic

    @property
    def resolution(self) -> int | None:
        """Length of the shortest word of the defining relation; None for a full factorial."""
        products: list[set[int]] = [{0}]  # at index j: products of j different columns
        for column in self.columns:
            products = _extended(products, column, len(products))
        return next(
            (length for length, masks in enumerate(products) if length > 0 and 0 in masks), None
        )

    @property
    def generator(self) -> str:
        """The generators in the notation of pyDOE3: `a b c ab`."""
        return " ".join(
            "".join(chr(ord("a") + i) for i in self.letters(n)) for n in range(len(self.columns))
        )

    def letters(self, factor: int) -> list[int]:
        """Return the basic factors whose product is the factor's column."""
        return [i for i in range(self.basic) if self.columns[factor] >> i & 1]

    def matrix(self) -> np.ndarray:
        """Return the runs, (runs, factors): −1 for a factor's first level, +1 for its second."""
        import pyDOE3

        return pyDOE3.fracfact(self.generator)

    def alias_classes(self) -> dict[int, list[tuple[int, int]]]:
        """Return the pairs of factors, by the column of their interaction."""
        classes: dict[int, list[tuple[int, int]]] = {}
        for i, j in combinations(range(len(self.columns)), 2):
            classes.setdefault(self.columns[i] ^ self.columns[j], []).append((i, j))
        return classes

    def spare_columns(self) -> dict[int, list[tuple[int, ...]]]:
        """Return the columns that hold neither a main effect nor an interaction of two factors,
        each with the smallest groups of factors whose interaction it is.
        """
        spare = {*range(1, self.runs)} - {*self.columns} - self.alias_classes().keys()
        groups: dict[int, list[tuple[int, ...]]] = {}
        for size in range(3, self.basic + 1):
            for factors in combinations(range(len(self.columns)), size):
                column = reduce(xor, (self.columns[i] for i in factors))
                if column in spare:
                    groups.setdefault(column, []).append(factors)
            spare -= groups.keys()
        return groups

    def aliased_pairs(self) -> int:
        """Return the number of pairs of two-factor interactions that are aliased."""
        return sum(len(pairs) * (len(pairs) - 1) // 2 for pairs in self.alias_classes().values())


def find_fraction(factors: int, resolution: int, most_runs: int) -> Fraction | None:
    """Return the smallest fraction of at least that resolution.

    It is the full factorial if there is no proper fraction, and None if it has more than
    `most_runs` runs. Fractions of equal size that contain both the run with all factors off and
    the run with all factors on are preferred (every added factor is then the product of an odd
    number of basic factors), then those with the fewest aliased pairs of two-factor interactions.
    """
    for basic in range(1, factors + 1):
        if 2**basic > most_runs:
            return None
        if factors > 2**basic - 1:
            continue
        for odd in (True, False):
            fraction = _best(factors, basic, resolution, odd=odd)
            if fraction is not None:
                return fraction
    return None


def _best(factors: int, basic: int, resolution: int, *, odd: bool) -> Fraction | None:
    sizes = [mask.bit_count() for mask in range(2**basic)]
    candidates = [
        m for m in range(2**basic) if sizes[m] >= resolution - 1 and (sizes[m] % 2 or not odd)
    ]
    candidates.sort(key=lambda mask: (sizes[mask], mask))
    start = tuple(1 << i for i in range(basic))
    best: Fraction | None = None
    for columns in _search(start, candidates, factors, resolution):
        fraction = Fraction(basic, columns)
        if best is None or fraction.aliased_pairs() < best.aliased_pairs():
            best = fraction
        if best.aliased_pairs() == 0:
            break
    return best


def _search(
    start: tuple[int, ...], candidates: Sequence[int], factors: int, resolution: int
) -> Iterator[tuple[int, ...]]:
    """Yield sets of `factors` columns with at least that resolution, depth first.

    The search ends after `_MOST_NODES` nodes.
    """
    products: list[set[int]] = [{0}]
    for column in start:
        products = _extended(products, column, resolution - 2)
    nodes = 0
    stack = [(start, products, 0)]
    while stack and nodes < _MOST_NODES:
        nodes += 1
        columns, products, first = stack.pop()
        if len(columns) == factors:
            yield columns
            continue
        # Leave enough candidates for the other factors. The last candidate is pushed first, so
        # that the smallest is visited first.
        for i in range(len(candidates) - (factors - len(columns)), first - 1, -1):
            column = candidates[i]
            if not any(column in masks for masks in products):
                longer = _extended(products, column, resolution - 2)
                stack.append(((*columns, column), longer, i + 1))


def _extended(products: Sequence[set[int]], column: int, most: int) -> list[set[int]]:
    """Return the products of up to `most` columns when `column` joins those of `products`."""
    with_column = [set[int](), *({column ^ mask for mask in masks} for masks in products)]
    without_column = [*products, set[int]()]
    return [a | b for a, b in zip(without_column, with_column, strict=True)][: most + 1]
