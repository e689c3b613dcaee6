"""What a server can be asked: the one seam between the rooms below and the GUI.

The GUI, the command line and the forwarding of a secondary all speak it. What belongs to
one page group may come as a part of its own (a property with its own protocol), so that
the desk stays a list of its drawers.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from configrepo.model import ServerId
from configrepo.unify import Answer, RowId
from scheduler.apply_turn import Staging
from scheduler.auditing_seam import AuditingDesk
from scheduler.disagreements_seam import DisagreementsDesk
from scheduler.doctor_seam import DoctorRoom
from scheduler.drift_seam import DriftDesk
from scheduler.elections_seam import ElectionsRoom
from scheduler.mirror_seam import MirrorDesk
from scheduler.operations_seam import Operations
from scheduler.replication_seam import ReplicationDesk
from scheduler.staging_seam import StagingDesk
from scheduler.views import (
    Account,
    AddForm,
    AuditEntry,
    CandidateView,
    CommitOutcome,
    Comparison,
    ConfigurationView,
    Disagreed,
    Edited,
    Invitation,
    JoinProgress,
    Overview,
    Person,
    Refused,
    RevisionDetail,
    RevisionView,
    Role,
    TokenMade,
    Unification,
    UserView,
)


class Desk(Protocol):
    """Everything that a GUI page, an API call or the command line may ask of a server."""

    def overview(self) -> Overview:
        """The cluster as this server sees it now; cheap, called every two seconds."""
        ...

    @property
    def operations(self) -> Operations:
        """Removing, renaming and moving servers, who leads, and the pause of automation."""
        ...

    @property
    def replication(self) -> ReplicationDesk:
        """Who has what, what went wrong with sending, and sending now."""
        ...

    @property
    def doctor(self) -> DoctorRoom:
        """Whether every server reaches every other one."""
        ...

    @property
    def elections(self) -> ElectionsRoom:
        """Who led when and why, and what if a server dies."""
        ...

    @property
    def disagreements(self) -> DisagreementsDesk:
        """What a merge after a cut left open, and lines that are held."""
        ...

    # configuration and candidate
    def configuration(self, person: Person) -> ConfigurationView:
        """All blocks now, with the person's candidate laid over them."""
        ...

    def saved_text(self, server: ServerId, revision: str | None = None) -> str:
        """The `.conf` of a server (common + its own part), secrets as sealed tokens."""
        ...

    def candidate(self, person: Person) -> CandidateView | None:
        """The person's unfinished change, or None."""
        ...

    def edit(self, person: Person, path: str | None, text: str) -> Edited | Refused:
        """Put one block (text with its opener) into the candidate.

        `path` None makes a new block whose path follows from its opener; empty text
        removes the block at `path`. Server-specific new blocks belong to this server.
        """
        ...

    def discard(self, person: Person, path: str | None = None) -> None:
        """Drop one path of the candidate, or (None) all of it."""
        ...

    def load(self, person: Person, data: bytes, server: ServerId) -> Edited | Refused:
        """Make the candidate equal to a saved `.conf`: common part and `server`'s own."""
        ...

    def compare(self, person: Person) -> Comparison | None:
        """What the candidate would change; None if there is no candidate."""
        ...

    def commit(
        self,
        person: Person,
        message: str,
        request_id: str,
        choices: Mapping[RowId, Answer],
        staging: Staging | None = None,
    ) -> CommitOutcome:
        """Commit the candidate, here or (on a secondary) at the primary.

        `staging` None leaves to the settings whether a canary server applies it first.
        """
        ...

    # history
    def history(
        self, limit: int = 50, skip: int = 0, path: str | None = None
    ) -> tuple[RevisionView, ...]:
        """Commits, newest first; only those that touched `path` if given."""
        ...

    def has_revision(self, revision: str) -> bool:
        """Whether a commit is in the history of this server."""
        ...

    def revision(self, revision: str) -> RevisionDetail:
        """One commit. Raises configrepo.errors.NotFound."""
        ...

    def compare_rollback(self, revision: str) -> Comparison:
        """What going back to `revision` would change.

        Members and users are never rolled back: no removed key, token or password returns.
        """
        ...

    def rollback(
        self, person: Person, revision: str, message: str, request_id: str, base: str
    ) -> CommitOutcome:
        """Make a new commit whose configuration is that of `revision`.

        `base` is the head that `compare_rollback` showed: if somebody committed since,
        the rollback is refused, so that nothing unseen is undone.
        """
        ...

    # membership
    def invite(self, person: Person, form: AddForm) -> Invitation | Refused:
        """Check the way to the other server and open an invitation (15 minutes, 5 tries)."""
        ...

    def invitation(self) -> Invitation | None:
        """The open invitation, with who is knocking."""
        ...

    def withdraw(self, person: Person) -> None:
        """Close the open invitation."""
        ...

    def accept(self, person: Person, compared: str = "") -> Unification | Invitation | Refused:
        """Accept the knocking server: exchange keys and fetch its configuration.

        Without a code `compared` says what the person saw (`Meeting.compared`); the answer is
        the invitation as long as the person at the other server has not confirmed too.
        """
        ...

    def join(
        self, person: Person, code: str, form: AddForm | None, own_address: str, own_ssh_port: int
    ) -> JoinProgress:
        """Present a code to the server that made it. Returns at once with the first stage.

        With a form that is `by_hand` the server that it names is met without a code.
        """
        ...

    def confirm(self, person: Person, compared: str) -> JoinProgress | Refused:
        """Go on joining the server that was met and compared (`Meeting.compared`)."""
        ...

    def join_progress(self) -> JoinProgress:
        """How far this server's own joining is."""
        ...

    def give_up_joining(self, person: Person) -> None:
        """Forget a joining that has not been committed yet."""
        ...

    # unification (at the primary, or at the server that will be it)
    def unification(self) -> Unification | None:
        """The unification that waits, with the answers so far."""
        ...

    def answer(
        self,
        person: Person,
        answers: Mapping[RowId, Answer | None],
        acknowledged: frozenset[RowId],
    ) -> Unification | Refused:
        """Keep what is said of these rows (None: as proposed); all others stay as they are.

        A row of `answers` is acknowledged only if `acknowledged` has it.
        """
        ...

    def compare_unification(self) -> Comparison | Refused:
        """What the unification would change on the servers that run now."""
        ...

    def commit_unification(self, person: Person, message: str, request_id: str) -> CommitOutcome:
        """Make the merge commit and send it to all; refused while a row is open."""
        ...

    # users
    def account(self, name: str) -> Account | None:
        """The account with that name, for a login."""
        ...

    def token_account(self, token: str) -> Account | None:
        """The account whose unexpired token this is, or None. Constant-time comparison."""
        ...

    def users(self) -> tuple[UserView, ...]:
        """All `user` blocks."""
        ...

    def put_user(
        self, person: Person, name: str, role: Role, password_hash: str | None, request_id: str
    ) -> CommitOutcome:
        """Add a user or change role and (if given) password hash; one commit."""
        ...

    def change_own_password(
        self, person: Person, password_hash: str, request_id: str
    ) -> CommitOutcome:
        """Change the password of a person with an account in the configuration."""
        ...

    def create_token(
        self, person: Person, user: str, name: str, days: int, request_id: str
    ) -> TokenMade | Refused | Disagreed:
        """Make a token for an existing user; one commit that holds only its SHA-256."""
        ...

    def revoke_token(self, person: Person, user: str, name: str, request_id: str) -> CommitOutcome:
        """Remove a token; one commit."""
        ...

    @property
    def drift(self) -> DriftDesk:
        """Changes of running configurations from outside."""
        ...

    @property
    def mirror(self) -> MirrorDesk:
        """The copy on an external Git server."""
        ...

    @property
    def staging(self) -> StagingDesk:
        """One canary server first."""
        ...

    @property
    def auditing(self) -> AuditingDesk:
        """How to clone, and whose SSH keys may."""
        ...

    # the rest
    def repository(self) -> Path:
        """Where `config.git` is, for the read-only clone."""
        ...

    def audit(self, person: Person, action: str, result: str) -> None:
        """Write one line of the audit log; the caller must not pass secrets."""
        ...

    def audit_log(self, limit: int = 200) -> tuple[AuditEntry, ...]:
        """The newest lines of the audit log, newest first."""
        ...
