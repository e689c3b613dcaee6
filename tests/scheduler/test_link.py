"""Lines and descriptors arrive together, in order, in whatever pieces the stream comes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from configrepo.model import ServerId
from scheduler.control_view import (
    Accepted,
    ControlRole,
    ControlView,
    PeerView,
    view_from_json,
    view_to_json,
)
from scheduler.link import LINE_BYTES, LineReader, LinkBroken, Received, encode


@pytest.fixture
def link() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        yield ours, theirs


def test_lines_are_cut_wherever_the_stream_was(link: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = link
    reader = LineReader()
    data = encode({"n": 1}) + encode({"n": 2}) + encode({"text": "Zürich\n"})
    ours.sendall(data[:5])
    assert reader.read(theirs) == []
    ours.sendall(data[5:])
    values = [received.value for received in reader.read(theirs)]
    assert values == [{"n": 1}, {"n": 2}, {"text": "Zürich\n"}]


def test_each_descriptor_arrives_with_its_line(link: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = link
    reader = LineReader()
    received: list[Received] = []
    for number in range(20):
        read_end, write_end = os.pipe()
        os.write(write_end, bytes([number]))
        os.close(write_end)
        ours.sendall(encode({"between": number}))
        socket.send_fds(ours, [encode({"n": number, "fd": True})], [read_end])
        os.close(read_end)
    while len(received) < 40:
        received += reader.read(theirs)
    for line in received:
        if "n" in line.value:
            assert line.descriptor is not None
            assert os.read(line.descriptor, 1) == bytes([line.value["n"]])
            os.close(line.descriptor)
        else:
            assert line.descriptor is None


def test_the_end_of_the_other_process_is_seen(link: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = link
    ours.close()
    with pytest.raises(LinkBroken, match="ended"):
        LineReader().read(theirs)


@pytest.mark.parametrize("data", [b"{\n", b"[]\n", b'{"fd":true}\n', b"\xff\n"])
def test_what_is_no_line_breaks_the_link(
    link: tuple[socket.socket, socket.socket], data: bytes
) -> None:
    ours, theirs = link
    ours.sendall(data)
    with pytest.raises(LinkBroken, match="not a line"):
        LineReader().read(theirs)


def test_a_line_without_end_breaks_the_link(link: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = link
    reader = LineReader()

    def flood() -> None:
        for _ in range(2 * LINE_BYTES // 32768):
            ours.sendall(b"x" * 32768)
            reader.read(theirs)

    with pytest.raises(LinkBroken, match="too long"):
        flood()


def test_descriptors_that_nobody_took_are_closed(
    link: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = link
    read_end, write_end = os.pipe()
    socket.send_fds(ours, [b'{"half'], [read_end])
    os.close(read_end)
    reader = LineReader()
    reader.read(theirs)
    reader.close()
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)


def test_a_view_is_read_back_as_it_was_sent() -> None:
    now = datetime(2026, 11, 22, 14, 2, 13, 500000, tzinfo=UTC)
    peer = PeerView(
        ServerId(0), "dead", "BQN 0 does not answer", "primary", 1, "a" * 40, "R5", 1.5, now
    )
    view = ControlView(
        id=ServerId(1),
        role=ControlRole.SECONDARY,
        epoch=2,
        since=now,
        sentence="BQN 0 has led since 14:02:13, term 2",
        following=ServerId(0),
        accepted=Accepted(2, ServerId(0)),
        peers=(peer, PeerView(ServerId(2), "unknown", "BQN 2 is not known")),
    )
    assert view_from_json(view_to_json(view)) == view
    assert view.peer(ServerId(0)) == peer
    assert view.peer(ServerId(9)) is None
