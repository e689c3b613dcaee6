"""What must hold: I1 and I9 after a time of calm, I6 at every change of a role, I4 and I8 last.

I2, I3 and I5 are checked after every event, where they could break, in `world`, `lines` and
`replicating`. I7 compares the traces of whole runs, I10 has a test of its own, and I11 is
all of them in a cluster of several releases (`releases`). Beyond the specification: R11, that
nobody counts on a server of which two run, R12, that nobody writes or fetches a storm, and
R13, that nobody begins to lead without the witness.
"""

from __future__ import annotations

from scheduler.control_view import ControlRole
from tests.simulator.lines import Violated
from tests.simulator.servers import PRIMARY, Node
from tests.simulator.world import World

STORM_DEADS = 6


def components(world: World) -> list[list[int]]:
    """The groups of servers that run and reach each other, also through others."""
    left = {n for n in world.nodes if world.answers(n) and n not in world.twins}
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
    return min(group, key=lambda number: (number in world.barred, number))


def check_leaders(world: World) -> None:
    """I9: every group has a primary (R13: unless its witness does not answer)."""
    for group in components(world):
        led = any(world.leads(number) for number in group)
        if not led and not world.unwitnessed.keys() & set(group):
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
    """R12: no server claims, or fetches as a primary, for ever."""
    window = STORM_DEADS * world.timing.dead_s
    for what, done, count in (
        ("claimed", world.claims, world.count),
        ("fetched", world.fetches, world.count),
    ):
        for number in range(count):
            _check_rate(world, what, number, [at for at, who in done if who == number], window)


def _check_rate(world: World, what: str, number: int, times: list[float], window: float) -> None:
    allowed = 5 + 2 + STORM_DEADS
    for first, at in enumerate(times):
        among = len([t for t in times[first : first + 1000] if t <= at + window])
        faults = faults_within(world, at, window)
        new_heads = 0 if what == "claimed" else 3 * world.count * (1 + faults)
        if among > allowed + 3 * faults + new_heads:
            raise Violated(f"R12: BQN {number} {what} {among} times in {window:.0f} s")


def faults_within(world: World, at: float, window: float) -> int:
    """How many faults may have been reasons for a claim."""
    return sum(1 for when in world.fault_times if at - window <= when <= at + window)


def check_cause(world: World, node: Node, before: ControlRole) -> None:
    """I6, I1 and R13, whenever a role changes."""
    role = node.view.role
    if role not in (ControlRole.CANDIDATE, PRIMARY):
        return
    if role is PRIMARY:
        _check_witness(world, node)
    if world.network.loss > 0.02 or world.now - world.barred_at < world.timing.boot_s:
        return
    if before not in (ControlRole.CANDIDATE, PRIMARY):
        _check_lower(world, node)
    if role is PRIMARY and before is not PRIMARY and world.network.loss == 0:
        _check_beside(world, node)


def _check_witness(world: World, node: Node) -> None:
    """R13: what had begun before the witness fell silent may end."""
    timing = world.timing
    silent_since = world.unwitnessed.get(node.id)
    under_way_s = timing.claim_s + timing.catch_up_s + timing.handover_s
    if silent_since is not None and world.now - max(silent_since, node.calm_at) > under_way_s:
        raise Violated(f"R13: BQN {node.id} begins to lead without its witness")


def _long_met(world: World, node: Node, other: Node) -> bool:
    """Whether the two have reached each other all the time, and nothing happened to the other.

    One that has just started, or was paused, must hear the other before its `boot` is over.
    """
    long_s = 2 * world.timing.dead_s + world.timing.dial_s
    if {node.id, other.id} & world.twins.keys() or not world.network.whole(node.id, other.id):
        return False
    mended_at = world.network.link(node.id, other.id).mended_at
    if world.now - max(other.calm_at, other.paused_until, mended_at) <= long_s:
        return False
    return world.network.loss == 0 or node.started_at < world.now - long_s


def _check_lower(world: World, node: Node) -> None:
    """I6: nobody begins to claim while a lower server answers it all the time."""
    for other in world.nodes.values():
        if other.view.rank < node.view.rank and _long_met(world, node, other):
            said = f"I6: BQN {node.id} becomes {node.view.role} though BQN {other.id} answers"
            raise Violated(f"{said} at {world.now:.2f}\n{describe(world)}")


def _check_beside(world: World, node: Node) -> None:
    """I1: nobody begins to lead beside another one that it reaches: that one hands over."""
    for other in world.nodes.values():
        led_long = other.leads and world.now - other.led_at > 1.0 and other is not node
        if led_long and other.id not in world.stuck and _long_met(world, node, other):
            said = f"I1: BQN {node.id} begins to lead while BQN {other.id} leads"
            raise Violated(f"{said} at {world.now:.2f}\n{describe(world)}")


def describe(world: World) -> str:
    """Every server in a line."""
    lines = [
        f"cut: {sorted(world.network.cut)} loss {world.network.loss} twins {world.twins} "
        f"barred {world.barred} no witness {world.unwitnessed}"
    ]
    for number, node in sorted(world.nodes.items()):
        view = node.view
        peers = " ".join(f"{p.id}:{p.state.value}" for p in view.peers)
        lines.append(
            f"BQN {number}: {view.role.value} term {view.epoch} maxep {view.maxep} follows "
            f"{view.following} pending {view.pending} refused {view.refused} [{peers}]"
        )
    return "\n".join(lines)
