"""Writes the list of modules in ARCHITECTURE.md from their docstrings.

    python -m scripts.module_map

Each module is one line: its name, the letter of its label, the first sentence of its
docstring. A test keeps the list complete.

Edge: files.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = {
    "configrepo": "`configrepo` remembers",
    "scheduler": "`scheduler` acts on time",
    "bqngui": "`bqngui` shows and asks",
}
BEGIN, END = "<!-- modules: python -m scripts.module_map -->\n", "<!-- end of modules -->\n"


def module_map(root: Path = ROOT) -> str:
    """The list of all modules of the rooms."""
    return "".join(_lines(root))


def with_module_map(text: str, listed: str) -> str:
    """The text of ARCHITECTURE.md with this list in its place."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}{listed}{END}{after}"


def _lines(root: Path) -> Iterator[str]:
    for room, title in ROOMS.items():
        yield f"\n### {title}\n\n"
        for path in sorted((root / room).rglob("*.py")):
            if path.name != "__init__.py":
                yield _line(path, path.relative_to(root / room))
    yield "\n"


def _line(path: Path, inside: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    paragraphs = docstring.strip().split("\n\n")
    first = " ".join(paragraphs[0].split())
    folder = "" if len(inside.parts) == 1 else f" (in `{inside.parent}/`)"
    return f"- `{path.name}`{folder} {paragraphs[-1][:1]} {first}\n"


if __name__ == "__main__":
    page = ROOT / "ARCHITECTURE.md"
    page.write_text(with_module_map(page.read_text("utf-8"), module_map()), encoding="utf-8")
    sys.stdout.write(f"{page} lists every module.\n")
