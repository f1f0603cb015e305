"""Doing the same again in the same memory: functions that are recorded once as a CUDA graph and replayed after that.

Such a function takes nothing and returns nothing. It reads and writes tensors whose memory never moves, asks nothing of
the host, and so can be replayed without Python: a launch for all of it, in place of one for each of its operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from upswing.errors import ConfigError

WARM_UP = 3  # calls that are run as they are: libraries choose their algorithms, and gradients get their memory


class Replay:
    """`function`, replayed from a CUDA graph where `device` is a GPU and `capture` says so; elsewhere called as it is,
    which is the reference for the graph and its stand-in where there is no GPU.

    The first calls are real ones on a side stream, as capturing asks for; none is done for warming up alone. `generators`
    are those that the function draws from. Source: "CUDA Graphs", PyTorch's CUDA semantics.
    """

    def __init__(
        self,
        function: Callable[[], None],
        device: torch.device,
        generators: Sequence[torch.Generator] = (),
        capture: bool = True,
    ):
        self.function, self.device, self.generators = function, device, generators
        self.graph: torch.cuda.CUDAGraph | None = None
        self.captures = capture and device.type == "cuda"
        self.calls = 0

    def __call__(self) -> None:
        """Do it once more."""
        self.calls += 1
        if not self.captures:
            self.function()
        elif self.calls <= WARM_UP:
            self._aside()
        else:
            if self.graph is None:
                self.graph = self._captured()
            self.graph.replay()

    def _aside(self) -> None:
        side, main = torch.cuda.Stream(self.device), torch.cuda.current_stream(self.device)
        side.wait_stream(main)
        with torch.cuda.stream(side):
            self.function()
        main.wait_stream(side)

    def _captured(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        try:
            with torch.cuda.graph(graph):
                self.function()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ConfigError(
                f"This training cannot be captured in a CUDA graph ({str(error).splitlines()[0]}): set capture to off."
            ) from error
        return graph
