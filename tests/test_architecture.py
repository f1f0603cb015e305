"""The house's order: who may import whom, what stays light, how long a file may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import upswing

SOURCE = Path(upswing.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

LAYERS = [
    {"errors", "schedules", "config", "metrics", "presets", "seeds", "ranks", "cores"},
    {"ppo", "run", "compiled"},
    {"envs", "policies"},
    {"engine"},
    {"hooks", "agent", "evaluation", "progress", "keeping", "training", "many", "selftest", "view"},
    {"doctor", "lab", "explain", "bench", "checkup"},
    {"cli", "sb3", "__main__", "__init__"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
SAME_LAYER_STRANGERS = {
    ("run", "ppo"),
    ("ppo", "run"),
    ("envs", "policies"),
}  # neighbours that must not know each other
WITHOUT_TORCH = {
    "errors",
    "schedules",
    "config",
    "metrics",
    "presets",
    "seeds",
    "cores",
    "run",
    "doctor",
    "explain",
    "view",
    "checkup",
}


def room_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path, only_top: bool = False) -> list[str]:
    """Modules that `file` imports; with `only_top`, only those imported when the file itself is."""
    tree = ast.parse(file.read_text())
    nodes = list(ast.walk(tree))
    skipped = set()
    for node in nodes:
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if typing_only or (only_top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            skipped |= {id(inner) for inner in ast.walk(node)}
    found = []
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found += [node.module] if node.module != "upswing" else [f"upswing.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_point_downwards(file):
    room = room_of(file)
    assert room in LEVEL, f"{room} has no place in the house: add it to LAYERS"
    for module in imports(file):
        parts = module.split(".")
        if parts[0] != "upswing" or len(parts) < 2:
            continue
        target = parts[1]
        assert target in LEVEL, f"{file.name} imports upswing.{target}, which has no place in the house"
        assert LEVEL[target] <= LEVEL[room], f"{room} (layer {LEVEL[room]}) imports {target} (layer {LEVEL[target]})"
        assert (room, target) not in SAME_LAYER_STRANGERS, f"{room} and {target} are neighbours that do not mix"
        if LEVEL[room] == len(LAYERS) - 1 and target != room and room not in ("__main__", "__init__"):
            assert LEVEL[target] < LEVEL[room], f"nobody imports the door {target}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_files_have_one_reason_to_exist(file):
    assert len(file.read_text().splitlines()) <= 450


@pytest.mark.parametrize("room", sorted(WITHOUT_TORCH))
def test_words_and_records_are_read_without_torch(room):
    modules = [f for f in FILES if room_of(f) == room]
    for file in modules:
        assert not [m for m in imports(file, only_top=True) if m.split(".")[0] == "torch"], file


def test_importing_the_package_is_light():
    code = (
        "import sys, upswing, upswing.config, upswing.metrics, upswing.run.directory, upswing.run.checkpoint;"
        "heavy = [m for m in ('torch', 'numba', 'matplotlib', 'gymnasium') if m in sys.modules];"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_module_shares_its_name_with_an_exported_function():
    modules = {file.stem for file in SOURCE.glob("*.py")} | {d.name for d in SOURCE.iterdir() if d.is_dir()}
    assert not modules & {name for name in upswing.__all__ if name != "__version__"}


def test_every_exported_name_can_be_had():
    for name in upswing.__all__:
        assert getattr(upswing, name) is not None
