"""Equal sizes: an arm's feed-forward made so wide that the arm has as much of something as the
baseline.

Widths are found by counting models, never by a formula: what is counted grows with the width, and
nothing else is supposed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ablab.arch.composition.expression import Use
from ablab.arch.composition.resize import feed_forward_widths, with_feed_forward_widths
from ablab.arch.counting.account import building, count_parameters
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.value import Architecture
from ablab.errors import UserError
from ablab.plan.cost_cache import Accounts
from ablab.spec.study import Match

TOLERANCE = 0.01
# A GPU's matrix units want multiples of 8. They are taken where they miss by little.
_STEP, _LITTLE = 8, TOLERANCE / 4
_MOST = 1 << 24

Count = Callable[[Architecture], float]


@dataclass(frozen=True)
class Matched:
    """An arm at its size. `widths`: what its feed-forward was made, layer by layer; none where it
    was left as it is. `mismatch`: by which share of the baseline's it has more (below 0: less).
    """

    arch: Architecture
    widths: tuple[int, ...]
    mismatch: float


class Matcher:
    """Matches arms to one baseline, each architecture once."""

    def __init__(
        self, kind: Match, accounts: Accounts, baseline: tuple[Architecture, Mapping[str, Use]]
    ) -> None:
        self.kind, self._accounts = kind, accounts
        self.target = self._count(baseline[1])(baseline[0])
        self._known: dict[Architecture, Matched] = {}

    def matched(self, arch: Architecture, uses: Mapping[str, Use]) -> Matched:
        """`arch`, which the plugins `uses` wrote: as it is where that is within 1 % of the
        baseline, else with the feed-forward that comes nearest. Raises UserError where none is
        within 1 %.
        """
        if arch not in self._known:
            self._known[arch] = self._matched(arch, self._count(uses))
        return self._known[arch]

    def _matched(self, arch: Architecture, count: Count) -> Matched:
        if abs(mismatch := self._mismatch(count(arch))) <= TOLERANCE:
            return Matched(arch, (), mismatch)
        try:
            own = feed_forward_widths(arch)
        except UserError as error:
            raise self._refusal(error, mismatch) from None
        found = _Search(arch, own, count, self.target)
        for step, most in ((_STEP, _LITTLE), (1, TOLERANCE)):
            widest = found.nearest(step)
            if abs(mismatch := self._mismatch(found.counted(widest))) <= most:
                return Matched(found.made(widest), found.widths(widest), mismatch)
        reached = f"nearest is a feed-forward {widest} wide, with {found.counted(widest):,.0f}"
        raise self._refusal(UserError(reached), mismatch)

    def _mismatch(self, counted: float) -> float:
        return counted / self.target - 1

    def _refusal(self, why: UserError, mismatch: float) -> UserError:
        return UserError(
            f"match: {self.kind}: it cannot be brought within {TOLERANCE:.0%} of the baseline's "
            f"{self.target:,.0f}: {why} "
            f"({mismatch:+.1%})"
        )

    def _count(self, uses: Mapping[str, Use]) -> Count:
        if self.kind == "params":
            return _parameters
        return lambda arch: self._accounts.of(arch, uses).flops_per_token.training


def _parameters(arch: Architecture) -> float:
    with building():
        return count_parameters(on_meta(arch)).total


class _Search:
    """Looks for the width at which `count` is nearest to `target`. A width is that of the widest
    layer; others keep their proportion to it.
    """

    def __init__(
        self, arch: Architecture, own: tuple[int, ...], count: Count, target: float
    ) -> None:
        self.arch, self.own, self.count, self.target = arch, own, count, target
        self._known: dict[int, float] = {}

    def widths(self, widest: int) -> tuple[int, ...]:
        return tuple(max(1, round(width * widest / max(self.own))) for width in self.own)

    def made(self, widest: int) -> Architecture:
        return with_feed_forward_widths(self.arch, self.widths(widest))

    def counted(self, widest: int) -> float:
        if widest not in self._known:
            self._known[widest] = self.count(self.made(widest))
        return self._known[widest]

    def nearest(self, step: int) -> int:
        """Among multiples of `step`."""
        low, high = 1, max(2, round(max(self.own) / step))
        if self.counted(low * step) >= self.target:
            return low * step
        while self.counted(high * step) < self.target:
            if high * step > _MOST:
                return high * step
            low, high = high, 2 * high
        halve = False
        while high - low > 1:
            middle = (low + high) // 2 if halve else self._guess(low, high, step)
            if self.counted(middle * step) < self.target:
                low = middle
            else:
                high = middle
            halve = (
                not halve and len(self._known) > 8
            )  # where it grows unevenly, guesses alone could go on for long
        return min(
            low * step, high * step, key=lambda widest: abs(self.counted(widest) - self.target)
        )

    def _guess(self, low: int, high: int, step: int) -> int:
        """Between two widths, as if the count grew evenly."""
        below, above = self.counted(low * step), self.counted(high * step)
        guess = low + round((self.target - below) / (above - below) * (high - low))
        return min(high - 1, max(low + 1, guess))
