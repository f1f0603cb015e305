"""The rules of the stand-in's two worlds: marines on an empty square, beacons or shards to walk to.

They are made up after what is publicly known of the mini-games MoveToBeacon and CollectMineralShards: 120 seconds of 16
steps, a marine's speed, a beacon or twenty shards at a time. The game itself is not copied, and scores differ.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

LENGTH = 1920  # steps of the game in an episode
SIDE = 64.0  # of the map
LOW, HIGH = 22.0, 42.0  # where things lie, all under the camera
CAMERA = 24.0  # width of what the screen shows, around the map's middle
SPEED = 3.15 / 22.4  # of a marine, per step
REACH = {"MoveToBeacon": 2.0, "CollectMineralShards": 0.8}
RADIUS = {"MoveToBeacon": 2.0, "CollectMineralShards": 0.4}  # as drawn
MARINES = {"MoveToBeacon": 1, "CollectMineralShards": 2}
N_SHARDS = 20
SELF, NEUTRAL = 1, 3  # player_relative of marines and of goals

Point = tuple[float, float]


@dataclass
class Marine:
    """Where a marine is, where it is sent, and whether it is selected."""

    at: Point
    orders: list[Point] = field(default_factory=list)
    selected: bool = False


class World:
    """One episode. Coordinates are the map's, x to the right and y down."""

    def __init__(self, name: str, seed: int):
        self.name, self.rng = name, random.Random(seed)
        self.loop = self.score = 0
        middle = SIDE / 2
        self.marines = [Marine((middle + i, middle)) for i in range(MARINES[name])]
        self.goals: list[Point] = []
        self._place()

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.loop >= LENGTH

    def _place(self) -> None:
        """New goals: a beacon away from the marine, or twenty shards."""
        n = 1 if self.name == "MoveToBeacon" else N_SHARDS
        while len(self.goals) < n:
            goal = (self.rng.uniform(LOW, HIGH), self.rng.uniform(LOW, HIGH))
            if all(math.dist(goal, marine.at) > 2.5 * REACH[self.name] for marine in self.marines):
                self.goals.append(goal)

    def step(self, n: int) -> None:
        """`n` steps of the game."""
        for _ in range(n):
            if self.over:
                return
            self.loop += 1
            for marine in self.marines:
                self._move(marine)
            reached = [g for g in self.goals if any(math.dist(g, m.at) < REACH[self.name] for m in self.marines)]
            if reached:
                self.score += len(reached)
                self.goals = [goal for goal in self.goals if goal not in reached]
                if not self.goals:
                    self._place()

    def _move(self, marine: Marine) -> None:
        if not marine.orders:
            return
        target = marine.orders[0]
        way = math.dist(target, marine.at)
        if way <= SPEED:
            marine.at = target
            marine.orders.pop(0)
        else:
            x, y = ((t - a) / way * SPEED + a for t, a in zip(target, marine.at, strict=True))
            marine.at = (x, y)

    def send(self, target: Point | None, queued: bool) -> None:
        """Selected marines go to `target`, after what they are doing if `queued`; without a target they stop."""
        for marine in self.marines:
            if marine.selected:
                marine.orders = [*(marine.orders if queued else []), *([] if target is None else [target])]

    def select(self, low: Point, high: Point, add: bool) -> None:
        """Select the marines between two corners; where there are none the selection stays."""
        found = [m for m in self.marines if all(a <= x <= b for a, x, b in zip(low, m.at, high, strict=True))]
        for marine in self.marines if found else ():
            marine.selected = marine in found or (add and marine.selected)
