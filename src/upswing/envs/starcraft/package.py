"""PySC2 4.0.0 as it can be imported today. For worker processes only: it changes what the process imports.

As installed it does not import on Python 3.11 with protobuf ≥ 4. Two things are mended here.
1. s2clientprotocol's generated modules build their classes by calls that protobuf has since refused; the description they
   carry, `serialized_pb`, is still good, and today's protobuf makes the same classes of it: the compiled ones, five
   times as fast as those in Python to which the environment variable PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION falls back.
2. pysc2.lib.colors calls random.shuffle with two arguments, which Python 3.11 removed.
And skvideo, which PySC2 needs only to film its own window and which brings in all of SciPy, is an empty module: without
it a game is there in a quarter of the time.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

PROTOCOL = "s2clientprotocol"


class _ProtocolFinder(importlib.abc.MetaPathFinder):
    """Finds s2clientprotocol's generated modules before Python does, and makes them of their descriptions."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """The module's specification, or None where it is none of these."""
        if not name.startswith(f"{PROTOCOL}.") or not name.endswith("_pb2"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.origin is None:
            return None
        return importlib.util.spec_from_loader(name, _ProtocolLoader(Path(spec.origin)), origin=spec.origin)


class _ProtocolLoader(importlib.abc.Loader):
    def __init__(self, file: Path):
        self.file = file

    def exec_module(self, module: ModuleType) -> None:
        """Fill `module` as today's protobuf compiler would have it done."""
        from google.protobuf import descriptor_pool
        from google.protobuf.internal import builder

        text = self.file.read_text()
        for imported in re.findall(rf"^from {PROTOCOL} import (\w+_pb2)", text, re.M):
            importlib.import_module(f"{PROTOCOL}.{imported}")
        file = descriptor_pool.Default().AddSerializedFile(_description(text))
        names = vars(module)
        names["DESCRIPTOR"] = file
        builder.BuildMessageAndEnumDescriptors(file, names)
        builder.BuildTopDescriptorsAndMessages(file, module.__name__, names)


def _description(text: str) -> bytes:
    """The serialised description that stands in a generated module."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.keyword) and node.arg == "serialized_pb":
            value = node.value.args[0] if isinstance(node.value, ast.Call) else node.value
            said = ast.literal_eval(value)
            return said if isinstance(said, bytes) else said.encode("latin1")
    raise ImportError("this s2clientprotocol carries no serialized_pb: install version 5.0.17.98310.0")


def mend_imports() -> None:
    """From now on s2clientprotocol can be imported, and what pysc2 expects of Python is there."""
    if not any(isinstance(finder, _ProtocolFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _ProtocolFinder())
        sys.modules["skvideo"] = film = ModuleType("skvideo")
        sys.modules["skvideo.io"] = film.io = ModuleType("skvideo.io")  # type: ignore[attr-defined]
        film.io.FFmpegWriter = object  # a class is derived from it
        plain = random.shuffle
        random.shuffle = lambda x, random=None: plain(x)  # type: ignore[misc]


def load_pysc2() -> ModuleType:
    """The package pysc2, with its environment module imported and absl's flags parsed."""
    mend_imports()
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, and numpy's about it
        import pysc2.env.sc2_env
        import pysc2.maps
        from absl import flags, logging

        logging.set_verbosity(logging.ERROR)
        if not flags.FLAGS.is_parsed():
            flags.FLAGS(["upswing"])
    return pysc2
