"""Every change of who leads is told once, with its cause and how long nobody led."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from configrepo.model import ServerId
from scheduler.control_view import Accepted, Barred, ControlRole, ControlView, PeerView
from scheduler.election_events import Memory, cause_to_lead, noticed
from scheduler.elections_seam import ElectionEvent

START = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def peer(number: int, state: str = "alive", **more: object) -> PeerView:
    sentences = {
        "alive": f"BQN {number} has answered since 03:00:00",
        "dead": f"BQN {number} does not answer since 03:00:10 (no answer at all)",
        "left": f"BQN {number} was stopped at 03:00:10",
        "unknown": f"BQN {number} has not answered yet",
    }
    return PeerView(ServerId(number), state, sentences[state], last_contact=at(10), **more)  # type: ignore[arg-type]


def view(
    role: str, epoch: int, following: int | None, *peers: PeerView, accepted: Accepted | None = None
) -> ControlView:
    return ControlView(
        ServerId(1),
        ControlRole(role),
        epoch,
        START,
        "BQN 1 says why",
        following=None if following is None else ServerId(following),
        accepted=accepted,
        peers=peers,
    )


class Watcher:
    """Takes in views of BQN 1 as they come."""

    def __init__(self, leader: Accepted | None = None) -> None:
        self.memory = Memory(leader)

    def sees(self, seconds: float, shown: ControlView) -> list[ElectionEvent]:
        self.memory, events = noticed(self.memory, shown, at(seconds))
        return list(events)


FOLLOWS_0 = view("secondary", 1, 0, peer(0))


def test_a_takeover_says_who_why_and_how_long_nobody_led() -> None:
    watcher = Watcher(Accepted(1, ServerId(0)))
    assert watcher.sees(0, FOLLOWS_0) == []
    assert watcher.sees(13, view("candidate", 1, None, peer(0, "dead"))) == []
    assert watcher.memory.lost_at == at(10)
    (event,) = watcher.sees(13.4, view("primary", 2, None, peer(0, "dead")))
    assert (event.kind, event.server, event.term, event.leaderless_s) == ("takeover", 1, 2, 3.4)
    assert event.sentence == (
        "BQN 1 leads in term 2, because BQN 0 does not answer since 03:00:10 (no answer at all)."
    )
    assert watcher.sees(14, view("primary", 2, None, peer(0, "dead"))) == []


def test_a_third_server_that_sees_both_at_once_counts_from_the_last_contact() -> None:
    watcher = Watcher(Accepted(1, ServerId(0)))
    watcher.sees(0, FOLLOWS_0)
    (event,) = watcher.sees(14, view("secondary", 2, 2, peer(0, "dead"), peer(2)))
    assert (event.kind, event.server, event.leaderless_s) == ("takeover", 2, 4.0)


def test_a_planned_stop_is_a_takeover_with_its_reason() -> None:
    watcher = Watcher(Accepted(1, ServerId(0)))
    watcher.sees(0, FOLLOWS_0)
    (event,) = watcher.sees(11.2, view("primary", 2, None, peer(0, "left")))
    assert event.sentence == "BQN 1 leads in term 2, because BQN 0 was stopped at 03:00:10."


def test_a_handover_is_a_switchover_and_a_step_down_without_a_gap() -> None:
    watcher = Watcher(Accepted(2, ServerId(1)))
    watcher.sees(0, view("primary", 2, None, peer(0)))
    stepped, switched = watcher.sees(5, view("secondary", 3, 0, peer(0)))
    assert (stepped.kind, stepped.server, stepped.term) == ("step-down", 1, 2)
    assert stepped.sentence == "BQN 1 leads no longer: BQN 1 says why."
    assert (switched.kind, switched.server, switched.leaderless_s) == ("switchover", 0, 0.0)
    assert switched.sentence == "BQN 0 leads in term 3, because it took over from BQN 1."


def test_a_switchover_for_maintenance_names_the_reason() -> None:
    watcher = Watcher(Accepted(1, ServerId(0)))
    watcher.sees(0, FOLLOWS_0)
    resting = peer(0, barred=Barred("new disk"))
    (event,) = watcher.sees(5, view("primary", 2, None, resting))
    assert event.sentence.endswith("took over from BQN 0, which shall not lead (new disk).")


def test_the_same_server_with_a_higher_number_is_a_new_term() -> None:
    watcher = Watcher(Accepted(1, ServerId(1)))
    watcher.sees(0, view("primary", 1, None, peer(0, "dead")))
    (event,) = watcher.sees(9, view("primary", 4, None, peer(2)))
    assert (event.kind, event.term, event.leaderless_s) == ("new term", 4, 0.0)


def test_after_a_restart_the_known_leader_is_no_event_and_another_one_has_no_gap() -> None:
    again = Watcher(Accepted(1, ServerId(0)))
    assert again.sees(0, view("joining", 0, None, peer(0, "unknown"))) == []
    assert again.memory.lost_at is None
    assert again.sees(3, FOLLOWS_0) == []
    later = Watcher(Accepted(1, ServerId(0)))
    (event,) = later.sees(3, view("secondary", 5, 2, peer(0, "dead"), peer(2)))
    assert event.leaderless_s is None
    former = Watcher(Accepted(1, ServerId(1)))
    (event,) = former.sees(3, view("secondary", 2, 2, peer(0, "dead"), peer(2)))
    assert (event.kind, event.leaderless_s) == ("takeover", None)
    assert event.sentence == "BQN 2 leads in term 2: it took over while BQN 1 did not run."


def test_a_stale_claim_is_told_once() -> None:
    watcher = Watcher(Accepted(4, ServerId(2)))
    watcher.sees(0, view("secondary", 4, 2, peer(0, "dead"), peer(2)))
    stale = view(
        "secondary",
        4,
        None,
        peer(0, role="primary", epoch=3),
        peer(2),
        accepted=Accepted(4, ServerId(2)),
    )
    (event,) = watcher.sees(5, stale)
    assert (event.kind, event.server, event.term) == ("refused claim", 0, 3)
    assert event.sentence == (
        "BQN 0 claims to lead in term 3, but term 4 of BQN 2 was accepted before: not followed."
    )
    assert watcher.sees(6, stale) == []


def test_a_server_alone_or_without_its_control_process_tells_nothing() -> None:
    watcher = Watcher()
    assert watcher.sees(0, view("alone", 0, None)) == []
    broken = ControlView(ServerId(1), ControlRole.JOINING, 0, START, "broken", running=False)
    watcher.sees(0, FOLLOWS_0)
    assert watcher.sees(1, broken) == []
    assert watcher.memory.lost_at is None


def test_the_cause_to_lead_is_what_is_wrong_with_the_servers_before() -> None:
    assert cause_to_lead(view("primary", 2, None, peer(0, "dead"))).startswith("BQN 0 does not")
    assert cause_to_lead(view("primary", 2, None, peer(0, barred=Barred("new disk")))) == (
        "BQN 0 shall not lead (new disk)"
    )
    assert cause_to_lead(view("primary", 2, None, peer(2))) == (
        "it is the first of the servers that answer"
    )
    assert cause_to_lead(view("primary", 2, None)) == "it is the first server of the cluster"
    assert cause_to_lead(view("primary", 2, None, peer(0))) == "the servers before it do not lead"
