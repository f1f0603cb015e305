"""A curve of bounded size, however long a training lasts."""

from __future__ import annotations

LIMIT = 1024


class Series:
    """Points (x, y) in order of x. When there are too many, neighbours are replaced by their means."""

    def __init__(self, limit: int = LIMIT):
        self.limit = limit
        self.points: list[tuple[float, float]] = []
        self.last: float | None = None
        self._stride = 1  # how many added points make one kept point
        self._pending: list[tuple[float, float]] = []

    def add(self, x: float, y: float) -> None:
        """Append one point."""
        self.last = y
        self._pending.append((x, y))
        if len(self._pending) < self._stride:
            return
        self.points.append(_mean(self._pending))
        self._pending = []
        if len(self.points) >= self.limit:
            self.points = [_mean(self.points[i : i + 2]) for i in range(0, len(self.points), 2)]
            self._stride *= 2

    def all(self) -> list[tuple[float, float]]:
        """The kept points, and the newest one wherever it is not yet among them."""
        return [*self.points, self._pending[-1]] if self._pending else self.points

    def __len__(self) -> int:
        return len(self.points) + bool(self._pending)


def _mean(points: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
