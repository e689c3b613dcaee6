"""Literals that the fake desk starts from: overviews, files of the examples, rows to unify."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from configrepo.layout import files_of
from configrepo.model import ServerId
from configrepo.parser import read
from configrepo.unify import Proposal, RowId, UnifyRow
from scheduler.views import Overview, Reach, Sample, ServerView

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def example_text(server: int) -> str:
    """The saved configuration of the server with that id in examples/."""
    return (EXAMPLES / f"bqn{server}-v1.conf").read_text(encoding="utf-8")


def example_files(server: int) -> dict[str, str]:
    """The same as files of the repository."""
    return files_of(read(example_text(server)).document, str(server))


def cluster_files(servers: Sequence[int]) -> dict[str, str]:
    """The tree of a cluster: the first server's common part, everybody's own part."""
    files = example_files(servers[0])
    for server in servers[1:]:
        own = example_files(server)
        files |= {p: t for p, t in own.items() if p.startswith("servers/")}
    return files


def server_view(
    server: int,
    role: Literal["primary", "secondary", "alone"],
    *,
    simulated: bool = True,
    head: str | None = None,
) -> ServerView:
    """A healthy server with three minutes of throughput."""
    start = NOW.timestamp() - 180
    samples = tuple(
        Sample(
            time=start + 2 * i,
            downlink_kbps=int(6_000_000 + server * 900_000 + 1_500_000 * math.sin(i / 9 + server)),
            uplink_kbps=int(900_000 + 200_000 * math.cos(i / 7 + server)),
        )
        for i in range(90)
    )
    return ServerView(
        id=ServerId(server),
        name=f"bqn{server}",
        address=f"192.168.56.{111 + server}",
        gui_url=f"https://192.168.56.{111 + server}/",
        role=role,
        state="ready",
        state_sentence="Answers on the control port.",
        sync="in sync",
        sync_sentence="Runs the newest commit; the hash of what runs there is the commit's.",
        behind=0,
        version="5.0.0",
        ssh_port=22,
        control_port=63500 + server,
        head=head,
        running=head,
        last_contact=NOW,
        rtt_ms=0.4 + server / 10,
        cpu_percent=11.0 + 7 * server,
        samples=samples,
        simulated=simulated,
    )


def overview_alone(head: str | None = None) -> Overview:
    """BQN 0, not in a cluster."""
    return Overview(
        me=ServerId(0),
        name="bqn0",
        version="5.0.0",
        clustered=False,
        state="alone",
        state_sentence="This server is not in a cluster.",
        status="complete",
        status_sentence="It runs its own configuration.",
        primary=None,
        term=0,
        since=None,
        sentence="BQN 0 works alone.",
        servers=(server_view(0, "alone", head=head),),
        alarms=(),
        simulated=True,
    )


def overview_of(servers: Sequence[int], me: int = 0, head: str | None = None) -> Overview:
    """A healthy cluster led by its lowest id."""
    primary = min(servers)
    return Overview(
        me=ServerId(me),
        name=f"bqn{me}",
        version="5.0.0",
        clustered=True,
        state="ready",
        state_sentence="Every server answers and follows the primary.",
        status="complete",
        status_sentence=f"All {len(servers)} servers run the newest commit.",
        primary=ServerId(primary),
        term=3,
        since=NOW,
        sentence=f"BQN {primary} is primary because it has the lowest id.",
        servers=tuple(
            server_view(s, "primary" if s == primary else "secondary", head=head) for s in servers
        ),
        alarms=(),
        simulated=True,
    )


def reaches(source: int, target: int, *, ssh_ok: bool = True) -> tuple[Reach, ...]:
    """The two checks of one direction; SSH is filtered unless `ssh_ok`."""
    address = f"192.168.56.{111 + target}"
    control = Reach(
        source=f"BQN {source}",
        target=f"BQN {target}",
        what="control port",
        address=address,
        port=63500 + target,
        ok=True,
        cause="ok",
        sentence=f"BQN {target} answers on its control port.",
    )
    ssh = Reach(
        source=f"BQN {source}",
        target=f"BQN {target}",
        what="SSH",
        address=address,
        port=22,
        ok=ssh_ok,
        cause="ok" if ssh_ok else "filtered",
        sentence="SSH answers." if ssh_ok else "No answer within 3 s: a firewall drops it.",
        advice="" if ssh_ok else f"Allow TCP from 192.168.56.{111 + source} to {address} port 22.",
    )
    return control, ssh


def proposal_of_bqn2() -> Proposal:
    """What unifying BQN 2 with the cluster of BQN 0 and 1 asks and tells."""
    time_path, rate_path = (
        "common/profile/time/peak-time.conf",
        "common/policy/rate/rate-20Mbps.conf",
    )
    dpi, ntp = "common/profile/dpi/sw-updates.conf", "common/ntp.conf"
    asked = "The cluster and bqn2 both have their own value; none of them is the factory default's."
    rows = (
        _row(time_path, "profile time peak-time", "hours",
             (None, "hours 19:00-23:00", "hours 18:00-24:00", None), asked, "disagreement"),
        _row(rate_path, "policy rate rate-20Mbps", "downlink rate",
             (None,
              "downlink rate 20000 burst-rate 30000 burst-duration 10 burst-threshold 16000",
              "downlink rate 25000 burst-rate 35000 burst-duration 10 burst-threshold 16000",
              None), asked, "disagreement"),
        _row(rate_path, "policy rate rate-20Mbps", "uplink rate",
             (None, "uplink rate 4000", "uplink rate 5000", None), asked, "disagreement"),
        _row("common/clock.conf", "clock", None,
             ("clock timezone Europe/Madrid", "clock timezone Europe/Madrid",
              "clock timezone Atlantic/Canary", "clock timezone Atlantic/Canary"),
             "Only bqn2 changed the factory default.", "changes-running"),
        _row("common/dos.conf", "dos", "minimum-rate",
             ("minimum-rate 50000", "minimum-rate 50000", "minimum-rate 80000",
              "minimum-rate 80000"), "Only bqn2 changed the factory default.", "changes-running"),
        _row("common/policy/rate/rate-100Mbps.conf", "policy rate rate-100Mbps", None,
             (None, None, "policy rate rate-100Mbps\ndownlink rate 100000\nuplink rate 20000",
              "policy rate rate-100Mbps\ndownlink rate 100000\nuplink rate 20000"),
             "Only bqn2 has it.", "addition"),
        _row(dpi, "profile dpi sw-updates", "signature *.dl.playstation.net",
             (None, "signature *.dl.playstation.net", None, "signature *.dl.playstation.net"),
             "Only the cluster has it.", "kept"),
        _row(ntp, "ntp", "server 198.51.100.7",
             (None, "server 198.51.100.7", "server 198.51.100.7", "server 198.51.100.7"),
             "The cluster and bqn2 made the same change.", "same"),
    )  # fmt: skip
    own = {p: t for p, t in example_files(2).items() if p.startswith("servers/")}
    return Proposal(rows=rows, server_specific=own)


def _row(
    path: str,
    title: str,
    key: str | None,
    values: tuple[str | None, str | None, str | None, str | None],
    reason: str,
    group: Literal["disagreement", "changes-running", "addition", "kept", "same"],
) -> UnifyRow:
    base, cluster, joiner, proposal = values
    return UnifyRow(
        id=RowId(f"{path}|{key or ''}"),
        path=path,
        title=title,
        key=key,
        base=base,
        cluster=cluster,
        joiner=joiner,
        proposal=proposal,
        reason=reason,
        group=group,
    )
