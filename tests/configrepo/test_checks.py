import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.checks import check, check_files, check_lines
from configrepo.errors import UnreadableConfig
from configrepo.layout import document_of, files_of, read_comments, read_files, server_of
from configrepo.model import Problem, Severity
from configrepo.parser import read, read_partly
from tests.support.configurations import document


def checked(text: str) -> list[Problem]:
    return list(check(read(text).document))


@pytest.mark.parametrize(
    ("text", "place", "message", "path", "key"),
    [
        (
            "rules rate\n rule access gone policy p\npolicy rate p\n acm on\n",
            (2, 14),
            "`profile access gone` does not exist",
            "common/rules/rate.conf",
            "rule access gone",
        ),
        (
            "rules flow\n rule policy gone\n",
            (2, 14),
            "`policy flow gone` does not exist",
            "common/rules/flow.conf",
            "rule",
        ),
        (
            "wire 1 access a internet b\ninterface a\n",
            (1, 26),
            "`interface b` does not exist",
            "servers/a/wire.conf",
            "wire 1",
        ),
        (
            "interface a\ninterface b\ninterface c\n"
            "wire 1 access a internet b\nwire 2 access b internet c\n",
            (5, 15),
            "already used by `wire 1`",
            "servers/a/wire.conf",
            "wire 2",
        ),
        (
            "interface a\nwire 1 access a internet a\n",
            (2, 26),
            "already used",
            "servers/a/wire.conf",
            "wire 1",
        ),
        (
            "policy rate p\n downlink rate 5\n block\nrules rate\n rule policy p\n",
            (3, 2),
            "exclude one another",
            "common/policy/rate/p.conf",
            "block",
        ),
        (
            "interface management m\n ip address 10.0.0.1/24\n gateway 10.0.1.1\n",
            (3, 10),
            "outside the management prefix",
            "servers/a/interface/management.conf",
            "gateway",
        ),
        ("snmp\n client 300.1.1.1\n", (2, 9), "not an IP address", "common/snmp.conf", None),
        ("route 10.0.0.0/33 192.0.2.1\n", (1, 7), "not a prefix", "servers/a/route.conf", None),
        ("api rest\n port 99999\n", (2, 7), "from 1 to 65535", "common/api/rest.conf", "port"),
    ],
)
def test_what_makes_no_sense_is_an_error_at_its_place(
    text: str, place: tuple[int, int], message: str, path: str, key: str | None
) -> None:
    (problem,) = [p for p in checked(text) if p.severity is Severity.ERROR]
    assert (problem.line, problem.column) == place
    assert message in problem.message
    assert problem.path == path
    assert key is None or problem.key == key


def test_the_column_is_that_of_the_word_as_it_was_written() -> None:
    text = "profile access a\npolicy rate p\nrules rate\n rule vlan  gone access a policy p\n"
    (problem,) = [p for p in checked(text) if p.severity is Severity.ERROR]
    assert (problem.line, problem.column) == (4, 13)


def test_common_elements_and_incomplete_times_are_warnings() -> None:
    found = checked("profile vlan a\n vlan 7\nprofile vlan b\n vlan 007\nprofile time t\n")
    warnings = [p for p in found if p.severity is Severity.WARNING]
    assert [(p.line, p.key) for p in warnings] == [(4, "vlan 7"), (5, None), (5, None)]


def test_unused_profiles_and_policies_are_hints() -> None:
    found = checked("profile vlan a\npolicy flow f\npolicy flow g\nrules flow\n rule policy g\n")
    assert [(p.line, p.severity) for p in found] == [(1, Severity.HINT), (2, Severity.HINT)]


@pytest.mark.parametrize("name", ["factory", "bqn0-v1", "bqn1-v1", "bqn2-v1"])
def test_the_examples_have_hints_at_most(name: str) -> None:
    assert all(problem.severity is Severity.HINT for problem in check(document(name)))


def test_problems_of_files_name_path_and_key_for_every_server() -> None:
    files = {
        "common/profile/vlan/v.conf": "profile vlan v\n vlan 5000\n",
        "common/policy/rate/A.conf": "policy rate A\n",
        "common/policy/rate/a.conf": "policy rate a\n",
        "servers/0/wire.conf": "wire 1 access x internet y\n",
        "servers/1/interface/x.conf": "interface x\n mtu 1\n",
        "servers/2/hostname.conf": "hostname\n",
    }
    errors = [p for p in check_files(files) if p.severity is Severity.ERROR]
    assert [(p.path, p.key) for p in errors] == [
        ("common/policy/rate/a.conf", None),
        ("common/profile/vlan/v.conf", "vlan 5000"),
        ("servers/0/wire.conf", "wire 1"),
        ("servers/0/wire.conf", "wire 1"),
        ("servers/1/interface/x.conf", "mtu"),
        ("servers/2/hostname.conf", None),
    ]


def test_the_examples_as_files_have_no_errors() -> None:
    files = {**files_of(document("bqn0-v1"), "0"), **files_of(document("bqn1-v1"), "1")}
    assert all(problem.severity is Severity.HINT for problem in check_files(files))


def test_lines_alone_are_checked_when_the_rest_could_not_be_read() -> None:
    loaded = read_partly("policy rate x y\nrules rate\n rule policy x\nprofile vlan v\n vlan 0\n")
    assert [problem.line for problem in check_lines(loaded.document)] == [5]


# --- the same answer as without anything kept --------------------------------------------

TEXTS: dict[str, tuple[str, ...]] = {
    "common/policy/rate/p.conf": (
        "policy rate p\n downlink rate 5\n",
        "policy rate p\n downlink rate 5\n block\n",
        "policy rate p\n downlink\n",
    ),
    "common/policy/rate/P.conf": ("policy rate P\n downlink rate 7\n",),
    "common/profile/access/a.conf": (
        "profile access a\n ip-range 10.0.0.0/8\n",
        "! why\nprofile access a\n ip-range 10.0.0.0/8\n ip-range 10.1.0.0/16\n",
    ),
    "common/profile/access/b.conf": ("profile access b\n ip-range 10.0.0.0/8\n",),
    "common/rules/rate.conf": (
        "rules rate\n rule access a policy p\n",
        "rules rate\n rule access gone policy P\n rule access b policy p\n",
    ),
    "common/undefined.conf": ("strange words\n of some kind\n", "strange\n words\nother\n"),
    "servers/0/wire.conf": (
        "wire 1 access a internet b\n",
        "wire 1 access a internet b\nwire 2 access b internet c\n",
    ),
    "servers/0/interface/a.conf": ("interface a\n",),
    "servers/0/interface/b.conf": ("interface b\n", "interface c\n"),
    "servers/0/interface/management.conf": (
        "interface management m\n ip address 10.0.0.1/24\n gateway 10.0.1.1\n",
        "interface management m\n ip address 10.0.1.2/24\n gateway 10.0.1.1\n",
    ),
    "servers/0/comments.conf": ('comments\n header "one"\n', "comments\n nothing\n"),
    "servers/1/interface/a.conf": ("interface a\n",),
    "servers/1/wire.conf": ("wire 1 access a internet gone\n",),
}

EDITS = st.lists(
    st.sampled_from([(path, text) for path, some in TEXTS.items() for text in (*some, None)]),
    min_size=1,
    max_size=25,
)


def checked_plainly(files: dict[str, str]) -> tuple[Problem, ...]:
    """Every part read and checked as one document, with nothing of it known before."""
    servers = sorted({server for server in map(server_of, files) if server is not None})
    problems: list[Problem] = []
    for server in ("", *servers):
        start = f"servers/{server}/" if server else "common/"
        part = {path: text for path, text in files.items() if path.startswith(start)}
        try:
            problems += check(document_of(part, server), server)
        except UnreadableConfig as error:
            problems += error.problems
    return tuple(problems)


@settings(deadline=None)
@given(EDITS)
def test_after_any_edits_the_checks_say_the_same_as_when_nothing_was_checked_before(
    edits: list[tuple[str, str | None]],
) -> None:
    files: dict[str, str] = {}
    for path, text in edits:
        if text is None:
            files.pop(path, None)
        else:
            files[path] = text
        found = check_files(files)
        wanted = checked_plainly(files)
        assert found == wanted
        assert [problem.other for problem in found] == [problem.other for problem in wanted]
        unreadable = {p.path for p in read_files(files)}
        assert unreadable == {path for path, text in files.items() if not readable(path, text)}


def readable(path: str, text: str) -> bool:
    try:
        if path.endswith("/comments.conf"):
            read_comments(path, text)
            return True
        document = read(text).document
        shared = {block.text for block in document.blocks} if path.startswith("common/") else ()
        return set(files_of(document, server_of(path) or "", shared)) == {path}
    except UnreadableConfig:
        return False
