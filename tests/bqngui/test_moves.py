"""Blocks that only move to another server's folder."""

from __future__ import annotations

from bqngui.moves import Move, moves_of
from scheduler.views import FileChange


def change(path: str, before: str | None, after: str | None) -> FileChange:
    return FileChange(path, (after or before or "").strip(), before, after)


GONE = change("servers/2/hostname.conf", "hostname b\n", None)
CAME = change("servers/7/hostname.conf", None, "hostname b\n")


def test_a_block_with_the_same_text_at_another_server_moves() -> None:
    record = change("cluster/servers/7.conf", None, "server 7\n")
    moves, left = moves_of((record, GONE, CAME))
    assert moves == (Move("hostname b", "servers/2/hostname.conf", "servers/7/hostname.conf"),)
    assert left == (record,)


def test_what_differs_or_has_one_end_only_does_not_move() -> None:
    for other in (
        change("servers/7/hostname.conf", None, "hostname c\n"),
        change("servers/7/hostname.conf", "hostname a\n", "hostname b\n"),
        change("servers/7/wire.conf", None, "hostname b\n"),
        change("common/hostname.conf", None, "hostname b\n"),
    ):
        assert moves_of((GONE, other)) == ((), (GONE, other))
    assert moves_of((GONE,)) == ((), (GONE,))


def test_one_block_goes_to_one_place_only() -> None:
    second = change("servers/8/hostname.conf", None, "hostname b\n")
    moves, left = moves_of((GONE, CAME, second))
    assert [move.after for move in moves] == ["servers/7/hostname.conf"]
    assert left == (second,)
