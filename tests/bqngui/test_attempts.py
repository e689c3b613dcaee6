from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bqngui.attempts import Attempts
from tests.support.manual_clock import ManualClock


def wrong(attempts: Attempts, name: str, address: str) -> float:
    """A wrong password, if it is looked at at all; the wait until the next."""
    return attempts.begin(name, address) or attempts.wait_s(name, address)


def many(attempts: Attempts, name: str, tries: int) -> None:
    """Wrong passwords for one account, each from another address."""
    for number in range(tries):
        wrong(attempts, name, f"198.51.{number // 250}.{number % 250}")


def persistent(attempts: Attempts, clock: ManualClock, name: str, address: str) -> None:
    """Wrong passwords, each as soon as it is looked at, until the wait is the longest."""
    while (wait_s := wrong(attempts, name, address)) < 900:
        clock.advance(wait_s)


def test_five_are_free_and_each_further_one_doubles_the_wait() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    assert [wrong(attempts, "noc", "a") for _ in range(4)] == [0, 0, 0, 0]
    waits = []
    for _ in range(8):
        waits.append(wrong(attempts, "noc", "a"))
        clock.advance(waits[-1])
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert attempts.wait_s("noc", "a") == 0


def test_a_stranger_does_not_keep_the_owner_of_an_account_waiting() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    persistent(attempts, clock, "admin", "198.51.100.7")
    assert attempts.wait_s("admin", "198.51.100.7") == 900
    assert attempts.wait_s("admin", "192.0.2.1") == 0


def test_an_address_that_tries_many_names_is_slowed_for_all_of_them() -> None:
    attempts = Attempts(ManualClock())
    for number in range(19):
        assert wrong(attempts, f"name {number}", "198.51.100.7") == 0
    assert wrong(attempts, "one more", "198.51.100.7") == 30
    assert attempts.wait_s("fresh name", "198.51.100.7") == 30
    assert attempts.wait_s("fresh name", "192.0.2.1") == 0


def test_guessing_from_many_addresses_is_bounded_for_an_account() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    many(attempts, "admin", 99)
    assert attempts.wait_s("admin", "203.0.113.1") == 0
    many(attempts, "admin", 1)
    assert attempts.wait_s("admin", "203.0.113.1") == 30
    assert attempts.wait_s("noc", "203.0.113.1") == 0
    let_in = 0
    for number in range(24 * 60):
        clock.advance(60)
        while attempts.wait_s("admin", f"2001:db8:{number:x}::{let_in:x}") == 0:
            wrong(attempts, "admin", f"2001:db8:{number:x}::{let_in:x}")
            let_in += 1
    assert let_in <= 24 * 60 * 2


def test_many_strangers_do_not_lock_out_who_came_in_before_nor_the_machine_itself() -> None:
    attempts = Attempts(ManualClock())
    attempts.right("admin", "192.0.2.1")
    many(attempts, "admin", 300)
    assert attempts.wait_s("admin", "192.0.2.1") == 0
    assert attempts.wait_s("admin", "127.0.0.1") == 0
    assert attempts.wait_s("admin", "::1") == 0
    assert attempts.wait_s("admin", "192.0.2.2") > 0
    assert attempts.wait_s("noc", "192.0.2.2") == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_the_machine_itself_waits_for_its_own_wrong_passwords(address: str) -> None:
    attempts = Attempts(ManualClock())
    for _ in range(5):
        wrong(attempts, "admin", address)
    assert attempts.wait_s("admin", address) == 30


def test_the_addresses_of_one_network_of_ipv6_are_one() -> None:
    attempts = Attempts(ManualClock())
    for number in range(5):
        wrong(attempts, "noc", f"2001:db8::{number}")
    assert attempts.wait_s("noc", "2001:db8::ffff:1") == 30
    assert attempts.wait_s("noc", "2001:db8:0:1::1") == 0


def test_upper_and_lower_case_are_one_account() -> None:
    attempts = Attempts(ManualClock())
    for name in ("noc", "NOC", "Noc", "nOc", "noC"):
        wrong(attempts, name, "192.0.2.1")
    assert attempts.wait_s("noc", "192.0.2.1") == 30


def test_a_right_password_forgets() -> None:
    attempts = Attempts(ManualClock())
    for _ in range(4):
        wrong(attempts, "noc", "a")
    attempts.right("noc", "a")
    assert wrong(attempts, "noc", "a") == 0


def test_nobody_is_locked_out_for_good() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    persistent(attempts, clock, "noc", "a")
    assert attempts.wait_s("noc", "a") == 900
    clock.advance(3601)
    assert attempts.wait_s("noc", "a") == 0
    assert wrong(attempts, "noc", "a") == 0


def test_a_flood_of_names_does_not_eat_the_memory() -> None:
    attempts = Attempts(ManualClock())
    for number in range(12_000):
        wrong(attempts, f"name {number}", f"address {number}")
        attempts.right(f"other {number}", f"address {number}")
    kept = (attempts._counts, attempts._spent, attempts._came_in)
    assert [len(one) <= 10_000 for one in kept] == [True, True, True]


def test_a_flood_of_names_from_many_networks_gives_no_new_tries_for_an_account() -> None:
    attempts = Attempts(ManualClock())
    many(attempts, "admin", 100)
    for network in range(600):
        for number in range(20):
            wrong(attempts, f"name {network} {number}", f"203.0.{network // 250}.{network % 250}")
    assert attempts.wait_s("admin", "192.0.2.9") == 30
    # Nor does an address get rid of what it has tried.
    assert attempts.wait_s("fresh name", "203.0.0.0") == 30


def test_logins_from_everywhere_do_not_push_out_the_address_of_another_person() -> None:
    attempts = Attempts(ManualClock())
    attempts.right("admin", "192.0.2.1")
    for number in range(12_000):
        attempts.right("vera", f"2001:db8:{number:x}::1")
    many(attempts, "admin", 100)
    assert attempts.wait_s("admin", "192.0.2.1") == 0
    assert attempts.wait_s("admin", "192.0.2.2") == 30


def test_tries_side_by_side_are_no_more_than_tries_one_after_the_other() -> None:
    attempts = Attempts(ManualClock())
    together = threading.Barrier(16)

    def guess(number: int) -> float:
        together.wait(60)
        return attempts.begin("noc", "192.0.2.1")

    with ThreadPoolExecutor(16) as pool:
        waits = list(pool.map(guess, range(16)))
    assert sorted(waits) == [0] * 5 + [30] * 11


def test_a_right_password_costs_the_account_nothing() -> None:
    attempts = Attempts(ManualClock())
    for number in range(300):
        assert attempts.begin("noc", f"2001:db8:{number:x}::1") == 0
        attempts.right("noc", f"2001:db8:{number:x}::1")
    assert attempts.wait_s("noc", "192.0.2.1") == 0


def test_a_try_that_is_given_back_leaves_everything_as_it_was() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    for _ in range(7):
        clock.advance(wrong(attempts, "noc", "192.0.2.1"))
    for _ in range(200):
        assert attempts.begin("noc", "192.0.2.1") == 0
        attempts.give_back("noc", "192.0.2.1")
    assert wrong(attempts, "noc", "192.0.2.1") == 240
