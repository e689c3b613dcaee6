"""The values that a server answers with (what it can be asked: `scheduler.desk_seam`).

Every value is frozen; an expected outcome (a refusal, a disagreement, a file that cannot
be read) is a value of a union, never an exception. Commit ids are 40 hexadecimal digits.
Rates are kbit/s.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from configrepo.merge import Disagreement
from configrepo.model import Problem, ServerId
from configrepo.unify import Answer, Proposal, RowId


class Role(StrEnum):
    """What a person may do; each role includes the ones before it."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMINISTRATOR = "administrator"

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts. `address` is where the browser is; `local` marks the local administrator."""

    name: str
    role: Role
    address: str = ""
    local: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """A login account: a `user` block of the configuration. No password, no login."""

    name: str
    role: Role
    password_hash: str | None


# --- What is seen -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One throughput sample of a server; `time` is POSIX seconds."""

    time: float
    downlink_kbps: int
    uplink_kbps: int


@dataclass(frozen=True, slots=True)
class ServerView:
    """One server as this server sees it.

    `state` is a word of `scheduler.server_states`, completed by `state_detail`.
    `sync` is one of in sync, behind, applying, failed, drifted, unreachable, unknown:
    *in sync* only if the hash of the running configuration that the server reported
    equals the commit's. `samples` are the newest last; `cpu_percent` None if not known.
    """

    id: ServerId
    name: str
    address: str
    gui_url: str
    role: Literal["primary", "secondary", "alone", "candidate", "unknown"]
    state: str
    state_sentence: str
    sync: str
    sync_sentence: str
    behind: int | None
    version: str
    ssh_port: int
    control_port: int
    head: str | None
    running: str | None
    last_contact: datetime | None
    rtt_ms: float | None
    cpu_percent: float | None
    samples: tuple[Sample, ...] = ()
    simulated: bool = False
    state_detail: str = ""

    @property
    def newest(self) -> Sample | None:
        """The newest sample, if there is one."""
        return self.samples[-1] if self.samples else None


@dataclass(frozen=True, slots=True)
class Overview:
    """The cluster (or the one server, alone) as this server sees it now.

    `state` is alone, ready, degraded, split or paused; `status` is complete or "n of m".
    `sentence` says why things are as they are, `since` when they became so (UTC).
    """

    me: ServerId
    name: str
    version: str
    clustered: bool
    state: str
    state_sentence: str
    status: str
    status_sentence: str
    primary: ServerId | None
    term: int
    since: datetime | None
    sentence: str
    servers: tuple[ServerView, ...]
    alarms: tuple[str, ...]
    simulated: bool
    read_only_reason: str | None = None

    def server(self, server_id: ServerId) -> ServerView | None:
        """The server with that id, if it is a member."""
        return next((s for s in self.servers if s.id == server_id), None)


# --- Configuration, candidate, commit -------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlockView:
    """One block of the configuration as text. `server` is None for a common block.

    `section` is the page group it belongs to (Interfaces, Profiles, Rates, …, Undefined).
    `text` shows secrets as sealed tokens only.
    """

    path: str
    title: str
    section: str
    server: ServerId | None
    text: str
    edited: bool = False


@dataclass(frozen=True, slots=True)
class ConfigurationView:
    """All blocks at a revision, with the person's own candidate laid over them."""

    revision: str
    blocks: tuple[BlockView, ...]
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileChange:
    """One block before and after; None is absent."""

    path: str
    title: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a candidate, a rollback or a unification would change, and on which servers.

    `problems` are those of the result; an error among them forbids the commit.
    `disagreements` are keys that somebody else changed meanwhile in another way.
    """

    base: str
    head: str
    changes: tuple[FileChange, ...]
    servers: tuple[ServerId, ...]
    problems: tuple[Problem, ...]
    disagreements: tuple[Disagreement, ...] = ()


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit that is durable on the server that wrote it.

    `written_by` is the server that made it (the primary); `repeated` says that the same
    request was already committed before and nothing was done twice. It is on the disks of
    `servers` of the `members` servers of the cluster; `warning` says what is missing of
    what the setting `ack` asks for.
    """

    revision: str
    written_by: ServerId
    sentence: str
    repeated: bool = False
    servers: int = 1
    members: int = 1
    warning: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed. `sentence` says why and what to do; `problems` name places."""

    sentence: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Disagreed:
    """Somebody else changed the same keys meanwhile; the input is kept in the candidate."""

    disagreements: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class Edited:
    """The candidate was changed; `warnings` are problems that do not forbid it."""

    paths: tuple[str, ...]
    warnings: tuple[Problem, ...] = ()


CommitOutcome = Committed | Refused | Disagreed


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """The servers that said they have a commit on their disks, of how many members."""

    servers: tuple[ServerId, ...] = ()
    members: int = 1


@dataclass(frozen=True, slots=True)
class RevisionView:
    """One commit of the history. `running_on` are the servers that run exactly it.

    `saved` says which servers have it.
    """

    id: str
    parents: tuple[str, ...]
    author: str
    committer: str
    time: datetime
    subject: str
    body: str
    term: str
    server: str
    running_on: tuple[ServerId, ...] = ()
    begins_term: bool = False
    saved: Whereabouts = Whereabouts()


@dataclass(frozen=True, slots=True)
class RevisionDetail:
    """One commit with what it changed against its first parent."""

    revision: RevisionView
    changes: tuple[FileChange, ...]


# --- Membership -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reach:
    """The result of one directed connectivity check.

    `what` is "control port" or "SSH"; `cause` is one word or phrase (ok, refused,
    filtered, no route, name not found, not our program, other cluster, wrong identity,
    wrong key, gate missing, …); `advice` is what to do, with the rule to add.
    """

    source: str
    target: str
    what: str
    address: str
    port: int
    ok: bool
    cause: str
    sentence: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class AddForm:
    """What the vendor's *Add BQN to a cluster…* asks for.

    `replaces`: other hardware takes the place of a member, under the same id. `by_hand`: no
    join code; people say id and address on both servers and compare the fingerprints.
    """

    other_id: ServerId
    other_address: str
    own_address: str
    other_ssh_port: int = 22
    other_control_port: int | None = None
    replaces: bool = False
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """The keys of a server as people compare them, each `SHA256:…`: certificate, SSH host key."""

    id: ServerId
    certificate: str
    ssh: str


@dataclass(frozen=True, slots=True)
class Meeting:
    """Two servers that met without a join code: what the persons at both compare.

    `number` is the same on both: six groups of five digits for all keys and this meeting.
    """

    own: Shown
    other: Shown
    number: str

    @property
    def compared(self) -> str:
        """All that was shown of the other server; a confirmation carries it."""
        return f"{self.other.certificate} {self.other.ssh} {self.number}"


@dataclass(frozen=True, slots=True)
class Knock:
    """A server that presented a right code and waits to be accepted."""

    id: ServerId
    name: str
    address: str
    ssh_port: int
    control_port: int
    fingerprint: str
    reaches: tuple[Reach, ...]


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open invitation of this server. `code` is the one text to copy over, if there is one.

    `stage` is waiting (nobody used the code yet), knocking (see `knock`), accepted,
    expired, or closed (too many wrong codes); `expires_in_s` counts down from 900. `wrong`
    says from which addresses wrong codes came, and how many. Without a code `meeting` is what
    is compared, and `confirmed_there` that the person at the other server has confirmed.
    """

    form: AddForm
    code: str
    expires_in_s: int
    stage: Literal["waiting", "knocking", "accepted", "expired", "closed"]
    reaches: tuple[Reach, ...]
    knock: Knock | None = None
    wrong: tuple[tuple[str, int], ...] = ()
    meeting: Meeting | None = None
    confirmed_there: bool = False


@dataclass(frozen=True, slots=True)
class JoinProgress:
    """How far this server's own joining is, as the joining server sees it.

    `stage`: none, checking, comparing (without a code: a person compares `meeting` and
    confirms), waiting (for acceptance), accepted (unification is done at the primary),
    joined, failed. `sentence` says it in words with what to do; `fingerprint` is this
    server's own, to be compared while it waits.
    """

    stage: Literal["none", "checking", "comparing", "waiting", "accepted", "joined", "failed"]
    sentence: str
    reaches: tuple[Reach, ...] = ()
    primary: ServerId | None = None
    fingerprint: str = ""
    meeting: Meeting | None = None


@dataclass(frozen=True, slots=True)
class Unification:
    """A joiner whose configuration waits to be unified with the primary's.

    `answers` and `acknowledged` are what was said so far; they survive a reload and a
    restart. `problems` are those of the result as it stands, per row id ("" = general).
    `replaces`: other hardware takes a place; `secrets` (path, key) are what the old one knew.
    """

    joiner: ServerId
    joiner_name: str
    cluster_name: str
    servers: tuple[ServerId, ...]
    proposal: Proposal
    answers: Mapping[RowId, Answer]
    acknowledged: frozenset[RowId]
    problems: Mapping[str, tuple[Problem, ...]]
    open_rows: tuple[RowId, ...]
    replaces: bool = False
    secrets: tuple[tuple[str, str], ...] = ()


# --- Users ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenView:
    """An API or clone token of a user; its text is shown once, when it is made."""

    name: str
    expires: str


@dataclass(frozen=True, slots=True)
class SshKeyView:
    """A registered SSH key of a user, for clones; `type` as OpenSSH names it."""

    name: str
    type: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class UserView:
    """A `user` block of the configuration."""

    name: str
    role: Role
    has_password: bool
    tokens: tuple[TokenView, ...] = ()
    ssh_keys: tuple[SshKeyView, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenMade:
    """A fresh token: the only time that its text is seen."""

    user: str
    name: str
    text: str
    expires: str
    commit: Committed


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log."""

    time: datetime
    person: str
    address: str
    action: str
    result: str


@dataclass(frozen=True, slots=True)
class CandidateView:
    """The unfinished change of one person; kept on this server until commit or discard."""

    base: str
    paths: tuple[str, ...] = field(default=())
