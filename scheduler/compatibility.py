"""Which releases understand each other, and what a server does where they do not.

Rules (docs/adr/0013):

1. Two servers speak a protocol that both know. Without one they get no session, and each
   names the other *incompatible*, with both releases.
2. Servers that answer but do not understand each other cannot agree who leads. The larger
   group goes on; of two equal ones that of the older release. A server of the other group
   stands aside: it only listens, so an update that went wrong makes no second primary.
3. The cluster names the schema of its configuration. The primary raises it when every
   active member reads more, and nobody ever lowers it.
4. A server whose release reads less than that follows and keeps what it gets, but neither
   leads, nor applies, nor commits.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from configrepo.model import SCHEMA, ServerId
from scheduler.messages import Hello


def common_protocol(ours: Hello, theirs: Hello) -> int | None:
    """The highest protocol that both know (rule 1); None if there is none."""
    highest = min(ours.highest_protocol, theirs.highest_protocol)
    lowest = max(ours.lowest_protocol, theirs.lowest_protocol)
    return highest if highest >= lowest else None


def not_understood(ours: Hello, theirs: Hello) -> str:
    """Rule 1 in words."""
    older = theirs if theirs.highest_protocol < ours.lowest_protocol else ours
    return (
        f"BQN {theirs.id} runs release {theirs.version} ({_protocols(theirs)}), BQN {ours.id} runs "
        f"{ours.version} ({_protocols(ours)}): update BQN {older.id}"
    )


def _protocols(hello: Hello) -> str:
    lowest, highest = hello.lowest_protocol, hello.highest_protocol
    return f"protocol {lowest}" if lowest == highest else f"protocols {lowest} to {highest}"


def stands_aside(ours: Hello, strangers: Collection[Hello], known: int) -> bool:
    """Rule 2.

    Args:
        ours: what this server says of itself.
        strangers: the members that answer but are not understood.
        known: how many other members are known.
    """
    fellows = known + 1
    if len(strangers) != fellows:
        return len(strangers) > fellows
    return any(theirs.highest_protocol < ours.lowest_protocol for theirs in strangers)


def raised_schema(
    now: int, members: Collection[ServerId], reads: Mapping[ServerId, int]
) -> int | None:
    """Rule 3: the schema that the cluster can use from now on; None if it stays.

    Args:
        now: the schema that the cluster names.
        members: the active members.
        reads: the newest schema that each is known to read, this server included.
    """
    if not members or any(reads.get(member, 0) < 1 for member in members):
        return None
    possible = min(reads[member] for member in members)
    return possible if possible > now else None


def too_new(named: int, reads: int = SCHEMA) -> str | None:
    """Rule 4: why a release that reads `reads` cannot use this configuration; None if it can."""
    if named <= reads:
        return None
    return (
        f"the configuration of the cluster has schema {named}, and this release reads up to "
        f"schema {reads}: update this server"
    )
