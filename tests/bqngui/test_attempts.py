from __future__ import annotations

from bqngui.attempts import Attempts
from tests.support.manual_clock import ManualClock


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


def test_the_account_is_protected_from_many_addresses_and_an_address_is_slowed_for_all() -> None:
    attempts = Attempts(ManualClock())
    for number in range(5):
        attempts.wrong("noc", f"address {number}")
    assert attempts.wait_s("noc", "another address") == 30
    assert attempts.wait_s("other", "another address") == 0
    for number in range(5):
        attempts.wrong(f"name {number}", "scanner")
    assert attempts.wait_s("fresh name", "scanner") == 30


def test_upper_and_lower_case_are_one_account() -> None:
    attempts = Attempts(ManualClock())
    for name in ("noc", "NOC", "Noc", "nOc", "noC"):
        attempts.wrong(name, name)
    assert attempts.wait_s("noc", "x") == 30


def test_a_right_password_forgets() -> None:
    attempts = Attempts(ManualClock())
    for _ in range(4):
        attempts.wrong("noc", "a")
    attempts.right("noc", "a")
    assert attempts.wrong("noc", "a") == 0


def test_nobody_is_locked_out_for_good() -> None:
    clock = ManualClock()
    attempts = Attempts(clock)
    for _ in range(100):
        attempts.wrong("noc", "a")
    assert attempts.wait_s("noc", "a") == 900
    clock.advance(3601)
    assert attempts.wait_s("noc", "a") == 0
    assert attempts.wrong("noc", "a") == 0


def test_a_flood_of_names_does_not_eat_the_memory() -> None:
    attempts = Attempts(ManualClock())
    for number in range(12_000):
        attempts.wrong(f"name {number}", f"address {number}")
    assert len(attempts._counts) == 10_000
