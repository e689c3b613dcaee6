"""The inviting side of a join: one open invitation, who knocks, who is let in.

Flow (control-plane C1): a person opens an invitation here and carries its code to the
other server; that server knocks with its record and a proof that it knows the code; a
person here compares the fingerprint and accepts; the other server enters: it hands its
keyring over and receives the cluster's. Both answers carry proofs, so a man in the
middle can neither read nor replace anything.

An invitation is valid 15 minutes and once: the first server that knocks is the only one,
and only the certificate that was compared and accepted enters, within a minute of being
accepted; that one may enter again until then, because an answer can get lost. Wrong proofs
are counted (`scheduler.join_tries`). It lives in memory: a restart closes it, and a new one
is a click. What was accepted is on disk, because the unification that follows may take an
evening.

Without a code (`scheduler.meeting`) nobody carries the secret: the other server, at the
address that a person gave here, brings it with the record that it signed. People compare
and confirm on both servers; what follows is the same.

Core: no sockets; the routes are called by the RPC server.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from configrepo.layout import read_files
from configrepo.members import Member, fingerprint, member_file
from configrepo.model import ServerId
from configrepo.sealing import Keyring
from scheduler import meeting
from scheduler.errors import JoinRefused, RemoteRefused
from scheduler.join_tries import Tries
from scheduler.joincode import VALID_S, JoinCode, prove, proven, vouched, write_code
from scheduler.state_dir import read_json, write_json
from scheduler.views import AddForm, Invitation, Knock, Meeting, Reach

Stage = Literal["waiting", "knocking", "accepted", "closed"]
ENTERS_S = 60.0
MOST_KEYS = 4096


@dataclass(frozen=True, slots=True)
class Former:
    """Whose place a server takes: where that line ends, and the SSH keys that signed it."""

    line: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Open:
    form: AddForm
    code: JoinCode
    until: float
    reaches: tuple[Reach, ...]
    tries: Tries = field(default_factory=Tries)
    stage: Stage = "waiting"
    record: Member | None = None
    knock_reaches: tuple[Reach, ...] = ()
    sources: frozenset[str] = frozenset()
    confirmed_there: bool = False

    @property
    def by_hand(self) -> bool:
        return self.form.by_hand

    @property
    def meeting(self) -> Meeting | None:
        """What people compare, as soon as the other server is there."""
        if not self.by_hand or self.record is None:
            return None
        return meeting.seen_by_inviter(self.code, self.record)

    def refusal(self, what: Literal["often", "late", "wrong"], left: int = 0) -> str:
        words = _BY_HAND if self.by_hand else _BY_CODE
        return words[what].format(left=left)


_BY_CODE = {
    "often": "the join code was tried too often: make a new one",
    "late": "the join code has expired (15 minutes): make a new one",
    "wrong": "the join code is wrong; {left} tries left",
}
_BY_HAND = {
    "often": "too many wrong messages came from this address: begin again on both servers",
    "late": "the time to confirm (15 minutes) is over: begin again on both servers",
    "wrong": "this is not the server that is shown here; {left} tries left",
}


def record_from_json(stored: object) -> Member:
    """A member's record as another server sent it, checked by the language's own reader.

    Raises:
        RemoteRefused: a field is missing, has a wrong type or a value that cannot be stored.
    """
    if not isinstance(stored, Mapping):
        raise RemoteRefused("the record of the server is missing")
    try:
        member = Member(
            id=ServerId(_number(stored["id"], 255)),
            name=str(stored["name"]),
            address=str(stored["address"]),
            ssh_port=_number(stored["ssh_port"], 65535),
            control_port=_number(stored["control_port"], 65535),
            certificate=str(stored["certificate"]),
            ssh_host_key=str(stored["ssh_host_key"]),
            ssh_key=str(stored["ssh_key"]),
        )
        path, text = member_file(member)
        problems = read_files({path: text})
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteRefused(f"the record of the server cannot be read: {error}") from error
    if problems:
        raise RemoteRefused(f"the record of the server cannot be read: {problems[0].message}")
    return member


def _number(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{value!r} is not a number from 0 to {most}")
    return value


def reaches_from_json(stored: object) -> tuple[Reach, ...]:
    """Connectivity results as another server sent them; at most sixteen, shortened."""
    if not isinstance(stored, list):
        return ()
    try:
        return tuple(_reach(one) for one in stored[:16])
    except (KeyError, TypeError, ValueError) as error:
        raise RemoteRefused("the connectivity results cannot be read") from error


def _reach(stored: Mapping[str, Any]) -> Reach:
    words = {
        key: str(stored[key])[:500]
        for key in ("source", "target", "what", "address", "cause", "sentence", "advice")
    }
    return Reach(**words, port=int(stored["port"]), ok=stored["ok"] is True)


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="check the way back", daemon=True).start()


class Inviting:
    """The open invitation of this server, and the joiner that was let in."""

    def __init__(
        self,
        path: Path,
        keyring: Callable[[], Keyring],
        keep_keyring: Callable[[Keyring], None],
        check_back: Callable[[Member], tuple[Reach, ...]],
        clock: Callable[[], float],
        in_background: Callable[[Callable[[], None]], None] = _in_a_thread,
        former: Callable[[ServerId], Former | None] = lambda _: None,
        on_admitted: Callable[[], None] = lambda: None,
        schema: Callable[[], int] = lambda: 1,
    ) -> None:
        self._former = former
        self._schema = schema
        self._on_admitted = on_admitted
        self._path = path
        self._keyring = keyring
        self._keep_keyring = keep_keyring
        self._check_back = check_back
        self._clock = clock
        self._in_background = in_background
        self._guard = threading.Condition()
        self._open: _Open | None = None
        stored = read_json(path)
        self._admitted = None if stored is None else record_from_json(stored["record"])
        self._line: str | None = None if stored is None else stored.get("line")
        self._replaces = stored is not None and stored.get("replaces") is True

    # --- what people do ---------------------------------------------------------------

    def open(
        self,
        form: AddForm,
        code: JoinCode,
        reaches: tuple[Reach, ...],
        sources: frozenset[str] = frozenset(),
    ) -> Invitation:
        """Open an invitation; an older one is closed.

        Without a code only servers that come from one of the addresses `sources` are met.
        """
        until = self._clock() + VALID_S
        opened = _Open(form, code, until, reaches, sources=sources)
        with self._guard:
            self._open = opened
        return self._view(opened)

    def view(self) -> Invitation | None:
        """The invitation as it stands, or None."""
        with self._guard:
            return None if self._open is None else self._view(self._open)

    def _view(self, invitation: _Open) -> Invitation:
        left = max(0, round(invitation.until - self._clock()))
        record = invitation.record
        knock = None
        if record is not None:
            knock = Knock(
                id=record.id,
                name=record.name,
                address=record.address,
                ssh_port=record.ssh_port,
                control_port=record.control_port,
                fingerprint=fingerprint(record.certificate),
                reaches=invitation.knock_reaches,
            )
        half = invitation.by_hand and self._admitted is None
        over = ("waiting", "knocking", "accepted") if half else ("waiting", "knocking")
        expired = left == 0 and invitation.stage in over
        return Invitation(
            form=invitation.form,
            code="" if invitation.by_hand else write_code(invitation.code),
            expires_in_s=left,
            stage="expired" if expired else invitation.stage,
            reaches=invitation.reaches,
            knock=knock,
            wrong=tuple(sorted(invitation.tries.wrong.items())),
            meeting=invitation.meeting,
            confirmed_there=invitation.confirmed_there,
        )

    def withdraw(self) -> None:
        """Close the invitation and forget a joiner that was let in."""
        with self._guard:
            self._open = None
            self._admitted = None
            self._line, self._replaces = None, False
            self._path.unlink(missing_ok=True)
            self._guard.notify_all()

    def accept(self, compared: str = "") -> Member:
        """Let the knocking server in; without a code the one that was `compared`.

        Raises:
            JoinRefused: nobody knocks, it is another one, or the time of the code is over.
        """
        with self._guard:
            if self._open is None or self._open.record is None:
                raise JoinRefused("no server is waiting to be accepted")
            knocking = self._open.record
            seen = self._open.meeting
            if seen is not None and compared != seen.compared:
                raise JoinRefused("this is not what you saw: compare the fingerprints again")
            if self._open.stage == "knocking":
                if self._clock() >= self._open.until:
                    raise JoinRefused(self._open.refusal("late"))
                self._open = replace(self._open, stage="accepted", until=self._until_entered())
            return knocking

    def _until_entered(self) -> float:
        assert self._open is not None
        soon = self._clock() + ENTERS_S
        # Without a code the person at the other server may still have to confirm.
        return max(self._open.until, soon) if self._open.by_hand else soon

    def wait_until_entered(self, timeout_s: float) -> Member | None:
        """The server that entered, as soon as it did; None when the time is over."""
        with self._guard:
            self._guard.wait_for(lambda: self._admitted is not None, timeout_s)
            return self._admitted

    @property
    def admitted(self) -> Member | None:
        """The server that was let in and waits to be unified; survives a restart."""
        return self._admitted

    @property
    def admitted_line(self) -> str | None:
        """Where that server's own line ended when it entered."""
        return self._line

    @property
    def replaces(self) -> bool:
        """Whether it takes the place of a member."""
        return self._replaces

    # --- what the joining server does -------------------------------------------------

    def meet(self, own: Member, body: Mapping[str, Any], source: str) -> dict[str, Any]:
        """A server that has no code shows its keys, from the address `source`. `/join/meet`.

        Raises:
            RemoteRefused: it is not waited for, or not the one that is; with what to do.
        """
        with self._guard:
            invitation = self._waiting_for(source)
            record = record_from_json(body.get("record"))
            secret = meeting.secret_of(body, record, invitation.code.control_fingerprint)
            known = invitation.record
            # Who came first stays, until a person rejects it.
            other = known is not None and known.certificate != record.certificate
            if secret is None or other:
                raise RemoteRefused(self._counted(invitation, source))
            self._refuse_old_release(body.get("schema"))
            self._refuse_wrong_server(replace(invitation, record=None), own, record)
            self._open = replace(
                invitation,
                stage="knocking",
                record=record,
                code=replace(invitation.code, secret=secret),
                knock_reaches=invitation.knock_reaches if record == known else (),
                confirmed_there=False,
            )
        if known is None:
            # Once: nobody makes this server dial as often as he likes.
            self._in_background(lambda: self._check_the_way_back(record))
        return meeting.answer(invitation.code)

    def _waiting_for(self, source: str) -> _Open:
        """The invitation without a code for a server at that address."""
        invitation = self._open
        if invitation is None or not invitation.by_hand or source not in invitation.sources:
            raise RemoteRefused(
                f"no server at {source} is waited for there: open 'Add BQN to a cluster…' there "
                f"and give the id and this address, without a code"
            )
        if invitation.stage == "closed" or not invitation.tries.left(source):
            raise RemoteRefused(invitation.refusal("often"))
        if self._clock() >= invitation.until:
            raise RemoteRefused(invitation.refusal("late"))
        if invitation.stage == "accepted":
            raise RemoteRefused("a server was confirmed there already: begin again on both servers")
        return invitation

    def knock(self, own: Member, body: Mapping[str, Any], source: str) -> dict[str, Any]:
        """A server presents its record, from the address `source`. Route `/join/knock`.

        Raises:
            RemoteRefused: no invitation, wrong proof, wrong server; with what to do.
        """
        keys = ("record", "reaches", "schema")
        content = {key: body.get(key) for key in keys}
        with self._guard:
            invitation = self._checked("knock", content, body.get("proof"), source)
            self._refuse_old_release(content["schema"])
            record = record_from_json(content["record"])
            self._refuse_wrong_server(invitation, own, record)
            first = invitation.stage == "waiting"
            self._open = replace(
                invitation,
                stage="knocking" if first else invitation.stage,
                record=record,
                knock_reaches=reaches_from_json(content["reaches"])
                if first
                else invitation.knock_reaches,
                confirmed_there=True,
            )
            accepted = invitation.stage == "accepted"
        if first:
            self._in_background(lambda: self._check_the_way_back(record))
        answer: dict[str, Any] = {"stage": "accepted" if accepted else "waiting"}
        if accepted:
            answer["record"] = asdict(own)
        return {**answer, "proof": prove(invitation.code.secret, "knock-answer", answer)}

    def enter(self, body: Mapping[str, Any], source: str) -> dict[str, Any]:
        """The accepted server hands its keyring over and gets the cluster's. Route `/join/enter`.

        Raises:
            RemoteRefused: it was not accepted, or comes too late, or the proof is wrong.
        """
        content = {"keyring": body.get("keyring"), "line": body.get("line")}
        with self._guard:
            if self._open is None or self._open.stage != "accepted":
                raise RemoteRefused("this server has not accepted you yet")
            invitation = self._checked("enter", content, body.get("proof"), source)
            assert invitation.record is not None
            certificate = invitation.record.certificate
            if not vouched(certificate, body.get("proof"), body.get("signature")):
                raise RemoteRefused(
                    "the code is for the server that was accepted, and for no other"
                )
            try:
                joiners = Keyring.from_json(str(content["keyring"]))
            except (KeyError, TypeError, ValueError) as error:
                raise RemoteRefused("the keyring cannot be read") from error
            if len({*joiners.keys, *self._keyring().keys}) > MOST_KEYS:
                raise RemoteRefused(f"a keyring has at most {MOST_KEYS} keys")
            self._keep_keyring(self._keyring().merged_with(joiners))
            self._let_in(invitation.record, str(content["line"]), invitation.form.replaces)
        self._on_admitted()
        answer: dict[str, Any] = {"keyring": self._keyring().to_json()}
        former = self._former(invitation.record.id) if invitation.form.replaces else None
        if former is not None:
            answer["former"] = {"line": former.line, "keys": list(former.keys)}
        return {**answer, "proof": prove(invitation.code.secret, "enter-answer", answer)}

    def _let_in(self, record: Member, line: str, replaces: bool) -> None:
        stored = {"record": asdict(record), "line": line, "replaces": replaces}
        write_json(self._path, stored)
        self._admitted, self._line, self._replaces = record, line, replaces
        self._guard.notify_all()

    def _check_the_way_back(self, record: Member) -> None:
        # A filtered port takes seconds; neither the other server nor the page waits for it.
        found = self._check_back(record)
        with self._guard:
            if self._open is not None and self._open.record == record:
                reaches = (*self._open.knock_reaches, *found)
                self._open = replace(self._open, knock_reaches=reaches)

    def _checked(
        self, purpose: str, content: Mapping[str, Any], proof: object, source: str
    ) -> _Open:
        invitation = self._open
        if invitation is None:
            raise RemoteRefused(
                "no invitation is open at this server: open one there with "
                "'Add BQN to a cluster…' and use its new code"
            )
        if invitation.stage == "closed" or not invitation.tries.left(source):
            raise RemoteRefused(invitation.refusal("often"))
        if not proven(invitation.code.secret, purpose, content, proof):
            raise RemoteRefused(self._counted(invitation, source))
        if self._clock() >= invitation.until:
            raise RemoteRefused(invitation.refusal("late"))
        return invitation

    def _counted(self, invitation: _Open, source: str) -> str:
        """Count a wrong proof, and say what that means."""
        tries = invitation.tries.after(source)
        # Who was accepted is not thrown out by others.
        closes = tries.too_many and invitation.stage != "accepted"
        self._open = replace(
            invitation, tries=tries, stage="closed" if closes else invitation.stage
        )
        left = 0 if closes else tries.left(source)
        if left:
            return invitation.refusal("wrong", left)
        return invitation.refusal("often")

    def _refuse_old_release(self, reads: object) -> None:
        schema = self._schema()
        if not isinstance(reads, int) or reads < schema:
            raise RemoteRefused(
                f"the cluster uses schema {schema} of the configuration, and this release does "
                f"not read it: update the server that joins first"
            )

    def _refuse_wrong_server(self, invitation: _Open, own: Member, record: Member) -> None:
        expected = invitation.form.other_id
        if record.id == own.id:
            raise RemoteRefused(
                f"both servers have the id {own.id}: give one of them another id first"
            )
        if record.id != expected:
            raise RemoteRefused(
                f"BQN {expected} was invited, but BQN {record.id} uses the code: correct the id "
                f"in 'Add BQN to a cluster…'"
            )
        if invitation.record is not None and invitation.record != record:
            raise RemoteRefused("another server already uses this code: make a new one")


def new_secret() -> bytes:
    """128 bits for a join code."""
    return secrets.token_bytes(16)
