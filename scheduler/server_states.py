"""The state of a server in one word, with its cause in a sentence.

A state may need a detail to be understood: since when nobody answers, through whom a
server is reached. It is kept apart, so that the word stays one of a known few.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from scheduler.control_view import ControlRole, ControlView, PeerView

MEANINGS = {
    "ready": "It answers, and takes part in the election.",
    "suspect": "It has not answered for a moment; it is asked again on a new connection.",
    "unreachable": "It does not answer at all. It goes on with what it runs.",
    "indirect": "It answers only through another server: the direct way to it is cut.",
    "conflict": "Another server answers in its place: another key, id or cluster.",
    "clone": "Two servers run with its key, or it came back from an old copy; it does not count.",
    "incompatible": "Its release and the others do not understand each other, or it cannot read "
    "the configuration: it does not lead and keeps what it runs.",
    "joining": "It has just been started and listens first: it neither leads nor is followed.",
    "alone since": "It leads, but reaches no other server. What is committed there is merged "
    "when the others are back.",
    "starting": "It was not asked yet, or its control port is being started.",
}


@dataclass(frozen=True, slots=True)
class Word:
    """A state with its cause in one sentence; `detail` completes the word where it needs it."""

    word: str
    sentence: str
    detail: str = ""


def own_state(control: ControlView, too_new: str | None = None) -> Word:
    """The state of this server; `too_new` says why its release cannot read the newest commit."""
    said = f"{control.sentence.rstrip('.')}."
    if too_new is not None:
        return Word("incompatible", f"{too_new[:1].upper()}{too_new[1:]}.")
    if not control.running:
        return Word("starting", said)
    if control.role is ControlRole.JOINING:
        aside = any(peer.state == "incompatible" for peer in control.peers)
        return Word("incompatible" if aside else "joining", said)
    if control.alone_since is not None:
        since = shown_time(control.alone_since)
        cause = "No other server answers; this one leads and goes on. You are logged in here."
        return Word("alone since", cause, since)
    return Word("ready", "You are logged in here.")


def peer_state(peer: PeerView | None, schema: int = 1) -> Word:
    """The state of another server; `schema` is the one of the cluster's configuration."""
    match peer:
        case None:
            return Word("starting", "It was not seen yet.")
        case PeerView(state="alive", schema=reads) if 0 < reads < schema:
            return Word(
                "incompatible",
                f"Its release reads the configuration up to schema {reads}, the cluster uses "
                f"schema {schema}: update it.",
            )
        case PeerView(state="alive", role="joining"):
            return Word("joining", "It listens before it leads or follows.")
        case PeerView(state="alive"):
            return Word("ready", "It answers on the control port.")
        case PeerView(state="dead" | "left" | "unknown", last_contact=heard):
            since = "" if heard is None else f"since {shown_time(heard)}"
            return Word("unreachable", peer.sentence, since)
        case PeerView(state="indirect", via=via):
            return Word("indirect", peer.sentence, "" if via is None else f"via BQN {via}")
    return Word(peer.state, peer.sentence)


def shown_time(time: datetime) -> str:
    """A time as it is shown behind a word."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def shown_stamp(stamp: str) -> str:
    """A time of a record (`2026-11-22T15:00:00Z`) as it is shown."""
    return stamp.replace("T", " ").replace("Z", " UTC")
