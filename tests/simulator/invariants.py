"""What must hold: I1 and I9 after a time of calm, I6 at every change of a role, I4 and I8 last.

I2, I3 and I5 are checked where they could break, in `world` and `lines`; I7 (wall clock)
and I10 (same heads, same result) follow from the runs themselves and have tests of their
own; I11 (two releases) has no second release yet.
"""

from __future__ import annotations

from scheduler.control_view import ControlRole
from tests.simulator.lines import Violated
from tests.simulator.world import PRIMARY, Node, World

STORM_DEADS = 6


def components(world: World) -> list[list[int]]:
    """The groups of servers that run and reach each other, also through others."""
    left = {number for number in world.nodes if world.answers(number)}
    found = []
    while left:
        group, todo = set(), [min(left)]
        while todo:
            number = todo.pop()
            group.add(number)
            reached = {other for other in left - group if world.network.whole(number, other)}
            todo += reached - set(todo)
        left -= group
        found.append(sorted(group))
    return found


def best(world: World, group: list[int]) -> int:
    """Who is to lead a group: the lowest of the eligible, or of all if there is none."""
    return min(group, key=lambda number: world.nodes[number].view.rank)


def check_leaders(world: World) -> None:
    """I9: every group has a primary."""
    for group in components(world):
        if not any(world.leads(number) for number in group):
            raise Violated(f"I9: nobody leads in {group} at {world.now:.1f}\n{describe(world)}")


def agreed(world: World) -> bool:
    """I1: in every group the best leads alone, and all others follow it."""
    for group in components(world):
        leader = best(world, group)
        if [number for number in group if world.leads(number)] != [leader]:
            return False
        if any(world.nodes[n].view.following != leader for n in group if n != leader):
            return False
    return True


def check_agreement(world: World) -> None:
    """I1 (after a time of calm)."""
    if not agreed(world):
        raise Violated(f"I1: no agreement at {world.now:.1f}\n{describe(world)}")


def check_heads(world: World) -> None:
    """I4, I8: all heads are equal and contain everything that was acknowledged."""
    heads = {number: world.disks[number].line.cluster for number in world.nodes}
    if len(set(heads.values())) != 1:
        raise Violated(f"I8: the heads differ: {heads}\n{describe(world)}")
    missing = lost(world)
    if missing:
        raise Violated(f"I4: {missing} acknowledged commits are not in the head")


def lost(world: World) -> int:
    """How many acknowledged commits the head of the lowest running server lacks."""
    head = world.disks[min(world.nodes)].line.cluster
    return (world.history.acknowledged & ~world.history.contains[head]).bit_count()


def check_storm(world: World) -> None:
    """R12: no server claims for ever."""
    window = STORM_DEADS * world.timing.dead_s
    allowed = 5 + 2 + STORM_DEADS
    for number in range(world.count):
        times = [at for at, who in world.claims if who == number]
        for first, at in enumerate(times):
            among = [t for t in times[first:] if t <= at + window]
            if len(among) > allowed + 3 * faults_within(world, at, window):
                raise Violated(f"R12: BQN {number} claimed {len(among)} times in {window:.0f} s")


def faults_within(world: World, at: float, window: float) -> int:
    """How many faults may have been reasons for a claim."""
    return sum(1 for when in world.fault_times if at - window <= when <= at + window)


def check_cause(world: World, node: Node, before: ControlRole) -> None:
    """I6: nobody begins to claim while a lower server answers it all the time."""
    role = node.view.role
    if role not in (ControlRole.CANDIDATE, PRIMARY) or before in (ControlRole.CANDIDATE, PRIMARY):
        return
    if world.network.loss > 0.02 or world.now - world.barred_at < world.timing.boot_s:
        return
    long_s = 2 * world.timing.dead_s + world.timing.dial_s
    for other in world.nodes.values():
        lower = other.view.rank < node.view.rank
        link = world.network.link(node.id, other.id) if lower else None
        if link is None or not world.network.whole(node.id, other.id):
            continue
        calm_since = max(other.calm_at, link.mended_at)
        if world.now - calm_since > long_s and node.started_at < world.now - long_s:
            said = f"I6: BQN {node.id} becomes {role} though BQN {other.id} answers"
            raise Violated(f"{said} at {world.now:.2f}\n{describe(world)}")


def describe(world: World) -> str:
    """Every server in a line."""
    lines = [f"cut: {sorted(world.network.cut)} loss {world.network.loss}"]
    for number, node in sorted(world.nodes.items()):
        view = node.view
        peers = " ".join(f"{p.id}:{p.state.value}" for p in view.peers)
        lines.append(
            f"BQN {number}: {view.role.value} term {view.epoch} maxep {view.maxep} follows "
            f"{view.following} pending {view.pending} refused {view.refused} [{peers}]"
        )
    return "\n".join(lines)
