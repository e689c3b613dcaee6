"""Two real servers, joined: own state, own sshd, own control process; in this process.

Edge: processes, sockets.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

from configrepo.model import ServerId
from configrepo.parser import read
from configrepo.unify import Take
from scheduler.assembly import Assembly
from scheduler.founding import found_server
from scheduler.settings import load_settings
from scheduler.state_dir import ServerRecord
from scheduler.views import AddForm, Committed, Invitation, Person, Role, Unification
from tests.support.settings_file import free_ports, write_settings

OPERATOR = Person("admin", Role.ADMINISTRATOR, "127.0.0.1", local=True)
_READY_S = 60.0
_EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


class NotReady(Exception):
    """The servers could not be brought together; says at what it stopped."""


@contextmanager
def joined_pair(folder: Path) -> Iterator[tuple[Assembly, Assembly]]:
    """BQN 0 and BQN 1 of the examples in one cluster, ready and complete."""
    with strangers(folder) as (one, other):
        _join(one, other)
        yield one, other


@contextmanager
def strangers(folder: Path) -> Iterator[tuple[Assembly, Assembly]]:
    """BQN 0 and BQN 1 of the examples, started, each alone."""
    with ExitStack() as stack:
        one, other = (_started(folder, number, stack) for number in (0, 1))
        yield one, other


def _started(folder: Path, number: int, stack: ExitStack) -> Assembly:
    state = folder / f"s{number}"
    document = read((_EXAMPLES / f"bqn{number}-v1.conf").read_bytes()).document
    found_server(state, ServerRecord(ServerId(number), f"bqn{number}"), document, _hashed)
    gui, control, ssh = free_ports(3)
    path = folder / f"s{number}.toml"
    write_settings(path, state, gui=gui, control=control, ssh=ssh)
    stopping = threading.Event()
    server = Assembly(load_settings(path), _hashed, stopping)
    server.start()
    stack.callback(server.stop)
    stack.callback(stopping.set)
    return server


def _join(one: Assembly, other: Assembly) -> None:
    form = AddForm(other.me, "127.0.0.1", "127.0.0.1", other.settings.ssh.port, other.control_port)
    invitation = one.desk.invite(OPERATOR, form)
    if not isinstance(invitation, Invitation):
        raise NotReady(invitation.sentence)
    other.desk.join(OPERATOR, invitation.code, None, "127.0.0.1", other.settings.ssh.port)
    wait_until("the server knocks", lambda: _stage(one) == "knocking")
    unification = one.desk.accept(OPERATOR)
    if not isinstance(unification, Unification):
        raise NotReady(str(unification))
    unified(one, other, unification)


def unified(one: Assembly, other: Assembly, unification: Unification) -> None:
    """Commit the unification of a joiner that was accepted, and wait until both are ready."""
    _unify(one, unification)
    for server in (one, other):
        wait_until("both are ready", lambda server=server: _ready(server))  # type: ignore[misc]


def _unify(one: Assembly, unification: Unification) -> None:
    rows = unification.proposal.rows
    answers = {row.id: Take("joiner") for row in rows if row.group == "disagreement"}
    seen = frozenset(row.id for row in rows if row.group == "changes-running")
    one.desk.answer(OPERATOR, answers, seen)
    outcome = one.desk.commit_unification(OPERATOR, "Unify", uuid.uuid4().hex)
    if not isinstance(outcome, Committed):
        raise NotReady(str(outcome))


def _stage(one: Assembly) -> str:
    invitation = one.desk.invitation()
    return "" if invitation is None else invitation.stage


def _ready(server: Assembly) -> bool:
    overview = server.desk.overview()
    return overview.state == "ready" and overview.status == "complete"


def wait_until(what: str, held: Callable[[], bool]) -> None:
    """Look every 50 ms.

    Raises:
        NotReady: it did not come in time.
    """
    until = monotonic() + _READY_S
    while not held():
        if monotonic() > until:
            raise NotReady(f"waited {_READY_S:.0f} s in vain until {what}")
        threading.Event().wait(0.05)


def _hashed(_: str) -> str:
    return "$argon2id$bench"
