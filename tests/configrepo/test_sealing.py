from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configrepo.errors import StoreError, UnknownKey
from configrepo.sealing import Keyring

RING = Keyring.create()
PATH = "common/api/rest.conf"
KEY = "user billing"


@given(st.text(max_size=300))
def test_what_is_sealed_opens_at_its_place(clear: str) -> None:
    assert RING.open(PATH, KEY, RING.seal(PATH, KEY, clear)) == clear


def test_equal_secrets_at_one_place_make_equal_tokens() -> None:
    assert RING.seal(PATH, KEY, "one") == RING.seal(PATH, KEY, "one")
    assert RING.seal(PATH, KEY, "one") != RING.seal(PATH, KEY, "two")


def test_a_token_is_bound_to_its_place() -> None:
    token = RING.seal(PATH, KEY, "one")
    assert token != RING.seal(PATH, "user other", "one")
    for path, key in ((PATH, "user other"), ("common/snmp.conf", KEY)):
        with pytest.raises(UnknownKey):
            RING.open(path, key, token)


def test_a_token_is_one_word_and_does_not_show_the_length() -> None:
    tokens = [RING.seal(PATH, KEY, "x" * length) for length in (0, 1, 8, 20, 63)]
    assert len({len(token) for token in tokens}) == 1
    assert all(token.startswith("sealed:1:") and " " not in token for token in tokens)


@pytest.mark.parametrize(
    "token",
    ["", "clear", "sealed:1", "sealed:1:x:AAAA", "sealed:2:x:AAAA", "sealed:1:x:AAAA:more"],
)
def test_what_is_not_a_token_of_this_ring_does_not_open(token: str) -> None:
    with pytest.raises(UnknownKey):
        RING.open(PATH, KEY, token)


def test_a_changed_token_does_not_open_and_is_never_quoted() -> None:
    token = RING.seal(PATH, KEY, "one")
    for bad in (token[:-8] + "AAAAAAA=", token[:-4], token + "é", token[:30] + "!" + token[31:]):
        with pytest.raises(UnknownKey) as caught:
            RING.open(PATH, KEY, bad)
        assert bad[20:] not in str(caught.value)


def test_a_merged_ring_opens_both_and_seals_with_its_own_key() -> None:
    joiner = Keyring.create()
    token = joiner.seal(PATH, KEY, "theirs")
    with pytest.raises(UnknownKey):
        RING.open(PATH, KEY, token)
    both = RING.merged_with(joiner)
    assert both.open(PATH, KEY, token) == "theirs"
    assert both.current_key_id == RING.current_key_id
    assert both.seal(PATH, KEY, "x") == RING.seal(PATH, KEY, "x")


def test_a_rotated_ring_still_opens_old_tokens() -> None:
    token = RING.seal(PATH, KEY, "one")
    rotated = RING.rotated()
    assert rotated.current_key_id != RING.current_key_id
    assert rotated.open(PATH, KEY, token) == "one"
    assert rotated.seal(PATH, KEY, "one") != token


def test_a_ring_survives_its_file_which_nobody_else_reads(tmp_path: Path) -> None:
    path = tmp_path / "keyring.json"
    ring = RING.rotated()
    ring.save(path)
    assert Keyring.load(path) == ring
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"format": 2, "current": "x", "keys": {}}',
        '{"format": 1, "current": "x", "keys": {}}',
        '{"format": 1, "current": "x", "keys": {"x": "AAAA"}}',
        '{"format": 1, "current": "x", "keys": {"x": "!"}}',
    ],
)
def test_a_damaged_keyring_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keyring.json"
    path.write_text(text)
    with pytest.raises(StoreError, match="keyring"):
        Keyring.load(path)


def test_a_ring_does_not_print_its_keys() -> None:
    key = next(iter(RING.keys.values()))
    assert repr(key)[2:10] not in repr(RING)
