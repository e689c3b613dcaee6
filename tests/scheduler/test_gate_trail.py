"""Who fetched over SSH, and who was refused, is in the audit log of the running program."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Queue

import pytest

from scheduler.authorized_keys import GATE
from scheduler.gate_trail import GateNote, GateTrail, note_of
from scheduler.receiving import Receiver
from scheduler.views import Person
from tests.faults.packs import WHO, Object, commit_on, name_of, pack_of, tree
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


def test_the_same_refusal_of_a_push_is_a_line_once_in_ten_minutes() -> None:
    written: list[str] = []
    now = [0.0]
    trail = GateTrail(
        lambda _, action, result: written.append(f"{action} {result}"), lambda: now[0]
    )
    for _ in range(30):
        for result in ("refused: a", "refused: b"):
            trail.write(GateNote("7", "", result, "git-receive-pack refs/heads/cluster"))
        now[0] += 10.0
    push = "push over SSH: refs/heads/cluster refused:"
    assert written == [f"{push} a", f"{push} b"]
    now[0] = 600.0
    trail.write(GateNote("7", "", "refused: a", "git-receive-pack refs/heads/cluster"))
    assert written[2:] == [f"{push} a"]


def test_what_another_server_says_is_shown_safely() -> None:
    written: list[str] = []
    trail = GateTrail(lambda _, action, result: written.extend((action, result)), lambda: 0.0)
    trail.write(GateNote("7", "", "refused: \x1b[2J\udca7" + "x" * 999, "git-receive-pack r\x07"))
    action, result = written
    assert action == "push over SSH: r?"
    assert result.startswith("refused: ?[2J?xxx")
    assert len(result) == 300


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


def timeout_of(process: subprocess.Popen[bytes]) -> tuple[int, list[str]]:
    """The process that bounds the gate's git: its number and its command."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            parent = stat.read_text().rpartition(")")[2].split()[1]
            if int(parent) == process.pid:
                command = (stat.parent / "cmdline").read_text().split("\0")
                return int(stat.parent.name), command
    raise AssertionError("the gate has no child")


def test_a_clone_has_its_place_for_a_bounded_time(told: tuple[Path, Queue[Line]]) -> None:
    state, lines = told
    with ExitStack() as stack:
        running = [
            stack.enter_context(gate(state, "audit:olga", "git-upload-pack 'config.git'"))
            for _ in range(4)
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.read(4) != b"", "its refs are offered, so it has its place"
        number, command = timeout_of(running[0])
        assert command[:4] == ["/usr/bin/timeout", "-k", "5", "1800"]
        # This is how its own clock tells that the time is over.
        os.kill(number, signal.SIGALRM)
        assert running[0].wait(60) == 124
        assert lines.get(timeout=60)[3] == "broken off: it took more than 1800 s"
        with gate(state, "audit:olga", "git-upload-pack 'config.git'") as again:
            assert again.communicate(b"0000", timeout=60)[0] != b"", "the place is free"
        for process in running[1:]:
            process.communicate(b"0000", timeout=60)


def test_a_clone_of_a_large_repository_has_more_time(told: tuple[Path, Queue[Line]]) -> None:
    state, _ = told
    with (state / "config.git" / "objects" / "pack" / "tmp_large").open("wb") as pack:
        os.posix_fallocate(pack.fileno(), 0, 128 << 20)
    with gate(state, "audit:olga", "git-upload-pack 'config.git'") as process:
        assert process.stdout is not None
        assert process.stdout.read(4) != b""
        _, command = timeout_of(process)
        assert 2048 <= int(command[3]) < 2060
        process.communicate(b"0000", timeout=60)


def pushed(state: Path, new: str, pack: bytes) -> bytes:
    """What is answered to a push of a new ref by server 7."""
    line = f"{'0' * 40} {new} refs/heads/server/7\0report-status side-band-64k".encode()
    with gate(state, "7", "git-receive-pack 'config.git'") as process:
        words = f"{len(line) + 4:04x}".encode() + line + b"0000" + pack
        return process.communicate(words, timeout=60)[0]


def test_a_push_that_git_does_not_take_is_told_with_its_reason(
    told: tuple[Path, Queue[Line]],
) -> None:
    state, lines = told
    large: Object = ("blob", bytes(40 << 20))
    level = tree((b"100644", b"ntp.conf", name_of(large)))
    made = commit_on(level, "0" * 40)
    answer = pushed(state, name_of(made).hex(), pack_of([large, level, made]))
    assert b"over limit" in answer
    name, address, action, result = lines.get(timeout=60)
    assert (name, address, action) == ("BQN 7", "192.0.2.9", "push over SSH: 'config.git'")
    assert result.startswith("refused: 3 objects, attempting to allocate 4194")
    assert "push refused: 3 objects" in (state / "gate.log").read_text()
    # Broken off half way is no refusal.
    small: Object = ("blob", b"x\n")
    whole = pack_of([small, tree((b"100644", b"a", name_of(small)))])
    pushed(state, name_of(made).hex(), whole[:40])
    assert lines.get(timeout=60)[3].startswith("broken off: 2 objects, ")
    assert list((state / "run").glob("git-*")) == []


def test_a_push_that_the_program_does_not_take_is_told_with_its_refs(
    told: tuple[Path, Queue[Line]],
) -> None:
    state, lines = told
    small: Object = ("blob", b"x\n")
    level = tree((b"100644", b"ntp.conf", name_of(small)))
    lines_of_commit = b"tree " + name_of(level).hex().encode() + b"\nauthor " + WHO
    made: Object = ("commit", lines_of_commit + b"\ncommitter " + WHO + b"\n\nx\n")
    answer = pushed(state, name_of(made).hex(), pack_of([small, level, made]))
    assert b"BQN: server 7 is not a member here" in answer
    assert lines.get(timeout=60) == (
        "BQN 7", "192.0.2.9", "push over SSH: refs/heads/server/7",
        "refused: server 7 is not a member here",
    )  # fmt: skip
    assert lines.empty()
    assert list((state / "run").glob("git-*")) == []


def test_what_a_killed_gate_left_goes_at_the_next_start(tmp_path: Path) -> None:
    replica = Replica(tmp_path, 1)
    (replica.state / "run").mkdir()
    (replica.state / "run" / "git-7-4711").write_text("start")
    replica.receiver.start()
    replica.close()
    assert not (replica.state / "run" / "git-7-4711").exists()
