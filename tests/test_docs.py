"""The documentation holds: its commands and programs run, its links lead somewhere, its lists are complete.

A comment in the line before a fenced block says what to do with it; readers of the page do not see it.

    <!-- run -->                 run it, in one folder a page, in the order of the page
    <!-- run with: --flag -->    the same, every `upswing train` in it with these flags too
    <!-- file: name -->          write it to that file first

Commands in all other blocks are parsed, and their settings checked, without training. Programs are compiled.
"""

import re
import shlex
import sys
import tomllib
import types
from dataclasses import dataclass
from pathlib import Path

import pytest
from scripts.reference import PAGES as REFERENCE

import upswing
from upswing.cli import run
from upswing.cli.app import app, exit_codes

ROOT = Path(__file__).parent.parent
SOURCE = Path(upswing.__file__).parent
READMES = [ROOT / "README.md", ROOT / "README.zh.md"]
PAGES = [*READMES, *sorted((ROOT / "docs").glob("*.md"))]
MAY_NOT_RUN = {"torchrun", "apt", "make", "tensorboard", "source", "pip", "cd"}

BLOCK = re.compile(r"(?:^<!-- (?P<order>[^>]*) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^(#+) (.+)$", re.M)


@dataclass
class Block:
    """A fenced block of a page."""

    order: str
    language: str
    body: str

    @property
    def commands(self):
        lines = self.body.replace("\\\n", " ").splitlines() if self.language == "bash" else []
        plain = [re.sub(r"(^| )#.*", "", line).strip() for line in lines]
        return [line for line in plain if line]


def blocks(page):
    return [Block(m["order"] or "", m["language"], m["body"]) for m in BLOCK.finditer(page.read_text())]


def prose(page):
    """The text of a page without its fenced blocks."""
    return BLOCK.sub("", page.read_text())


def named(pages):
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]


def slug(heading):
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower()).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


@pytest.mark.parametrize(
    "page", named(p for p in PAGES if p != READMES[1] and any(b.order.startswith("run") for b in blocks(p)))
)
def test_what_is_marked_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before, names = set(sys.modules), {"__name__": "docs", "upswing": upswing}
    try:
        for block in blocks(page):
            kind, _, more = block.order.partition(":")
            if kind == "file":
                (tmp_path / more.strip()).write_text(block.body)
            elif kind in ("run", "run with"):
                assert block.language in ("bash", "python"), block
                if block.language == "python":
                    exec(compile(block.body, f"{page.name}: {block.body[:60]!r}", "exec"), names)
                for command in block.commands:
                    _run(command, shlex.split(more), capsys)
            else:
                assert not kind, f"{page.name}: what is <!-- {block.order} -->?"
    finally:
        for name in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def _run(command, more, capsys):
    program, *args = shlex.split(command)
    assert program == "upswing", f"{command} cannot be run by this test"
    capsys.readouterr()
    code = run([*args, *(more if args[0] == "train" else [])])
    assert code == 0, f"{command}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", named(PAGES))
def test_every_command_is_one_that_exists(page, monkeypatch, capsys):
    trained = []
    module = types.ModuleType("upswing.training")
    module.train = lambda config, hooks=(), **more: trained.append(config) or _nothing()
    monkeypatch.setitem(sys.modules, "upswing.training", module)
    for block in blocks(page):
        for command in [] if block.order else block.commands:
            program, *args = shlex.split(command)
            if program == "make":
                targets = [word for word in args if "=" not in word]
                assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M) for target in targets)
            elif program != "upswing":
                assert program in MAY_NOT_RUN, command
            elif args[0] == "train":
                n = len(trained)
                assert run([*args, "--quiet"]) == 0, f"{command}: {capsys.readouterr().err}"
                assert len(trained) == n + 1
            else:
                assert args[0] in app.commands, command
                app.commands[args[0]].make_context(args[0], args[1:])


def _nothing():
    from upswing.hooks import Result

    return Result("", 0, 0.0, None, None, 0.0, 0.0, 0)


@pytest.mark.parametrize("page", named(PAGES))
def test_every_program_and_settings_file_is_well_formed(page):
    for block in blocks(page):
        if block.language == "python":
            compile(block.body, page.name, "exec")
        elif block.language == "toml":
            tomllib.loads(block.body)


@pytest.mark.parametrize("page", named([*PAGES, ROOT / "CONTRIBUTING.md"]))
def test_every_link_leads_somewhere(page):
    for found in LINK.finditer(prose(page)):
        target, _, anchor = (found[1] or found[2]).partition("#")
        if target.startswith(("http:", "https:")):
            continue
        file = (page.parent / target).resolve() if target else page
        where = file.relative_to(ROOT).as_posix()
        assert file.exists(), f"{page.name} links to {where}, which is not there"
        if anchor:
            anchors = {slug(heading) for _, heading in HEADING.findall(prose(file))}
            assert anchor in anchors, f"{page.name} links to {where}#{anchor}; there is {sorted(anchors)}"


def test_the_two_readmes_say_the_same():
    english, chinese = READMES
    levels = [[len(marks) for marks, _ in HEADING.findall(prose(page))] for page in READMES]
    assert levels[0] == levels[1]
    code = [
        [(b.order, b.language, re.sub(r" *#.*", "", b.body)) for b in blocks(page) if b.language] for page in READMES
    ]
    assert code[0] == code[1]
    assert tree(english).keys() == tree(chinese).keys()
    links = [{found[1] or found[2] for found in LINK.finditer(prose(page))} for page in READMES]
    ours = [{re.sub(r"#.*|\.en\.|\.zh\.", "", link) for link in each} - {"README.md", "READMEmd"} for each in links]
    assert ours[0] == ours[1]


def tree(page):
    """The paths that a README's file tree names, and what it says about each."""
    body = next(block.body for block in blocks(page) if "├──" in block.body)
    paths, parents = {}, []
    for line in body.splitlines():
        found = re.match(r"([│ ]*)[├└]── (\S+)\s*(.*)", line)
        if found:
            depth = len(found[1]) // 4
            parents = [*parents[:depth], found[2].rstrip("/")]
            paths["/".join(parents) + "/" * found[2].endswith("/")] = found[3]
    return paths


@pytest.mark.parametrize("page", named(READMES))
def test_the_file_tree_is_the_one_on_disk(page):
    told = tree(page)
    assert all(told.values()), "every line says what is there"
    for path in told:
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path
    there = {
        p.name + "/" * p.is_dir() for p in SOURCE.iterdir() if p.suffix == ".py" or (p.is_dir() and any(p.glob("*.py")))
    }
    assert {path.removeprefix("src/upswing/") for path in told if path.startswith("src/upswing/")} - {""} == there


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_pages_are_current(name):
    current = REFERENCE[name]()
    assert (ROOT / "docs" / name).read_text() == current, "run python -m scripts.reference"


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {found[1].partition("#")[0] for found in LINK.finditer(prose(index))}
    assert linked >= {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_every_command_is_documented():
    text = "\n".join(page.read_text() for page in PAGES)
    assert [name for name in app.commands if f"upswing {name}" not in text] == []


def test_every_exit_code_is_documented():
    section = prose(ROOT / "docs" / "runs.md").partition("| exit code |")[2].partition("\n\n")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", section, re.M)] == list(exit_codes())
