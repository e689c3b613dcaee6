"""From facts to words: who leads, which server is in what state, who is in sync.

Rules:
1. A server is *in sync* only if it reported the hash of what it runs, read back lately, and
   that hash equals the one of the newest commit; a report older than `STALE_S` proves
   nothing, and while the newest commit is not here nobody can be said to run it.
2. A server that does not answer is *unreachable*, never in sync.
3. The cluster is *ready* if one primary leads and every server is reachable; *complete*
   if every server is in sync.

It does not know how facts are gathered.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from types import UnionType
from typing import Any

from configrepo.cluster_settings import Pause
from configrepo.members import Member
from configrepo.model import ServerId
from scheduler.control_view import ControlView, PeerView
from scheduler.errors import RemoteRefused
from scheduler.server_states import Word, own_state, peer_state, shown_stamp
from scheduler.views import Overview, Sample, ServerView

STALE_S = 10.0
SPARK = 60


@dataclass(frozen=True, slots=True)
class Report:
    """What a server says of itself. `running` is a commit id, `hash` that of what runs.

    `result` is how the last apply ended: applied, applying, failed, drifted or none;
    waiting while another server applies a commit first. `refs` is where the refs are that
    only this server writes; `unreached` are the servers that it, as primary, cannot push to.
    """

    id: ServerId
    name: str
    version: str
    gui_url: str
    head: str | None
    running: str | None
    hash: str | None
    result: str
    sentence: str
    cpu_percent: float | None
    simulated: bool
    samples: tuple[Sample, ...] = ()
    refs: Mapping[str, str] = field(default_factory=dict)
    unreached: tuple[ServerId, ...] = ()


_KINDS: Mapping[str, UnionType | type] = {
    **dict.fromkeys(("name", "version", "gui_url", "result", "sentence"), str),
    **dict.fromkeys(("head", "running", "hash"), str | None),
    "id": int,
    "cpu_percent": int | float | None,
    "simulated": bool,
}
"""What pages count on: another kind in one report would make an error page of each of them."""


def report_to_json(report: Report) -> dict[str, Any]:
    """A report as it travels."""
    return {
        **asdict(report),
        "samples": [[s.time, s.downlink_kbps, s.uplink_kbps] for s in report.samples[-SPARK:]],
    }


def report_from_json(stored: Mapping[str, Any]) -> Report:
    """The inverse of `report_to_json`.

    Raises:
        RemoteRefused: it has the wrong form.
    """
    try:
        samples = tuple(
            Sample(float(time), int(down), int(up)) for time, down, up in stored["samples"]
        )
        refs = {str(ref): str(commit) for ref, commit in stored.get("refs", {}).items()}
        unreached = tuple(ServerId(int(server)) for server in stored.get("unreached", ()))
        known = {**stored, "refs": refs, "unreached": unreached}
        for name, kind in _KINDS.items():
            if not isinstance(known[name], kind):
                raise TypeError(f"{name} is something else")
        return Report(**{**known, "samples": samples[-SPARK:]})
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise RemoteRefused(f"the report of a server cannot be read ({error!r})") from error


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that the overview is made of.

    `reports` holds each other server's last report with its age in seconds; `expected`
    the hash that each server should run at `head`; `behind` how many commits each
    server's running commit is behind; `pushes` the last error of sending to it. `newer`
    is a sentence if another server has a newer commit, which has not arrived here.
    """

    me: ServerId
    own: Report
    own_record: Member
    members: tuple[Member, ...]
    control: ControlView
    head: str
    reports: Mapping[ServerId, tuple[Report, float]]
    expected: Mapping[ServerId, str]
    behind: Mapping[ServerId, int]
    pushes: Mapping[ServerId, str] = field(default_factory=dict)
    alarms: tuple[str, ...] = ()
    refusal: str | None = None
    schema: int = 1
    too_new: str | None = None
    pause: Pause | None = None
    newer: str = ""


def overview_of(facts: Facts) -> Overview:
    """The overview that every page starts from."""
    clustered = bool(facts.members)
    servers = tuple(_server(facts, member) for member in facts.members)
    if not clustered:
        servers = (_alone(facts),)
    state = _state(facts, servers) if clustered else Word("alone", "This server is in no cluster.")
    synced = [server for server in servers if server.sync == "in sync"]
    complete = len(synced) == len(servers)
    failing = [s for s in servers if s.sync in ("failed", "drifted")]
    return Overview(
        me=facts.me,
        name=facts.own.name,
        version=facts.own.version,
        clustered=clustered,
        state=state.word,
        state_sentence=state.sentence,
        status="complete" if complete else f"{len(synced)} of {len(servers)}",
        status_sentence=_status_sentence(servers, complete),
        primary=_primary(facts),
        term=facts.control.epoch,
        since=facts.control.since if clustered else None,
        sentence=facts.control.sentence if clustered else state.sentence,
        servers=servers,
        alarms=(*facts.alarms, *(f"BQN {s.id}: {s.sync_sentence}" for s in failing)),
        simulated=any(server.simulated for server in servers),
        read_only_reason=facts.refusal,
    )


def _primary(facts: Facts) -> ServerId | None:
    if facts.control.role == "primary" or [m.id for m in facts.members] == [facts.me]:
        return facts.me
    return facts.control.following


def _state(facts: Facts, servers: tuple[ServerView, ...]) -> Word:
    leaders = [f"BQN {s.id}" for s in servers if s.role == "primary"]
    away = [s for s in servers if s.state != "ready"]
    if len(leaders) > 1:
        return Word(
            "split", f"{' and '.join(leaders)} both lead: the network between them was cut."
        )
    if _primary(facts) is None:
        return Word("degraded", f"No server leads: {facts.control.sentence}")
    if away:
        named = "; ".join(f"BQN {s.id} is {s.state}: {s.state_sentence}" for s in away[:3])
        rest = f"; and {len(away) - 3} more" if len(away) > 3 else ""
        return Word("degraded", f"{named}{rest}")
    ready = f"{leaders[0] if leaders else 'A server'} leads, all servers answer."
    if (pause := facts.pause) is not None:
        return Word(
            "paused",
            f"Automation is paused since {shown_stamp(pause.since)}: {pause.reason}. {ready}",
        )
    return Word("ready", ready)


def _status_sentence(servers: tuple[ServerView, ...], complete: bool) -> str:
    if complete:
        return (
            "The running configuration of every server was compared and equals the newest commit."
        )
    late = [f"BQN {s.id} is {s.sync}" for s in servers if s.sync != "in sync"]
    return "; ".join(late[:5]) + (f"; and {len(late) - 5} more" if len(late) > 5 else "")


def _server(facts: Facts, member: Member) -> ServerView:
    if member.id == facts.me:
        return _view(facts, member, facts.own, own_state(facts.control, facts.too_new), None)
    peer = next((p for p in facts.control.peers if p.id == member.id), None)
    report, age = facts.reports.get(member.id, (None, STALE_S))
    state = peer_state(peer, facts.schema)
    return _view(facts, member, report if age < STALE_S else None, state, peer)


def _view(
    facts: Facts, member: Member, report: Report | None, state: Word, peer: PeerView | None
) -> ServerView:
    sync = _sync(facts, member.id, report, state)
    mine = member.id == facts.me
    return ServerView(
        id=member.id,
        name=member.name,
        address=member.address,
        gui_url=report.gui_url if report else "",
        role=_role(facts, peer, mine, state),
        state=state.word,
        state_sentence=state.sentence,
        state_detail=state.detail,
        sync=sync.word,
        sync_sentence=sync.sentence,
        behind=facts.behind.get(member.id) if report else None,
        version=report.version if report else (peer.version if peer else ""),
        ssh_port=member.ssh_port,
        control_port=member.control_port,
        head=report.head if report else None,
        running=report.running if report else None,
        last_contact=_now_or(peer, mine),
        rtt_ms=peer.rtt_ms if peer else None,
        cpu_percent=report.cpu_percent if report else None,
        samples=report.samples[-SPARK:] if report else (),
        simulated=report.simulated if report else False,
    )


def _now_or(peer: PeerView | None, mine: bool) -> datetime | None:
    return None if mine or peer is None else peer.last_contact


def _role(facts: Facts, peer: PeerView | None, mine: bool, state: Word) -> Any:
    if mine:
        role = facts.control.role
        return "candidate" if role == "joining" else role
    if peer is None or state.word == "unreachable":
        return "unknown"
    return peer.role if peer.role in ("primary", "secondary", "candidate") else "secondary"


def _sync(facts: Facts, server: ServerId, report: Report | None, state: Word) -> Word:
    if state.word == "unreachable":
        return Word("unreachable", "What it runs is not known while it does not answer.")
    if report is None:
        return Word("unknown", facts.pushes.get(server) or "It has not reported what it runs yet.")
    if report.result in ("failed", "drifted"):
        return Word(report.result, report.sentence)
    if facts.newer:
        return Word("behind" if server == facts.me else "unknown", facts.newer)
    return _compared(facts, server, report)


def _compared(facts: Facts, server: ServerId, report: Report) -> Word:
    settled = report.result in ("applied", "waiting")
    if settled and report.hash is not None and report.hash == facts.expected.get(server):
        return Word("in sync", "It runs the newest commit; the hash of what it runs was compared.")
    if report.result == "waiting":
        return Word("applying", report.sentence)
    if settled and report.hash is None:
        return Word("unknown", report.sentence)
    if report.head == facts.head or report.result == "applying":
        return Word("applying", "It has the newest commit and is applying it.")
    return _late(facts.behind.get(server, 0), facts.pushes.get(server))


def _late(behind: int, cause: str | None) -> Word:
    if behind == 0:
        return Word("unknown", "It runs a commit that has not arrived here.")
    late = f"It is {behind} commit{'s' if behind != 1 else ''} behind"
    return Word("behind", f"{late}: {cause}" if cause else f"{late}.")


def _alone(facts: Facts) -> ServerView:
    here = Word("ready", "You are logged in here.")
    return replace(_view(facts, facts.own_record, facts.own, here, None), role="alone")
