import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.errors import UnreadableConfig
from configrepo.model import Problem, Severity
from configrepo.parser import MAX_BLOCKS, MAX_BYTES, MAX_LINE, read, read_partly
from configrepo.writer import canonical_text
from tests.support.configurations import configuration


def problems_of(text: str | bytes) -> tuple[Problem, ...]:
    with pytest.raises(UnreadableConfig) as caught:
        read(text)
    return caught.value.problems


def places_of(text: str | bytes) -> list[tuple[int, int]]:
    return [(problem.line, problem.column) for problem in problems_of(text)]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("wire 1 access a internet\n", (1, 25), "found the end of the line, expected an interface"),
        ("wire 1 via a\n", (1, 8), "found `via`, expected access"),
        ("policy rate p\n acm maybe\n", (2, 6), "found `maybe`, expected on or off"),
        ("policy rate p\n block now\n", (2, 8), "found `now`, expected the end of the line"),
        ("ntp pool\n", (1, 5), "found `pool`, expected the end of the line"),
        ("hostname\n", (1, 9), "found the end of the line, expected a name"),
        ("hostname a b\n", (1, 12), "found `b`, expected the end of the line"),
        ("interface management\n", (1, 21), "expected an interface name"),
        ("policy rate 'x y'\n", (1, 16), "found `y'`, expected the end of the line"),
        ('policy rate "x y"\n', (1, 13), "found `x y`, expected a name"),
        (" mtu 9\n", (1, 2), "without a block before it"),
        ("hostname a\n mtu 9\n", (2, 2), "`hostname` has no lines of its own"),
        ('ntp\n server "1\n', (2, 9), "expected a closing quote"),
        ("ntp\n server \x07\n", (2, 9), "control character U+0007"),
        ("ntp\r\rx", (1, 4), "control character U+000D"),
        ("end\nntp\n", (2, 1), "expected the end of the file"),
        ("user a\n role boss\n", (2, 7), "expected administrator or operator or viewer"),
        ("profile time t\n hours 7pm\n", (2, 8), "expected hours as HH:MM-HH:MM"),
        ("profile time t\n days someday\n", (2, 7), "expected days"),
        (f"policy rate {'x' * 49}\n", (1, 13), "at most 48 characters"),
    ],
)
def test_a_line_that_cannot_be_read_is_an_error_at_its_first_wrong_word(
    text: str, place: tuple[int, int], message: str
) -> None:
    (problem,) = problems_of(text)
    assert (problem.line, problem.column) == place
    assert message in problem.message
    assert problem.severity is Severity.ERROR


def test_all_problems_are_told_together() -> None:
    text = 'x "\n child\nntp\n server\n pool\nwire\npolicy rate a b\n acm maybe\n other\n'
    assert places_of(text) == [(1, 3), (4, 8), (6, 5), (7, 15), (8, 6)]


def test_bytes_that_are_not_utf8_are_errors_at_their_places() -> None:
    assert places_of(b"ntp\n \xff\nhostname \xc3\xbc\xfe\n") == [(2, 2), (3, 11)]
    assert "0xFF" in problems_of(b"\xff")[0].message


def test_what_no_row_claims_is_kept_in_its_order() -> None:
    text = "radius server x\n retry 3\n end\n\tZ  y\nprofile odd\nntp\n pool x\n"
    assert canonical_text(read(text).document) == (
        "ntp\n pool x\n!\nradius server x\n retry 3\n end\n Z y\n!\nprofile odd\n!\nend\n"
    )


def test_a_repeated_opener_continues_its_block_with_a_warning() -> None:
    loaded = read("ntp\n server 192.0.2.1\nsnmp\nntp\n server 192.0.2.2\n")
    assert canonical_text(loaded.document).startswith("ntp\n server 192.0.2.1\n server 192.0.2.2\n")
    (problem,) = loaded.problems
    assert (problem.severity, problem.line, problem.column) == (Severity.WARNING, 4, 1)


def test_an_identical_line_is_dropped_with_a_warning() -> None:
    loaded = read("profile vlan v\n vlan 7\n ! kept\n vlan 007\nwire 1 access a internet b\n" * 2)
    assert "vlan 7\n" in canonical_text(loaded.document)
    assert canonical_text(loaded.document).count("wire") == 1
    assert "! kept" in canonical_text(loaded.document)
    assert {problem.severity for problem in loaded.problems} == {Severity.WARNING}
    assert [problem.line for problem in loaded.problems] == [4, 6, 7, 9, 10]


@pytest.mark.parametrize(
    "text",
    [
        "optimization\n tcpo on\n tcpo off\n",
        "syslog\n server 192.0.2.1 port 1\n server 192.0.2.1 port 2\n",
        "rules rate\n rule access a vlan b policy x\n rule vlan b access a policy y\n",
        "hostname a\nhostname b\n",
        "wire 1 access a internet b\nwire 01 access a internet c\n",
        "interface management a\ninterface management b\n",
        "clock timezone A\nclock timezone B\n",
    ],
)
def test_a_key_given_twice_with_different_values_is_an_error(text: str) -> None:
    (problem,) = problems_of(text)
    assert problem.line == text.count("\n")


def test_names_that_differ_only_in_case_are_an_error() -> None:
    assert places_of("policy rate Gold\npolicy rate gold\n") == [(2, 1)]
    assert places_of("policy rate straße\npolicy rate STRASSE\n") == [(2, 1)]
    assert read("policy rate Gold\npolicy flow gold\n").problems == ()


def test_a_data_interface_may_not_be_called_management() -> None:
    assert places_of("interface Management\n mtu 9000\n") == [(1, 11)]


@pytest.mark.parametrize(
    "text",
    [
        "api rest\n user billing hunter2\n",
        "api rest\n user billing password a hunter2\n",
        "user a\n password x hunter2\n",
        "snmp\n community hunter1\n community hunter2\n",
        'snmp\n community "hunter2\n',
        "api rest\n user b password hunter1\n user b password hunter2\n",
        "x key hunter2\n y\nx key hunter2\n y\nwire\n",
        "snmp\n community\x01hunter2\n",
    ],
)
def test_no_message_quotes_a_secret(text: str) -> None:
    assert not any("hunter" in problem.message for problem in problems_of(text))


def test_windows_line_ends_a_byte_order_mark_and_a_missing_last_line_end_are_fine() -> None:
    plain = read("ntp\n server 192.0.2.1\nend").document
    assert read(b"\xef\xbb\xbfntp\r\n\tserver 192.0.2.1\r\nend").document == plain


def test_header_and_trailing_comments_have_their_own_place() -> None:
    document = read(
        "! made by hand\n!\n! for ntp\nntp\n! first\n server 192.0.2.1\n!last\n"
    ).document
    assert document.header == ("made by hand",)
    assert document.trailing == ("last",)
    assert document.blocks[0].comments == ("for ntp",)
    assert document.blocks[0].children[0].comments == ("first",)


def test_limits_are_told() -> None:
    assert "16 MiB" in problems_of("!" * (MAX_BYTES + 1))[0].message
    fine = "".join(f"policy rate p{number}\n" for number in range(MAX_BLOCKS))
    assert len(read(fine).document.blocks) == MAX_BLOCKS
    (problem,) = problems_of(fine + "ntp\n")
    assert problem.line == MAX_BLOCKS + 1


def test_very_long_lines_are_refused_and_comments_may_be_long() -> None:
    assert "shorter" in problems_of("odd " + "x " * MAX_LINE)[0].message
    assert read("!" + "x" * (MAX_BYTES - 1)).problems == ()
    long = problems_of("hostname " + "x" * 1000)[0].message
    assert len(long) < 200


def test_a_flood_of_repeated_lines_is_read_in_one_pass() -> None:
    loaded = read("ntp\n" + " ! why\n server 192.0.2.1\n" * 50_000)
    assert len(loaded.problems) < 20_000
    assert len(loaded.document.blocks[0].children[0].comments) == 50_000


def test_a_flood_of_errors_ends_the_reading() -> None:
    assert len(problems_of(" x\n" * 20_000)) < 20_000


def test_what_can_be_read_of_a_text_with_errors_is_there_for_checks() -> None:
    loaded = read_partly("wire\nprofile vlan v\n vlan 9999\n")
    assert [block.text for block in loaded.document.blocks] == ["profile vlan v"]
    assert len(loaded.problems) == 1


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_what_was_saved_is_loaded_again(seed: int) -> None:
    document = read_partly(configuration(seed)).document
    text = canonical_text(document)
    again = read(text)
    assert again.document == document
    assert again.problems == ()
    assert canonical_text(again.document) == text


@settings(max_examples=300, deadline=None)
@given(st.text('ntp serv!"\\\n\t \r1end\x00é', max_size=60))
def test_any_text_is_read_or_refused_with_places(text: str) -> None:
    loaded = read_partly(text)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in loaded.problems)
    saved = canonical_text(loaded.document)
    assert read(saved).document == loaded.document
    assert canonical_text(read(saved).document) == saved
