"""The structure that ARCHITECTURE.md promises, proven by reading the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

from scripts.module_map import BEGIN, END, module_map

ROOT = Path(__file__).parents[1]
ROOMS = ("configrepo", "scheduler", "bqngui")
ALLOWED = {
    "configrepo": {"configrepo"},
    "scheduler": {"configrepo", "scheduler"},
    "bqngui": {"configrepo", "scheduler", "bqngui"},
}
DOORS = {
    "dulwich": "configrepo/store",
    "git": "configrepo/git.py",
    "paramiko": "scheduler/ssh.py",
    "apscheduler": "scheduler/clock.py",
    "cheroot": "bqngui/server.py",
    "argon2": "bqngui/passwords.py",
    "flask": "bqngui/",
    "flask_wtf": "bqngui/",
    "flask_bootstrap": "bqngui/",
    "wtforms": "bqngui/",
    "werkzeug": "bqngui/",
    "jinja2": "bqngui/",
    "markupsafe": "bqngui/",
}
NAMELESS = {"utils", "util", "helpers", "helper", "common", "base", "manager", "core", "misc"}
LABEL = re.compile(r"^(Pure\.|Core\.|Core: .+\.|Edge: .+\.)$", re.DOTALL)
# What a pure module may not even import: I/O, clocks, randomness, threads.
IMPURE = {
    *("asyncio", "concurrent", "fcntl", "getpass", "http", "logging", "multiprocessing", "os"),
    *("random", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver"),
    *("sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid"),
    *DOORS,
}
IMPURE_CALLS = {"open", "print", "input"}
IMPURE_METHODS = {
    *("now", "today", "utcnow", "read_text", "read_bytes", "write_text", "write_bytes"),
    *("mkdir", "unlink", "iterdir", "exists", "is_file", "is_dir", "stat"),
}
MAX_LINES = 500


def modules(*folders: str) -> list[str]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


SOURCES = modules(*ROOMS)
PROGRAMS = [*SOURCES, "app.py", *modules("scripts")]
TEMPLATES = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "templates").rglob("*.html"))
PAGES = sorted(p.name for p in (ROOT / "templates").iterdir() if p.is_dir())


@cache
def tree_of(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), path)


def label_of(path: str) -> str:
    docstring = ast.get_docstring(tree_of(path)) or ""
    return docstring.rstrip().rsplit("\n\n", 1)[-1]


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def nodes_at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.stmt) and is_type_checking(child):
            continue
        yield child
        yield from nodes_at_run_time(child)


def imports_of(path: str) -> set[str]:
    """Full names of what a module imports at run time (`a.b.c` for `from a.b import c`)."""
    names: set[str] = set()
    for node in nodes_at_run_time(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrows"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def tops_of(path: str) -> set[str]:
    return {name.split(".")[0] for name in imports_of(path)}


def is_exception(name: str) -> bool:
    """Whether a full name is an exception: knowing one touches nothing."""
    module, _, attribute = name.rpartition(".")
    found = getattr(import_module(module), attribute, None) if module else None
    return isinstance(found, type) and issubclass(found, BaseException)


def own_modules_of(path: str) -> set[str]:
    """Paths of the project's modules that a module imports at run time."""
    found = set()
    for name in imports_of(path):
        parts = name.split(".")
        for depth in range(len(parts), 1, -1):
            candidate = "/".join(parts[:depth])
            for file in (f"{candidate}.py", f"{candidate}/__init__.py"):
                if file in SOURCES:
                    found.add(file)
                    break
            else:
                continue
            break
    return found


def reached_from(path: str) -> set[str]:
    """All modules of the project that importing `path` loads."""
    seen: set[str] = set()
    todo = {path}
    while todo:
        current = todo.pop()
        seen.add(current)
        todo |= own_modules_of(current) - seen
    return seen


@pytest.mark.parametrize("path", SOURCES)
def test_arrows_between_rooms_run_one_way(path: str) -> None:
    foreign = (tops_of(path) & {*ROOMS, "app", "tests", "scripts"}) - ALLOWED[path.split("/")[0]]
    assert not foreign


@pytest.mark.parametrize("path", SOURCES)
def test_each_library_has_one_door(path: str) -> None:
    for library in tops_of(path) & set(DOORS):
        assert path.startswith(DOORS[library]), f"{library} is used through {DOORS[library]} only"


def test_the_fuse_box_and_the_scripts_use_no_library_past_its_door() -> None:
    for path in ["app.py", *modules("scripts")]:
        assert not tops_of(path) & set(DOORS), path


@pytest.mark.parametrize("path", [path for path in SOURCES if not path.endswith("__init__.py")])
def test_each_module_says_what_it_touches(path: str) -> None:
    assert LABEL.match(label_of(path)), f"last paragraph of the docstring: {label_of(path)!r}"


@pytest.mark.parametrize("path", [p for p in SOURCES if label_of(p) == "Pure."])
def test_pure_modules_touch_nothing(path: str) -> None:
    impure = {name for name in imports_of(path) if name.split(".")[0] in IMPURE}
    assert not [name for name in impure if not is_exception(name)]
    for node in nodes_at_run_time(tree_of(path)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_CALLS, f"{path}:{node.lineno}"
        elif isinstance(node.func, ast.Attribute):
            assert node.func.attr not in IMPURE_METHODS, f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", [p for p in SOURCES if label_of(p) == "Pure."])
def test_pure_modules_stand_on_pure_modules(path: str) -> None:
    impure = {
        other
        for other in own_modules_of(path)
        if not other.endswith("__init__.py") and label_of(other) != "Pure."
    }
    assert not impure


def test_the_control_process_carries_no_page_and_no_store() -> None:
    """A busy page or a big merge must never delay a heartbeat."""
    reached = reached_from("scheduler/control_process.py")
    heavy = {
        path
        for path in reached
        if path.startswith("bqngui/") or tops_of(path) & (set(DOORS) - {"apscheduler"})
    }
    assert not heavy


@pytest.mark.parametrize("path", PROGRAMS)
def test_no_module_is_long(path: str) -> None:
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def test_what_has_no_name_has_no_home() -> None:
    every = [*PROGRAMS, *modules("tests", "bench")]
    assert not [path for path in every if Path(path).stem in NAMELESS]


@pytest.mark.parametrize("path", modules("tests"))
def test_tests_replace_nothing_inside_the_program(path: str) -> None:
    source = (ROOT / path).read_text(encoding="utf-8")
    assert not tops_of(path) & {"mock"}
    assert not {name for name in imports_of(path) if name.startswith("unittest.mock")}
    assert "monkeypatch." + "setattr" not in source


@pytest.mark.parametrize("path", TEMPLATES)
def test_templates_obey_the_content_security_policy(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    assert not re.search(r"\|\s*safe\b", text), "everything is escaped"
    assert not re.search(r"\sstyle\s*=|<style\b", text, re.IGNORECASE), "no inline style"
    assert not re.search(r"\son[a-z]+\s*=|hx-on|javascript:", text, re.IGNORECASE)
    scripts = re.findall(r"<script\b[^>]*>", text, re.IGNORECASE)
    assert all("src=" in tag for tag in scripts), "no inline script"
    assert not re.search(r"""(src|href)\s*=\s*["'](https?:)?//""", text), "nothing from elsewhere"


@pytest.mark.parametrize("folder", PAGES)
def test_one_word_names_template_view_and_test(folder: str) -> None:
    assert (ROOT / "bqngui" / f"{folder}.py").is_file()
    assert (ROOT / "tests" / "bqngui" / f"test_{folder}.py").is_file()


def test_each_script_of_a_page_belongs_to_a_page() -> None:
    everywhere = {"theme", "shell"}
    static = ROOT / "bqngui" / "static"
    stems = {path.stem for path in static.rglob("*.js")} if static.is_dir() else set()
    assert stems <= {*PAGES, *everywhere}


def test_the_top_level_is_the_prescribed_one() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    visible = {name for name in folders if not name.startswith((".", "__"))}
    prescribed = {
        *ROOMS,
        *("bench", "docs", "examples", "packaging", "scripts", "templates", "tests"),
    }
    assert visible == prescribed
    assert [path.name for path in ROOT.glob("*.py")] == ["app.py"]


def test_architecture_lists_every_module() -> None:
    """A stranger finds every room; a module that is not in the map is not findable."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = text.split(BEGIN)[1].split(END)[0]
    assert listed == module_map(), "run: python -m scripts.module_map"
