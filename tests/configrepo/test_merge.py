from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.errors import UnreadableConfig
from configrepo.git import merge_lines
from configrepo.layout import files_of, parse_block_file, path_of, read_files
from configrepo.merge import Disagreement, Merged, Row, merge_comments, merge_files
from configrepo.parser import read_partly
from configrepo.schema import BLOCKS
from tests.support.configurations import block, children, common_files, configuration

SEEDS = st.integers(0, 2**32)


def merged(base: dict[str, str], a: dict[str, str], b: dict[str, str]) -> Merged:
    return merge_files(base, a, b, merge_lines)


def of(text: str | None, path: str = "common/policy/rate/p.conf") -> dict[str, str]:
    return {} if text is None else {path: text}


P = "policy rate p\n"
ON, OFF = P + " acm on\n", P + " acm off\n"
PATH = "common/policy/rate/p.conf"


@pytest.mark.parametrize(
    ("base", "a", "b", "result", "rows"),
    [
        (ON, ON, OFF, OFF, [("acm", "only-b")]),
        (ON, OFF, OFF, OFF, [("acm", "same-change")]),
        (ON, P, ON, P, [("acm", "only-a")]),
        (None, None, P + " acm on\n", P + " acm on\n", [(None, "only-b")]),
        (None, P, P, P, [(None, "same-change")]),
        (None, ON, P + " block\n", ON + " block\n", [("acm", "only-a"), ("block", "only-b")]),
        (None, P + " acm on\n", P + " acm on\n", P + " acm on\n", [("acm", "same-change")]),
        (P, None, P, None, [(None, "only-a")]),
        (P, None, None, None, [(None, "same-change")]),
        (P + " odd x\n odd y\n", None, P + " odd y\n odd x\n", None, [(None, "only-a")]),
        (P, P + " odd x\n", P + " odd y\n", P + " odd x\n odd y\n",
         [("odd x", "only-a"), ("odd y", "only-b")]),
    ],
)  # fmt: skip
def test_one_block_is_settled(
    base: str | None,
    a: str | None,
    b: str | None,
    result: str | None,
    rows: list[tuple[str | None, str]],
) -> None:
    outcome = merged(of(base), of(a), of(b))
    assert outcome.files == of(result)
    assert [(row.key, row.reason) for row in outcome.settled] == rows
    assert outcome.disagreements == ()


@pytest.mark.parametrize(
    ("base", "a", "b", "disagreement"),
    [
        (
            P + " uplink rate 1\n",
            P + " uplink rate 2\n",
            P + " uplink rate 3\n",
            Disagreement(PATH, "uplink rate", "uplink rate 1", "uplink rate 2", "uplink rate 3"),
        ),
        (
            P + " uplink rate 1\n",
            P,
            P + " uplink rate 3\n",
            Disagreement(PATH, "uplink rate", "uplink rate 1", None, "uplink rate 3"),
        ),
        (
            None,
            P + " acm on\n",
            P + " acm off\n",
            Disagreement(PATH, "acm", None, "acm on", "acm off"),
        ),
        (
            P + " acm on\n",
            None,
            P + " acm off\n",
            Disagreement(PATH, None, "policy rate p\nacm on", None, "policy rate p\nacm off"),
        ),
    ],
)
def test_one_block_disagrees_and_holds_the_value_of_a(
    base: str | None, a: str | None, b: str | None, disagreement: Disagreement
) -> None:
    outcome = merged(of(base), of(a), of(b))
    assert outcome.disagreements == (disagreement,)
    assert outcome.files == of(a)


def test_two_rules_with_the_same_profiles_and_different_policies_disagree() -> None:
    path = "common/rules/rate.conf"
    a = of("rules rate\n rule access x policy p\n rule policy d\n", path)
    b = of("rules rate\n rule access x policy q\n rule access y policy p\n rule policy d\n", path)
    outcome = merged(of("rules rate\n rule policy d\n", path), a, b)
    assert [(d.key, d.base) for d in outcome.disagreements] == [("rule access x", None)]
    assert [(row.key, row.reason) for row in outcome.settled] == [("rule access y", "only-b")]


def test_a_flat_command_is_one_value_with_key_null() -> None:
    path = "common/clock.conf"
    zones = [of(f"clock timezone {zone}\n", path) for zone in "XYZ"]
    assert merged(*zones).disagreements == (
        Disagreement(path, None, "clock timezone X", "clock timezone Y", "clock timezone Z"),
    )
    (row,) = merged(zones[0], zones[0], zones[1]).settled
    assert row == Row(
        path, None, "clock timezone X", "clock timezone X", "clock timezone Y",
        "clock timezone Y", "only-b",
    )  # fmt: skip


def test_flat_commands_in_a_shared_file_are_merged_each_by_its_key() -> None:
    path = "servers/0/wire.conf"
    base = "wire 1 access a internet b\nwire 2 access c internet d\n"
    a = "wire 1 access a internet x\nwire 2 access c internet d\n"
    b = "wire 1 access a internet b\nwire 3 access e internet f\n"
    outcome = merged(of(base, path), of(a, path), of(b, path))
    assert outcome.files == of("wire 1 access a internet x\nwire 3 access e internet f\n", path)
    assert sorted((row.key or "", row.result) for row in outcome.settled) == [
        ("wire 1", "wire 1 access a internet x"),
        ("wire 2", None),
        ("wire 3", "wire 3 access e internet f"),
    ]


def test_the_interface_of_the_management_block_is_a_value_too() -> None:
    path = "servers/0/interface/management.conf"
    base, a, b = (
        of(f"interface management {name}\n{rest}", path)
        for name, rest in (("x", ""), ("y", ""), ("x", " gateway 192.0.2.1\n"))
    )
    outcome = merged(base, a, b)
    assert outcome.files == of("interface management y\n gateway 192.0.2.1\n", path)
    assert [row.key for row in outcome.settled] == ["interface management", "gateway"]
    other = merged(base, a, of("interface management z\n", path))
    assert [d.key for d in other.disagreements] == [None]


def test_undefined_blocks_are_merged_by_lines_by_git() -> None:
    path = "common/undefined.conf"
    lines = [f" line {number}" for number in range(9)]

    def text(changed: dict[int, str]) -> dict[str, str]:
        body = [changed.get(number, line) for number, line in enumerate(lines)]
        return of("radius x\n" + "\n".join(body) + "\n", path)

    outcome = merged(text({}), text({0: " first"}), text({8: " last"}))
    assert outcome.files == text({0: " first", 8: " last"})
    assert [(row.key, row.reason) for row in outcome.settled] == [("radius x", "by-lines")]
    other = merged(text({}), text({4: " mine"}), text({4: " yours"}))
    assert [d.key for d in other.disagreements] == ["radius x"]
    assert other.files == text({4: " mine"})


def test_comments_never_ask_and_both_are_kept() -> None:
    base = of("ntp\n server 192.0.2.1\n server 192.0.2.2\n", "common/ntp.conf")
    a = of("! A\nntp\n ! one\n server 192.0.2.1\n", "common/ntp.conf")
    b = of("! B\nntp\n ! uno\n server 192.0.2.1\n ! two\n server 192.0.2.2\n", "common/ntp.conf")
    outcome = merged(base, a, b)
    assert outcome.disagreements == ()
    assert outcome.files == of(
        "! A\n! B\n! two\nntp\n ! one\n ! uno\n server 192.0.2.1\n", "common/ntp.conf"
    )
    assert merge_comments(("x",), ("x", "a"), ()) == ("a",)


def test_header_comments_of_one_server_are_merged_as_comments() -> None:
    path = "servers/0/comments.conf"
    base, a, b = (
        of("comments\n" + "".join(f" header {word}\n" for word in words), path)
        for words in ("x", "xa", "xb")
    )
    assert merged(base, a, b).files == of("comments\n header x\n header a\n header b\n", path)
    assert merged(base, {}, {}).files == {}


def test_the_signers_file_is_left_to_the_store() -> None:
    path = "cluster/allowed_signers"
    assert merged({}, of("a", path), of("b", path)).files == {}


def test_a_file_that_differs_and_cannot_be_read_is_an_error() -> None:
    with pytest.raises(UnreadableConfig):
        merged({}, of("policy rate p\n acm maybe\n"), {})


# --- the vendor's example -------------------------------------------------------------

ADDED = {
    ("common/ntp.conf", "server 216.229.0.50", "only-b"),
    ("common/api/rest.conf", None, "only-b"),
    ("common/profile/dpi/speed-tests.conf", "signature *.nperf.com", "only-b"),
    ("common/profile/dpi/sw-updates.conf", "signature *.dl.playstation.net", "only-a"),
    ("common/policy/flow/flow-sw-updates-2Mbps.conf", None, "only-a"),
    ("common/rules/flow.conf", "rule dpi sw-updates time peak-time", "only-a"),
}


def test_the_vendors_pair_differs_in_what_the_vendor_lists_and_asks_nothing() -> None:
    outcome = merged(*(common_files(name) for name in ("factory", "bqn0-v1", "bqn1-v1")))
    assert outcome.disagreements == ()
    told = {(r.path, r.key, r.reason) for r in outcome.settled if r.reason != "same-change"}
    assert told == ADDED


def test_the_third_server_disagrees_in_three_keys() -> None:
    pair = merged(*(common_files(name) for name in ("factory", "bqn0-v1", "bqn1-v1")))
    outcome = merged(common_files("factory"), pair.files, common_files("bqn2-v1"))
    assert {(d.path, d.key) for d in outcome.disagreements} == {
        ("common/profile/time/peak-time.conf", "hours"),
        ("common/policy/rate/rate-20Mbps.conf", "downlink rate"),
        ("common/policy/rate/rate-20Mbps.conf", "uplink rate"),
    }
    replaced = {(r.path, r.key) for r in outcome.settled if r.reason == "only-b" and r.a}
    assert replaced == {("common/clock.conf", None), ("common/dos.conf", "minimum-rate")}


# --- properties -----------------------------------------------------------------------


def three_trees(seed: int) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """A base and two sides that share some of their changes, all of one server."""
    trees = [files_of(read_partly(configuration(seed + n)).document, "0") for n in range(5)]
    random = Random(seed)
    paths = sorted({path for tree in trees for path in tree})

    def pick() -> dict[str, str]:
        tree: dict[str, str] = {}
        for path in paths:
            versions = [t[path] for t in trees if path in t]
            if random.random() < 0.7:
                tree[path] = random.choice(versions)
        return tree

    return pick(), pick(), pick()


def without_comments(files: dict[str, str]) -> dict[str, str]:
    kept = {path: text for path, text in files.items() if not path.endswith("/comments.conf")}
    return {
        path: "".join(line for line in text.splitlines(True) if not line.lstrip().startswith("!"))
        for path, text in kept.items()
    }


def values(files: dict[str, str]) -> set[tuple[str, str]]:
    """Every line of every block with its path."""
    found: set[tuple[str, str]] = set()
    for path, text in files.items():
        if path.endswith("/comments.conf"):
            continue
        for one in parse_block_file(path, text):
            found |= {(path, line) for line in one.content}
    return found


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_merging_equal_sides_changes_nothing(seed: int) -> None:
    base, side, _ = three_trees(seed)
    outcome = merged(base, side, side)
    assert outcome.files == side
    assert outcome.disagreements == ()
    assert {row.reason for row in outcome.settled} <= {"same-change"}
    assert merged(base, base, side).files == side
    assert merged(base, side, base).files == side


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_the_merge_is_mirror_symmetric(seed: int) -> None:
    base, a, b = three_trees(seed)
    one, other = merged(base, a, b), merged(base, b, a)
    assert [(d.path, d.key, d.base, d.a, d.b) for d in one.disagreements] == [
        (d.path, d.key, d.base, d.b, d.a) for d in other.disagreements
    ]
    swap = {"only-a": "only-b", "only-b": "only-a"}
    assert [(r.path, r.key, r.base, r.a, r.b, r.result, r.reason) for r in one.settled] == [
        (r.path, r.key, r.base, r.b, r.a, r.result, swap.get(r.reason, r.reason))
        for r in other.settled
    ]
    if not one.disagreements:
        assert one.files == other.files


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_no_value_is_invented_and_none_is_lost(seed: int) -> None:
    base, a, b = three_trees(seed)
    outcome = merged(base, a, b)
    assert read_files(outcome.files) == ()
    result = values(outcome.files)
    assert result <= values(a) | values(b)
    told: set[tuple[str, str]] = set()
    rows: tuple[Row | Disagreement, ...] = (*outcome.settled, *outcome.disagreements)
    for row in rows:
        for value in (row.a, row.b):
            told |= {(row.path, line) for line in (value or "").split("\n")}
    assert values(a) | values(b) <= result | told


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_settling_again_with_the_result_asks_nothing_new(seed: int) -> None:
    base, a, b = three_trees(seed)
    outcome = merged(base, a, b)
    if not outcome.disagreements:
        assert merged(a, outcome.files, a).files == outcome.files
        assert merged(b, b, outcome.files).files == outcome.files


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_git_is_the_judge_wherever_it_merges_cleanly(seed: int) -> None:
    random = Random(seed)
    row = random.choice([row for row in BLOCKS if row.children])
    opener = next(line for line in block(random, row) if not line.startswith("!"))

    def version(lines: list[str]) -> dict[str, str]:
        document = read_partly("\n".join([opener, *(f" {line}" for line in lines)])).document
        return files_of(document, "0")

    shared = children(random, row)
    base, a, b = (
        without_comments(version([*(c for c in shared if random.random() < 0.7), *more]))
        for more in (children(random, row, 1), children(random, row, 2), children(random, row, 2))
    )
    path = path_of(read_partly(opener).document.blocks[0], "0")
    by_git = merge_lines(base[path], a[path], b[path])
    if by_git is None:
        return
    judged = read_partly(by_git)
    if any(problem.severity == "error" for problem in judged.problems):
        return
    outcome = merged(base, a, b)
    assert outcome.disagreements == ()
    ours = parse_block_file(path, outcome.files[path])[0]
    (theirs,) = judged.document.blocks
    assert set(ours.content) == set(theirs.content)
