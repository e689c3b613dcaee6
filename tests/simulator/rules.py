"""The code under test: the real election, or a copy of it in which one rule was removed.

A mutant is made from the source of `election.py` and its neighbours by replacing one
piece of text and compiling the copies under other names. The program has no switch for it.
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
    from tests.simulator.world import Node, World

_COPIED = ("election_known", "election_calm", "election")


def _anything(_world: World, _node: Node, _before: ControlRole) -> None:
    return


@dataclass(frozen=True)
class Rules:
    """What a world runs. `check_cause` is called at every change of a role (I6)."""

    step: Callable[..., Any]
    start: Callable[..., View]
    relays: Callable[[View, float], tuple[Relay, ...]]
    check_cause: Callable[[World, Node, ControlRole], None] = _anything


REAL = Rules(election.step, election.start, election_known.relays)

# What is removed: the module, the text, and what stands there instead.
REMOVED: dict[str, tuple[str, str, str]] = {
    "R3": (
        "election",
        "if view.lower is None and booted and view.pending is None:",
        "if booted and view.pending is None:",
    ),
    "R6": (
        "election",
        "    view = _persist(view, do, epoch=epoch, accepted=Accepted(epoch, view.me))\n"
        "    return replace(view, pending=Claiming(epoch, over))\n",
        "    durable = replace(view.durable, epoch=epoch, accepted=Accepted(epoch, view.me))\n"
        "    _persist(view, do, epoch=epoch, accepted=Accepted(epoch, view.me))\n"
        "    view = replace(view, pending=Claiming(epoch, over))\n"
        "    return _persisted(view, durable, view.tick_at)\n",
    ),
    "R7": (
        "election",
        "if leader is not None and leader.rank < view.rank:  # R7",
        "if False:",
    ),
    "R8": ("election", "if view.maxep > view.epoch and view.pending is None", "if False"),
    "R9": (
        "election",
        "if written is not None and (term.epoch, -term.id) < (written.epoch, -written.id):",
        "if False:",
    ),
    "R10": (
        "election",
        "    missing = sorted(view.unfetched - set(asked))[: int(view.fetches)]  # R12\n",
        "    missing: list[str] = []\n",
    ),
    "R12": ("election", "view.pending is None and view.tokens >= 1", "view.pending is None"),
    "relay": ("election_known", "    known = view.known\n    lowest", "    return ()\n    lowest"),
    "stall shift": ("election", "    if gap <= timing.stall_s:\n", "    if True:\n"),
}


@cache
def without(rule: str) -> Rules:
    """The election without one rule."""
    where, text, instead = REMOVED[rule]
    folder = Path(next(iter(scheduler.__path__)))
    modules: dict[str, ModuleType] = {}
    for name in _COPIED:
        source = (folder / f"{name}.py").read_text(encoding="utf-8")
        if name == where:
            assert source.count(text) == 1, f"{rule}: the rule reads differently now"
            source = source.replace(text, instead)
        for copied in _COPIED:
            source = source.replace(
                f"from scheduler.{copied} import", f"from {_alias(rule, copied)} import"
            )
        module = ModuleType(_alias(rule, name))
        sys.modules[module.__name__] = module
        exec(compile(source, f"{name} without {rule}", "exec"), module.__dict__)
        modules[name] = module
    mutant, known = modules["election"], modules["election_known"]
    return Rules(mutant.step, mutant.start, known.relays)


def _alias(rule: str, name: str) -> str:
    return f"{name}_without_{rule.replace(' ', '_')}"
