"""The error rate over a stream of ideas that are tested one after another.

LOND (Javanmard & Montanari 2015, arXiv:1502.06197) gives each test a level when it begins: a share
of `alpha` that falls with the number of the test and grows with the discoveries before it. The
expected share of false discoveries then is at most `alpha`, also where p-values depend positively
on each other (Zrnic, Ramdas & Jordan 2021, "Asynchronous online testing of multiple hypotheses",
JMLR 22: PRDS), as one-sided tests do that share a baseline. LORD++ and SAFFRON, which find a little
more, need independent p-values; e-LOND and reshaped LOND hold for any dependence and find less.
"""

import math

# The sum of log(max(j, 2)) / (j exp(√log j)) over all j is 12.6451 (the first million terms, and
# the integral of the rest).
_SCALE = 1 / 12.6452


def lond_share(number: int) -> float:
    """Return the share of the total level that test `number` has, from 1 on.

    The shares of all tests sum to 1. They are those that Javanmard & Montanari propose.
    """
    if number < 1:
        raise ValueError(f"tests are numbered from 1, not {number}")
    return _SCALE * math.log(max(number, 2)) / (number * math.exp(math.sqrt(math.log(number))))


def lond_level(number: int, discoveries: int, alpha: float) -> float:
    """Return the level of a test: it is a discovery if its p-value is at most this.

    Args:
        number: its place in the stream, from 1 on.
        discoveries: number of discoveries that were made before it began. Tests that are not ended
            by then count as none, so that several may run at the same time.
        alpha: bound of the false discovery rate.

    """
    if not 0 <= discoveries < number:
        raise ValueError(f"test {number} has 0 to {number - 1} discoveries before it")
    return alpha * lond_share(number) * (discoveries + 1)


def two_sided(level: float) -> float:
    """Return the level at which a two-sided test finds on one side what a one-sided test finds at
    `level`; at most 0.05, the level of a study of its own.
    """
    return min(0.05, 2 * level)
