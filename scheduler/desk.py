"""The desk of one server: everything that a page, the command line or a peer may ask.

It holds no rules of its own; it says which part answers which question.

Core: delegates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from configrepo.model import ServerId
from configrepo.unify import Answer, RowId
from scheduler.apply_assembly import ApplyParts
from scheduler.apply_turn import Staging
from scheduler.audit import AuditLog
from scheduler.auditing_seam import AuditingDesk
from scheduler.disagreements_seam import DisagreementsDesk
from scheduler.doctor_seam import DoctorRoom
from scheduler.drift_seam import DriftDesk
from scheduler.editing import Editing
from scheduler.elections_seam import ElectionsRoom
from scheduler.membership import Membership
from scheduler.mirror_seam import MirrorDesk
from scheduler.operations_seam import Operations
from scheduler.people import People
from scheduler.replication_seam import ReplicationDesk
from scheduler.staging_seam import StagingDesk
from scheduler.unifying import Unifying
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


class ServerDesk:
    """Implements `scheduler.desk_seam.Desk` with the parts of a running server."""

    def __init__(
        self,
        overview: Callable[[], Overview],
        editing: Editing,
        membership: Membership,
        unifying: Unifying,
        people: People,
        audit: AuditLog,
        repository: Path,
        auditing: AuditingDesk,
        operations: Operations,
        doctor: DoctorRoom,
        elections: ElectionsRoom,
        disagreements: DisagreementsDesk,
        *,
        applying: ApplyParts,
        replication: Callable[[], ReplicationDesk],
    ) -> None:
        self._overview = overview
        self._editing = editing
        self._membership = membership
        self._unifying = unifying
        self._people = people
        self._audit = audit
        self._repository = repository
        self._auditing = auditing
        self._applying = applying
        self._operations = operations
        self._doctor = doctor
        self._elections = elections
        self._disagreements = disagreements
        self._replication = replication

    @property
    def replication(self) -> ReplicationDesk:
        """See `Desk`."""
        return self._replication()

    @property
    def disagreements(self) -> DisagreementsDesk:
        """See `Desk`."""
        return self._disagreements

    @property
    def doctor(self) -> DoctorRoom:
        """See `Desk`."""
        return self._doctor

    @property
    def elections(self) -> ElectionsRoom:
        """See `Desk`."""
        return self._elections

    @property
    def operations(self) -> Operations:
        """See `Desk`."""
        return self._operations

    def overview(self) -> Overview:
        """See `Desk`."""
        return self._overview()

    def configuration(self, person: Person) -> ConfigurationView:
        """See `Desk`."""
        return self._editing.configuration(person)

    def saved_text(self, server: ServerId, revision: str | None = None) -> str:
        """See `Desk`."""
        return self._editing.saved_text(server, revision)

    def candidate(self, person: Person) -> CandidateView | None:
        """See `Desk`."""
        return self._editing.candidate(person)

    def edit(self, person: Person, path: str | None, text: str) -> Edited | Refused:
        """See `Desk`."""
        return self._editing.edit(person, path, text)

    def discard(self, person: Person, path: str | None = None) -> None:
        """See `Desk`."""
        self._editing.discard(person, path)

    def load(self, person: Person, data: bytes, server: ServerId) -> Edited | Refused:
        """See `Desk`."""
        return self._editing.load(person, data, server)

    def compare(self, person: Person) -> Comparison | None:
        """See `Desk`."""
        return self._editing.compare(person)

    def commit(
        self,
        person: Person,
        message: str,
        request_id: str,
        choices: Mapping[RowId, Answer],
        staging: Staging | None = None,
    ) -> CommitOutcome:
        """See `Desk`."""
        outcome = self._editing.commit(person, message, request_id, choices, staging)
        return self._noted(person, "commit", outcome)

    def history(
        self, limit: int = 50, skip: int = 0, path: str | None = None
    ) -> tuple[RevisionView, ...]:
        """See `Desk`."""
        return self._editing.history(limit, skip, path)

    def has_revision(self, revision: str) -> bool:
        """See `Desk`."""
        return self._editing.has_revision(revision)

    def revision(self, revision: str) -> RevisionDetail:
        """See `Desk`."""
        return self._editing.revision(revision)

    def compare_rollback(self, revision: str) -> Comparison:
        """See `Desk`."""
        return self._editing.compare_rollback(revision)

    def rollback(
        self, person: Person, revision: str, message: str, request_id: str, base: str
    ) -> CommitOutcome:
        """See `Desk`."""
        outcome = self._editing.rollback(person, revision, message, request_id, base)
        return self._noted(person, f"roll back to {revision[:12]}", outcome)

    def invite(self, person: Person, form: AddForm) -> Invitation | Refused:
        """See `Desk`."""
        outcome = self._membership.invite(person, form)
        result = outcome.sentence if isinstance(outcome, Refused) else "invitation opened"
        self._audit.write(person, f"invite BQN {form.other_id} at {form.other_address}", result)
        return outcome

    def invitation(self) -> Invitation | None:
        """See `Desk`."""
        return self._membership.invitation()

    def withdraw(self, person: Person) -> None:
        """See `Desk`."""
        self._membership.withdraw(person)
        self._audit.write(person, "withdraw the invitation", "done")

    def accept(self, person: Person, compared: str = "") -> Unification | Invitation | Refused:
        """See `Desk`."""
        outcome = self._membership.accept(person, compared)
        match outcome:
            case Refused(sentence=sentence):
                self._audit.write(person, "accept the knocking server", sentence)
            case Unification(joiner=joiner):
                self._audit.write(person, f"accept BQN {joiner}", "accepted")
            case Invitation(form=form):
                waits = "confirmed here, not yet there"
                self._audit.write(person, f"accept BQN {form.other_id}", waits)
        return outcome

    def join(
        self, person: Person, code: str, form: AddForm | None, own_address: str, own_ssh_port: int
    ) -> JoinProgress:
        """See `Desk`."""
        progress = self._membership.join(person, code, form, own_address, own_ssh_port)
        way = "without" if form is not None and form.by_hand else "with"
        self._audit.write(person, f"join a cluster {way} a code", progress.sentence)
        return progress

    def confirm(self, person: Person, compared: str) -> JoinProgress | Refused:
        """See `Desk`."""
        outcome = self._membership.confirm(person, compared)
        self._audit.write(person, "confirm the server to join", outcome.sentence)
        return outcome

    def join_progress(self) -> JoinProgress:
        """See `Desk`."""
        return self._membership.join_progress()

    def give_up_joining(self, person: Person) -> None:
        """See `Desk`."""
        self._membership.give_up_joining(person)
        self._audit.write(person, "give up joining", "done")

    def unification(self) -> Unification | None:
        """See `Desk`."""
        return self._unifying.current()

    def answer(
        self,
        person: Person,
        answers: Mapping[RowId, Answer | None],
        acknowledged: frozenset[RowId],
    ) -> Unification | Refused:
        """See `Desk`."""
        if not person.role.includes(Role.OPERATOR):
            return Refused("Only an operator may answer.")
        return self._unifying.answer(answers, acknowledged)

    def compare_unification(self) -> Comparison | Refused:
        """See `Desk`."""
        return self._unifying.compare()

    def commit_unification(self, person: Person, message: str, request_id: str) -> CommitOutcome:
        """See `Desk`."""
        if not person.role.includes(Role.ADMINISTRATOR):
            return Refused("Only an administrator may bring a server into the cluster.")
        outcome = self._unifying.commit(person, message, request_id)
        return self._noted(person, "commit the unification", outcome)

    def account(self, name: str) -> Account | None:
        """See `Desk`."""
        return self._people.account(name)

    def token_account(self, token: str) -> Account | None:
        """See `Desk`."""
        return self._people.token_account(token)

    def users(self) -> tuple[UserView, ...]:
        """See `Desk`."""
        return self._people.users()

    def put_user(
        self, person: Person, name: str, role: Role, password_hash: str | None, request_id: str
    ) -> CommitOutcome:
        """See `Desk`."""
        outcome = self._people.put_user(person, name, role, password_hash, request_id)
        return self._noted(person, f"put user {name} ({role})", outcome)

    def change_own_password(
        self, person: Person, password_hash: str, request_id: str
    ) -> CommitOutcome:
        """See `Desk`."""
        outcome = self._people.change_own_password(person, password_hash, request_id)
        return self._noted(person, "change own password", outcome)

    def create_token(
        self, person: Person, user: str, name: str, days: int, request_id: str
    ) -> TokenMade | Refused | Disagreed:
        """See `Desk`."""
        outcome = self._people.create_token(person, user, name, days, request_id)
        made = f"made, revision {outcome.commit.revision}" if isinstance(outcome, TokenMade) else ""
        refused = outcome.sentence if isinstance(outcome, Refused) else "disagreed"
        self._audit.write(person, f"make token {name} of {user}", made or refused)
        return outcome

    def revoke_token(self, person: Person, user: str, name: str, request_id: str) -> CommitOutcome:
        """See `Desk`."""
        outcome = self._people.revoke_token(person, user, name, request_id)
        return self._noted(person, f"revoke token {name} of {user}", outcome)

    def repository(self) -> Path:
        """See `Desk`."""
        return self._repository

    @property
    def auditing(self) -> AuditingDesk:
        """See `Desk`."""
        return self._auditing

    @property
    def drift(self) -> DriftDesk:
        """See `Desk`."""
        return self._applying.drift

    @property
    def mirror(self) -> MirrorDesk:
        """See `Desk`."""
        return self._applying.mirror

    @property
    def staging(self) -> StagingDesk:
        """See `Desk`."""
        return self._applying

    def audit(self, person: Person, action: str, result: str) -> None:
        """See `Desk`."""
        self._audit.write(person, action, result)

    def audit_log(self, limit: int = 200) -> tuple[AuditEntry, ...]:
        """See `Desk`."""
        return self._audit.newest(limit)

    def _noted(self, person: Person, action: str, outcome: CommitOutcome) -> CommitOutcome:
        match outcome:
            case Refused(sentence=sentence):
                result = sentence
            case Disagreed(disagreements=found):
                result = f"disagrees in {len(found)} keys"
            case _:
                result = f"revision {outcome.revision}"
        self._audit.write(person, action, result)
        return outcome
