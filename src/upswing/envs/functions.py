"""An action space of functions with arguments, as StarCraft II has: one function is called, with the arguments it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

Size = int | tuple[int, int]
"""How many values an argument has; (height, width) for a point of a plane, counted row by row."""


class FunctionSpace(spaces.MultiDiscrete):
    """Functions and the arguments they take. An action is an array [1 + A]: the function's index, then a value for each
    kind of argument, of which only those that the function takes mean anything.

    To whoever does not know it, it is the MultiDiscrete of these choices.
    """

    def __init__(self, functions: Mapping[str, tuple[str, ...]], arguments: Mapping[str, Size]):
        self.functions = {name: tuple(takes) for name, takes in functions.items()}
        self.arguments: dict[str, Size] = {
            name: size if isinstance(size, int) else (int(size[0]), int(size[1])) for name, size in arguments.items()
        }
        sizes = [size if isinstance(size, int) else math.prod(size) for size in self.arguments.values()]
        super().__init__([len(self.functions), *sizes])

    @property
    def uses(self) -> np.ndarray:
        """[functions, A] bool: which arguments each function takes."""
        return np.array([[name in takes for name in self.arguments] for takes in self.functions.values()], bool)

    def to_json(self) -> dict[str, Any]:
        """What `FunctionSpace(**it)` takes, as JSON."""
        return {
            "functions": {name: list(takes) for name, takes in self.functions.items()},
            "arguments": {name: size if isinstance(size, int) else list(size) for name, size in self.arguments.items()},
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionSpace) and self.to_json() == other.to_json()

    def __repr__(self) -> str:
        return f"FunctionSpace({len(self.functions)} functions, {self.arguments})"
