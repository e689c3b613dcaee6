"""Operations on members: which files they change, what that will do, and when they are refused.

Rules:
1. The server that leads is never removed or renamed while it leads: another one takes over
   first, so that the commit is made by a server that stays what it is.
2. The last member is not removed, and an id is taken for ever by whoever had it first: the
   lines in the repository that carry it have one writer.
3. A removed server stays as a record with the time of its removal; its own part of the
   configuration goes, the common part and the history stay.
4. Who is removed knew every secret. They are listed, and the key that seals is changed.
5. A chosen server leads because those before it are not eligible, each with reason and time.

It knows neither the network nor the clock: who leads, who answers and what time it is
are facts.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from configrepo.cluster_settings import Pause, cluster_settings, settings_file
from configrepo.layout import read_files
from configrepo.members import FormerKey, Ineligible, Member, SeenFrom, member_file, members_of
from configrepo.model import Files, ServerId
from configrepo.secrets import secrets_of
from scheduler.operations_seam import (
    ChangeAddress,
    ChangeId,
    Operation,
    PauseAutomation,
    Remove,
    ResumeAutomation,
    SwitchBack,
    Switchover,
)
from scheduler.server_states import shown_stamp
from scheduler.views import Refused

CONTROL_PORT = 63500
LAST_ID = 255
LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when an operation is planned: who leads, who answers, the time (UTC)."""

    leader: ServerId | None
    alive: frozenset[ServerId]
    now: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """What an operation changes. `rotates`: the key that seals must be changed with it."""

    title: str
    effects: tuple[str, ...]
    changes: Mapping[str, str | None]
    secrets: tuple[tuple[str, str], ...] = ()
    rotates: bool = False


def stamp(time: datetime) -> str:
    """A time as the records write it."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plan(files: Files, operation: Operation, situation: Situation) -> Plan | Refused:
    """Decide about one operation."""
    members = _Members(files, situation)
    match operation:
        case Remove():
            return _remove(members, operation)
        case ChangeId():
            return _change_id(members, operation)
        case ChangeAddress():
            return _change_address(members, operation)
        case Switchover():
            return _switch_over(members, operation)
        case SwitchBack():
            return _switch_back(members)
        case PauseAutomation():
            return _pause(members, operation)
        case ResumeAutomation():
            return _resume(members)


def with_sealing_key(files: Files, key_id: str) -> dict[str, str | None]:
    """The change that makes another key the one that seals."""
    return dict([settings_file(replace(cluster_settings(files), sealing_key=key_id))])


def secrets_known_to(files: Files, server: ServerId) -> tuple[tuple[str, str], ...]:
    """Path and key of every secret that a server got to know: the common ones and its own."""
    scope = ("common/", f"servers/{server}/")
    return tuple((path, key) for path, key in secrets_of(files) if path.startswith(scope))


def told_secrets(secrets: tuple[tuple[str, str], ...]) -> list[str]:
    """The secrets as the message of a commit lists them."""
    lines = ["", "Secrets that it knew:"] if secrets else []
    return lines + [f"{path} {secret}" for path, secret in secrets]


def successor(old: Member | None, new: Member, now: datetime) -> Member:
    """The record of a server that takes the place of `old`, whose key stays for its commits."""
    if old is None:
        return new
    former = old.former_keys
    if old.ssh_key != new.ssh_key:
        former = (*former, FormerKey(old.ssh_key, old.removed or stamp(now)))
    return replace(new, former_keys=former, seen_from=old.seen_from)


@dataclass(frozen=True, slots=True)
class _Members:
    files: Files
    situation: Situation

    @property
    def all(self) -> tuple[Member, ...]:
        return members_of(self.files)

    @property
    def active(self) -> tuple[Member, ...]:
        return tuple(member for member in self.all if member.state == "active")

    def member(self, server: ServerId) -> Member | Refused:
        """The active member with that id, or that there is none."""
        found = next((member for member in self.active if member.id == server), None)
        return found or Refused(f"BQN {server} is not a member of this cluster.")

    def leads(self, server: ServerId, what: str) -> Refused | None:
        """Rule 1."""
        if self.situation.leader != server:
            return None
        return Refused(
            f"BQN {server} leads the cluster now. Switch over to another server first, then {what}."
        )

    def forgetting(self, server: ServerId, new_id: ServerId | None) -> dict[str, str | None]:
        """Where other records say how `server` dials them: renamed or (None) dropped."""
        changes: dict[str, str | None] = {}
        for member in self.active:
            kept = tuple(seen for seen in member.seen_from if seen.viewer != server)
            if new_id is not None:
                own = [seen for seen in member.seen_from if seen.viewer == server]
                kept += tuple(replace(seen, viewer=new_id) for seen in own)
            if kept != member.seen_from and member.id != server:
                changes.update([member_file(replace(member, seen_from=kept))])
        return changes


def _own_files(files: Files, server: ServerId) -> dict[str, str]:
    own = f"servers/{server}/"
    return {path: text for path, text in files.items() if path.startswith(own)}


# --- remove -------------------------------------------------------------------------


def _remove(members: _Members, operation: Remove) -> Plan | Refused:
    member = members.member(operation.server)
    if isinstance(member, Refused):
        return member
    if len(members.active) == 1:
        return Refused(f"BQN {member.id} is the last member; there is nothing to remove it from.")
    if refused := members.leads(member.id, "remove it"):
        return refused
    secrets = secrets_known_to(members.files, member.id)
    gone = dict.fromkeys(_own_files(members.files, member.id))
    record = replace(
        member,
        state="removed",
        removed=stamp(members.situation.now),
        ineligible=None,
        seen_from=(),
    )
    return Plan(
        title=f"Remove {named(member)} from the cluster",
        effects=_effects_of_removal(members, member, len(secrets)),
        changes={**members.forgetting(member.id, None), **gone, **dict([member_file(record)])},
        secrets=secrets,
        rotates=True,
    )


def _effects_of_removal(members: _Members, member: Member, secrets: int) -> tuple[str, ...]:
    answers = member.id in members.situation.alive
    rest = [other for other in members.active if other.id != member.id]
    effects = [
        f"The SSH key and the certificate of {named(member)} stop working at every server that "
        f"can be reached, as soon as the commit arrives there.",
        (
            f"{named(member)} answers now: it is told, and goes on alone with what it runs."
            if answers
            else f"{named(member)} does not answer now. When it comes back it is refused and "
            f"told, and goes on alone with what it ran."
        ),
        "The cluster gets a new key and everything that is sealed is sealed anew with it.",
        (
            f"{named(member)} knew {secrets} secret{'s' if secrets != 1 else ''}. A new key does "
            f"not unlearn {'it' if secrets == 1 else 'them'}: change every one where it is used."
            if secrets
            else f"There is no secret that {named(member)} knew."
        ),
        "Its signatures stay good for the commits until now, and for no later ones.",
    ]
    if len(rest) == 1:
        effects.append(f"{named(rest[0])} stays as a cluster of one.")
    return tuple(effects)


# --- change of id ---------------------------------------------------------------------


def refusal_of_id(new_id: int, old_id: int) -> Refused | None:
    """What is wrong with a new id, whatever the cluster."""
    if not 0 <= new_id <= LAST_ID:
        return Refused(f"An id is a number from 0 to {LAST_ID}.")
    if new_id == old_id:
        return Refused(f"This server already is BQN {old_id}.")
    return None


def renamed_files(files: Files, old: ServerId, new: ServerId) -> dict[str, str | None]:
    """The change that gives a server's own part to its new id."""
    changes: dict[str, str | None] = {}
    for path, text in _own_files(files, old).items():
        changes[path] = None
        changes[f"servers/{new}/" + path.split("/", 2)[2]] = text
    return changes


def _change_id(members: _Members, operation: ChangeId) -> Plan | Refused:
    member = members.member(operation.server)
    if isinstance(member, Refused):
        return member
    new_id = operation.new_id
    refused = refusal_of_id(new_id, member.id) or _id_is_taken(members, new_id)
    if refused is not None:
        return refused
    if refused := members.leads(member.id, "change its id"):
        return refused
    follows = member.control_port == CONTROL_PORT + member.id
    port = CONTROL_PORT + new_id if follows else member.control_port
    after = replace(member, id=new_id, control_port=port)
    before = replace(
        member,
        state="removed",
        removed=stamp(members.situation.now),
        ineligible=None,
        seen_from=(),
    )
    changes = {
        **renamed_files(members.files, member.id, new_id),
        **members.forgetting(member.id, new_id),
        **dict([member_file(before), member_file(after)]),
    }
    return Plan(
        title=f"Change the id of {named(member)} to {new_id}",
        effects=_effects_of_id(members, member, after),
        changes=changes,
    )


def _id_is_taken(members: _Members, new_id: ServerId) -> Refused | None:
    for member in members.all:
        if member.id == new_id and member.state == "active":
            return Refused(f"The id {new_id} is taken by {member.name}.")
        if member.id == new_id:
            return Refused(
                f"The id {new_id} belonged to {member.name}, and its history carries it; "
                f"take another one."
            )
    return None


def _effects_of_id(members: _Members, before: Member, after: Member) -> tuple[str, ...]:
    effects = [
        f"{named(before)} becomes BQN {after.id}; its own part of the configuration moves along.",
        "Its program restarts by itself. Its pages end: log in again there. If it processes "
        "traffic, the restart can interrupt it briefly.",
        f"What was committed under the id {before.id} stays under the id {before.id}.",
    ]
    if before.control_port != after.control_port:
        effects.append(
            f"Its control port changes from {before.control_port} to {after.control_port}: "
            f"firewalls on the way must let it through."
        )
    first = min(member.id for member in members.active if member.id != before.id)
    if after.id < first:
        effects.append(f"BQN {after.id} will then be the lowest id: it takes over the lead.")
    if before.id not in members.situation.alive:
        effects.append(f"{named(before)} does not answer now; it changes when it comes back.")
    return tuple(effects)


# --- change of address ----------------------------------------------------------------


def _change_address(members: _Members, operation: ChangeAddress) -> Plan | Refused:
    member = members.member(operation.server)
    if isinstance(member, Refused):
        return member
    after = replace(
        member,
        address=operation.address,
        ssh_port=operation.ssh_port,
        control_port=operation.control_port,
        seen_from=tuple(sorted(operation.seen_from, key=lambda seen: seen.viewer)),
    )
    if after == member:
        return Refused(f"Nothing would change: {named(member)} is dialled like this already.")
    if sentence := _wrong_address(members, after):
        return Refused(sentence)
    path, text = member_file(after)
    if problems := read_files({path: text}):
        return Refused(problems[0].message, problems)
    return Plan(
        title=f"Change where {named(member)} is reached",
        effects=_effects_of_address(member, after),
        changes={path: text},
    )


def _wrong_address(members: _Members, after: Member) -> str | None:
    ports = [after.ssh_port, after.control_port]
    ports += [
        port for seen in after.seen_from for port in (seen.ssh_port, seen.control_port) if port
    ]
    if any(not 0 < port <= 65535 for port in ports):
        return "A port is a number from 1 to 65535."
    if any(not a.strip() for a in (after.address, *(seen.address for seen in after.seen_from))):
        return "An address is missing."
    viewers = [seen.viewer for seen in after.seen_from]
    if len(set(viewers)) < len(viewers):
        return "Two overrides are for the same server."
    others = {member.id for member in members.active} - {after.id}
    if strange := sorted(set(viewers) - others):
        return f"An override is for another member, and BQN {strange[0]} is none."
    return None


def _effects_of_address(before: Member, after: Member) -> tuple[str, ...]:
    place = f"{after.address}, SSH port {after.ssh_port}, control port {after.control_port}"
    effects = [f"The other servers dial {named(before)} at {place}."]
    effects += [
        f"BQN {seen.viewer} alone dials it at {_shown(seen, after)}." for seen in after.seen_from
    ]
    effects.append(
        "Only where it is dialled changes, not where it listens. Who does not reach it there "
        "shows it as unreachable; the change can be taken back in the same way."
    )
    return tuple(effects)


def _shown(seen: SeenFrom, after: Member) -> str:
    there = after.seen_by(seen.viewer)
    return f"{there.address}, SSH port {there.ssh_port}, control port {there.control_port}"


# --- who leads, what runs by itself -----------------------------------------------------


def _switch_over(members: _Members, operation: Switchover) -> Plan | Refused:
    chosen = members.member(operation.to)
    if isinstance(chosen, Refused):
        return chosen
    if members.situation.leader == chosen.id:
        return Refused(f"{named(chosen)} leads already.")
    if chosen.id not in members.situation.alive:
        return Refused(f"{named(chosen)} does not answer now, so it cannot lead.")
    if sentence := _wrong_reason(operation.reason):
        return Refused(sentence)
    flag = Ineligible(operation.reason, operation.until)
    changes: dict[str, str | None] = {}
    for member in members.active:
        wanted = flag if member.id < chosen.id else None
        if member.id <= chosen.id and member.ineligible != wanted:
            changes.update([member_file(replace(member, ineligible=wanted))])
    before = [named(member) for member in members.active if member.id < chosen.id]
    until = (
        f"until {shown_stamp(operation.until)}"
        if operation.until
        else "until somebody switches back"
    )
    effects = [
        f"{named(chosen)} takes over the lead; commits wait for a moment.",
        *([f"{_listed(before)} cannot lead {until}."] if before else []),
        f"If {named(chosen)} fails meanwhile, the next one takes over; if none of those is left, "
        f"one of the excluded servers leads all the same.",
    ]
    return Plan(f"Switch over to {named(chosen)}", tuple(effects), changes)


def _switch_back(members: _Members) -> Plan | Refused:
    flagged = [member for member in members.active if member.ineligible is not None]
    if not flagged:
        return Refused("No server is excluded from leading; there is nothing to switch back.")
    changes = dict(member_file(replace(member, ineligible=None)) for member in flagged)
    lowest = members.active[0]
    effects = (
        f"{_listed([named(member) for member in flagged])} can lead again.",
        f"{named(lowest)} has the lowest id and takes over as soon as it has every commit.",
    )
    return Plan("Switch back: let every server lead again", effects, changes)


def _pause(members: _Members, operation: PauseAutomation) -> Plan | Refused:
    if sentence := _wrong_reason(operation.reason):
        return Refused(sentence)
    pause = Pause(stamp(members.situation.now), operation.remind, operation.reason)
    path, text = settings_file(replace(cluster_settings(members.files), pause=pause))
    if problems := read_files({path: text or ""}):
        return Refused("The time of the reminder is not a date and time.", problems)
    effects = (
        "No server takes the lead back by itself, and no rollout goes on. A server that fails "
        "is still replaced by the next one.",
        f"Every server shows this with its reason; after {shown_stamp(operation.remind)} it "
        f"reminds.",
    )
    return Plan("Pause automation", effects, {path: text})


def _resume(members: _Members) -> Plan | Refused:
    now = cluster_settings(members.files)
    if now.pause is None:
        return Refused("Automation is not paused.")
    effects = ("The lowest id takes the lead back, and rollouts go on.",)
    return Plan("Resume automation", effects, dict([settings_file(replace(now, pause=None))]))


def _wrong_reason(reason: str) -> str | None:
    if not reason.strip():
        return "Write a reason: the others see it."
    if len(reason) > LONGEST_REASON or not reason.isprintable():
        return f"A reason is one line of at most {LONGEST_REASON} characters."
    return None


def named(member: Member) -> str:
    """A server as sentences name it."""
    return f"BQN {member.id} ({member.name})" if member.name else f"BQN {member.id}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
