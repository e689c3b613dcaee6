"""Merging two lines without anybody to ask: enumerated cases, and random small worlds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.checks import check_files
from configrepo.git import merge_lines
from configrepo.healed_tree import Healed, Waiting, heal_trees
from configrepo.layout import parse_block_file, read_files
from configrepo.model import Files, Problem, Severity

SEEDS = st.integers(0, 2**32)
POLICY = "common/policy/rate/q.conf"
RULES = "common/rules/rate.conf"
USER = "common/user/ann.conf"


def problems(files: Files) -> tuple[Problem, ...]:
    unreadable = read_files(files)
    return unreadable or check_files(files)


def errors(files: Files) -> list[Problem]:
    return [problem for problem in problems(files) if problem.severity is Severity.ERROR]


def healed(base: Files, lower: Files, higher: Files) -> Healed:
    return heal_trees(base, lower, higher, merge_lines, problems)


def rate(number: int) -> dict[str, str]:
    return {POLICY: f"policy rate q\n downlink rate {number}\n"}


def test_what_only_one_line_changed_is_kept_of_both() -> None:
    outcome = healed(
        rate(1), {**rate(2)}, {**rate(1), "common/ntp.conf": "ntp\n server 192.0.2.1\n"}
    )
    assert outcome.files == {**rate(2), "common/ntp.conf": "ntp\n server 192.0.2.1\n"}
    assert outcome.waiting == ()


@pytest.mark.parametrize(
    ("base", "lower", "higher", "waiting"),
    [
        (rate(1), rate(2), rate(3), ("downlink rate", "downlink rate 1", "downlink rate 2",
                                     "downlink rate 3")),
        ({}, rate(2), rate(3), ("downlink rate", None, "downlink rate 2", "downlink rate 3")),
        (rate(1), {}, rate(3), (None, "policy rate q\ndownlink rate 1", None,
                                "policy rate q\ndownlink rate 3")),
        (rate(1), rate(2), {}, (None, "policy rate q\ndownlink rate 1",
                                "policy rate q\ndownlink rate 2", None)),
    ],
)  # fmt: skip
def test_where_they_disagree_the_lower_line_is_applied_and_the_other_value_waits(
    base: dict[str, str],
    lower: dict[str, str],
    higher: dict[str, str],
    waiting: tuple[str | None, str | None, str | None, str | None],
) -> None:
    outcome = healed(base, lower, higher)
    assert outcome.files == lower
    assert outcome.waiting == (Waiting(POLICY, *waiting, "disagreement"),)


def test_users_and_members_of_the_higher_line_wait_for_an_administrator() -> None:
    base = {USER: "user ann\n role viewer\n"}
    lower = {**base, "common/user/bob.conf": "user bob\n role viewer\n"}
    higher = {USER: "user ann\n role administrator\n", **rate(1)}
    outcome = healed(base, lower, higher)
    assert outcome.files == {**lower, **rate(1)}
    assert outcome.waiting == (
        Waiting(
            USER,
            None,
            "user ann\nrole viewer",
            "user ann\nrole viewer",
            "user ann\nrole administrator",
            "guarded",
        ),
    )


def test_a_block_that_refers_to_what_the_lower_line_removed_is_taken_from_the_lower_line() -> None:
    policy = {**rate(1), "common/policy/rate/r.conf": "policy rate r\n downlink rate 9\n"}
    base = {**policy, RULES: "rules rate\n rule policy r\n"}
    lower = {**rate(1), RULES: "rules rate\n rule policy r\n"}
    lower[RULES] = "rules rate\n rule policy q\n"
    higher = {**base, RULES: "rules rate\n rule subscriber-group x policy r\n rule policy r\n"}
    higher["common/subscriber-group/x.conf"] = "subscriber-group x\n ip-range 192.0.2.0/24\n"
    assert not errors(lower)
    outcome = healed(base, lower, higher)
    assert not errors(outcome.files)
    assert outcome.files[RULES] == lower[RULES]
    assert all(one.path == RULES and one.reason == "check" for one in outcome.waiting)
    assert outcome.waiting


def test_what_the_higher_line_removed_comes_back_where_the_lower_line_refers_to_it() -> None:
    base = {**rate(1), RULES: "rules rate\n"}
    lower = {**rate(1), RULES: "rules rate\n rule policy q\n"}
    higher = {RULES: "rules rate\n"}
    outcome = healed(base, lower, higher)
    assert outcome.files == lower
    assert [(one.path, one.applied, one.other, one.reason) for one in outcome.waiting] == [
        (POLICY, "policy rate q\ndownlink rate 1", None, "check")
    ]


def test_an_error_that_names_no_block_takes_the_whole_common_part_of_the_lower_line() -> None:
    def check(files: Files) -> tuple[Problem, ...]:
        wrong = len(files) > 2
        return (Problem(Severity.ERROR, 0, 0, "too much"),) if wrong else ()

    lower = {"common/clock.conf": "clock timezone X\n", "servers/0/hostname.conf": "hostname a\n"}
    higher = {**lower, **rate(1), "servers/0/hostname.conf": "hostname b\n"}
    outcome = heal_trees(lower, lower, higher, merge_lines, check)
    assert outcome.files == {**lower, "servers/0/hostname.conf": "hostname b\n"}
    assert [(one.path, one.reason) for one in outcome.waiting] == [(POLICY, "check")]


def test_an_error_that_the_lower_line_already_has_costs_nothing() -> None:
    broken = {RULES: "rules rate\n rule policy gone\n"}
    assert errors(broken)
    outcome = healed(broken, broken, {**broken, **rate(1)})
    assert outcome.files == {**broken, **rate(1)}
    assert outcome.waiting == ()


# --- random small worlds ----------------------------------------------------------------


def world(random: Random, like: Files | None = None, changes: float = 1.0) -> dict[str, str]:
    """A configuration without errors; each object is that of `like` or a random one."""
    before = like or {}

    def either(path: str, text: str | None) -> str | None:
        return text if random.random() < changes else before.get(path)

    tree: dict[str, str | None] = {}
    for name in "pqr":
        number = random.randint(1, 3)
        path = f"common/policy/rate/{name}.conf"
        text = f"policy rate {name}\n downlink rate {number}\n uplink rate {random.randint(1, 2)}\n"
        tree[path] = either(path, random.choice([text, text, None]))
    tree["common/policy/rate/p.conf"] = tree["common/policy/rate/p.conf"] or "policy rate p\n"
    for name in ("x", "y"):
        path = f"common/profile/vlan/{name}.conf"
        text = f"profile vlan {name}\n vlan {ord(name) * 2 + random.randint(0, 1)}\n"
        tree[path] = either(path, random.choice([text, text, None]))
    for name in ("ann", "bob"):
        path = f"common/user/{name}.conf"
        tree[path] = either(path, f"user {name}\n role {random.choice(['viewer', 'operator'])}\n")
    for path, word, values in (
        ("common/clock.conf", "clock timezone ", "XYZ"),
        ("servers/0/hostname.conf", "hostname ", "abc"),
    ):
        tree[path] = either(path, f"{word}{random.choice(values)}\n")
    wires = random.sample([("a", "b"), ("b", "c"), ("c", "d"), ("e", "f")], 1)
    tree["servers/0/wire.conf"] = either(
        "servers/0/wire.conf",
        "".join(f"wire {n} access {a} internet {b}\n" for n, (a, b) in enumerate(wires, 1)),
    )
    for name in "abcdef":
        tree[f"servers/0/interface/{name}.conf"] = f"interface {name}\n"
    files = {path: text for path, text in tree.items() if text is not None}
    policies = [p.rpartition("/")[2][:-5] for p in files if "/policy/" in p]
    profiles = [p.rpartition("/")[2][:-5] for p in files if "/profile/" in p]
    lines = [f" rule vlan {one} policy {random.choice(policies)}\n" for one in profiles]
    kept = [line for line in lines if random.random() < 0.7]
    rules = "".join(["rules rate\n", *kept, f" rule policy {random.choice(policies)}\n"])
    files[RULES] = rules if random.random() < max(changes, 0.5) else before.get(RULES, rules)
    return world(random, like, changes) if errors(files) else files


def three_worlds(seed: int) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    random = Random(seed)
    base = world(random)
    return base, world(random, base, 0.4), world(random, base, 0.4)


def lines_of(files: Files) -> set[tuple[str, str]]:
    return {
        (path, line)
        for path, text in files.items()
        for block in parse_block_file(path, text)
        for line in block.content
    }


@settings(max_examples=250, deadline=None)
@given(SEEDS)
def test_every_value_is_applied_or_waits_none_is_invented_and_every_check_passes(seed: int) -> None:
    base, lower, higher = three_worlds(seed)
    outcome = healed(base, lower, higher)
    assert not errors(outcome.files)
    result = lines_of(outcome.files)
    assert result <= lines_of(lower) | lines_of(higher)
    waits = {
        (one.path, line)
        for one in outcome.waiting
        for value in (one.base, one.applied, one.other)
        for line in (value or "").split("\n")
    }
    changed = lines_of(higher) - lines_of(base)
    assert changed <= result | waits
    # What the lower line changed is there; a removal by the higher line alone is a change.
    assert lines_of(lower) - lines_of(base) <= result | (lines_of(base) - lines_of(higher))


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_equal_or_unchanged_lines_ask_nothing(seed: int) -> None:
    base, lower, _ = three_worlds(seed)
    assert healed(base, lower, lower) == Healed(lower, ())
    assert healed(base, lower, base) == Healed(lower, ())


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_healing_twice_changes_nothing(seed: int) -> None:
    base, lower, higher = three_worlds(seed)
    outcome = healed(base, lower, higher)
    again = healed(higher, outcome.files, higher)
    assert again.files == outcome.files
    assert again.waiting == ()


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_guarded_changes_of_the_higher_line_are_never_applied(seed: int) -> None:
    base, lower, higher = three_worlds(seed)
    outcome = healed(base, lower, higher)
    for path in {*base, *lower, *higher}:
        if path.startswith("common/user/"):
            assert outcome.files.get(path) == lower.get(path)
