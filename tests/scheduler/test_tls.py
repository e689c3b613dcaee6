"""The server name is read from a ClientHello, in whatever pieces it comes, and nothing else is."""

from __future__ import annotations

import socket
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import tls
from scheduler.token_bucket import TokenBuckets
from tests.support.identities import identity


def _client_hello(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("name", sorted(tls.SNI_NAMES))
def test_each_name_is_read_and_only_from_the_whole_hello(name: str) -> None:
    hello = _client_hello(name)
    assert tls.server_name(hello) == name
    assert all(tls.server_name(hello[:cut]) is None for cut in range(len(hello)))


def test_a_hello_without_a_name_is_not_ours() -> None:
    with pytest.raises(tls.NotOurHello, match="names no server"):
        tls.server_name(_client_hello(None))


@given(st.binary(max_size=300))
def test_random_bytes_name_nothing(data: bytes) -> None:
    try:
        assert tls.server_name(data) is None
    except tls.NotOurHello:
        return


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_hello_is_read_refused_or_incomplete(at: int, byte: int) -> None:
    hello = bytearray(_HELLO)
    hello[at % len(hello)] = byte
    try:
        tls.server_name(bytes(hello))
    except tls.NotOurHello:
        return


_HELLO = _client_hello(tls.SNI_CONTROL)


def test_peeking_leaves_the_bytes_unread() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(_HELLO[:50])
        with pytest.raises(tls.NotOurHello, match="in time"):
            tls.peek_server_name(theirs, timeout_s=0.05)
        ours.sendall(_HELLO[50:])
        assert tls.peek_server_name(theirs) == tls.SNI_CONTROL
        assert theirs.recv(4096) == _HELLO


def test_a_connection_that_closes_or_is_silent_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with pytest.raises(tls.NotOurHello, match="in time"):
            tls.peek_server_name(theirs, timeout_s=0.05)
        ours.close()
        with pytest.raises(tls.NotOurHello, match="closed"):
            tls.peek_server_name(theirs)


def test_contexts_speak_tls_1_3_only_and_demand_certificates_of_members() -> None:
    pem, pin = identity(0).control_pem, identity(1).certificate_b64
    for context in (tls.server_context(pem, [pin]), tls.client_context(pem, [pin])):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert tls.server_context(pem, []).num_tickets == 0
    assert tls.join_server_context(pem).verify_mode is ssl.CERT_NONE


def test_a_bucket_refills_with_time_and_sources_do_not_share_it() -> None:
    buckets = TokenBuckets(rate_per_s=1.0, burst=2)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("b", 0.0)
    assert not buckets.take("a", 0.5)
    assert buckets.take("a", 1.5)


def test_the_oldest_sources_are_forgotten() -> None:
    buckets = TokenBuckets(rate_per_s=0.0, burst=1, remembered=2)
    assert buckets.take("a", 0.0)
    assert buckets.take("b", 0.0)
    assert buckets.take("c", 0.0)
    assert buckets.take("a", 0.0)
    assert not buckets.take("c", 0.0)
