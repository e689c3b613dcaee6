"""The documents are true to the code: links lead somewhere, words are explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bqngui.badges import MEANINGS
from scheduler import causes, server_states

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "packaging").glob("*.md")]
)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=[str(p.relative_to(ROOT)) for p in PAGES])
def test_each_link_leads_to_a_file(page: Path) -> None:
    missing = [t for t in LINK.findall(page.read_text("utf-8")) if not (page.parent / t).exists()]
    assert not missing


def test_operations_explains_each_cause_of_not_being_reached() -> None:
    table = (ROOT / "docs" / "operations.md").read_text("utf-8").split("| cause |")[1]
    words = {w for name, w in vars(causes).items() if name.isupper() and isinstance(w, str)}
    missing = [word for word in words - {causes.OK} if word not in table]
    assert not missing


def test_operations_explains_each_state_of_the_cluster() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert not [word for word in MEANINGS if f"| {word}" not in text]
    assert not [word for word in server_states.MEANINGS if f"| {word}" not in text]


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(p.name[:4]) for p in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
