"""The help beside the editor says what the schema says."""

from __future__ import annotations

from bqngui.language_help import LineHelp, help_for
from configrepo.schema import BLOCKS


def test_the_lines_of_a_block_are_those_of_its_row() -> None:
    (kind,) = help_for("profile time peak-time")
    assert kind.opener == "profile time NAME"
    assert [line.pattern.split()[0] for line in kind.lines] == ["days", "hours"]
    (ntp,) = help_for("ntp")
    assert ntp.lines == (LineHelp("server ADDRESS", many=True),)


def test_the_row_with_more_words_in_common_is_meant() -> None:
    (kind,) = help_for("interface management en0o1")
    assert kind.opener.startswith("interface management")


def test_an_unknown_block_has_no_help_and_no_block_has_all() -> None:
    assert help_for("radius server") == ()
    assert len(help_for("")) == len(BLOCKS)
