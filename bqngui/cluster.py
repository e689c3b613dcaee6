"""Administration, Cluster: the servers, their state in words, and adding one.

Adding has two ways in, as the vendor's dialogue has: the server that is in the cluster
invites and shows a join code, the other one joins with it. Both live on one page with
the steps in their order. Without a code the persons at both servers say id and address of
the other one and compare what both pages show. What changes by itself is refreshed by
static/dashboard.js and never holds an input. A refusal is shown where it belongs and keeps
what was typed.

Edge: HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from bqngui.add_form import (
    BY_HAND,
    DEFAULT_SSH_PORT,
    Faulty,
    JoinForm,
    read_invitation,
    read_joining,
    read_meeting,
)
from bqngui.authorization import needs
from bqngui.badges import MEANINGS
from bqngui.dashboard import DashboardPage, dashboard_page
from bqngui.login import current_person
from bqngui.shell import desk
from scheduler import server_states
from scheduler.views import Invitation, JoinProgress, Refused, Role, Unification

blueprint = Blueprint("cluster", __name__, url_prefix="/cluster")

FINGERPRINT_GROUPS = 8
# Where a session keeps what was typed into a form.
_KEPT = {"join": "joining", "meet": "meeting"}
_CODE_STEPS = (
    "Make a join code on the server that is, or will be, in the cluster",
    "Paste the code on the other server",
    "Compare the fingerprint and accept",
)
_HAND_STEPS = (
    "Say id and address of the new server on the server that is, or will be, in the cluster",
    "Say id and address of that server on the new one",
    "Compare the fingerprints and confirm on both servers",
)
_LAST_STEPS = (
    "Unify the configurations and commit",
    "Ready: the new server runs the cluster's configuration",
)
_STEP_OF_JOINING = {
    "none": 0,
    "checking": 1,
    "failed": 1,
    "comparing": 2,
    "waiting": 2,
    "accepted": 3,
    "joined": 5,
}
_FINGERPRINT = re.compile(r"SHA256:([A-Za-z0-9+/]{8,64})")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of adding a server; `stage` is done, now or later."""

    text: str
    stage: str


@dataclass(frozen=True, slots=True)
class AddPage:
    """Everything that the page *Add BQN to a cluster* shows.

    `invite`, `join` and `meet` hold what was typed, `faults` a sentence per field
    ("invite.code"), `refused` the sentence of the server per form ("invite", "join", "meet",
    "accept"). `fingerprint` is that of the server that knocks, or this server's own while it
    waits to be accepted. `by_hand` is what the button without a code says.
    """

    cluster: DashboardPage
    invitation: Invitation | None
    progress: JoinProgress
    unification: Unification | None
    steps: tuple[Step, ...]
    fingerprint: tuple[str, ...] = ()
    invite: Mapping[str, str] = field(default_factory=dict)
    join: Mapping[str, str] = field(default_factory=dict)
    meet: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    by_hand: str = BY_HAND

    @property
    def meet_open(self) -> bool:
        """Whether the form without a code is the one that was used and is shown again."""
        faulty = any(name.startswith("meet.") for name in self.faults)
        return faulty or "meet" in self.refused


def fingerprint_groups(text: str) -> tuple[str, ...]:
    """The first SHA-256 fingerprint in a text, in eight groups that two people can compare."""
    found = _FINGERPRINT.search(text)
    if found is None:
        return ()
    digits = found[1]
    ends = [len(digits) * n // FINGERPRINT_GROUPS for n in range(FINGERPRINT_GROUPS + 1)]
    return tuple(digits[a:b] for a, b in pairwise(ends))


def steps_of(
    invitation: Invitation | None, progress: JoinProgress, unifying: bool
) -> tuple[Step, ...]:
    """Where the adding is: five steps, each done, now or later."""
    by_hand = progress.meeting is not None or (invitation is not None and invitation.form.by_hand)
    texts = (*(_HAND_STEPS if by_hand else _CODE_STEPS), *_LAST_STEPS)
    now = _step_now(invitation, progress, unifying)
    return tuple(
        Step(text, "done" if i < now else "now" if i == now else "later")
        for i, text in enumerate(texts)
    )


def _step_now(invitation: Invitation | None, progress: JoinProgress, unifying: bool) -> int:
    if unifying:
        return 3
    if invitation is not None:
        alone = invitation.meeting is not None and not invitation.confirmed_there
        started = {"waiting": 1, "knocking": 2, "accepted": 2 if alone else 3}
        return started.get(invitation.stage, 0)
    return _STEP_OF_JOINING[progress.stage]


@blueprint.get("")
@needs(Role.VIEWER)
def show() -> ResponseReturnValue:
    """The cluster and its servers."""
    return render_template(
        "cluster/index.html",
        page=_add_page(),
        meanings=MEANINGS,
        server_meanings=server_states.MEANINGS,
    )


@blueprint.get("/live")
@needs(Role.VIEWER, background=True)
def live() -> ResponseReturnValue:
    """The part of the cluster page that changes by itself."""
    return render_template("cluster/_live.html", page=_add_page(), meanings=MEANINGS)


@blueprint.get("/add")
@needs(Role.ADMINISTRATOR)
def add() -> ResponseReturnValue:
    """Add a server: both ways, with the steps."""
    return render_template("cluster/add.html", page=_add_page(replaces=_replaced()))


@blueprint.get("/add/live")
@needs(Role.ADMINISTRATOR, background=True)
def add_live() -> ResponseReturnValue:
    """How far the adding is: the part that changes by itself."""
    return render_template("cluster/_progress.html", page=_add_page())


@blueprint.post("/invite")
@needs(Role.ADMINISTRATOR)
def invite() -> ResponseReturnValue:
    """Open an invitation."""
    typed = _typed("other_id", "other_address", "own_address", "other_ssh_port",
                   "other_control_port", "replaces", "way")  # fmt: skip
    form = read_invitation(typed)
    if isinstance(form, Faulty):
        return _again(_add_page({"invite": typed}, faults=_named("invite", form.faults)))
    match desk().invite(current_person(), form):
        case Refused(sentence=sentence):
            return _again(_add_page({"invite": typed}, refused={"invite": sentence}))
        case _:
            return redirect(url_for("cluster.add"), 303)


@blueprint.post("/withdraw")
@needs(Role.ADMINISTRATOR)
def withdraw() -> ResponseReturnValue:
    """Close the invitation, or reject who knocks."""
    desk().withdraw(current_person())
    return redirect(url_for("cluster.add"), 303)


@blueprint.post("/accept")
@needs(Role.ADMINISTRATOR)
def accept() -> ResponseReturnValue:
    """Accept the server that knocks and go on to the unification.

    The form carries the fingerprint that the person saw: a server that knocked in between
    is not accepted unseen. Without a code it carries all that was compared.
    """
    here = desk()
    invitation = here.invitation()
    knock = invitation.knock if invitation else None
    if knock is None or knock.fingerprint != request.form.get("fingerprint", ""):
        sentence = "This is not the server that you saw. Compare the fingerprint again."
        return _again(_add_page(refused={"accept": sentence}))
    match here.accept(current_person(), request.form.get("compared", "")):
        case Refused(sentence=sentence):
            return _again(_add_page(refused={"accept": sentence}))
        case Invitation():
            return redirect(url_for("cluster.add"), 303)
        case _:
            return redirect(url_for("unify.show"), 303)


@blueprint.post("/join")
@needs(Role.ADMINISTRATOR)
def join() -> ResponseReturnValue:
    """Present a join code to the server that made it."""
    typed = _typed("code", "own_address", "own_ssh_port", "other_id", "other_address")
    return _joined("join", typed, read_joining(typed))


@blueprint.post("/meet")
@needs(Role.ADMINISTRATOR)
def meet() -> ResponseReturnValue:
    """Look who answers at the address of the other server, to compare the fingerprints."""
    typed = _typed("other_id", "other_address", "own_address", "own_ssh_port",
                   "other_ssh_port", "other_control_port")  # fmt: skip
    return _joined("meet", typed, read_meeting(typed))


def _joined(way: str, typed: dict[str, str], form: JoinForm | Faulty) -> ResponseReturnValue:
    """Begin to join with one of the two forms; one that fails comes back filled."""
    if isinstance(form, Faulty):
        return _again(_add_page({way: typed}, faults=_named(way, form.faults)))
    session[_KEPT[way]] = typed  # joining may also fail later
    progress = desk().join(
        current_person(), form.code, form.check, form.own_address, form.own_ssh_port
    )
    if progress.stage == "failed":
        return _again(_add_page({way: typed}, refused={way: progress.sentence}))
    return redirect(url_for("cluster.add"), 303)


@blueprint.post("/confirm")
@needs(Role.ADMINISTRATOR)
def confirm() -> ResponseReturnValue:
    """Go on joining the server that the person compared; the form says what was seen."""
    outcome = desk().confirm(current_person(), request.form.get("compared", ""))
    if isinstance(outcome, Refused):
        return _again(_add_page(refused={"accept": outcome.sentence}))
    return redirect(url_for("cluster.add"), 303)


@blueprint.post("/give-up")
@needs(Role.ADMINISTRATOR)
def give_up() -> ResponseReturnValue:
    """Forget a joining that has not been committed."""
    desk().give_up_joining(current_person())
    for kept in _KEPT.values():
        session.pop(kept, None)
    return redirect(url_for("cluster.add"), 303)


def _typed(*fields: str) -> dict[str, str]:
    return {name: request.form.get(name, "") for name in fields}


def _named(form: str, faults: Mapping[str, str]) -> dict[str, str]:
    return {f"{form}.{name}": sentence for name, sentence in faults.items()}


def _again(page: AddPage) -> ResponseReturnValue:
    return render_template("cluster/add.html", page=page), 422


def _add_page(
    typed: Mapping[str, Mapping[str, str]] | None = None,
    faults: Mapping[str, str] | None = None,
    refused: Mapping[str, str] | None = None,
    replaces: Mapping[str, str] | None = None,
) -> AddPage:
    """The page, with what was typed into its forms ("invite", "join", "meet")."""
    here, typed = desk(), typed or {}
    overview = here.overview()
    me = overview.server(overview.me)
    own = me.address if me else ""
    ssh_port = str(me.ssh_port) if me else DEFAULT_SSH_PORT
    invitation, progress = here.invitation(), here.join_progress()
    unification = here.unification()
    knock = invitation.knock if invitation else None
    return AddPage(
        cluster=dashboard_page(overview, datetime.now(UTC)),
        invitation=invitation,
        progress=progress,
        unification=unification,
        steps=steps_of(invitation, progress, unification is not None),
        fingerprint=fingerprint_groups(knock.fingerprint if knock else progress.fingerprint),
        invite=typed.get("invite")
        or {"own_address": own, "other_ssh_port": DEFAULT_SSH_PORT, **(replaces or {})},
        join=typed.get("join")
        or _kept("join", progress)
        or {"own_address": own, "own_ssh_port": ssh_port},
        meet=typed.get("meet")
        or _kept("meet", progress)
        or {"own_address": own, "own_ssh_port": ssh_port, "other_ssh_port": DEFAULT_SSH_PORT},
        faults=faults or {},
        refused=refused or {},
    )


def _replaced() -> Mapping[str, str]:
    """The server whose place other hardware is to take, as its page asks for it."""
    server = request.args.get("replaces", "")
    return {"other_id": server, "replaces": "1"} if server.isascii() and server.isdigit() else {}


def _kept(form: str, progress: JoinProgress) -> Mapping[str, str] | None:
    """What was typed for a joining that failed."""
    typed: Mapping[str, str] | None = session.get(_KEPT[form])
    return typed if progress.stage == "failed" else None
