"""Open disagreements in files: one form only, merged as a union, nothing hidden."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from configrepo.conflicts import (
    Entry,
    Origin,
    conflicts_path,
    conflicts_text,
    is_conflicts_path,
    merge_conflicts,
    needs_administrator,
    open_entries,
    read_conflicts,
    without,
)
from configrepo.errors import UnreadableConfig
from configrepo.git import merge_lines
from configrepo.layout import path_allowed, read_files
from configrepo.merge import merge_files
from configrepo.model import ServerId

PATH = conflicts_path(["a" * 40, "b" * 40])
GUARDED = ("common/user/", "cluster/")
ENTRY = Entry(
    path="common/policy/rate/q.conf",
    key="downlink rate",
    base="downlink rate 1",
    applied="downlink rate 2",
    other=None,
    applied_by=Origin("ann", "2026-11-22T14:00:00Z", ServerId(0)),
    other_by=Origin("bob", "2026-11-22T14:01:00Z", ServerId(1)),
    reason="disagreement",
)
CLOCK = replace(ENTRY, path="common/clock.conf", key=None)
USER = replace(ENTRY, path="common/user/ann.conf", key=None, reason="guarded")


def text_of(*entries: Entry) -> str:
    text = conflicts_text(entries)
    assert text is not None
    return text


def test_the_name_follows_from_the_parents_in_any_order() -> None:
    assert conflicts_path(["b" * 40, "a" * 40]) == PATH
    assert conflicts_path(["b" * 40, "c" * 40]) != PATH
    assert is_conflicts_path(PATH)
    assert path_allowed(PATH)


@pytest.mark.parametrize(
    "path",
    [
        "cluster/conflicts/x.json",
        "cluster/conflicts/" + "A" * 40 + ".json",
        "cluster/conflicts/" + "a" * 40 + ".conf",
        "cluster/conflicts/../" + "a" * 40 + ".json",
        "common/conflicts/" + "a" * 40 + ".json",
    ],
)
def test_no_other_place_holds_disagreements(path: str) -> None:
    assert not is_conflicts_path(path)
    assert not path_allowed(path)


def test_entries_come_back_as_they_were_written_in_order() -> None:
    text = text_of(ENTRY, CLOCK)
    assert read_conflicts(PATH, text) == (CLOCK, ENTRY)
    assert text == text_of(CLOCK, ENTRY)
    assert read_files({PATH: text}) == ()
    assert conflicts_text([]) is None


def changed(**fields: Any) -> str:
    value = json.loads(text_of(ENTRY))
    value["entries"][0].update(fields)
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        text_of(ENTRY).replace(" ", ""),
        text_of(ENTRY).rstrip("\n"),
        text_of(ENTRY).replace('"format": 1', '"format": 2'),
        text_of(ENTRY).replace('"format": 1', '"format": 1,\n "more": 1'),
        text_of(ENTRY).replace('"key"', '"key": null,\n   "key"'),
        '{\n "entries": [],\n "format": 1\n}\n',
        changed(path="../etc/passwd"),
        changed(path=PATH),
        changed(path=7),
        changed(base=7),
        changed(reason="other"),
        changed(reason=["check"]),
        changed(applied_by={"author": "x", "time": "yesterday", "server": 0}),
        changed(applied_by={"author": "x", "time": "2026-11-22T14:00:00Z", "server": True}),
        changed(applied_by={"author": "x", "time": "2026-11-22T14:00:00Z", "server": 256}),
        changed(applied_by=None),
        changed(more="x"),
    ],
)
def test_another_form_is_refused(text: str) -> None:
    (problem,) = read_files({PATH: text})
    assert problem.path == PATH
    with pytest.raises(UnreadableConfig):
        read_conflicts(PATH, text, path_allowed)


def test_a_key_is_open_once() -> None:
    value = json.loads(text_of(ENTRY))
    value["entries"] *= 2
    with pytest.raises(UnreadableConfig):
        read_conflicts(PATH, json.dumps(value, indent=1, sort_keys=True) + "\n")


def test_merging_keeps_the_entries_of_both_and_brings_none_back() -> None:
    both = text_of(ENTRY, CLOCK)
    assert merge_conflicts(PATH, None, text_of(ENTRY), text_of(CLOCK)) == both
    assert merge_conflicts(PATH, both, text_of(ENTRY), both) == text_of(ENTRY)
    assert merge_conflicts(PATH, both, text_of(ENTRY), text_of(CLOCK)) is None
    assert merge_conflicts(PATH, both, None, text_of(CLOCK, USER, ENTRY)) == text_of(USER)
    other = replace(ENTRY, applied="downlink rate 9")
    one = merge_conflicts(PATH, None, text_of(ENTRY), text_of(other))
    assert one == merge_conflicts(PATH, None, text_of(other), text_of(ENTRY))


def test_the_merge_of_trees_merges_the_files_of_open_disagreements() -> None:
    second = conflicts_path(["c" * 40, "d" * 40])
    base = {PATH: text_of(ENTRY, CLOCK)}
    a = {PATH: text_of(ENTRY)}
    b = {**base, second: text_of(USER)}
    outcome = merge_files(base, a, b, merge_lines)
    assert outcome.files == {PATH: text_of(ENTRY), second: text_of(USER)}
    assert outcome.disagreements == ()


def test_what_is_open_has_a_stable_name_and_can_be_taken_out() -> None:
    files = {PATH: text_of(ENTRY, CLOCK)}
    first, second = open_entries(files)
    assert (first.entry, second.entry) == (CLOCK, ENTRY)
    assert first.id != second.id
    left = without(files, first)
    assert left == text_of(ENTRY)
    (again,) = open_entries({PATH: left})
    assert again.id == second.id
    assert without({PATH: left}, again) is None


@pytest.mark.parametrize(
    ("before", "after", "needed"),
    [
        ((ENTRY, CLOCK), (ENTRY,), False),
        ((ENTRY,), (), False),
        ((), (ENTRY,), True),
        ((ENTRY,), (replace(ENTRY, other="downlink rate 7"),), True),
        ((USER, ENTRY), (ENTRY,), True),
        ((USER, ENTRY), (USER,), False),
    ],
)
def test_settling_what_is_guarded_and_writing_entries_needs_an_administrator(
    before: tuple[Entry, ...], after: tuple[Entry, ...], needed: bool
) -> None:
    texts = conflicts_text(before), conflicts_text(after)
    assert needs_administrator(PATH, *texts, GUARDED) is needed
