from __future__ import annotations

import threading
import time

import pytest

from bqngui.passwords import Passwords, objection


def test_a_password_agrees_with_its_own_hash_only() -> None:
    passwords = Passwords()
    one, two = passwords.hashed("correct horse battery"), passwords.hashed("correct horse battery")
    assert one != two
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.agrees(one, "correct horse battery")
    assert not passwords.agrees(one, "correct horse batterz")


def test_without_an_account_nothing_agrees() -> None:
    passwords = Passwords()
    assert not passwords.agrees(None, "nobody has this password")
    assert not passwords.agrees("not a hash", "x")


def test_one_letter_written_in_two_ways_is_one_password() -> None:
    passwords = Passwords()
    assert passwords.agrees(
        passwords.hashed("Ma\u00f1ana ser\u00e1 tarde"), "Man\u0303ana sera\u0301 tarde"
    )


def test_a_storm_of_logins_is_served_two_at_a_time() -> None:
    passwords = Passwords()
    stored = passwords.hashed("correct horse battery")
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(passwords.agrees(stored, "wrong")))
        for _ in range(50)
    ]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [False] * 50
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("short", "12 characters"),
        ("", "12 characters"),
        ("x" * 300, "256"),
        ("aaaaaaaaaaaaaaaa", "pattern"),
        ("123456789012", "pattern"),
        ("abcdefghijklmn", "pattern"),
        ("password1234", "tried first"),
        ("Administrator2026!", "tried first"),
        ("adminadminadmin", "tried first"),
        ("qwertyuiop123", "tried first"),
        ("charlotte-12345", "tried first"),
    ],
)
def test_an_easy_password_is_not_taken(password: str, word: str) -> None:
    assert word in (objection(password, "Charlotte") or "")


@pytest.mark.parametrize("password", ["correct horse battery", "x7#kLq0pZ2mv", "mañana será tarde"])
def test_length_is_the_only_other_rule(password: str) -> None:
    assert objection(password, "admin") is None
