"""The witness address answers when a connection is accepted or refused."""

from __future__ import annotations

import socket

import pytest

from scheduler.witness import answers, parse
from tests.support.loops import finished


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("192.0.2.1", ("192.0.2.1", 80)),
        ("192.0.2.1:53", ("192.0.2.1", 53)),
        ("gateway.example:443", ("gateway.example", 443)),
        ("2001:db8::1", ("2001:db8::1", 80)),
        ("[2001:db8::1]", ("2001:db8::1", 80)),
        ("[2001:db8::1]:22", ("2001:db8::1", 22)),
    ],
)
def test_a_setting_is_an_address_with_or_without_a_port(
    setting: str, place: tuple[str, int]
) -> None:
    assert parse(setting) == place


@pytest.mark.parametrize("setting", ["gateway:http", "gateway:0", "gateway:65536"])
def test_a_port_that_is_none_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=r"port|invalid literal"):
        parse(setting)


def asked(address: str, port: int) -> bool:
    return finished(answers(address, port, 60), 120.0)


def test_a_connection_that_is_accepted_or_refused_is_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert asked("127.0.0.1", port)
    assert asked("127.0.0.1", port)


def test_an_address_that_cannot_be_there_does_not_answer() -> None:
    assert not asked("x" * 64 + ".invalid", 80)
