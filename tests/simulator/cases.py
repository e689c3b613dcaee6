"""Scenarios written by hand, for rules that drawn ones need only rarely.

Each takes a world of that many servers without a fault and does the least that goes wrong
without its rule; with it nothing may happen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from scheduler.presets import LAN
from tests.simulator import invariants
from tests.simulator.lines import Violated
from tests.simulator.rules import Rules
from tests.simulator.world import World

_LONG_S = LAN.boot_s + LAN.dead_s + LAN.claim_s + 2


def _reached_through_another(world: World) -> None:
    """R2: of three servers the first two do not reach each other."""
    world.network.set_cut({(0, 1), (1, 0)})
    world.run(_LONG_S)
    invariants.check_agreement(world)


def _woken_secondary(world: World) -> None:
    """R2: a server that slept for longer than `dead` has missed the others, not they it."""
    world.pause(1, 10.0)
    world.run(10.0 + _LONG_S)
    invariants.check_agreement(world)


def _woken_primary(world: World) -> None:
    """R2: a primary that slept while nobody could take over commits nothing in its old term."""
    world.crash(1)
    world.run(_LONG_S)
    world.pause(0, 10.0)
    world.run(10.01)
    world.commit()


def _two_terms_of_one_epoch(world: World) -> None:
    """R9: who followed the lower one of two that led in the same epoch follows the other too."""
    for number in range(world.count):
        world.crash(number)
    world.run(LAN.dead_s)
    world.divide({0, 3}, {1, 2})
    for number in range(world.count):
        world.boot(number)
    world.run(2 * _LONG_S)
    world.crash(0)
    world.crash(3)
    world.divide({0, 1, 2, 3})
    world.boot(3)
    world.run(2 * _LONG_S)
    invariants.check_agreement(world)


def _replace(world: World, number: int) -> None:
    if not world.put_in_place(number):
        raise Violated(f"I9: nobody leads, so BQN {number} cannot be replaced")


def _id_of_a_lost_server(world: World) -> None:
    """R6: whose place is taken had claimed terms that only a server that is away knows of."""
    world.divide({0, 2}, {1})
    world.run(_LONG_S)
    world.crash(0)
    world.run(_LONG_S)
    world.boot(0)
    world.run(_LONG_S + LAN.preempt_s)
    world.lose_disk(0)
    world.crash(2)
    world.divide({0, 1, 2})
    _replace(world, 0)
    world.run(_LONG_S + LAN.preempt_s)
    world.boot(2)
    world.run(_LONG_S)
    invariants.check_agreement(world)


def _id_of_two_lost_servers(world: World) -> None:
    """R6: what the first successor claimed, only a server knows that is away, too."""
    world.lose_disk(0)
    world.run(_LONG_S)
    _replace(world, 0)
    world.run(LAN.preempt_s / 2)
    world.divide({0, 2}, {1})
    world.run(_LONG_S + LAN.preempt_s)
    world.lose_disk(0)
    world.crash(2)
    world.divide({0, 1, 2})
    _replace(world, 0)
    world.run(_LONG_S + LAN.preempt_s)
    world.boot(2)
    world.run(_LONG_S)
    invariants.check_agreement(world)


def _lower_one_returns(world: World) -> None:
    """R5: the primary finishes and steps down before the lower one leads."""
    world.crash(0)
    world.run(3 * _LONG_S)
    world.boot(0)
    world.run(_LONG_S + LAN.preempt_s)
    invariants.check_agreement(world)


def _healed_cut(world: World) -> None:
    """R7, R8, R9: the lower primary has the older term, until it claims a higher one."""
    world.divide({0}, {1, 2})
    world.run(_LONG_S)
    world.divide({0, 1, 2})
    world.run(_LONG_S)
    invariants.check_agreement(world)


def _commits_on_both_sides(world: World) -> None:
    """R10: what the other one has committed comes into the one head."""
    world.divide({0, 2}, {1, 3})
    world.run(_LONG_S)
    for node in world.nodes.values():
        if node.leads:
            world.copies.commit(node)
    world.divide({0, 1, 2, 3})
    world.run(_LONG_S)
    invariants.check_heads(world)


def _copied_primary(world: World) -> None:
    """R11: nobody counts on a server of which two run, and it commits nothing."""
    world.clone(0)
    world.run(_LONG_S)
    world.commit()
    invariants.check_leaders(world)
    invariants.check_agreement(world)
    world.end_clone(0)
    world.run(_LONG_S + LAN.preempt_s)
    invariants.check_agreement(world)


def _copied_server_commits(world: World) -> None:
    """R11: of a server that runs twice neither commits, as soon as somebody can tell it."""
    world.clone(0)
    world.run(_LONG_S)
    if world.leads(0):
        world.copies.commit(world.nodes[0])


def _epochs_without_end(world: World) -> None:
    """R12: a member says all the time that there is a higher epoch."""
    world.nodes[1].boasts = "epochs"
    world.run(3 * LAN.dead_s)


def _heads_without_end(world: World) -> None:
    """R12: a member has another head all the time, which nobody can fetch."""
    world.nodes[1].boasts = "heads"
    world.run(12 * LAN.dead_s)


def _silent_witness(world: World) -> None:
    """R13: a secondary that does not reach the witness either does not take over."""
    world.ask_witness({1})
    world.run(_LONG_S + LAN.catch_up_s + LAN.handover_s)
    world.crash(0)
    world.run(_LONG_S)


def _barred_primary(world: World) -> None:
    """R14: a primary that shall not lead hands over, and leads again when it may."""
    world.bar(0, "maintenance")
    world.run(_LONG_S)
    invariants.check_agreement(world)
    world.bar(0, None)
    world.run(_LONG_S + LAN.preempt_s)
    invariants.check_agreement(world)


# Which case shows that a rule is missing, and with how many servers.
CASES: dict[str, tuple[int, Callable[[World], None]]] = {
    "R2 relays": (3, _reached_through_another),
    "R2 own pauses": (2, _woken_secondary),
    "R2 a paused primary": (2, _woken_primary),
    "R6 the id of a lost server": (3, _id_of_a_lost_server),
    "R6 further with each": (3, _id_of_two_lost_servers),
    "R5 asking": (2, _lower_one_returns),
    "R7": (3, _healed_cut),
    "R8": (3, _healed_cut),
    "R9 accepted term": (3, _healed_cut),
    "R9 disk first": (3, _healed_cut),
    "R10": (4, _commits_on_both_sides),
    "R11 not counted": (3, _copied_primary),
    "R11 the copied one listens": (3, _copied_server_commits),
    "R12 claims": (2, _epochs_without_end),
    "R12 fetches": (2, _heads_without_end),
    "R13 witness": (2, _silent_witness),
    "R14": (3, _barred_primary),
    "R9 a higher epoch is called for": (4, _two_terms_of_one_epoch),
}


def broken(name: str, rules: Rules) -> str:
    """What goes wrong in a case; empty if nothing does."""
    count, happens = CASES[name]
    world = World(1, count, LAN, replace(rules, check_cause=invariants.check_cause))
    for number in range(count):
        world.boot(number)
    try:
        world.run(_LONG_S)
        invariants.check_agreement(world)
        happens(world)
        invariants.check_storm(world)
    except Violated as violation:
        return str(violation)
    return ""
