"""How auditors get the repository: the exact commands, over HTTPS and over SSH.

Any server serves the same history, read only. What the commands are made of comes from
this server and from the address that the browser used; nothing is typed.

Edge: HTTP.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from bqngui.authorization import needs
from bqngui.login import current_person
from bqngui.shell import desk
from scheduler.auditing_seam import CloneWays
from scheduler.views import Role

_PORT = re.compile(r":[0-9]+\Z")
REFSPECS = (
    "+refs/terms/*:refs/terms/*",
    "+refs/notes/*:refs/notes/*",
    "+refs/bqn/running/*:refs/bqn/running/*",
)

blueprint = Blueprint("clone", __name__, url_prefix="/clone")


@dataclass(frozen=True, slots=True)
class ClonePage:
    """What the commands are made of.

    `host` is as the browser wrote it (with a port where it is not 443), `endpoint` always
    has a port; `known_host` is the line for OpenSSH's known_hosts.
    """

    host: str
    endpoint: str
    person: str
    ssh_url: str
    known_host: str
    refspecs: tuple[str, ...]
    clustered: bool


def clone_page(host: str, person: str, ways: CloneWays, clustered: bool) -> ClonePage:
    """The page for a browser that reached this server as `host`."""
    name = _PORT.sub("", host)
    endpoint = host if _PORT.search(host) else f"{host}:443"
    bare = name.strip("[]")
    known = bare if ways.port == 22 else f"[{bare}]:{ways.port}"
    return ClonePage(
        host=host,
        endpoint=endpoint,
        person=person,
        ssh_url=f"ssh://{ways.account}@{name}:{ways.port}/git/cluster.git",
        known_host=f"{known} {ways.host_key}",
        refspecs=REFSPECS,
        clustered=clustered,
    )


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The commands, for this server and this person."""
    person = current_person()
    name = "NAME" if person.local else person.name
    clustered = desk().overview().clustered
    page = clone_page(request.host, name, desk().auditing.clone_ways(), clustered)
    return render_template("clone/show.html", page=page)
