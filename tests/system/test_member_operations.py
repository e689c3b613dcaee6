"""Whole servers in one cluster: removed, renamed, moved, switched over, and on their own again."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from configrepo.cluster_settings import cluster_settings
from configrepo.errors import UnknownKey
from configrepo.members import Member, SeenFrom
from configrepo.model import ServerId
from configrepo.store import CommitId
from scheduler.assembly import Assembly
from scheduler.authorized_keys import Verb
from scheduler.changes import CLUSTER, line_of
from scheduler.errors import KeyRefused, SchedulerError
from scheduler.operations_seam import (
    ChangeAddress,
    ChangeId,
    Operation,
    PauseAutomation,
    Preview,
    Remove,
    ResumeAutomation,
    Switchover,
)
from scheduler.reactions import target_of
from scheduler.ssh import SshPool
from scheduler.sshd import account
from scheduler.views import AddForm, Committed, Invitation, Person, Refused, Unification
from tests.support.live_cluster import ADMIN, ANNA, DEADLINE_S, LiveCluster, wait

pytestmark = pytest.mark.system
SNMP = "common/snmp.conf"
_log = logging.getLogger(__name__)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LiveCluster]:
    made = LiveCluster(tmp_path, 3)
    made.start(0, 1, 2)
    made.ready(0, 1, 2)
    yield made
    made.close()


def done(
    server: Assembly, operation: Operation, person: Person = ADMIN, request_id: str = ""
) -> Committed:
    """Look at an operation and do it; sent twice it is done once."""
    operations = server.desk.operations
    shown = operations.preview(person, operation)
    assert isinstance(shown, Preview), shown
    request_id = request_id or uuid4().hex
    outcome = operations.carry_out(person, operation, shown.comparison.head, request_id)
    assert isinstance(outcome, Committed), outcome
    if getattr(operation, "server", None) != server.me:
        again = operations.carry_out(person, operation, shown.comparison.head, request_id)
        assert isinstance(again, Committed), again
        assert again.repeated
        assert again.revision == outcome.revision
    return outcome


def token(cluster: LiveCluster, number: int) -> str:
    """The sealed community of a server's newest configuration."""
    return cluster.files(number)[SNMP].split("community ")[1].split()[0]


def opens(server: Assembly, sealed: str) -> bool:
    """Whether a server's keyring opens that token."""
    try:
        return server.vault.open(SNMP, "community", sealed) == "public-secret"
    except UnknownKey:
        return False


def alone(server: Assembly) -> bool:
    """Whether it left its cluster and runs what it ran."""
    overview = server.desk.overview()
    return not overview.clustered and overview.status == "complete"


def refused_everywhere(leaver: Assembly, rest: list[Member]) -> bool:
    """Whether these members take neither the certificate nor the SSH key of a server any more."""
    return all(_no_request(leaver, member) and _no_login(leaver, member) for member in rest)


def _no_request(leaver: Assembly, member: Member) -> bool:
    try:
        leaver.rpc_client.call(member, "/report", {}, 10.0)
    except SchedulerError:
        return True
    return False


def _no_login(leaver: Assembly, member: Member) -> bool:
    ssh = SshPool(leaver.identity.private_key, account())
    with closing(ssh):
        try:
            ssh.open_command(target_of(member), Verb.UPLOAD).close()
        except KeyRefused:
            return True
    return False


def test_the_keys_of_a_removed_server_stop_at_once_wherever_it_can_be_reached(
    cluster: LiveCluster,
) -> None:
    """`pytest --log-cli-level=INFO` shows how long it took."""
    leaver, rest = cluster[2], [cluster.records(0)[number] for number in (0, 1)]
    assert not any(_no_request(leaver, member) or _no_login(leaver, member) for member in rest)
    told = threading.Event()
    hear = leaver.control.on_removed

    def heard(by: ServerId) -> None:
        told.set()
        hear(by)

    leaver.control.on_removed = heard
    began = time.monotonic()
    done(cluster[0], Remove(ServerId(2)))
    wait(lambda: refused_everywhere(leaver, rest))
    _log.info("its keys had stopped everywhere after %.2f s", time.monotonic() - began)
    assert told.wait(DEADLINE_S)
    wait(lambda: alone(leaver), leaver.desk.overview)
    _log.info("it was told and alone after %.2f s", time.monotonic() - began)


def test_a_removed_server_is_refused_told_and_knows_no_new_secret(cluster: LiveCluster) -> None:
    old = token(cluster, 0)
    leaver = cluster[2]
    ran = (leaver.state.path / "running.conf").read_bytes()
    outcome = done(cluster[0], Remove(ServerId(2)))
    assert "BQN 1" in outcome.sentence
    wait(lambda: alone(leaver), leaver.desk.overview)
    wait(lambda: cluster.records(1)[2].state == "removed")
    cluster.ready(0, 1)

    for number in (0, 1):
        server = cluster[number]
        assert leaver.identity.ssh_public.split()[1] not in server.authorized_keys.read_text()
        assert ServerId(2) not in server.doors.pins()
        assert cluster.records(number)[2].state == "removed"
        assert not [path for path in cluster.files(number) if path.startswith("servers/2/")]
        new = token(cluster, number)
        assert new != old
        assert new.split(":")[2] == cluster_settings(cluster.files(number)).sealing_key
        assert opens(server, old)
        assert opens(server, new)
        assert not opens(leaver, new)
        with pytest.raises(SchedulerError):
            leaver.rpc_client.call(cluster.records(number)[number], "/keyring", {}, 10.0)
        target = target_of(cluster.records(number)[number])
        ssh = SshPool(leaver.identity.private_key, account())
        with closing(ssh), pytest.raises(KeyRefused):
            ssh.open_command(target, Verb.UPLOAD)

    assert "removed from the cluster" in leaver.desk.overview().alarms[-1]
    assert leaver.store.ref(CLUSTER) is None
    assert leaver.store.refs("refs/former/")
    assert (leaver.state.path / "running.conf").read_bytes() == ran
    body = cluster[0].store.revision(CommitId(outcome.revision)).message
    assert f"{SNMP} community" in body


def test_a_dead_server_is_removed_and_told_when_it_returns(cluster: LiveCluster) -> None:
    cluster.stop(2)
    wait(lambda: cluster[0].desk.overview().state == "degraded")
    done(cluster[0], Remove(ServerId(2)))
    cluster.ready(0, 1)
    cluster.start(2)
    back = cluster[2]
    wait(lambda: alone(back), back.desk.overview)
    assert not opens(back, token(cluster, 0))
    assert "BQN 0" in back.desk.overview().alarms[-1]
    assert cluster[0].desk.overview().state == "ready"
    # On its own it is a whole server again: it commits, and its keys are its own.
    back.desk.edit(ADMIN, "common/ntp.conf", "ntp\n server 192.0.2.7\n")
    assert isinstance(back.desk.commit(ADMIN, "Own clock", uuid4().hex, {}), Committed)
    assert not opens(cluster[0], token(cluster, 2))
    git = ["git", "-C", str(cluster[0].store.path)]
    signers = cluster[0].state.path / "signers"
    signers.write_text(cluster.files(0)["cluster/allowed_signers"])
    with_signers = ["-c", f"gpg.ssh.allowedSignersFile={signers}"]
    subprocess.run([*git, "fsck", "--strict"], check=True, capture_output=True)
    subprocess.run([*git, *with_signers, "verify-commit", CLUSTER], check=True, capture_output=True)


def test_a_server_is_moved_led_renamed_and_leaves(cluster: LiveCluster) -> None:
    record = cluster.records(0)[1]
    seen = (SeenFrom(ServerId(0), "localhost"),)
    ports = (record.ssh_port, record.control_port)
    done(cluster[0], ChangeAddress(ServerId(1), record.address, *ports, seen))
    wait(lambda: cluster.records(2)[1].seen_from == seen)
    assert [m.address for m in cluster[0].roster.active()][1] == "localhost"
    assert [m.address for m in cluster[2].roster.active()][1] == record.address
    cluster.ready(0, 1, 2)

    told = cluster[1].desk.operations.preview(ANNA, Remove(ServerId(0)))
    assert isinstance(told, Refused)
    assert "Switch over to another server first" in told.sentence
    switchover, request_id = Switchover(ServerId(1), "new power supply"), uuid4().hex
    revision = done(cluster[0], switchover, ADMIN, request_id).revision
    wait(lambda: cluster[2].desk.overview().primary == 1, cluster[2].desk.overview)
    cluster.ready(0, 1, 2)
    again = cluster[0].desk.operations.carry_out(ADMIN, switchover, "0" * 40, request_id)
    assert isinstance(again, Committed), again
    assert (again.revision, again.repeated) == (revision, True)
    wait(lambda: "new power supply" in " ".join(cluster[2].desk.overview().alarms))

    # From the server itself, which is a secondary now: made by the primary, then followed.
    mine = cluster[0].desk.operations.carry_out(ADMIN, Remove(ServerId(0)), "0" * 40, "x")
    assert isinstance(mine, Refused)
    assert "no administrator at the primary" in mine.sentence
    renamed = done(cluster[0], ChangeId(ServerId(0), ServerId(9)), ANNA)
    assert cluster[1].store.revision(CommitId(renamed.revision)).trailers["Through"] == "0"
    wait(lambda: cluster[0].restarting)
    cluster.stop(0)
    cluster.start(0)
    cluster.ready(0, 1, 2)
    assert cluster[0].me == 9
    assert [server.id for server in cluster[1].desk.overview().servers] == [1, 2, 9]
    assert "servers/9/hostname.conf" in cluster.files(1)

    done(cluster[1], PauseAutomation("fibre", "2026-01-01T00:00:00Z"))
    wait(lambda: "Reminder" in " ".join(cluster[2].desk.overview().alarms))
    done(cluster[2], ResumeAutomation(), ANNA)
    wait(lambda: cluster[0].desk.operations.pause() is None)
    done(cluster[0], Remove(ServerId(9)), ANNA)
    wait(lambda: alone(cluster[0]), cluster[0].desk.overview)
    done(cluster[1], Remove(ServerId(2)))
    wait(lambda: alone(cluster[2]), cluster[2].desk.overview)
    cluster.ready(1)
    cluster[1].desk.edit(ADMIN, "common/ntp.conf", "ntp\n server 192.0.2.7\n")
    assert isinstance(cluster[1].desk.commit(ADMIN, "The last one", uuid4().hex, {}), Committed)


def test_other_hardware_takes_the_place_of_a_dead_server(
    cluster: LiveCluster, tmp_path: Path
) -> None:
    inviter, line = cluster[0], line_of(ServerId(2))
    old_line = inviter.store.ref(line)
    old_key = cluster.records(0)[2].ssh_key
    old_token = token(cluster, 0)
    seat = cluster.add_hardware(tmp_path / "new", 2)
    cluster.start(seat)
    box = cluster[seat]
    ports = (box.settings.ssh.port, box.control_port)
    form = AddForm(ServerId(2), "127.0.0.1", "127.0.0.1", *ports, replaces=True)
    told = inviter.desk.invite(ADMIN, form)
    assert isinstance(told, Refused)
    assert "answers" in told.sentence
    cluster.stop(2)
    wait(lambda: inviter.desk.overview().state == "degraded")
    assert isinstance(inviter.desk.invite(ADMIN, replace(form, replaces=False)), Refused)

    invitation = inviter.desk.invite(ADMIN, form)
    assert isinstance(invitation, Invitation)
    box.desk.join(ADMIN, invitation.code, None, "127.0.0.1", ports[0])
    wait(lambda: getattr(inviter.desk.invitation(), "stage", "") == "knocking")
    accepted = inviter.desk.accept(ADMIN)
    assert isinstance(accepted, Unification), accepted
    assert accepted.open_rows == ()
    assert (SNMP, "community") in accepted.secrets
    committed = inviter.desk.commit_unification(ADMIN, "Replace", uuid4().hex)
    assert isinstance(committed, Committed)
    assert f"{SNMP} community" in inviter.store.revision(CommitId(committed.revision)).message
    wait(lambda: box.roster.member(ServerId(2)) is not None, box.desk.join_progress)
    cluster.ready(0, 1, seat)

    new_line = inviter.store.ref(line)
    assert old_line is not None
    assert new_line is not None
    assert old_line in inviter.store.revision(new_line).parents
    record = cluster.records(1)[2]
    assert record.ssh_key == box.identity.ssh_public
    assert [former.ssh_key for former in record.former_keys] == [old_key]
    assert "hostname bqn2" in cluster.files(seat)["servers/2/hostname.conf"]
    assert cluster.files(seat)[SNMP] == cluster.files(0)[SNMP]
    assert token(cluster, 0) != old_token
    assert opens(box, token(cluster, 0))
    cluster.start(2)
    wait(lambda: alone(cluster[2]), cluster[2].desk.overview)
    assert not opens(cluster[2], token(cluster, 0))
    assert inviter.desk.overview().state == "ready"


def test_a_server_that_was_renamed_while_it_was_away_follows_when_it_is_back(
    cluster: LiveCluster,
) -> None:
    cluster.stop(2)
    wait(lambda: cluster[0].desk.overview().state == "degraded")
    done(cluster[0], ChangeId(ServerId(2), ServerId(7)))
    cluster.start(2)
    wait(lambda: cluster[2].restarting)
    cluster.stop(2)
    cluster.start(2)
    cluster.ready(0, 1, 2)
    assert cluster[2].me == 7
