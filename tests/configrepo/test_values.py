import pytest

from configrepo.values import KINDS, spell_address, spell_prefix


@pytest.mark.parametrize(
    ("kind", "word", "spelled"),
    [
        ("number", "0007", "7"),
        ("number", "000", "0"),
        ("number", "-1", None),
        ("number", "1.5", None),
        ("number", "٣", None),
        ("address", "2001:DB8:0:0::01", "2001:db8::1"),
        ("address", "::FFFF:192.0.2.1", "::ffff:192.0.2.1"),
        ("address", "nonsense", "nonsense"),
        ("prefix", "2001:DB8::/032", "2001:db8::/32"),
        ("prefix", "192.0.2.7/24", "192.0.2.7/24"),
        ("hours", "8:00-24:00", "08:00-24:00"),
        ("hours", "8-9", None),
        ("days", "Mon-FRI,sun", "mon-fri,sun"),
        ("days", "monday", None),
        ("domain", "*.Example.COM", "*.example.com"),
        ("name", "two words", None),
        ("name", "x" * 48, "x" * 48),
        ("name", "x" * 49, None),
        ("name", "ü" * 11, None),
        ("name", "", None),
        ("data-interface", "Management", None),
        ("protocol", "udp", "udp"),
        ("protocol", "017", "17"),
        ("protocol", "xyz", None),
        ("speed", "auto", "auto"),
        ("sha256", "AB", "ab"),
        ("sha256", "xy", None),
        ("date", "2026-01-31", "2026-01-31"),
        ("date", "soon", None),
        ("metrics", "a,,b", None),
    ],
)
def test_words_get_their_normal_spelling_or_do_not_parse(
    kind: str, word: str, spelled: str | None
) -> None:
    assert KINDS[kind].read(word) == spelled


@pytest.mark.parametrize(
    ("kind", "word", "fine"),
    [
        ("vlan", "4094", True),
        ("vlan", "4095", False),
        ("vlan", "0", False),
        ("port", "65536", False),
        ("address", "300.1.1.1", False),
        ("address", "192.0.2.1", True),
        ("prefix", "10.0.0.0/33", False),
        ("prefix", "10.0.0.0", False),
        ("prefix", "::/0", True),
        ("hours", "22:00-06:00", True),
        ("hours", "19:00-24:00", True),
        ("hours", "24:00-06:00", False),
        ("hours", "19:00-24:01", False),
        ("hours", "19:60-20:00", False),
        ("protocol", "256", False),
        ("speed", "auto", True),
        ("sha256", "ab", False),
        ("date", "2026-02-30", False),
        ("text", "anything", True),
    ],
)
def test_readable_values_that_make_no_sense_are_told(kind: str, word: str, fine: bool) -> None:
    assert (KINDS[kind].wrong(word) is None) is fine


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "word", ["a", "007", "2001:DB8::0", "::1/064", "A.b", "9:00-10:00", "Mon", "ABC", "tcp", "all"]
)
def test_the_normal_spelling_is_its_own_normal_spelling(kind: str, word: str) -> None:
    spelled = KINDS[kind].read(word)
    assert spelled is None or KINDS[kind].read(spelled) == spelled


def test_prefixes_need_a_length_that_fits_their_family() -> None:
    assert spell_prefix("2001:db8::/129") is None
    assert spell_prefix("192.0.2.1/") is None
    assert spell_prefix("fe80::1%eth0/64") is None
    assert spell_address("010.0.0.1") is None
