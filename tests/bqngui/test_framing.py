from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqngui.framing import BODY_LIMIT, HEAD_LIMIT, Framing, NeedMore, Reject, Whole

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"


def look(data: bytes) -> NeedMore | Whole | Reject:
    return Framing().look(bytearray(data))


def test_a_request_without_body_ends_with_its_head() -> None:
    assert look(GET) == Whole(len(GET))
    assert look(GET + GET) == Whole(len(GET))
    assert look(GET[:-1]) == NeedMore()
    assert look(b"") == NeedMore()


def test_a_body_is_waited_for() -> None:
    assert look(POST + b"1234") == NeedMore()
    assert look(POST + b"12345GET /next") == Whole(len(POST) + 5)


def test_a_chunked_body_is_followed_to_its_last_chunk() -> None:
    assert look(CHUNKED + CHUNKS + b"GET") == Whole(len(CHUNKED) + len(CHUNKS))
    assert look(CHUNKED + CHUNKS[:-1]) == NeedMore()


@given(st.sampled_from([GET, POST + b"12345", CHUNKED + CHUNKS]), st.data())
def test_it_does_not_matter_in_which_pieces_a_request_comes(
    request: bytes, data: st.DataObject
) -> None:
    framing, arrived, at = Framing(), bytearray(), 0
    while at < len(request):
        step = data.draw(st.integers(1, len(request)))
        arrived += request[at : at + step]
        at += step
        outcome = framing.look(arrived)
        assert outcome == (Whole(len(request)) if at >= len(request) else NeedMore())


def test_a_client_that_waits_to_be_invited_is_invited_once() -> None:
    framing = Framing()
    data = bytearray(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert framing.look(data) == NeedMore(invite=True)
    assert framing.look(data) == NeedMore()
    data += b"ok"
    assert framing.look(data) == Whole(len(data))


def test_a_body_that_is_too_large_is_left_out() -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (BODY_LIMIT + 1)
    assert look(head) == Whole(len(head), last=True)


@pytest.mark.parametrize("before", [b"", b"9\r\n123456789\r\n"])
def test_chunks_that_are_too_large_are_rejected_when_they_are_announced(before: bytes) -> None:
    outcome = look(CHUNKED + before + b"%x\r\n" % (BODY_LIMIT + 1))
    assert isinstance(outcome, Reject)
    assert outcome.status.startswith("413")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\nHost: x\n\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\n folded: x\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nName : x\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * HEAD_LIMIT + b"\r\n\r\n", "431"),
        (b"x" * (HEAD_LIMIT + 1), "431"),
        (CHUNKED + b"xyz\r\n", "400"),
        (CHUNKED + b"-1\r\n", "400"),
        (CHUNKED + b"1" * 2000, "400"),
        (CHUNKED + b"0\r\nX: " + b"x" * HEAD_LIMIT + b"x", "431"),
    ],
)
def test_what_has_no_clear_length_is_rejected(request_bytes: bytes, status: str) -> None:
    outcome = look(request_bytes)
    assert isinstance(outcome, Reject)
    assert outcome.status.startswith(status)


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert isinstance(look(data), NeedMore | Whole | Reject)
    assert isinstance(look(CHUNKED + data), NeedMore | Whole | Reject)
