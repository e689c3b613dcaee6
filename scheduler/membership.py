"""Joining, as the pages ask for it: invite, accept, join; checks come first.

Rules:
1. The first cluster is made from the lower id: it will lead. Later the primary invites.
2. Nothing is opened before both ports of the other server were tried; what was found is
   shown whatever it is, since the other side may not be set up yet.
3. What a page shows of a running join lives in `Inviting` and `Joining`.

4. Without a code the same checks come first; the address given here is the only one from
   which the other server is met, and both persons confirm what they compared.

Core: the network is behind callables.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.store import CommitId
from scheduler.connectivity import Expected
from scheduler.errors import JoinRefused, SchedulerError
from scheduler.inviting import Inviting, new_secret
from scheduler.joincode import JoinCode, read_code
from scheduler.joining import Joining
from scheduler.submission import Submission
from scheduler.unifying import Unifying
from scheduler.views import (
    AddForm,
    Invitation,
    JoinProgress,
    Person,
    Reach,
    Refused,
    Role,
    Unification,
)

ENTERS_WITHIN_S = 15.0
TAKES_OVER_TRIES = 10
CONTROL_PORT = 63500


class Check(Protocol):
    """Tries both ports of a server, from here."""

    def __call__(
        self, source: str, target: str, address: str, ports: tuple[int, int], expected: Expected
    ) -> tuple[Reach, ...]:
        """One result per port (control port, SSH)."""
        ...


@dataclass(frozen=True, slots=True)
class Self:
    """What this server knows of itself without the address that others use for it."""

    id: ServerId
    record: Callable[[str, int], Member]
    cluster_id: Callable[[], str | None]
    keep_cluster_id: Callable[[str], None]
    control_fingerprint: str
    ssh_fingerprint: str


class Membership:
    """Joining for the pages."""

    def __init__(
        self,
        myself: Self,
        inviting: Inviting,
        joining: Joining,
        unifying: Unifying,
        submission: Submission,
        members: Callable[[], tuple[Member, ...]],
        check: Check,
        addresses: Callable[[str], frozenset[str]],
        fetch_line: Callable[[Member], CommitId],
        ssh_port: int,
        control_port: int,
        alive: Callable[[], frozenset[ServerId]] = frozenset,
        pause: Callable[[float], bool] = lambda _: True,
    ) -> None:
        self._me = myself
        self._inviting = inviting
        self._joining = joining
        self._unifying = unifying
        self._submission = submission
        self._members = members
        self._check = check
        self._addresses = addresses
        self._fetch_line = fetch_line
        self._ssh_port = ssh_port
        self._control_port = control_port
        self._alive = alive
        self._pause = pause
        self._own_address = ""

    def own_record(self) -> Member:
        """This server's record: as the cluster knows it, else with the address last given."""
        known = next((m for m in self._members() if m.id == self._me.id), None)
        if known is not None:
            return known
        admitted_form = self._inviting.view()
        address = admitted_form.form.own_address if admitted_form else self._own_address
        return self._me.record(address, self._ssh_port)

    def invite(self, person: Person, form: AddForm) -> Invitation | Refused:
        """See `Desk.invite`."""
        refusal = self._cannot_invite(person, form)
        if refusal is not None:
            return Refused(refusal)
        sources = self._addresses(form.other_address) if form.by_hand else frozenset()
        if form.by_hand and not sources:
            return Refused(f"No address is known for {form.other_address}: give its IP address.")
        control = form.other_control_port or CONTROL_PORT + form.other_id
        target = f"BQN {form.other_id}"
        ports = (control, form.other_ssh_port)
        expected = Expected(form.other_id)
        reaches = self._check(f"BQN {self._me.id}", target, form.other_address, ports, expected)
        cluster_id = self._me.cluster_id() or secrets.token_hex(16)
        self._me.keep_cluster_id(cluster_id)
        self._own_address = form.own_address
        code = JoinCode(
            cluster_id=cluster_id,
            id=self._me.id,
            address=form.own_address,
            control_port=self._control_port,
            ssh_port=self._ssh_port,
            control_fingerprint=self._me.control_fingerprint,
            ssh_fingerprint=self._me.ssh_fingerprint,
            secret=new_secret(),
        )
        return self._inviting.open(form, code, reaches, sources)

    def _cannot_invite(self, person: Person, form: AddForm) -> str | None:
        if not person.role.includes(Role.ADMINISTRATOR):
            return "Only an administrator may add a server."
        if not 0 <= form.other_id <= 255:
            return "The id of the other server must be a number from 0 to 255."
        members = self._members()
        if sentence := self._wrong_id(form, members):
            return sentence
        if not form.other_address.strip() or not form.own_address.strip():
            return "Both addresses are needed: each server must know where it reaches the other."
        if self._joining.agreed is not None:
            return "This server is joining a cluster itself; give that up first."
        if members and (refusal := self._submission.standing().refusal):
            return f"Servers are added at the primary. {refusal}"
        if not members and form.other_id < self._me.id:
            return (
                f"BQN {form.other_id} will lead, because its id is lower: open the invitation "
                f"there, and use its code here."
            )
        return None

    def _wrong_id(self, form: AddForm, members: tuple[Member, ...]) -> str | None:
        known = any(member.id == form.other_id for member in members)
        if form.other_id == self._me.id or (known and not form.replaces):
            return (
                f"The id {form.other_id} is taken: every server needs an id of its own. Other "
                f"hardware for BQN {form.other_id} is added as a replacement."
            )
        if form.replaces and form.other_id in self._alive():
            return (
                f"BQN {form.other_id} answers: switch it off, or remove it, before other hardware "
                f"takes its place."
            )
        return None

    def invitation(self) -> Invitation | None:
        """See `Desk.invitation`."""
        return self._inviting.view()

    def withdraw(self, person: Person) -> None:
        """See `Desk.withdraw`."""
        self._inviting.withdraw()

    def accept(self, person: Person, compared: str = "") -> Unification | Invitation | Refused:
        """See `Desk.accept`."""
        if not person.role.includes(Role.ADMINISTRATOR):
            return Refused("Only an administrator may add a server.")
        try:
            knocking = self._inviting.accept(compared)
        except JoinRefused as error:
            return Refused(f"Nothing was changed: {error}.")
        invitation = self._inviting.view()
        if invitation is not None and invitation.meeting and not invitation.confirmed_there:
            return invitation
        entered = self._inviting.wait_until_entered(ENTERS_WITHIN_S)
        if entered is None:
            return Refused(
                f"BQN {knocking.id} was accepted but has not come back within "
                f"{ENTERS_WITHIN_S:.0f} s. Leave its page open and reload this one."
            )
        refused = self.fetch_admitted()
        for _ in range(TAKES_OVER_TRIES if self._inviting.replaces else 0):
            if refused is None or self._pause(1.0):
                break
            refused = self.fetch_admitted()
        return refused or self._unifying.current() or Refused("Nothing is waiting.")

    def fetch_admitted(self) -> Refused | None:
        """Get the line of the server that was let in; safe to repeat."""
        admitted = self._inviting.admitted
        if admitted is None:
            return None
        try:
            self._fetch_line(admitted)
        except SchedulerError as error:
            return Refused(
                f"BQN {admitted.id} was accepted, but its configuration could not be fetched over "
                f"SSH from {admitted.address}:{admitted.ssh_port}: {error}. It is tried again."
            )
        return None

    def join(
        self, person: Person, code: str, form: AddForm | None, own_address: str, own_ssh_port: int
    ) -> JoinProgress:
        """See `Desk.join`."""
        try:
            self._may_join(person, own_address)
            place = None if form is None or not form.by_hand else self._place(form)
            if place is None:
                _cross_check(code, form)
            self._own_address = own_address.strip()
            own = replace(self._me.record(own_address.strip(), own_ssh_port), state="active")
            return (
                self._joining.start(code, own) if place is None else self._joining.meet(place, own)
            )
        except JoinRefused as error:
            return JoinProgress("failed", f"Nothing was changed: {error}.")

    def _place(self, form: AddForm) -> JoinCode:
        """Where the other server is, as a person says it; its keys are not known yet."""
        if form.other_id == self._me.id:
            raise JoinRefused(
                f"this server has the id {form.other_id} itself: every server needs its own"
            )
        if not form.other_address.strip():
            raise JoinRefused("the address of the other server is needed")
        return JoinCode(
            cluster_id="",
            id=form.other_id,
            address=form.other_address.strip(),
            control_port=form.other_control_port or CONTROL_PORT + form.other_id,
            ssh_port=form.other_ssh_port,
            control_fingerprint="",
            ssh_fingerprint="",
            secret=new_secret(),
        )

    def confirm(self, person: Person, compared: str) -> JoinProgress | Refused:
        """See `Desk.confirm`."""
        try:
            self._may_join(person, self._own_address)
            return self._joining.confirm(compared)
        except JoinRefused as error:
            return Refused(f"Nothing was changed: {error}.")

    def _may_join(self, person: Person, own_address: str) -> None:
        if not person.role.includes(Role.ADMINISTRATOR):
            raise JoinRefused("only an administrator may join a cluster")
        if self._members():
            raise JoinRefused("this server is in a cluster already")
        if not own_address.strip():
            raise JoinRefused("the address of this server is needed: the others dial it")

    def join_progress(self) -> JoinProgress:
        """See `Desk.join_progress`."""
        return self._joining.progress

    def give_up_joining(self, person: Person) -> None:
        """See `Desk.give_up_joining`."""
        self._joining.give_up()


def _cross_check(text: str, form: AddForm | None) -> None:
    """Refuse a code that is not of the server that the person means."""
    code = read_code(text)
    if form is not None and form.other_id != code.id:
        raise JoinRefused(
            f"the code was made by BQN {code.id}, not by BQN {form.other_id}: check both"
        )
    if form is not None and form.other_address.strip() not in ("", code.address):
        raise JoinRefused(
            f"the code leads to {code.address}, not to {form.other_address.strip()}: check both"
        )
