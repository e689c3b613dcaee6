"""JSON of others: as it is, or refused."""

from __future__ import annotations

import pytest

from scheduler.foreign_json import foreign_json


def test_what_is_text_is_read() -> None:
    assert foreign_json(b'{"a": "\\ud83d\\ude00", "b": ["Z\xc3\xbcrich", "\\\\ud800"]}') == {
        "a": "\U0001f600",
        "b": ["Zürich", "\\ud800"],
    }


@pytest.mark.parametrize(
    "data",
    [
        b'{"a": "\\ud800"}',
        b'{"\\uDFFF": 1}',
        b'"\xed\xa0\x80"',
        '"x"'.encode("utf-16"),
        b"\xff",
        b"{",
    ],
)
def test_half_characters_other_encodings_and_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        foreign_json(data)


def test_whoever_nests_too_deeply_is_told_apart() -> None:
    with pytest.raises(RecursionError):
        foreign_json(b"[" * 100_000)
