from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bqngui.patch import patch
from scheduler.views import FileChange
from tests.support.repositories import SCRUBBED

PATH = "common/policy/rate/p.conf"
TEXT = st.none() | st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=14).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


def applied(folder: Path, changes: tuple[FileChange, ...]) -> None:
    """Let git apply the patch to the files as they were, and compare what comes out."""
    for change in changes:
        file = folder / change.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        if change.before is not None:
            file.write_bytes(change.before.encode())
    done = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", "-"],
        input="".join(patch(changes)).encode(),
        cwd=folder,
        env=SCRUBBED,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for change in changes:
        file = folder / change.path
        found = file.read_bytes().decode() if file.exists() else None
        assert found == change.after


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.tuples(TEXT, TEXT).filter(lambda sides: sides[0] != sides[1]))
def test_git_applies_it_to_the_old_text_and_gets_the_new_one(
    tmp_path: Path, sides: tuple[str | None, str | None]
) -> None:
    applied(tmp_path, (FileChange(PATH, "policy rate p", *sides),))


@pytest.mark.parametrize("name", ["with blank", 'q"uote', "back\\slash", "ümlaut", "tab\there"])
def test_git_understands_every_path(tmp_path: Path, name: str) -> None:
    first = FileChange(f"common/{name}.conf", name, "a\n", "b\n")
    applied(
        tmp_path, (first, FileChange(PATH, "p", None, "new\n"), FileChange("x", "x", "o", None))
    )


def test_far_changes_of_a_long_text_are_hunks_of_their_own(tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(5_000)]
    after = [*lines]
    after[10], after[4_000] = "other\n", "another\n"
    change = FileChange(PATH, "p", "".join(lines), "".join(after))
    text = "".join(patch((change,)))
    assert text.count("\n@@ ") == 2
    assert len(text) < 1_000
    applied(tmp_path, (change,))


def test_what_did_not_change_is_not_in_it() -> None:
    assert "".join(patch((FileChange(PATH, "p", "a\n", "a\n"),))) == ""
