"""The doctor over real RPC: every pair, from every server; one run; kept; cancelled."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from configrepo.members import Member, SeenFrom
from configrepo.model import ServerId
from scheduler.doctor import Doctor
from scheduler.findings import Finding, Standpoint
from scheduler.probing import Probing
from scheduler.rpc import RpcServer
from scheduler.rpc_client import RpcClient
from scheduler.views import Person, Reach, Refused, Role
from tests.support.front_door import FrontDoor
from tests.support.identities import identity
from tests.support.sshd import public_line

OTTO = Person("otto", Role.OPERATOR, "192.0.2.9")
NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)


class CannedProbe:
    """Finds what the test says; otherwise everything is fine."""

    def __init__(self) -> None:
        self.found: dict[tuple[int, int], Finding] = {}
        self.open = threading.Event()
        self.open.set()

    def of(self, me: int) -> OneProbe:
        return OneProbe(self, me)


class OneProbe:
    """The probe of one server."""

    def __init__(self, world: CannedProbe, me: int) -> None:
        self.world, self.me = world, me

    def control(self, member: Member, cluster: str | None) -> Finding:
        assert self.world.open.wait(60)
        return self.world.found.get((self.me, member.id), Finding("ok", 1))

    def ssh(self, member: Member) -> Finding:
        return Finding("ok", 1)


class Servers:
    """Some servers with real RPC between them; the doctor runs at BQN 0."""

    def __init__(self, count: int, folder: Path) -> None:
        self.stack = contextlib.ExitStack()
        self.probe = CannedProbe()
        self.folder = folder
        self.audited: list[tuple[str, str]] = []
        self.members: tuple[Member, ...] = ()
        self.routes: dict[int, dict[str, Any]] = {}
        doors = []
        pins = {ServerId(n): identity(n).certificate_b64 for n in range(count)}
        for number in range(count):
            probing = Probing(
                ServerId(number),
                self.member,
                lambda: "c" * 32,
                self.probe.of(number),
                lambda _: Standpoint(),
            )
            self.stack.callback(probing.close)
            self.routes[number] = {"/doctor": probing.answer}
            rpc = RpcServer(identity(number), lambda: pins, self.routes[number])
            self.stack.callback(rpc.stop)
            door = FrontDoor(rpc.accept)
            self.stack.callback(door.close)
            doors.append(door)
        self.members = tuple(
            Member(
                ServerId(n),
                f"bqn{n}",
                "127.0.0.1",
                22,
                door.port,
                identity(n).certificate_b64,
                public_line(identity(n).private_key),
                public_line(identity(n).private_key),
                seen_from=(SeenFrom(ServerId(9), "192.0.2.1"),),
            )
            for n, door in enumerate(doors)
        )
        self.client = RpcClient(identity(0))
        self.stack.callback(self.client.close)
        self.stack.callback(self.probe.open.set)

    def member(self, server: ServerId) -> Member | None:
        return next((m for m in self.members if m.id == server), None)

    def doctor(self) -> Doctor:
        def call(
            member: Member, route: str, body: Mapping[str, Any], timeout_s: float
        ) -> dict[str, Any]:
            return self.client.call(member, route, dict(body), timeout_s)

        def check(address: str, control_port: int, ssh_port: int) -> tuple[Reach, ...]:
            return (Reach("BQN 0", address, "SSH", address, ssh_port, True, "ok", "fine"),)

        own = self.routes[0]["/doctor"]
        path = self.folder / "doctor.json"
        doctor = Doctor(
            ServerId(0),
            path,
            lambda: self.members,
            call,
            own,
            check,
            lambda person, action, result: self.audited.append((action, result)),
            lambda: NOW,
        )
        self.stack.callback(doctor.close)
        return doctor


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(3, tmp_path)
    with servers.stack:
        yield servers


def test_every_pair_is_tried_from_every_server(three: Servers) -> None:
    three.probe.found[1, 2] = Finding("filtered", 4000)
    doctor = three.doctor()
    assert doctor.view().stage == "none"
    assert doctor.start(OTTO) is None
    assert doctor.wait(60)
    view = doctor.view()
    assert (view.stage, view.done, view.total, view.by) == ("done", 6, 6, "otto")
    assert view.diagnosis.ok == 5
    (line,) = view.diagnosis.lines
    assert line.sentence.startswith("BQN 1 does not reach BQN 2 on its control port")


def test_the_result_outlives_a_restart(three: Servers) -> None:
    three.probe.found[2, 0] = Finding("wrong identity", 3)
    three.probe.found[0, 1] = Finding("filtered", 4000)
    doctor = three.doctor()
    doctor.start(OTTO)
    doctor.wait(60)
    doctor.close()
    kept = json.loads((three.folder / "doctor.json").read_text())
    for rows in (kept["rows"], kept["rows"][::-1]):  # in whatever order the answers came
        (three.folder / "doctor.json").write_text(json.dumps({**kept, "rows": rows}))
        assert three.doctor().view() == doctor.view()


@pytest.mark.parametrize("text", ["{", '{"run": 1}', '{"members": ["a"]}', '{"members": {"x": 1}}'])
def test_a_damaged_result_counts_as_none(three: Servers, text: str) -> None:
    (three.folder / "doctor.json").write_text(text)
    assert three.doctor().view().stage == "none"


def test_one_run_at_a_time_with_its_progress_and_a_way_to_end_it(three: Servers) -> None:
    three.probe.open.clear()
    doctor = three.doctor()
    assert doctor.start(OTTO) is None
    view = doctor.view()
    assert (view.stage, view.done, view.total) == ("running", 0, 6)
    refused = doctor.start(OTTO)
    assert isinstance(refused, Refused)
    doctor.cancel(OTTO)
    three.probe.open.set()
    assert doctor.view().stage == "cancelled"
    assert doctor.view().diagnosis.untried == 6
    doctor.close()
    assert doctor.start(OTTO) is None
    assert doctor.wait(60)
    assert doctor.view().diagnosis.ok == 6


def test_a_server_that_cannot_be_asked_is_told_with_the_cause(three: Servers) -> None:
    gone = three.members[2]
    with contextlib.closing(FrontDoor(lambda *_: None)) as door:
        free = door.port
    three.members = (
        *three.members[:2],
        Member(gone.id, gone.name, gone.address, 22, free, gone.certificate, "", ""),
    )
    doctor = three.doctor()
    doctor.start(OTTO)
    assert doctor.wait(60)
    view = doctor.view()
    assert (view.done, view.diagnosis.untried) == (6, 2)
    (line,) = view.diagnosis.lines
    assert (line.what, line.cause) == ("doctor", "refused")


def test_another_release_without_a_doctor_is_told_as_version(three: Servers) -> None:
    three.routes[1].clear()
    doctor = three.doctor()
    doctor.start(OTTO)
    assert doctor.wait(60)
    assert [line.cause for line in doctor.view().diagnosis.lines] == ["version"]


@pytest.mark.parametrize("answer", [{}, {"rows": [[9]]}, {"rows": [[0]] * 300}, {"rows": [None]}])
def test_a_member_that_answers_nonsense_spoils_only_its_own_row(
    three: Servers, answer: dict[str, Any]
) -> None:
    three.routes[1]["/doctor"] = lambda asker, body: answer
    doctor = three.doctor()
    doctor.start(OTTO)
    assert doctor.wait(60)
    diagnosis = doctor.view().diagnosis
    assert (diagnosis.ok, diagnosis.untried) == (4, 2)


def test_alone_there_is_nothing_to_try(three: Servers) -> None:
    three.members = three.members[:1]
    doctor = three.doctor()
    assert isinstance(doctor.start(OTTO), Refused)
    assert doctor.check_address(OTTO, "192.0.2.1", 63500, 22)[0].ok
    assert three.audited == [("connectivity doctor: try 192.0.2.1", "SSH ok")]


def test_a_run_that_could_not_begin_keeps_nobody_from_beginning_one(three: Servers) -> None:
    doctor = three.doctor()
    before = threading.stack_size(1 << 46)  # no thread can be made with that
    try:
        with pytest.raises(RuntimeError):
            doctor.start(OTTO)
    finally:
        threading.stack_size(before)
    assert doctor.view().stage == "none"
    assert doctor.start(OTTO) is None
    assert doctor.wait(60)
    assert doctor.view().stage == "done"
    doctor.close()
