"""Who is back, or has room again, is sent at once what waits for it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from configrepo.model import ServerId
from scheduler.control_view import Barred, ControlView, PeerView
from scheduler.reactions import Parts, Reactions
from tests.support.standing import leading

ONE = ServerId(1)


class Sending:
    """Writes down which servers are looked at again, and how."""

    def __init__(self) -> None:
        self.said: list[tuple[str, ServerId]] = []

    def wake(self, server: ServerId) -> None:
        self.said.append(("wake", server))

    def begin_anew(self, server: ServerId) -> None:
        self.said.append(("anew", server))


class Unused:
    """Parts that are told nothing here, but that commits may be made."""

    def release(self) -> None:
        return


def reacting() -> tuple[Reactions, Sending]:
    sending = Sending()
    parts: dict[str, Any] = {field.name: Unused() for field in fields(Parts)}
    parts |= {"replicator": sending, "wake": lambda _job: None}
    return Reactions(Parts(**parts)), sending


def seeing(state: str, reason: str | None) -> ControlView:
    peer = PeerView(ONE, state, "", barred=None if reason is None else Barred(reason))
    return replace(leading(0, 1), peers=(peer,))


def test_a_server_that_says_that_it_has_room_again_is_sent_what_waits_for_that() -> None:
    reactions, sending = reacting()
    reactions.view_changed(seeing("alive", None))
    reactions.view_changed(seeing("alive", "its disk is nearly full"))
    reactions.view_changed(seeing("alive", "its disk is nearly full"))
    sending.said.clear()
    reactions.view_changed(seeing("alive", None))
    reactions.view_changed(seeing("alive", None))
    assert sending.said == [("wake", ONE)]


def test_a_server_that_is_back_is_begun_with_anew_and_one_that_was_slow_is_not() -> None:
    reactions, sending = reacting()
    for state in ("alive", "suspect", "alive", "dead", "alive"):
        reactions.view_changed(seeing(state, None))
    assert sending.said == [("anew", ONE), ("wake", ONE), ("anew", ONE)]
