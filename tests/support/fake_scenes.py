"""Literals that the fake desk starts from: overviews, files of the examples, checks."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

from configrepo.layout import files_of
from configrepo.model import Files, ServerId
from configrepo.parser import read
from configrepo.unify import propose
from scheduler.views import Overview, Reach, Sample, ServerView

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)


def example_text(server: int) -> str:
    """The saved configuration of the server with that id in examples/."""
    return (EXAMPLES / f"bqn{server}-v1.conf").read_text(encoding="utf-8")


def example_files(server: int) -> dict[str, str]:
    """The same as files of the repository; ids beyond the examples look like BQN 2."""
    return files_of(read(example_text(min(server, 2))).document, str(server))


def factory_files() -> dict[str, str]:
    """The factory default that every server began with."""
    text = (EXAMPLES / "factory.conf").read_text(encoding="utf-8")
    return common_part(files_of(read(text).document, "0"))


def common_part(files: Files) -> dict[str, str]:
    """Without what belongs to one server."""
    return {path: text for path, text in files.items() if path.startswith("common/")}


def fingerprint(server: int) -> str:
    """What a server's certificate is known by."""
    digest = hashlib.sha256(bytes([server])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


@cache
def cluster_files(servers: tuple[int, ...]) -> Mapping[str, str]:
    """The tree of a cluster: the servers unified as proposed, one after the other."""
    files: dict[str, str] = example_files(servers[0])
    for server in servers[1:]:
        names = (f"bqn{servers[0]}", f"bqn{server}")
        files = dict(propose(factory_files(), files, example_files(server), names).files)
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
