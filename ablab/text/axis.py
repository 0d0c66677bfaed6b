"""An axis of characters, on which intervals are drawn in a terminal."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """An axis of a number of characters."""

    low: float
    """Value at its first character."""
    high: float
    """Value at its last."""
    width: int
    """Number of characters."""

    def column(self, value: float) -> int:
        """Return the character that a value falls on, the nearest for one beyond the axis."""
        share = (value - self.low) / (self.high - self.low)
        return min(self.width - 1, max(0, round(share * (self.width - 1))))

    def line(self, low: float, value: float, high: float, marks: str = "─●") -> str:
        """Return an interval with its estimate; `│` is zero."""
        stroke, point = marks
        cells = [" "] * self.width
        for column in range(self.column(low), self.column(high) + 1):
            cells[column] = stroke
        if self.low <= 0 <= self.high:
            zero = self.column(0.0)
            cells[zero] = "│" if cells[zero] == " " else "┼"
        if low < self.low:
            cells[0] = "‹"
        if high > self.high:
            cells[-1] = "›"
        cells[self.column(value)] = point
        return "".join(cells)
