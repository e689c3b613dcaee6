"""The code under test: the real election, or a copy of it in which one rule was removed.

A mutant is made from the source of `election.py` and its neighbours by replacing one
piece of text and compiling the copies under other names. The program has no switch for it.

`REMOVED` breaks an invariant; each rule of the docstring of `scheduler.election` has at
least one. `HARMLESS` breaks none: those parts make a take-over calmer or a primary better
informed, and no promise rests on them alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import scheduler
from scheduler import election, election_known
from scheduler.control_view import ControlRole
from scheduler.election_values import Relay, View

if TYPE_CHECKING:
    from tests.simulator.servers import Node
    from tests.simulator.world import World

_COPIED = ("election_known", "election_calm", "election")


def _anything(_world: World, _node: Node, _before: ControlRole) -> None:
    return


@dataclass(frozen=True)
class Rules:
    """What a server runs. `check_cause` is called at every change of a role (I6)."""

    step: Callable[..., Any]
    start: Callable[..., View]
    relays: Callable[[View, float], tuple[Relay, ...]]
    check_cause: Callable[[World, Node, ControlRole], None] = _anything


REAL = Rules(election.step, election.start, election_known.relays)

# What is removed: the module, the text, and what stands there instead.
Removal = tuple[str, str, str]

REMOVED: dict[str, Removal] = {
    "R1 listening": (
        "election",
        "    booted = now - view.listening_at >= view.timing.boot_s\n",
        "    booted = True\n",
    ),
    "R1 counted starts": (
        "election",
        "        durable=durable,\n",
        "        durable=replace(durable, boot=1),\n",
    ),
    "R2 silence": (
        "election_known",
        "    return peer.state is not PeerState.CLONE and now - peer.counted_at <= dead_s\n",
        "    return peer.state is not PeerState.CLONE\n",
    ),
    "R2 relays": (
        "election_known",
        "    known = view.known\n    lowest",
        "    return ()\n    lowest",
    ),
    "R2 own pauses": ("election", "    if gap <= timing.stall_s:\n", "    if True:\n"),
    "R2 a paused primary": (
        "election",
        "    if view.role is ControlRole.PRIMARY or isinstance(pending, Claiming):\n",
        "    if isinstance(pending, Claiming):\n",
    ),
    "R3": (
        "election",
        "if view.lower is None and booted and view.pending is None:",
        "if booted and view.pending is None:",
    ),
    "R4 claiming": (
        "election",
        "        if waited < view.timing.claim_s or view.witness is False:  # R13\n",
        "        if True:\n",
    ),
    "R4 no known primary": (
        "election",
        "    rival = None if leader is None else leader.id\n",
        "    rival = None\n",
    ),
    "R5 preemption": (
        "election",
        "    if view.witness is not False and waited >= _patience_s(view):\n",
        "    if False:\n",
    ),
    "R5 asking": (
        "election",
        "        do.append(AskHandover(rival))\n"
        "        return replace(view, pending=Asking(rival, now + view.timing.handover_s))\n",
        "        return _catch_up(view, rival, now, do)\n",
    ),
    "R6 disk first": (
        "election",
        "    view = _persist(view, do, epoch=epoch, accepted=Accepted(epoch, view.me))\n"
        "    return replace(view, pending=Claiming(epoch, over))\n",
        "    durable = replace(view.durable, epoch=epoch, accepted=Accepted(epoch, view.me))\n"
        "    _persist(view, do, epoch=epoch, accepted=Accepted(epoch, view.me))\n"
        "    view = replace(view, pending=Claiming(epoch, over))\n"
        "    return _persisted(view, durable, view.tick_at)\n",
    ),
    "R6 above every epoch": (
        "election",
        "    epoch = max(view.maxep, view.durable.epoch) + 1\n",
        "    epoch = view.durable.epoch + 1\n",
    ),
    "R6 the id of a lost server": (
        "election",
        "    if view.durable.epoch < unseen:\n",
        "    if False:\n",
    ),
    "R6 further with each": (
        "election",
        "    unseen = view.former * _UNSEEN\n",
        "    unseen = min(view.former, 1) * _UNSEEN\n",
    ),
    "R7": (
        "election",
        "if leader is not None and leader.rank < view.rank:  # R7",
        "if False:",
    ),
    "R8": ("election", "if view.maxep > view.epoch and view.pending is None", "if False"),
    "R9 accepted term": (
        "election",
        "if written is not None and (term.epoch, -term.id) < (written.epoch, -written.id):",
        "if False:",
    ),
    "R9 disk first": (
        "election",
        "pending=Accepting(term))\n    return adjusted(view, following=None, refused=None)\n",
        "pending=Accepting(term))\n"
        "    return adjusted(view, following=leader.id, epoch=term.epoch, refused=None)\n",
    ),
    "R9 a higher epoch is called for": (
        "election",
        "        needed = written.epoch + 1 if term.epoch == written.epoch else written.epoch\n",
        "        needed = written.epoch\n",
    ),
    "R10": (
        "election",
        "    missing = sorted(view.unfetched - set(asked))[: int(view.fetches)]  # R12\n",
        "    missing: list[str] = []\n",
    ),
    "R11 not counted": (
        "election_known",
        "    if why is not None:\n        return Peer(peer.id, PeerState.CLONE,",
        "    if why is not None:\n        return peer\n        Peer(peer.id, PeerState.CLONE,",
    ),
    "R11 the copied one listens": (
        "election",
        "        case Stalled(why=why):\n            return _listen(view, now, Said(why))\n",
        "        case Stalled():\n            return view\n",
    ),
    "R12 claims": ("election", "view.pending is None and view.tokens >= 1", "view.pending is None"),
    "R12 fetches": ("election", "[: int(view.fetches)]  # R12\n", "\n"),
    "R13 alone": (
        "election",
        "    leader = view.leader\n    if leader is not None and leader.rank < view.rank:  # R7\n",
        "    leader = view.leader\n"
        "    if view.alone_at is not None:\n"
        "        return _listen(view, now, Said('alone'))\n"
        "    if leader is not None and leader.rank < view.rank:  # R7\n",
    ),
    "R13 witness": (
        "election",
        "        case Witness(answers=answers):\n"
        "            return replace(view, witness=answers)\n",
        "        case Witness():\n            return view\n",
    ),
    "R14": (
        "election",
        "        case Bar(barred=barred):\n            return _persist(view, do, barred=barred)\n",
        "        case Bar():\n            return view\n",
    ),
}

HARMLESS: dict[str, Removal] = {
    "R2 round trips": (
        "election_known",
        "    if not event.round_trip:\n"
        "        return replace(peer, beacon=content, beacon_at=made_at)\n",
        "",
    ),
    "R4 waiting unopposed": (
        "election",
        "        if waited < view.timing.claim_s or view.witness is False:  # R13\n",
        "        if view.witness is False:  # R13\n",
    ),
    "R4 heads before leading": (
        "election",
        "    if not sources:\n        return _claim(view, over, do)\n",
        "    if True:\n        return _claim(view, over, do)\n",
    ),
    "R5 longer after a loss": (
        "election_known",
        "    return 1 if lost_at is None or now - lost_at >= _FORGIVEN_S else peer.patience\n",
        "    return 1\n",
    ),
}


@cache
def without(rule: str) -> Rules:
    """The election without one rule."""
    return _changed(rule, [{**REMOVED, **HARMLESS}[rule]])


@cache
def older() -> Rules:
    """The election without anything that no promise rests on: a release before this one."""
    return _changed("release before", list(HARMLESS.values()))


def _changed(name: str, removals: list[Removal]) -> Rules:
    folder = Path(next(iter(scheduler.__path__)))
    modules: dict[str, ModuleType] = {}
    for copied in _COPIED:
        source = (folder / f"{copied}.py").read_text(encoding="utf-8")
        for where, text, instead in removals:
            if copied == where:
                assert source.count(text) == 1, f"{name}: the rule reads differently now"
                source = source.replace(text, instead)
        for other in _COPIED:
            source = source.replace(
                f"from scheduler.{other} import", f"from {_alias(name, other)} import"
            )
        module = ModuleType(_alias(name, copied))
        sys.modules[module.__name__] = module
        exec(compile(source, f"{copied} without {name}", "exec"), module.__dict__)
        modules[copied] = module
    mutant, known = modules["election"], modules["election_known"]
    return Rules(mutant.step, mutant.start, known.relays)


def _alias(name: str, copied: str) -> str:
    return f"{copied}_without_{name.replace(' ', '_')}"
