"""Texts put together from a common part: always the same as when all of it is read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.effective import CommonPart
from configrepo.errors import UnreadableConfig
from configrepo.layout import effective_text, files_of
from configrepo.model import Files
from configrepo.parser import read_partly
from tests.support.configurations import configuration

NTP = {"common/ntp.conf": "ntp\n server 192.0.2.1\n"}
RATES = {f"common/policy/rate/r{n}.conf": f"policy rate r{n}\n downlink rate {n}\n" for n in (1, 2)}
WIRES = {"servers/3/wire.conf": "wire 1 access a internet b\nwire 2 access c internet d\n"}
NAME = {"servers/3/hostname.conf": "hostname three\n"}
REMARKS = {"servers/3/comments.conf": 'comments\n header "one"\n trailing "two"\n'}
UNDEFINED = {
    "common/undefined.conf": "radius x\n retry 3\n a\n",
    "servers/3/undefined.conf": "radius x\n b\n a\nradius y\n",
}


def put_together(files: Files, server: str = "3") -> str:
    common = {path: text for path, text in files.items() if path.startswith("common/")}
    own = {path: text for path, text in files.items() if path.startswith(f"servers/{server}/")}
    return b"".join(bytes(piece) for piece in CommonPart(common).text_with(own, server)).decode()


@pytest.mark.parametrize(
    "files",
    [
        {},
        NTP,
        REMARKS,
        NAME | REMARKS,
        NTP | REMARKS,
        NTP | NAME,
        NTP | RATES | WIRES,
        RATES | NAME | REMARKS | {"servers/4/hostname.conf": "hostname four\n"},
        NTP | UNDEFINED | NAME,
        RATES | {"servers/3/undefined.conf": "radius y\n c\n", **NAME},
    ],
)
def test_the_text_is_that_of_reading_everything(files: Files) -> None:
    assert put_together(files) == effective_text(files, "3")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_parts_of_any_two_configurations_fit_together(common: int, own: int) -> None:
    shared = files_of(read_partly(configuration(common)).document, "3")
    mine = files_of(read_partly(configuration(own)).document, "3")
    files = {p: t for p, t in shared.items() if p.startswith("common/")}
    files |= {p: t for p, t in mine.items() if p.startswith("servers/")}
    assert put_together(files) == effective_text(files, "3")


def test_what_cannot_be_read_is_said_for_the_part_that_it_is_in() -> None:
    with pytest.raises(UnreadableConfig):
        CommonPart({"common/ntp.conf": "clock\n"})
    part = CommonPart(NTP)
    with pytest.raises(UnreadableConfig):
        part.text_with({"servers/3/hostname.conf": "hostname\n"}, "3")
    assert b"".join(map(bytes, part.text_with({}, "3"))).decode() == effective_text(NTP, "3")
