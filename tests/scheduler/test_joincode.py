"""A join code says everything, finds copying mistakes and never leaks its secret."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configrepo.model import ServerId
from scheduler.errors import JoinRefused
from scheduler.joincode import JoinCode, prove, proven, read_code, write_code

CODE = JoinCode(
    cluster_id="0123456789abcdef" * 2,
    id=ServerId(0),
    address="192.0.2.10",
    control_port=63500,
    ssh_port=22,
    control_fingerprint="ab" * 32,
    ssh_fingerprint="cd" * 32,
    secret=bytes(range(16)),
)


@given(
    server=st.integers(0, 255),
    port=st.integers(1, 65535),
    address=st.text(min_size=1, max_size=40),
    secret=st.binary(min_size=16, max_size=16),
)
def test_what_was_written_is_read_back(server: int, port: int, address: str, secret: bytes) -> None:
    code = dataclasses.replace(
        CODE, id=ServerId(server), control_port=port, address=address, secret=secret
    )
    if len(address.encode()) < 256:
        assert read_code(write_code(code)) == code


def test_blanks_case_and_missing_dashes_do_not_matter() -> None:
    text = write_code(CODE)
    assert (
        read_code(f"  {text.lower().replace('-', '')[:40]}\n{text.replace('-', '')[40:]} ") == CODE
    )


@pytest.mark.parametrize("position", [0, 7, 40, 100])
def test_one_wrong_letter_is_found_before_anything_is_sent(position: int) -> None:
    letters = list(write_code(CODE).replace("-", ""))
    letters[position] = "A" if letters[position] != "A" else "B"
    with pytest.raises(JoinRefused, match="join code"):
        read_code("".join(letters))


@pytest.mark.parametrize("text", ["", "hello", "1" * 8, "A" * 5000, "é" * 20, "AAAAAAAA"])
def test_other_text_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(JoinRefused, match="join code"):
        read_code(text)


def test_the_secret_is_not_in_the_representation() -> None:
    assert CODE.secret.hex() not in repr(CODE)
    assert "secret" not in repr(CODE)


def test_a_proof_fits_one_secret_one_purpose_and_one_content() -> None:
    proof = prove(CODE.secret, "knock", {"a": 1})
    assert proven(CODE.secret, "knock", {"a": 1}, proof)
    assert not proven(bytes(16), "knock", {"a": 1}, proof)
    assert not proven(CODE.secret, "enter", {"a": 1}, proof)
    assert not proven(CODE.secret, "knock", {"a": 2}, proof)
    assert not proven(CODE.secret, "knock", {"a": 1}, None)
    assert not proven(CODE.secret, "knock", {"a": 1}, "é")
