"""Who fetched over SSH, and who was refused, is in the audit log of the running program."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import Queue

import pytest

from scheduler.authorized_keys import GATE
from scheduler.gate_trail import GateNote, GateTrail, note_of
from scheduler.receiving import Receiver
from scheduler.views import Person
from tests.support.replicas import Replica

Line = tuple[str, str, str, str]


def test_a_note_names_person_address_action_and_result() -> None:
    note = note_of(("audit:olga%20b", "192.0.2.9", "done", "git-upload-pack 'config.git'"))
    assert (note.person.name, note.person.address) == ("olga b", "192.0.2.9")
    assert (note.action, note.result) == ("clone of the configuration over SSH", "done")
    refused = note_of(("7", "192.0.2.9", "refused: no", "id"))
    assert (refused.person.name, refused.action) == ("BQN 7", "request over SSH: id")


@pytest.mark.parametrize("lines", [(), ("7",), ("7", "a", "done", "x", "y")])
def test_what_is_no_note_is_not_taken_for_one(lines: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="not a note"):
        note_of(lines)


def test_a_name_cannot_fill_the_log_and_others_are_still_heard() -> None:
    written: list[str] = []
    now = [0.0]
    trail = GateTrail(lambda person, *_: written.append(person.name), lambda: now[0])
    for _ in range(1000):
        trail.write(GateNote("7", "", "refused: no", "id"))
    trail.write(GateNote("8", "", "refused: no", "id"))
    assert written == ["BQN 7"] * 60 + ["BQN 8"]
    now[0] = 3600.0
    trail.write(GateNote("7", "", "refused: no", "id"))
    assert written[-1] == "BQN 7"


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Path, Queue[Line]]]:
    """A program that listens, its state directory, and what it would write to the log."""
    replica = Replica(tmp_path, 1)
    replica.commit("192.0.2.1")
    lines: Queue[Line] = Queue()

    def write(person: Person, action: str, result: str) -> None:
        lines.put((person.name, person.address, action, result))

    receiver = Receiver(
        replica.state,
        replica.id,
        replica.store,
        lambda: replica.situation,
        lambda *_: None,
        GateTrail(write, lambda: 0.0).write,
    )
    receiver.start()
    yield replica.state, lines
    receiver.stop()
    replica.close()


def gate(state: Path, who: str, asked: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(GATE), who, str(state), "receive-pack,upload-pack,probe"],
        env={"SSH_ORIGINAL_COMMAND": asked, "SSH_CONNECTION": "192.0.2.9 5000 192.0.2.1 22"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def test_a_fetch_of_an_auditor_and_a_refusal_are_told(told: tuple[Path, Queue[Line]]) -> None:
    state, lines = told
    with gate(state, "audit:olga", "git-upload-pack '/git/cluster.git'") as process:
        process.communicate(b"0000", timeout=60)
        assert process.returncode == 0
    assert lines.get(timeout=60) == (
        "olga", "192.0.2.9", "clone of the configuration over SSH", "done",
    )  # fmt: skip
    with gate(state, "audit:olga", "id\n;id") as process:
        process.communicate(timeout=60)
    name, address, action, result = lines.get(timeout=60)
    assert (name, address, action) == ("olga", "192.0.2.9", "request over SSH: id?;id")
    assert result.startswith("refused: this key may only")


def test_a_clone_that_breaks_off_is_told_as_such(told: tuple[Path, Queue[Line]]) -> None:
    state, lines = told
    with gate(state, "audit:olga", "git-upload-pack 'config.git'") as process:
        process.communicate(b"zzzz", timeout=60)
        assert process.returncode != 0
    assert lines.get(timeout=60)[2:] == ("clone of the configuration over SSH", "broken off")


def test_what_members_exchange_is_not_told(told: tuple[Path, Queue[Line]]) -> None:
    state, lines = told
    for asked in ("bqn-probe", "git-upload-pack 'config.git'"):
        with gate(state, "7", asked) as process:
            process.communicate(b"0000", timeout=60)
    with gate(state, "7", "id") as process:
        process.communicate(timeout=60)
    assert lines.get(timeout=60)[0] == "BQN 7"
    assert lines.empty()


def test_only_some_people_clone_at_one_time(told: tuple[Path, Queue[Line]]) -> None:
    state, lines = told
    asked = "git-upload-pack 'config.git'"
    with ExitStack() as stack:
        running = [stack.enter_context(gate(state, "audit:olga", asked)) for _ in range(4)]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.read(4) != b"", "its refs are offered, so it has its place"
        with gate(state, "audit:olga", asked) as busy:
            assert busy.communicate(b"0000", timeout=60)[0] == b""
        assert lines.get(timeout=60)[3].startswith("refused: too many clones run")
        with gate(state, "7", asked) as member:
            assert member.communicate(b"0000", timeout=60)[0] != b"", "members are not counted"
        running[0].communicate(b"0000", timeout=60)
        assert lines.get(timeout=60)[3] == "done"
        with gate(state, "audit:olga", asked) as again:
            assert again.communicate(b"0000", timeout=60)[0] != b""
        for process in running[1:]:
            process.communicate(b"0000", timeout=60)
