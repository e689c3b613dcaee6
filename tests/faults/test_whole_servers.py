"""Whole servers under what operators meet: the primary is killed while somebody saves.

`--full` kills more often.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from random import Random

import pytest

from bench import namespaces
from bench.figures import RivalMissing
from scripts.visitor import Page, VisitError
from tests.support.partitions import all_there, disagreements
from tests.support.whole_servers import (
    CLUSTER,
    Acknowledged,
    NotTaken,
    WholeCluster,
    WholeServer,
    running,
    until,
)

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

# After each BQN 0 must answer twice as long before it leads again (R5).
KILLS_OF_A_PAIR = 2


@pytest.fixture
def fresh_pair() -> Iterator[Callable[[], WholeCluster]]:
    """Makes BQN 0 and BQN 1, in the place of the pair before."""
    try:
        namespaces.require()
    except RivalMissing as missing:
        pytest.skip(str(missing))
    with ExitStack() as stack:

        def make() -> WholeCluster:
            stack.close()
            return stack.enter_context(running(2))

        yield make


def sent(server: WholeServer, page: Page) -> Acknowledged | NotTaken | None:
    """What the page answers; None if the server was gone before it did."""
    try:
        return server.send_commit(page)
    except (OSError, VisitError):
        return None


def request_ids(server: WholeServer, page: Page) -> int:
    """How many commits of its history carry the request id of a form."""
    form = page.form("message", "request_id", action="/candidate/commit")
    wanted = dict(form.fields)["request_id"]
    log = server.git("log", "--format=%(trailers:key=Request-Id,valueonly)", CLUSTER)
    return log.stdout.split().count(wanted)


def kill_while_saving(cluster: WholeCluster, at: int, name: str, after_s: float | None) -> Page:
    """Send a form at a server and kill the primary while it works on it; returns the form.

    Without a time it is killed when the commit is in its history, before it answers.
    """
    asked, ref = cluster[at], cluster[0].state / "config.git" / CLUSTER
    asked.edit(f"policy rate {name}\n downlink rate 1000\n")
    page = asked.visitor().get("/candidate/compare")
    before = ref.read_text()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(sent, asked, page)
        if after_s is None:
            until("the commit is there", lambda: ref.read_text() != before, every_s=0.001)
        else:
            threading.Event().wait(after_s)
        cluster[0].kill()
        answer.result()
    return page


def saved(server: WholeServer, page: Page) -> Acknowledged:
    """Send the same form again until it is acknowledged."""
    answers: list[Acknowledged] = []

    def said() -> bool:
        answer = sent(server, page)
        answers.extend([answer] if isinstance(answer, Acknowledged) else [])
        return bool(answers)

    until("the form is taken", said)
    return answers[0]


def kills(
    seed: int, full: bool, fresh_pair: Callable[[], WholeCluster]
) -> Iterator[tuple[int, WholeCluster, float | None]]:
    """The number of a kill, a pair that BQN 0 leads, and when: at the worst moment, or at any."""
    random = Random(seed)
    moments = [None, *(random.uniform(0.0, 0.25) for _ in range(49 if full else 0))]
    for number, after_s in enumerate(moments):
        if number % KILLS_OF_A_PAIR == 0:
            pair = fresh_pair()
        pair.led_by(0, 0)
        yield number, pair, after_s


def test_a_form_that_a_crash_of_the_primary_interrupts_is_saved_once(
    fresh_pair: Callable[[], WholeCluster], full: bool
) -> None:
    for number, pair, after_s in kills(5, full, fresh_pair):
        zero = pair[0]
        page = kill_while_saving(pair, 0, f"own{number}", after_s)
        zero.start()
        until("the pages of BQN 0 answer", zero.answers)
        revision = saved(zero, page).revision
        until("both have it", partial(all_there, pair, {revision}))
        assert [request_ids(server, page) for server in pair.servers] == [1, 1]


def test_a_form_sent_through_a_secondary_survives_the_crash_of_the_primary(
    fresh_pair: Callable[[], WholeCluster], full: bool
) -> None:
    """The other server may lead meanwhile and save it, too; then both are the same change."""
    for number, pair, after_s in kills(6, full, fresh_pair):
        zero, one = pair[0], pair[1]
        name = f"through{number}"
        page = kill_while_saving(pair, 1, name, after_s)
        lost = zero.head()
        revision = saved(one, page).revision
        zero.start()
        until("both have all", partial(all_there, pair, {lost, revision}), pair.told)
        pair.alike()
        for server in pair.servers:
            path = f"common/policy/rate/{name}.conf"
            assert server.file(path) == f"policy rate {name}\n downlink rate 1000\n"
            assert disagreements(server, path) == []
            assert 1 <= request_ids(server, page) <= 2
