"""Machine code on disk: found again, never stale, never in the way."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import upswing
from upswing.compiled.cache import KEPT_BUILDS, _prune, _write, cache_root, fingerprint, sources_digest
from upswing.compiled.compiler import kernel

SOURCE = Path(upswing.__file__).parent

# A kernel of two small parts in two files, imported as the package's own code is.
PROGRAM = """
import sys
sys.path.insert(0, {folder!r})
from upswing.compiled.compiler import compile_notices
said = []
with compile_notices(said.append):
    import caller
    print(caller.twice_plus(3.0), len(said))
"""
CALLER = """
from upswing.compiled.compiler import kernel
from callee import plus
@kernel("f8(f8)")
def twice_plus(x):
    return plus(2.0 * x)
"""
CALLEE = """
from upswing.compiled.compiler import inline
@inline
def plus(x):
    return x + {amount}
"""


@pytest.fixture
def world(tmp_path):
    """A copy of the package's compiled room, where sources may be edited, and an empty cache."""
    package = tmp_path / "site" / "upswing"
    shutil.copytree(SOURCE / "compiled", package / "compiled", ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__init__.py").write_text("")
    room = package / "engine" / "native"
    room.mkdir(parents=True)
    (room / "caller.py").write_text(CALLER)
    (room / "callee.py").write_text(CALLEE.format(amount=1.0))
    return tmp_path


def run(world, cache=None):
    """(result, notices) of the program in a process of its own."""
    room = world / "site" / "upswing" / "engine" / "native"
    environment = os.environ | {"PYTHONPATH": str(world / "site"), "UPSWING_CACHE_DIR": str(cache or world / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(folder=str(room))], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result, notices = done.stdout.split()
    return float(result), int(notices)


def test_an_edit_in_another_file_is_noticed_by_the_next_process(world):
    assert run(world) == (7.0, 1)
    assert run(world) == (7.0, 0)
    callee = world / "site" / "upswing" / "engine" / "native" / "callee.py"
    before = callee.stat()
    callee.write_text(CALLEE.format(amount=5.0))
    os.utime(callee, ns=(before.st_atime_ns, before.st_mtime_ns))  # not by its date
    assert run(world) == (11.0, 1)


class Fresh:
    """The same kernel again and again, each time as a process that has not seen it finds it."""

    def __init__(self, root):
        self.root = root

    def __call__(self):
        """(result, whether it had to be compiled)."""

        def triple(x):
            return 3.0 * x

        made = kernel("f8(f8)")(triple)
        missed = []
        made.dispatcher._cache.on_miss = lambda: missed.append(True)
        return made(2.0), bool(missed)

    def files(self):
        return sorted(self.root.rglob("*.kernel"))


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    monkeypatch.setenv("UPSWING_CACHE_DIR", str(tmp_path / "cache"))
    return Fresh(tmp_path / "cache")


def test_compiled_once(fresh):
    assert fresh() == (6.0, True)
    assert [f.name.split("-")[0] for f in fresh.files()] == ["test_cache.triple"]
    assert fresh() == (6.0, False)
    assert len(fresh.files()) == 1
    assert stat.S_IMODE(fresh.files()[0].parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_file_is_compiled_again_and_mended(fresh, damage):
    fresh()
    path = fresh.files()[0]
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes({"truncated": content[:100], "empty": b"", "foreign": b"x" * 5000}.get(damage, bytes(content)))
    assert fresh() == (6.0, True)
    assert fresh() == (6.0, False)


def test_a_whole_file_with_another_content_is_no_obstacle(fresh):
    fresh()
    _write(fresh.files()[0], b"\x80\x04K\x01.")  # a pickled 1, its checksum right
    assert fresh() == (6.0, True)


def test_a_file_where_the_folder_should_be_is_no_obstacle(fresh):
    fresh.root.write_text("not a folder")
    assert fresh() == (6.0, True)
    assert fresh() == (6.0, True)


def test_a_folder_that_others_may_write_is_not_used(fresh):
    fresh()
    fresh.files()[0].parent.chmod(0o777)
    assert fresh() == (6.0, True)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_no_obstacle(fresh):
    fresh.root.mkdir(mode=0o500)
    assert fresh() == (6.0, True)


def test_a_full_disk_is_no_obstacle(fresh, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("upswing.compiled.cache._write", full)
    assert fresh() == (6.0, True)


def test_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setenv("UPSWING_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_root() == tmp_path / "mine" / "kernels"
    monkeypatch.delenv("UPSWING_CACHE_DIR")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_root() == tmp_path / "upswing" / "kernels"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_root() == Path.home() / ".cache" / "upswing" / "kernels"


def test_every_compiled_room_counts(tmp_path):
    for room in ("compiled", "engine/native", "envs/native"):
        (tmp_path / room).mkdir(parents=True)
        (tmp_path / room / "a.py").write_text("x = 1")
    before = sources_digest(tmp_path)
    for room in ("compiled", "engine/native", "envs/native"):
        (tmp_path / room / "a.py").write_text("x = 2")
        after = sources_digest(tmp_path)
        assert after != before
        before = after
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.py").write_text("x = 3")
    assert sources_digest(tmp_path) == before


def test_old_builds_are_removed(tmp_path):
    builds = [tmp_path / f"build{i}" for i in range(KEPT_BUILDS + 4)]
    for i, build in enumerate(builds):
        build.mkdir()
        os.utime(build, (i, i))
    _prune(tmp_path, keep=builds[0])
    left = {p.name for p in tmp_path.iterdir()}
    assert "build0" in left and f"build{KEPT_BUILDS + 3}" in left and "build1" not in left
    assert len(left) == KEPT_BUILDS


GRAVITY = 9.8


def helper(x):
    return x * GRAVITY


def outer(x):
    return helper(x) + 1.0


def test_fingerprints_follow_references(monkeypatch):
    before = fingerprint(outer)
    assert fingerprint(outer) == before
    monkeypatch.setitem(globals(), "GRAVITY", 1.6)
    moon = fingerprint(outer)
    monkeypatch.setitem(globals(), "helper", lambda x: x - GRAVITY)
    assert len({before, moon, fingerprint(outer)}) == 3


def test_nothing_imports_numba_before_it_is_needed():
    code = "import upswing, upswing.envs.native, upswing.cli, sys; upswing.envs.native.find('Nothing-v0'); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
