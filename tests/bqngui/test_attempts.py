from __future__ import annotations

import pytest

from bqngui.attempts import Attempts
from tests.support.manual_clock import ManualClock


def many(attempts: Attempts, name: str, tries: int) -> None:
    """Wrong passwords for one account, each from another address."""
    for number in range(tries):
        attempts.wrong(name, f"198.51.{number // 250}.{number % 250}")


def test_five_are_free_and_each_further_one_doubles_the_wait() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    assert [attempts.wrong("noc", "a") for _ in range(4)] == [0, 0, 0, 0]
    waits = []
    for _ in range(8):
        waits.append(attempts.wrong("noc", "a"))
        clock.advance(waits[-1])
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]
    assert attempts.wait_s("noc", "a") == 0


def test_a_stranger_does_not_keep_the_owner_of_an_account_waiting() -> None:
    attempts = Attempts(ManualClock())
    for _ in range(50):
        attempts.wrong("admin", "198.51.100.7")
    assert attempts.wait_s("admin", "198.51.100.7") == 900
    assert attempts.wait_s("admin", "192.0.2.1") == 0


def test_an_address_that_tries_many_names_is_slowed_for_all_of_them() -> None:
    attempts = Attempts(ManualClock())
    for number in range(19):
        assert attempts.wrong(f"name {number}", "198.51.100.7") == 0
    assert attempts.wrong("one more", "198.51.100.7") == 30
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
            attempts.wrong("admin", f"2001:db8:{number:x}::{let_in:x}")
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
        attempts.wrong("admin", address)
    assert attempts.wait_s("admin", address) == 30


def test_the_addresses_of_one_network_of_ipv6_are_one() -> None:
    attempts = Attempts(ManualClock())
    for number in range(5):
        attempts.wrong("noc", f"2001:db8::{number}")
    assert attempts.wait_s("noc", "2001:db8::ffff:1") == 30
    assert attempts.wait_s("noc", "2001:db8:0:1::1") == 0


def test_upper_and_lower_case_are_one_account() -> None:
    attempts = Attempts(ManualClock())
    for name in ("noc", "NOC", "Noc", "nOc", "noC"):
        attempts.wrong(name, "192.0.2.1")
    assert attempts.wait_s("noc", "192.0.2.1") == 30


def test_a_right_password_forgets() -> None:
    attempts = Attempts(ManualClock())
    for _ in range(4):
        attempts.wrong("noc", "a")
    attempts.right("noc", "a")
    assert attempts.wrong("noc", "a") == 0


def test_nobody_is_locked_out_for_good() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    for _ in range(90):
        attempts.wrong("noc", "a")
    assert attempts.wait_s("noc", "a") == 900
    clock.advance(3601)
    assert attempts.wait_s("noc", "a") == 0
    assert attempts.wrong("noc", "a") == 0


def test_a_flood_of_names_does_not_eat_the_memory() -> None:
    attempts = Attempts(ManualClock())
    for number in range(12_000):
        attempts.wrong(f"name {number}", f"address {number}")
        attempts.right(f"other {number}", f"address {number}")
    kept = (attempts._counts, attempts._spent, attempts._came_in)
    assert [len(one) <= 10_000 for one in kept] == [True, True, True]
