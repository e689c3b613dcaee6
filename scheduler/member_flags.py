"""What operations leave behind: who is not to lead, the pause, and what is put in order later.

The primary puts two things in order by itself, as a commit of its own: a flag whose time
is over goes, and the schema of the configuration rises when every member reads more.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from configrepo.cluster_settings import cluster_settings, settings_file
from configrepo.members import Ineligible, member_file, members_of
from configrepo.model import SCHEMA, Files, ServerId
from scheduler.compatibility import raised_schema, too_new
from scheduler.member_plan import Plan, named, stamp
from scheduler.server_states import shown_stamp


def alarms_of(files: Files, now: datetime) -> tuple[str, ...]:
    """What an operation left that people must not forget."""
    alarms: list[str] = []
    if (pause := cluster_settings(files).pause) is not None:
        late = stamp(now) >= pause.remind
        after = (
            "Reminder: resume it or pause it anew."
            if late
            else f"Reminder at {shown_stamp(pause.remind)}."
        )
        alarms.append(
            f"Automation is paused since {shown_stamp(pause.since)}: {pause.reason}. {after}"
        )
    for member in members_of(files):
        flag = member.ineligible
        if member.state == "active" and flag is not None and in_force(flag, now):
            until = (
                f"until {shown_stamp(flag.until)}" if flag.until else "until somebody switches back"
            )
            alarms.append(f"{named(member)} is not to lead {until}: {flag.reason}.")
    return tuple(alarms)


def in_force(flag: Ineligible, now: datetime) -> bool:
    """Whether the time of such a flag is not over."""
    return not flag.until or stamp(now) < flag.until


def barred(
    files: Files, me: ServerId, *, led_by_higher: bool, now: datetime, reads: int = SCHEMA
) -> tuple[str, float | None] | None:
    """Why this server is not to lead, and until when (POSIX time), or None if it may.

    While automation is paused a server does not take the lead back from a higher id. `reads`
    is the newest schema that this release reads: with less than the cluster uses it never leads.
    """
    if (sentence := too_new(cluster_settings(files).format, reads)) is not None:
        return f"incompatible: {sentence}", None
    own = next((m for m in members_of(files) if m.id == me and m.state == "active"), None)
    if own is not None and (flag := own.ineligible) is not None and in_force(flag, now):
        until = datetime.fromisoformat(flag.until).timestamp() if flag.until else None
        return flag.reason, until
    pause = cluster_settings(files).pause
    if own is not None and pause is not None and led_by_higher:
        return f"automation is paused: {pause.reason}", None
    return None


def in_order(files: Files, reads: Mapping[ServerId, int], now: datetime) -> Plan | None:
    """What the primary has to put in order; None if there is nothing.

    Args:
        files: the newest commit.
        reads: the newest schema that each member is known to read.
        now: the time, UTC.
    """
    changes: dict[str, str | None] = {}
    effects: list[str] = []
    active = [member for member in members_of(files) if member.state == "active"]
    for member in active:
        if (flag := member.ineligible) is not None and not in_force(flag, now):
            changes.update([member_file(replace(member, ineligible=None))])
            effects.append(f"{named(member)} can lead again: the time that was set is over.")
    settings = cluster_settings(files)
    schema = raised_schema(settings.format, [member.id for member in active], reads)
    if schema is not None:
        changes.update([settings_file(replace(settings, format=schema))])
        effects.append(f"Every server reads schema {schema} of the configuration: it is used now.")
    if not changes:
        return None
    return Plan(effects[0].rstrip("."), tuple(effects), changes)
