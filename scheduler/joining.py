"""The joining side of a join: present a code, wait, enter, wait for the first commit.

A joining goes through checking → waiting → accepted → joined, or fails with a sentence.
What was agreed (the inviting server's record and the cluster's id) is on disk from the
moment it is agreed, so a restart goes on where it was. Until the first commit of the
cluster arrives, this server keeps its own configuration and role.

Without a code (`scheduler.meeting`) it first asks who answers at the address that a person
gave, and shows it; when a person has compared and confirmed that here, it goes on as with
a code that says the same. Until then nothing but its own record has left this server.

Core: the network is behind callables.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.members import Member, fingerprint
from configrepo.model import SCHEMA
from configrepo.sealing import Keyring
from scheduler import meeting, tls
from scheduler.errors import JoinRefused, RemoteRefused, SchedulerError, Unreachable, WrongIdentity
from scheduler.inviting import Former, record_from_json
from scheduler.joincode import VALID_S, JoinCode, host_key_digest, prove, proven, read_code, vouch
from scheduler.state_dir import read_json, write_json
from scheduler.views import JoinProgress, Meeting, Reach

POLL_S = 1.0
MOST_KEYS = 1024

_log = logging.getLogger(__name__)


class JoinCall(Protocol):
    """Sends one join message; raises if the certificate is not the one of the code."""

    def __call__(self, code: JoinCode, route: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of the inviting server."""
        ...


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both servers agreed on: whom this server trusts, and in which cluster.

    `former`: this server takes the place of a member (`scheduler.succeeding`).
    """

    inviter: Member
    cluster_id: str
    former: Former | None = None


@dataclass(frozen=True, slots=True)
class _Met:
    """A server that was met without a code and waits for a person; `until` when."""

    code: JoinCode
    own: Member
    shown: Meeting
    until: float


class Joining:
    """This server's own joining, at most one at a time."""

    def __init__(
        self,
        path: Path,
        call: JoinCall,
        check: Callable[[JoinCode], tuple[Reach, ...]],
        keyring: Callable[[], Keyring],
        keep_keyring: Callable[[Keyring], None],
        on_agreed: Callable[[Agreed | None], None],
        pause: Callable[[float], bool],
        key: Callable[[], Ed25519PrivateKey],
        see: Callable[[JoinCode], str],
        clock: Callable[[], float],
        own_line: Callable[[], str] = lambda: "",
    ) -> None:
        """Wire it; `key` is the one of the own certificate, with which this server enters.

        `see` says whose certificate answers somewhere (its SHA-256 in hexadecimal).
        """
        self._see = see
        self._clock = clock
        self._met: _Met | None = None
        self._confirmed: Meeting | None = None
        self._key = key
        self._own_line = own_line
        self._path = path
        self._call = call
        self._check = check
        self._keyring = keyring
        self._keep_keyring = keep_keyring
        self._on_agreed = on_agreed
        self._pause = pause
        self._guard = threading.Lock()
        self._attempt = 0
        self._progress = JoinProgress("none", "This server is not joining a cluster.")
        self._agreed: Agreed | None = None
        stored = read_json(path)
        if stored is not None:
            inviter = record_from_json(stored["inviter"])
            former = _former(stored.get("former"))
            self._agreed = Agreed(inviter, stored["cluster_id"], former)
            self._progress = self._accepted(self._agreed)

    @property
    def progress(self) -> JoinProgress:
        """How far it is."""
        return self._progress

    @property
    def agreed(self) -> Agreed | None:
        """Whom this server trusts until it is a member."""
        return self._agreed

    def start(self, text: str, own: Member) -> JoinProgress:
        """Begin with a pasted code; the rest happens in a thread.

        Raises:
            JoinRefused: the code is damaged, or made by a server with the same id.
        """
        code = read_code(text)
        if code.id == own.id:
            raise JoinRefused(
                f"the code was made by a BQN with the same id ({own.id}): every server needs an "
                f"id of its own, so give one of them another id first"
            )
        return self._begin(self._run, code, own)

    def meet(self, place: JoinCode, own: Member) -> JoinProgress:
        """Begin without a code: `place` says where, under which id, and holds a new secret."""
        return self._begin(self._meet, place, own)

    def confirm(self, compared: str) -> JoinProgress:
        """A person has compared what was shown; go on with exactly that server. Once.

        Raises:
            JoinRefused: nothing is shown, or something else, or the time is over.
        """
        with self._guard:
            met = self._met
            if met is None:
                raise JoinRefused("no server waits to be confirmed here")
            if self._clock() >= met.until:
                raise JoinRefused(
                    "the time to confirm (15 minutes) is over: begin again on both servers"
                )
            if compared != met.shown.compared:
                raise JoinRefused("this is not what you saw: compare the fingerprints again")
            self._met = None
        return self._begin(self._run, met.code, met.own, met.shown)

    def _begin(
        self,
        work: Callable[[int, JoinCode, Member], None],
        code: JoinCode,
        own: Member,
        confirmed: Meeting | None = None,
    ) -> JoinProgress:
        with self._guard:
            self._attempt += 1
            attempt = self._attempt
            self._met, self._confirmed = None, confirmed
            sentence = f"Checking the ways to BQN {code.id} at {code.address}."
            self._progress = JoinProgress("checking", sentence, meeting=confirmed)
        threading.Thread(
            target=self._guarded, args=(work, attempt, code, own), name="joining", daemon=True
        ).start()
        return self._progress

    def give_up(self) -> None:
        """Forget the joining. A server that was accepted elsewhere must be withdrawn there."""
        with self._guard:
            self._attempt += 1
            self._met, self._confirmed = None, None
            self._progress = JoinProgress("none", "The joining was given up.")
            self._forget()

    def done(self, sentence: str) -> None:
        """The first commit of the cluster arrived."""
        with self._guard:
            if self._agreed is not None:
                self._progress = JoinProgress("joined", sentence, self._progress.reaches)
                self._forget()

    def _forget(self) -> None:
        self._agreed = None
        self._path.unlink(missing_ok=True)
        self._on_agreed(None)

    # --- the thread -------------------------------------------------------------------

    def _guarded(
        self,
        work: Callable[[int, JoinCode, Member], None],
        attempt: int,
        code: JoinCode,
        own: Member,
    ) -> None:
        try:
            work(attempt, code, own)
        except Exception as error:  # noqa: BLE001 (else the page would show it going on for ever)
            _log.exception("joining BQN %d failed", code.id)
            sentence = (
                f"A fault of this program ended it ({type(error).__name__}); its log says more. "
                f"Begin again on both servers."
            )
            self._say(attempt, JoinProgress("failed", sentence, self._progress.reaches))

    def _run(self, attempt: int, code: JoinCode, own: Member) -> None:
        try:
            reaches = self._reached(attempt, code)
            inviter = self._knock_until_accepted(attempt, code, own, reaches)
            if inviter is not None:
                self._enter(attempt, code, inviter, reaches)
        except (SchedulerError, OSError) as error:
            self._failed(attempt, code, error, by_hand=self._confirmed is not None)

    def _meet(self, attempt: int, place: JoinCode, own: Member) -> None:
        try:
            reaches = self._reached(attempt, place)
            seen = replace(place, control_fingerprint=self._see(place))
            body = meeting.request(seen, own, SCHEMA, self._key())
            code = meeting.completed(seen, self._call(seen, meeting.ROUTE, body))
            shown = meeting.seen_by_joiner(code, own)
        except (SchedulerError, OSError) as error:
            self._failed(attempt, place, error, by_hand=True)
            return
        sentence = (
            f"BQN {code.id} answers at {code.address}. Compare the number with the person at "
            f"BQN {code.id}, and confirm on both servers."
        )
        with self._guard:
            if attempt == self._attempt:
                self._met = _Met(code, own, shown, self._clock() + VALID_S)
                self._progress = JoinProgress(
                    "comparing", sentence, reaches, code.id, meeting=shown
                )

    def _reached(self, attempt: int, code: JoinCode) -> tuple[Reach, ...]:
        reaches = self._check(code)
        self._say(attempt, replace(self._progress, reaches=reaches))
        if not all(reach.ok for reach in reaches if reach.what == "control port"):
            sentence = next(r.sentence for r in reaches if not r.ok)
            raise Unreachable(f"{sentence} Nothing was changed; correct this and try again.")
        return reaches

    def _failed(
        self, attempt: int, code: JoinCode, error: SchedulerError | OSError, *, by_hand: bool
    ) -> None:
        sentence = _explain(error, code, by_hand=by_hand)
        self._say(attempt, JoinProgress("failed", sentence, self._progress.reaches))

    def _knock_until_accepted(
        self, attempt: int, code: JoinCode, own: Member, reaches: tuple[Reach, ...]
    ) -> Member | None:
        found = [asdict(reach) for reach in reaches]
        content = {"record": asdict(own), "reaches": found, "schema": SCHEMA}
        body = {**content, "proof": prove(code.secret, "knock", content)}
        while self._is_current(attempt):
            answer = self._answer(code, "/join/knock", body, "knock-answer")
            if answer["stage"] == "accepted":
                return record_from_json(answer["record"])
            shown = fingerprint(own.certificate)
            sentence = self._waits(code)
            progress = JoinProgress("waiting", sentence, reaches, code.id, shown, self._confirmed)
            self._say(attempt, progress)
            if self._pause(POLL_S):
                return None
        return None

    def _waits(self, code: JoinCode) -> str:
        if self._confirmed is not None:
            return f"Confirmed here. Now the person at BQN {code.id} compares and confirms there."
        return (
            f"BQN {code.id} knows this server. Compare the fingerprint there with the one "
            f"of this server, and accept it there (Administration → Cluster)."
        )

    def _enter(
        self, attempt: int, code: JoinCode, inviter: Member, reaches: tuple[Reach, ...]
    ) -> None:
        if host_key_digest(inviter.ssh_host_key) != code.ssh_fingerprint:
            raise WrongIdentity(f"the SSH host key of BQN {code.id} is not the one of the code")
        if tls.digest_b64(inviter.certificate) != code.control_fingerprint:
            raise WrongIdentity(f"the certificate of BQN {code.id} is not the one of the code")
        agreed = Agreed(inviter, code.cluster_id)
        # Before the inviting server is told: it uses its key here at once.
        if not self._agree(attempt, agreed):
            return
        content = {"keyring": self._keyring().to_json(), "line": self._own_line()}
        proof = prove(code.secret, "enter", content)
        body = {**content, "proof": proof, "signature": vouch(self._key(), proof)}
        answer = self._answer(code, "/join/enter", body, "enter-answer")
        cluster = Keyring.from_json(answer["keyring"])
        self._keep_keyring(cluster.merged_with(self._keyring()))
        former = _former(answer.get("former"))
        if former is not None and not self._agree(attempt, replace(agreed, former=former)):
            return
        self._say(attempt, replace(self._accepted(agreed), reaches=reaches))

    def _agree(self, attempt: int, agreed: Agreed) -> bool:
        """Keep what was agreed; False if somebody gave up meanwhile."""
        with self._guard:
            if attempt != self._attempt:
                return False
            write_json(self._path, asdict(agreed))
            self._agreed = agreed
            self._on_agreed(agreed)
            return True

    def _answer(
        self, code: JoinCode, route: str, body: Mapping[str, Any], purpose: str
    ) -> dict[str, Any]:
        answer = self._call(code, route, body)
        proof = answer.pop("proof", None)
        if not proven(code.secret, purpose, answer, proof):
            raise WrongIdentity(
                f"the server at {code.address}:{code.control_port} does not know the code"
            )
        return answer

    def _accepted(self, agreed: Agreed) -> JoinProgress:
        return JoinProgress(
            "accepted",
            f"BQN {agreed.inviter.id} has accepted this server. Unify the configurations there: "
            f"the commit brings this server into the cluster.",
            primary=agreed.inviter.id,
        )

    def _is_current(self, attempt: int) -> bool:
        with self._guard:
            return attempt == self._attempt

    def _say(self, attempt: int, progress: JoinProgress) -> None:
        with self._guard:
            if attempt == self._attempt:
                self._progress = progress


def _former(stored: object) -> Former | None:
    match stored:
        case {"line": str(line), "keys": list(keys)} if len(keys) <= MOST_KEYS:
            return Former(line, tuple(map(str, keys)))
    return None


def _explain(error: SchedulerError | OSError, code: JoinCode, *, by_hand: bool) -> str:
    match error:
        case RemoteRefused():
            return f"BQN {code.id} refused: {error}."
        case WrongIdentity() if by_hand:
            return (
                f"{error}. No key and no configuration was sent; look who answers there, and "
                f"begin again on both servers."
            )
        case WrongIdentity():
            return f"{error}. Nothing was sent; make a new code, and look who answers there."
        case _:
            return str(error)
