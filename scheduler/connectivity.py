"""Whether this server reaches another one: the control port and SSH, each with the cause.

A check of the control port is a whole conversation (TCP, TLS, the probe of the join
lane), because a port that accepts may belong to something else: a forwarding to the
wrong server, another cluster, another program. Each result names the cause in a word,
says it in a sentence, and tells what to do with the rule to add.

Edge: sockets.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from scheduler import causes
from scheduler.errors import RemoteRefused, SchedulerError, Unreachable, WrongIdentity
from scheduler.messages import PROTOCOL
from scheduler.rpc_client import call_join
from scheduler.ssh import probe_ssh
from scheduler.state_dir import RELEASE
from scheduler.views import Reach

CONTROL = "control port"
SSH = "SSH"
PRODUCT = "bqn-cluster-manager"

# A clock that is wrong harms nothing, but logs of two servers are hard to read together.
CLOCK_OFF_S = 60.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known already of the server that should answer; None where nothing is.

    `fingerprint` is the SHA-256 of its certificate in hexadecimal. `cluster` is the
    cluster that it may belong to; a server that belongs to none is always right.
    """

    id: ServerId | None = None
    fingerprint: str | None = None
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in over SSH: this server's key, the account, the pinned host key."""

    key: Ed25519PrivateKey
    user: str
    host_key: str


def addresses_of(address: str) -> frozenset[str]:
    """The IP addresses of an address or name; none if the name is not known."""
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    return frozenset(str(place[4][0]) for place in found)


def check_tcp(
    source: str, target: str, address: str, port: int, what: str = CONTROL, timeout_s: float = 3.0
) -> Reach:
    """Whether a TCP connection can be opened."""
    place = _Place(source, target, what, address, port)
    try:
        socket.create_connection((address, port), timeout_s).close()
    except (OSError, UnicodeError) as error:
        return place.failed(causes.cause_of(error))
    return place.reached(f"{target} accepts connections on TCP {port}")


def check_control(
    source: str,
    target: str,
    address: str,
    port: int,
    expected: Expected | None = None,
    timeout_s: float = 5.0,
) -> Reach:
    """Whether the right server answers on its control port.

    Args:
        source: the name of this server, for the sentence.
        target: the name of the other one.
        address: where it should be.
        port: its control port.
        expected: what is known of it already.
        timeout_s: for all of it.
    """
    place = _Place(source, target, CONTROL, address, port)
    expected = expected or Expected()
    try:
        answer, _ = call_join(address, port, expected.fingerprint, "/probe", {}, timeout_s)
    except WrongIdentity:
        return place.failed(causes.WRONG_IDENTITY)
    except Unreachable as error:
        return place.failed(error.cause)
    except RemoteRefused as error:
        return place.failed(causes.NO_ANSWER, str(error))
    except SchedulerError:
        return place.failed(causes.NOT_OUR_PROGRAM)
    return _judge(place, expected, answer)


def check_ssh(
    source: str,
    target: str,
    address: str,
    port: int,
    login: Login | None = None,
    timeout_s: float = 5.0,
) -> Reach:
    """Whether SSH answers, and with a login also that it is ours and its gate is there."""
    place = _Place(source, target, SSH, address, port)
    # Without a pinned host key nothing is sent, so any key does.
    key = Ed25519PrivateKey.generate() if login is None else login.key
    user, host_key = ("bqn", None) if login is None else (login.user, login.host_key)
    found = probe_ssh(address, port, key, user, host_key, timeout_s)
    if found.cause == causes.OK:
        return place.reached(f"{target} answers over SSH on TCP {port}")
    return place.failed(found.cause, found.sentence if found.cause in _SSH_ONLY else "")


_SSH_ONLY = {causes.WRONG_KEY, causes.GATE_MISSING}
_SSH_ADVICE = {
    causes.WRONG_IDENTITY: (
        "The host key at {address} is not the pinned one. If it was reinstalled, remove it from "
        "the cluster and add it again; if not, TCP {port} leads to another machine"
    ),
}


def check_both(
    source: str, target: str, address: str, ports: tuple[int, int], expected: Expected
) -> tuple[Reach, Reach]:
    """The control port and SSH of a server that is no member yet; `ports` in that order."""
    control_port, ssh_port = ports
    return (
        check_control(source, target, address, control_port, expected),
        check_ssh(source, target, address, ssh_port),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """What is checked, and how a result about it is said."""

    source: str
    target: str
    what: str
    address: str
    port: int

    def reached(self, sentence: str) -> Reach:
        return self._reach(causes.OK, f"{self.source}: {sentence}.", "")

    def failed(self, cause: str, detail: str = "") -> Reach:
        reason = detail or causes.said(cause)
        sentence = (
            f"{self.source} does not reach {self.target} on its {self.what} "
            f"({self.address}, TCP {self.port}): {reason}."
        )
        advice = causes.advice(cause, self.address, self.port, self.what)
        if self.what == SSH and cause in _SSH_ADVICE:
            advice = _SSH_ADVICE[cause].format(address=self.address, port=self.port)
        return self._reach(cause, sentence, advice)

    def noted(self, cause: str, sentence: str) -> Reach:
        """Reached, with something that is worth a look."""
        return self._reach(cause, sentence, causes.advice(cause, self.address, self.port))

    def _reach(self, cause: str, sentence: str, advice: str) -> Reach:
        return Reach(
            source=self.source,
            target=self.target,
            what=self.what,
            address=self.address,
            port=self.port,
            ok=cause in causes.REACHED,
            cause=cause,
            sentence=sentence,
            advice=advice,
        )


def _judge(place: _Place, expected: Expected, answer: dict[str, Any]) -> Reach:
    """Whether whoever answered the probe is who should answer."""
    cause, detail = judged(expected, answer, time.time())
    if cause not in causes.REACHED:
        return place.failed(cause, detail)
    said = f"{place.target} answers on its control port, release {answer.get('version', '?')}"
    if cause == causes.OK:
        return place.reached(said)
    note = f"{place.source}: {said}; {detail} (harmless, but check NTP)."
    return place.noted(cause, note)


def judged(expected: Expected, answer: Mapping[str, Any], now: float) -> tuple[str, str]:
    """The cause and a few words about who answered the probe; `now` is the wall clock."""
    if answer.get("product") != PRODUCT:
        return causes.NOT_OUR_PROGRAM, ""
    cluster = answer.get("cluster")
    if expected.cluster is not None and cluster not in (None, expected.cluster):
        return causes.OTHER_CLUSTER, ""
    if expected.id is not None and answer.get("id") != expected.id:
        found = str(answer.get("id"))[:12]
        return causes.OTHER_SERVER, f"BQN {found} answers there, not BQN {expected.id}"
    protocols = answer.get("protocols", [PROTOCOL, PROTOCOL])
    if not _speaks(protocols):
        return causes.VERSION, (
            f"release {str(answer.get('version'))[:40]} there and {RELEASE} here have no "
            f"protocol in common"
        )
    theirs = answer.get("time")
    if isinstance(theirs, int | float) and abs(theirs - now) >= CLOCK_OFF_S:
        return causes.CLOCK_FAR_OFF, f"its clock differs by {abs(theirs - now) / 60:.0f} min"
    return causes.OK, ""


def _speaks(protocols: object) -> bool:
    match protocols:
        case [int(lowest), int(highest)]:
            return lowest <= PROTOCOL <= highest
    return False
