"""Tries whether this server reaches another member: its control port and its SSH.

The control port is tried by a new connection with both certificates pinned and a request
on it, as every change that is forwarded needs it; its time is that of a second request on
the same connection. Whoever shows another certificate is asked who it is over the lane
for strangers, so that a wrong forwarding is told from a wrong key. SSH is tried up to the
gate's answer.

Edge: sockets.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

from configrepo.members import Member
from scheduler import causes
from scheduler.connectivity import Expected, judged
from scheduler.errors import RemoteRefused, SchedulerError, UnknownRoute, Unreachable, WrongIdentity
from scheduler.findings import Finding, Standpoint, printable
from scheduler.identity import Identity
from scheduler.rpc_client import RpcClient, call_join
from scheduler.ssh import probe_ssh

ROUTE = "/probe"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a check may take, and from when an answer counts as too slow, in seconds."""

    control_s: float = 4.0
    ssh_s: float = 5.0
    slow_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Prober:
    """Tries other members with the keys of this server; `user` is the SSH account there."""

    identity: Identity
    user: str
    limits: Limits = Limits()

    def control(self, member: Member, cluster: str | None) -> Finding:
        """Whether the member answers on its control port."""
        expected = Expected(member.id, cluster=cluster)
        client = RpcClient(self.identity)
        began = time.monotonic()
        try:
            client.call(member, ROUTE, {}, self.limits.control_s)
            began = time.monotonic()
            answer = client.call(member, ROUTE, {}, self.limits.control_s)
        except WrongIdentity:
            return self._who(member, expected)
        except UnknownRoute as error:
            return Finding(causes.VERSION, _since(began), printable(str(error)))
        except Unreachable as error:
            return Finding(error.cause, _since(began))
        except RemoteRefused as error:
            return Finding(causes.NO_ANSWER, _since(began), printable(str(error)))
        finally:
            client.close()
        took_s = time.monotonic() - began
        cause, detail = judged(expected, answer, time.time())
        if cause == causes.OK and took_s > self.limits.slow_s:
            cause, detail = causes.TOO_SLOW, f"an answer took {took_s:.1f} s"
        return Finding(cause, round(took_s * 1000), detail)

    def _who(self, member: Member, expected: Expected) -> Finding:
        """Who answers there with another certificate than the pinned one."""
        began = time.monotonic()
        try:
            answer, _ = call_join(
                member.address, member.control_port, None, ROUTE, {}, self.limits.control_s
            )
        except SchedulerError:
            return Finding(causes.WRONG_IDENTITY, _since(began))
        cause, detail = judged(expected, answer, time.time())
        if cause in causes.REACHED:
            cause, detail = causes.WRONG_IDENTITY, ""
        return Finding(cause, _since(began), detail)

    def ssh(self, member: Member) -> Finding:
        """Whether the member's SSH shows the pinned key, lets this server in, to the gate."""
        found = self._ssh(member)
        if found.cause in (causes.NOT_OUR_PROGRAM, causes.NO_ANSWER):
            # sshd drops connections when many come at once; the second try decides.
            found = self._ssh(member)
        return found

    def _ssh(self, member: Member) -> Finding:
        began = time.monotonic()
        probe = probe_ssh(
            member.address,
            member.ssh_port,
            self.identity.private_key,
            self.user,
            member.ssh_host_key,
            self.limits.ssh_s,
        )
        return Finding(probe.cause, _since(began))


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def standpoint(dialled: Iterable[str], towards: str) -> Standpoint:
    """Where this server stands: its own address towards another, and which are translated.

    Args:
        dialled: the addresses at which the others dial this server.
        towards: the address of the server that asks.
    """
    foreign = sorted({address for address in dialled if not _is_own(address)})
    return Standpoint(_inside(towards), tuple(foreign))


def _inside(towards: str) -> str:
    with contextlib.suppress(OSError, UnicodeError):
        family = socket.AF_INET6 if ":" in towards else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.connect((towards, 9))  # a datagram socket only looks up the route
            return str(trial.getsockname()[0])
    return ""


def _is_own(address: str) -> bool:
    """Whether an interface of this machine has the address; True where that is unknown."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_DGRAM)[0]
    except (OSError, UnicodeError):
        return True
    with socket.socket(family, kind) as trial:
        try:
            trial.bind(place)
        except OSError:
            return False
    return True
