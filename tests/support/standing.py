"""Views of a control room for tests that need no control room."""

from __future__ import annotations

from datetime import UTC, datetime

from configrepo.model import ServerId
from scheduler.control_view import ControlRole, ControlView

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def alone() -> ControlView:
    """A server that belongs to no cluster."""
    return ControlView(ServerId(0), ControlRole.ALONE, 0, START, "BQN 0 is alone")


def leading(server: int, epoch: int) -> ControlView:
    """The primary of a term."""
    return ControlView(ServerId(server), ControlRole.PRIMARY, epoch, START, "it leads")


def following(server: int, primary: int | None, epoch: int) -> ControlView:
    """A secondary; `primary` None: nobody leads."""
    leader = None if primary is None else ServerId(primary)
    return ControlView(
        ServerId(server), ControlRole.SECONDARY, epoch, START, "it follows", following=leader
    )
