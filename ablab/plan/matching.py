"""Matching of sizes: the feed-forward of an arm is widened or narrowed until the arm has as many
parameters, or costs as many FLOPs, as the baseline.

Widths are found by counting models, never by a formula. All that is assumed is that the count grows
with the width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ablab.arch.composition.expression import Use
from ablab.arch.composition.resize import feed_forward_widths, with_feed_forward_widths
from ablab.arch.counting.account import building, count_parameters
from ablab.arch.decoder.decoder import on_meta
from ablab.arch.value import Architecture
from ablab.errors import UserError
from ablab.plan.cost_cache import CostCache
from ablab.spec.study import Match

TOLERANCE = 0.01
# A GPU's matrix units work best on multiples of 8. These are preferred where they come close enough
# to the target.
_STEP = 8
_STEP_TOLERANCE = TOLERANCE / 4
_MAX_WIDTH = 1 << 24

Count = Callable[[Architecture], float]


@dataclass(frozen=True)
class SizeMatch:
    """An arm at the size of the baseline."""

    arch: Architecture
    """Architecture with the widths below."""
    widths: tuple[int, ...]
    """Widths of the feed-forward by layer; empty if they are unchanged."""
    mismatch: float
    """Share by which the arm exceeds the baseline; negative if it has less."""


class SizeMatcher:
    """Matches arms to one baseline, each architecture once.

    `baseline` is the architecture of the baseline and `uses` are its plugins.
    """

    def __init__(
        self, kind: Match, costs: CostCache, baseline: Architecture, uses: Mapping[str, Use]
    ) -> None:
        self.kind = kind
        self._costs = costs
        self.target = self._count(uses)(baseline)
        self._matches: dict[Architecture, SizeMatch] = {}

    def match(self, arch: Architecture, uses: Mapping[str, Use]) -> SizeMatch:
        """Return `arch`, which is composed of the plugins `uses`, at the size of the baseline.

        It is unchanged if it is within 1 % of the baseline; otherwise its feed-forward has the
        width that comes closest. Raises UserError if no width is within 1 %.
        """
        if arch not in self._matches:
            self._matches[arch] = self._match(arch, self._count(uses))
        return self._matches[arch]

    def _match(self, arch: Architecture, count: Count) -> SizeMatch:
        mismatch = self._mismatch(count(arch))
        if abs(mismatch) <= TOLERANCE:
            return SizeMatch(arch, (), mismatch)
        try:
            widths = feed_forward_widths(arch)
        except UserError as error:
            raise self._refusal(str(error), mismatch) from None
        search = _WidthSearch(arch, widths, count, self.target)
        width = search.nearest(_STEP)
        mismatch = self._mismatch(search.count_at(width))
        if abs(mismatch) > _STEP_TOLERANCE:
            width = search.nearest(1)
            mismatch = self._mismatch(search.count_at(width))
        if abs(mismatch) <= TOLERANCE:
            return SizeMatch(search.resized(width), search.widths(width), mismatch)
        reason = f"nearest is a feed-forward {width} wide, with {search.count_at(width):,.0f}"
        raise self._refusal(reason, mismatch)

    def _mismatch(self, count: float) -> float:
        return count / self.target - 1

    def _refusal(self, reason: str, mismatch: float) -> UserError:
        return UserError(
            f"match: {self.kind}: it cannot be brought within {TOLERANCE:.0%} of the baseline's "
            f"{self.target:,.0f}: {reason} "
            f"({mismatch:+.1%})"
        )

    def _count(self, uses: Mapping[str, Use]) -> Count:
        """Return the function that counts what is matched."""
        if self.kind == "params":
            return _parameters
        return lambda arch: self._costs.of(arch, uses).flops_per_token.training


def _parameters(arch: Architecture) -> float:
    with building():
        return count_parameters(on_meta(arch)).total


class _WidthSearch:
    """Searches for the width at which the count is closest to the target.

    A width is that of the widest layer; the other layers keep their proportion to it. `base_widths`
    are the widths of `arch` by layer.
    """

    def __init__(
        self, arch: Architecture, base_widths: tuple[int, ...], count: Count, target: float
    ) -> None:
        self._arch = arch
        self._base_widths = base_widths
        self._count = count
        self._target = target
        self._counts: dict[int, float] = {}

    def widths(self, width: int) -> tuple[int, ...]:
        """Return the widths of all layers if the widest is `width`."""
        widest = max(self._base_widths)
        return tuple(max(1, round(base * width / widest)) for base in self._base_widths)

    def resized(self, width: int) -> Architecture:
        """Return the architecture with a feed-forward of `width`."""
        return with_feed_forward_widths(self._arch, self.widths(width))

    def count_at(self, width: int) -> float:
        """Return the count of the architecture with a feed-forward of `width`."""
        if width not in self._counts:
            self._counts[width] = self._count(self.resized(width))
        return self._counts[width]

    def nearest(self, step: int) -> int:
        """Return the multiple of `step` whose count is closest to the target."""
        low = 1
        high = max(2, round(max(self._base_widths) / step))
        if self.count_at(low * step) >= self._target:
            return low * step
        while self.count_at(high * step) < self._target:
            if high * step > _MAX_WIDTH:
                return high * step
            low = high
            high *= 2
        bisect = False
        while high - low > 1:
            middle = (low + high) // 2 if bisect else self._interpolate(low, high, step)
            if self.count_at(middle * step) < self._target:
                low = middle
            else:
                high = middle
            # Where the count grows unevenly, interpolation alone may converge slowly.
            bisect = not bisect and len(self._counts) > 8
        return min(
            low * step, high * step, key=lambda width: abs(self.count_at(width) - self._target)
        )

    def _interpolate(self, low: int, high: int, step: int) -> int:
        """Return a multiple strictly between two, as if the count grew linearly."""
        below = self.count_at(low * step)
        above = self.count_at(high * step)
        guess = low + round((self._target - below) / (above - below) * (high - low))
        return min(high - 1, max(low + 1, guess))
