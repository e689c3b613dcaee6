"""The control room with its real process: it leads, follows, takes over and is started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from configrepo.model import ServerId
from scheduler import tls
from scheduler.control_room import ControlRoom, ControlSettings
from scheduler.control_view import Barred, ControlRole, ControlView
from scheduler.errors import PortInUse, SettingsError
from scheduler.presets import Timing
from tests.support.control_rooms import CLUSTER, QUICK, Member, Room, form_cluster
from tests.support.identities import identity

_HEADS = ("a" * 40, "b" * 40)

NewRoom = Callable[..., Room]


@pytest.fixture
def new_room(tmp_path: Path) -> Iterator[NewRoom]:
    rooms: list[Room] = []

    def make(number: int, port: int = 0, timing: Timing = QUICK) -> Room:
        rooms.append(Room(number, tmp_path / str(number), port, timing))
        return rooms[-1]

    yield make
    for room in rooms:
        room.stop()


def _child(room: Room) -> int:
    """The process id of the control process."""
    said = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "scheduler.control_process"],
        capture_output=True,
        text=True,
        check=False,
    )
    listening = [int(line) for line in said.stdout.split()]
    inode = str(Path(f"/proc/self/fd/{room.room._listener.fileno()}").readlink())  # type: ignore[union-attr]
    for process in listening:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            if str(descriptor.readlink()) == inode:
                return process
    raise AssertionError("no control process")


def test_a_server_alone_listens_and_hands_join_connections_over_unread(new_room: NewRoom) -> None:
    room = new_room(0)
    room.wait(lambda view: view.running)
    assert room.view.sentence == "BQN 0 is alone: it belongs to no cluster"
    context = tls.join_client_context()
    with socket.create_connection(("127.0.0.1", room.room.port), 5) as raw:
        raw.settimeout(5)
        client = context.wrap_socket(
            raw, server_hostname=tls.SNI_JOIN, do_handshake_on_connect=False
        )
        client.settimeout(0.01)
        with pytest.raises(TimeoutError):
            client.do_handshake()
        room.wait_for(lambda: bool(room.connections))
        connection, address, sni = room.connections[0]
        assert (address, sni) == ("127.0.0.1", tls.SNI_JOIN)
        assert tls.peek_server_name(connection) == tls.SNI_JOIN
        client.close()


def test_a_new_cluster_is_led_at_once_by_its_founder_and_followed(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1)]
    form_cluster(*rooms)
    began = time.monotonic()
    rooms[0].wait(lambda view: view.role is ControlRole.PRIMARY)
    view = rooms[1].wait(lambda view: view.following == 0)
    assert time.monotonic() - began < 8
    assert view.role is ControlRole.SECONDARY
    assert view.accepted is not None
    assert (view.accepted.epoch, view.accepted.id, view.epoch) == (1, 0, 1)
    assert view.sentence.startswith("BQN 0 has led since ")
    assert view.sentence.endswith(", term 1")
    peer = rooms[0].wait(lambda view: view.peers[0].rtt_ms is not None).peers[0]
    assert (peer.state, peer.version) == ("alive", "R5.0.0")


def test_heads_are_told_and_missing_ones_are_fetched(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1)]
    form_cluster(*rooms)
    rooms[1].wait(lambda view: view.following == 0)
    rooms[0].set_head(_HEADS[0])
    rooms[1].wait(lambda view: view.peers[0].head == _HEADS[0])
    rooms[1].set_head(_HEADS[1])
    rooms[0].wait_for(lambda: (1, _HEADS[1]) in rooms[0].catch_ups)
    assert rooms[1].catch_ups == []


def test_a_program_that_cannot_take_a_view_does_not_end_the_election(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ControlSettings(
        ServerId(0), 0, tmp_path, identity(0).directory, address="127.0.0.1", timing=QUICK
    )
    room = ControlRoom(settings)
    leads = threading.Event()

    def fails(view: ControlView) -> None:
        if view.role is ControlRole.PRIMARY:
            leads.set()
        raise OSError("no space left")

    room.on_view = fails
    room.start()
    members = [
        Member(ServerId(number), "127.0.0.1", room.port, identity(number).certificate_b64)
        for number in (0, 1)
    ]
    room.set_members(members, CLUSTER)
    try:
        assert leads.wait(60)
    finally:
        room.stop()
    assert "no space left" in caplog.text


def test_a_planned_stop_is_told_and_the_next_takes_over(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1)]
    form_cluster(*rooms)
    rooms[1].wait(lambda view: view.following == 0)
    rooms[0].room.stop()
    rooms[1].wait(lambda view: view.peers[0].state == "left", 3)
    view = rooms[1].wait(lambda view: view.role is ControlRole.PRIMARY, 6)
    assert view.sentence.startswith("BQN 0 was stopped at ")
    assert ", term 2" in view.sentence


_PROGRAM = """
import sys, threading
from pathlib import Path
from scheduler.control_room import ControlRoom, ControlSettings
from tests.support.control_rooms import CLUSTER, QUICK, Member
from configrepo.model import ServerId

state, keys, mine, port, *others = sys.argv[1:]
room = ControlRoom(ControlSettings(ServerId(int(mine)), int(port), Path(state), Path(keys),
                                   address="127.0.0.1", timing=QUICK))
room.on_view = lambda view: print(view.role.value, flush=True)
room.on_handover = lambda requester: room.handover_done(None)
room.start()
print("port", room.port, flush=True)
members = []
for line in sys.stdin:
    if line.strip():
        number, at, certificate = line.split()
        members.append(Member(ServerId(int(number)), "127.0.0.1", int(at), certificate))
    else:
        room.set_members(members, CLUSTER, founding=True)
"""


class Program:
    """A whole program of its own, so that it can be killed."""

    def __init__(self, number: int, state_dir: Path, port: int = 0) -> None:
        state_dir.mkdir(exist_ok=True)
        keys = str(identity(number).directory)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(state_dir), keys, str(number), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        self.port = int(self._out.readline().split()[1])
        self.number = number

    def form(self, *rooms: Room) -> None:
        mine = identity(self.number).certificate_b64
        self._in.write(f"{self.number} {self.port} {mine}\n")
        for room in rooms:
            member = room.member()
            self._in.write(f"{member.id} {member.control_port} {member.certificate}\n")
        self._in.write("\n")
        self._in.flush()

    def close(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        self._in.close()
        self._out.close()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(0, tmp_path / "program")
    yield made
    made.close()


def _join(program: Program, *rooms: Room) -> None:
    """One cluster of a program of its own, which founds it, and rooms of this process."""
    program.form(*rooms)
    first = Member(ServerId(0), "127.0.0.1", program.port, identity(0).certificate_b64)
    for room in rooms:
        room.room.set_members((first, *(one.member() for one in rooms)), CLUSTER)
    for room in rooms:
        room.wait(lambda view: view.following == 0)


def test_killing_the_program_is_a_crash_for_the_others_and_known_within_seconds(
    new_room: NewRoom, program: Program
) -> None:
    room = new_room(1)
    _join(program, room)
    room.wait(lambda view: (view.peers[0].rtt_ms or 0) > 0)
    began = time.monotonic()
    program.process.kill()
    view = room.wait(lambda view: view.peers[0].state == "dead", 5)
    known_s = time.monotonic() - began
    room.wait(lambda view: view.role is ControlRole.PRIMARY, 6)
    assert "(connection refused)" in view.peers[0].sentence
    assert known_s < 2.5
    assert room.view.sentence.startswith("BQN 0 does not answer since ")
    assert ", term 2" in room.view.sentence


def test_a_primary_whose_program_hangs_is_replaced(new_room: NewRoom, program: Program) -> None:
    room = new_room(1)
    _join(program, room)
    program.process.send_signal(signal.SIGSTOP)
    # Its control process runs on and answers, but a primary that cannot commit does not lead.
    room.wait(lambda view: view.peers[0].role == "joining", 20)
    assert room.view.peers[0].state == "alive"


def test_a_control_process_that_dies_is_started_again_and_the_view_says_so(
    new_room: NewRoom,
) -> None:
    rooms = [new_room(0), new_room(1)]
    form_cluster(*rooms)
    rooms[1].wait(lambda view: view.following == 0)
    before = _child(rooms[1])
    os.kill(before, signal.SIGKILL)
    broken = rooms[1].wait(lambda view: not view.running)
    assert broken.following is None
    assert "exit status -9" in broken.sentence
    rooms[1].wait(lambda view: view.running and view.following == 0)
    assert _child(rooms[1]) != before
    assert rooms[0].view.role is ControlRole.PRIMARY


# The start of every control process waits until its program has sent so many beats.
_SLOW_START = """
import sys
if "scheduler.control_process" in sys.orig_argv:
    import os, socket, time
    with socket.socket(fileno=os.dup(int(sys.orig_argv[-2]))) as link:
        while link.recv(1 << 16, socket.MSG_PEEK).count(b'"beat"') < 14:
            time.sleep(0.01)
"""


def test_a_slow_start_is_not_taken_for_a_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that does much else would never get one started."""
    (tmp_path / "sitecustomize.py").write_text(_SLOW_START)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    room = Room(0, tmp_path / "0", beat_s=0.25)
    try:
        room.wait(lambda view: view.running, 60)
        assert not any("ended" in said for said in room.sentences)
    finally:
        room.stop()


def test_a_returned_lower_server_catches_up_is_handed_over_and_leads(new_room: NewRoom) -> None:
    higher = new_room(1)
    lower = new_room(0)
    members = (lower.member(), higher.member())
    higher.room.set_members(members, CLUSTER, founding=True)
    higher.wait(lambda view: view.role is ControlRole.PRIMARY)
    higher.set_head(_HEADS[0])
    lower.room.set_members(members, CLUSTER)
    lower.wait(lambda view: view.following == 1)
    lower.wait(lambda view: view.role is ControlRole.PRIMARY, 20)
    assert higher.handovers == [0]
    assert lower.catch_ups[0] == (1, _HEADS[0])
    view = higher.wait(lambda view: view.following == 0)
    assert (view.epoch, view.role) == (2, ControlRole.SECONDARY)


def test_who_took_the_place_of_a_lost_server_begins_far_above_its_terms(
    new_room: NewRoom,
) -> None:
    rooms = [new_room(0), new_room(1)]
    members = tuple(room.member() for room in rooms)
    rooms[0].room.set_members(members, CLUSTER, founding=True, former=1)
    assert rooms[0].wait(lambda view: view.role is ControlRole.PRIMARY).epoch == 100_001


def test_the_term_survives_a_restart_and_is_never_used_again(
    new_room: NewRoom, tmp_path: Path
) -> None:
    rooms = [new_room(0), new_room(1)]
    form_cluster(*rooms)
    rooms[0].wait(lambda view: view.role is ControlRole.PRIMARY)
    port = rooms[0].room.port
    rooms[0].stop()
    rooms[1].stop()
    again = new_room(0, port)
    again.room.set_members((again.member(), rooms[1].member()), CLUSTER)
    view = again.wait(lambda view: view.role is ControlRole.PRIMARY)
    assert view.epoch == 2
    assert ", term 2, alone since " in view.sentence
    assert view.alone_since is not None


def test_a_server_with_another_key_is_a_conflict_and_is_not_known(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1)]
    wrong = Member(rooms[1].id, "127.0.0.1", rooms[1].room.port, identity(7).certificate_b64)
    rooms[0].room.set_members((rooms[0].member(), wrong), CLUSTER)
    view = rooms[0].wait(lambda view: bool(view.peers) and view.peers[0].state == "conflict")
    assert view.peers[0].sentence.endswith("its certificate is not the pinned one")


def test_a_member_that_is_alone_again_says_so(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1)]
    rooms[0].room.set_members((rooms[0].member(), rooms[1].member()), CLUSTER)
    rooms[0].wait(lambda view: any("it says alone" in one.sentence for one in view.peers))


def test_a_removed_member_is_told_and_not_answered(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1), new_room(2)]
    form_cluster(*rooms)
    rooms[2].wait(lambda view: view.following == 0)
    remaining = (rooms[0].member(), rooms[1].member(), rooms[2].member("removed"))
    for room in rooms[:2]:
        room.room.set_members(remaining, CLUSTER)
    rooms[2].wait(lambda view: all("it says removed" in peer.sentence for peer in view.peers))
    rooms[0].wait(lambda view: [peer.id for peer in view.peers] == [1])


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = ControlSettings(
            id=ServerId(0),
            port=port,
            state_dir=tmp_path,
            keys_dir=identity(0).directory,
            address="127.0.0.1",
        )
        with pytest.raises(PortInUse, match=rf"127\.0\.0\.1:{port} cannot be opened"):
            ControlRoom(settings).start()


def test_a_timing_that_breaks_a_rule_is_refused(tmp_path: Path) -> None:
    timing = replace(QUICK, dead_s=0.7)
    settings = ControlSettings(ServerId(0), 0, tmp_path, tmp_path, timing=timing)
    with pytest.raises(SettingsError, match="dead must be at least"):
        ControlRoom(settings).start()


def test_a_damaged_memory_is_named_and_nothing_is_led(new_room: NewRoom, tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "election.json").write_text("{")
    room = new_room(0)
    view = room.wait(lambda view: "election.json" in view.sentence)
    assert not view.running


def test_the_control_process_is_small_and_knows_nothing_of_the_gui_git_or_ssh() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import scheduler.control_process, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    loaded = {name.split(".")[0] for name in said.stdout.split()}
    heavy = {"flask", "jinja2", "bqngui", "dulwich", "git", "paramiko", "sqlite3"}
    assert not loaded & heavy


def test_a_server_that_shall_not_lead_hands_over_and_remembers_it(new_room: NewRoom) -> None:
    rooms = [new_room(number) for number in (0, 1)]
    form_cluster(*rooms)
    rooms[1].wait(lambda view: view.following == 0, 60)
    rooms[0].room.set_eligible(False, "maintenance")
    rooms[1].wait(lambda view: view.role is ControlRole.PRIMARY, 60)
    rooms[0].wait(lambda view: view.following == 1, 60)
    told = rooms[1].wait(lambda view: not view.peers[0].eligible, 60)
    assert told.peers[0].barred == Barred("maintenance")
    assert "shall not lead" in rooms[0].view.sentence
    rooms[0].room.set_eligible(True)
    rooms[0].wait(lambda view: view.role is ControlRole.PRIMARY, 60)
    rooms[0].room.set_eligible(False, "for a moment", time.time() + 0.3)
    rooms[0].wait(lambda view: not view.eligible, 60)
    rooms[0].wait(lambda view: view.eligible, 60)


def test_a_removed_server_is_told_so(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1)]
    told: list[int] = []
    said = threading.Event()

    def removed(by: ServerId) -> None:
        told.append(by)
        said.set()

    rooms[1].room.on_removed = removed
    form_cluster(*rooms)
    rooms[1].wait(lambda view: view.following == 0, 60)
    rooms[0].room.set_members((rooms[0].member(), rooms[1].member("removed")), CLUSTER)
    assert said.wait(60)
    assert told[0] == 0
    assert all(peer.id != 1 for peer in rooms[0].view.peers)


def test_two_servers_with_one_key_do_not_count_and_change_no_role(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1)]
    form_cluster(*rooms)
    rooms[1].wait(lambda view: view.following == 0, 60)
    epoch = rooms[0].view.epoch
    copy = Room(1, rooms[1].state_dir.parent / "copy", timing=QUICK)
    try:
        copy.room.set_members((rooms[0].member(), copy.member()), CLUSTER)
        view = rooms[0].wait(lambda view: view.peers[0].state == "clone", 60)
        assert "cloned, or restored from an old copy" in view.peers[0].sentence
        rooms[1].wait(lambda view: "another server runs with the key" in view.sentence, 60)
        copy.wait(lambda view: "another server runs with the key" in view.sentence, 60)
        assert (rooms[0].view.role, rooms[0].view.epoch) == (ControlRole.PRIMARY, epoch)
    finally:
        copy.stop()


def test_a_server_reached_only_through_another_one_counts(new_room: NewRoom) -> None:
    rooms = [new_room(0), new_room(1), new_room(2)]
    form_cluster(*rooms)
    rooms[2].wait(lambda view: view.following == 0, 60)
    # 0 and 2 have wrong pins of each other's connections, so neither opens one to the other.
    cut = [room.member() for room in rooms]
    nowhere = replace(cut[2], control_port=1)
    rooms[0].room.set_members((cut[0], cut[1], nowhere), CLUSTER)
    rooms[2].room.set_members((replace(cut[0], control_port=1), cut[1], cut[2]), CLUSTER)
    view = rooms[2].wait(lambda view: view.peers[0].state == "indirect", 60)
    assert "only through BQN 1" in view.peers[0].sentence
    assert (view.following, rooms[0].view.role) == (0, ControlRole.PRIMARY)
    rooms[0].wait(lambda view: view.peers[1].state == "indirect", 60)
