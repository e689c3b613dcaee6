import pytest

from configrepo.errors import UnreadableConfig
from configrepo.placing import put_value, value_at

PATH = "common/policy/rate/p.conf"
TEXT = "! why\npolicy rate p\n uplink rate 1\n ! on\n acm on\n"
WIRES = "servers/0/wire.conf"


def put(path: str, text: str | None, key: str | None, value: str | None) -> str | None:
    files = {} if text is None else {path: text}
    put_value(files, path, key, value)
    return files.get(path)


@pytest.mark.parametrize(
    ("key", "value", "result"),
    [
        ("acm", "acm off", "! why\npolicy rate p\n uplink rate 1\n ! on\n acm off\n"),
        ("acm", None, "! why\npolicy rate p\n uplink rate 1\n"),
        ("block", " block ", "! why\npolicy rate p\n uplink rate 1\n ! on\n acm on\n block\n"),
        (None, "policy rate p\nacm off", "! why\npolicy rate p\n ! on\n acm off\n"),
        (None, "! new\n\npolicy rate p\n  acm off\n", "! new\npolicy rate p\n ! on\n acm off\n"),
        (None, None, None),
    ],
)
def test_a_value_is_put_at_its_place_and_comments_stay(
    key: str | None, value: str | None, result: str | None
) -> None:
    assert put(PATH, TEXT, key, value) == result


def test_a_block_that_was_absent_is_added() -> None:
    assert put(PATH, None, None, "policy rate p\nblock") == "policy rate p\n block\n"


def test_flat_commands_of_a_shared_file_are_replaced_by_their_key() -> None:
    text = "wire 1 access a internet b\nwire 2 access c internet d\n"
    assert put(WIRES, text, "wire 1", "wire 1 access x internet b") == text.replace("a i", "x i")
    assert put(WIRES, text, "wire 2", None) == "wire 1 access a internet b\n"
    with pytest.raises(UnreadableConfig):
        put(WIRES, text, "wire 1", "wire 3 access x internet b")


def test_the_opener_alone_can_be_replaced() -> None:
    path = "servers/0/interface/management.conf"
    text = "! m\ninterface management a\n gateway 192.0.2.1\n"
    changed = put(path, text, "interface management", "interface management b")
    assert changed == text.replace("management a", "management b")
    with pytest.raises(UnreadableConfig):
        put(path, text, "interface management", None)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("acm", "acm maybe", 1),
        ("acm", "acm on\nacm off", 2),
        ("acm", "max-flows 7", 1),
        (None, "policy rate other\nacm on", 1),
        (None, "policy rate p\nacm maybe", 2),
    ],
)
def test_a_value_that_does_not_fit_is_refused_at_its_line(
    key: str | None, value: str, line: int
) -> None:
    with pytest.raises(UnreadableConfig) as caught:
        put(PATH, TEXT, key, value)
    assert caught.value.problems[0].line == line
    assert caught.value.problems[0].path == PATH


@pytest.mark.parametrize(
    ("path", "text", "key", "value"),
    [
        (PATH, TEXT, None, "policy rate p\nuplink rate 1\nacm on"),
        (PATH, TEXT, "acm", "acm on"),
        (PATH, TEXT, "block", None),
        (PATH, None, "acm", None),
        (WIRES, "wire 1 access a internet b\n", "wire 1", "wire 1 access a internet b"),
        (WIRES, "wire 1 access a internet b\n", "wire 2", None),
        ("servers/0/interface/management.conf", "interface management a\n",
         "interface management", "interface management a"),
        ("servers/0/comments.conf", "comments\n header x\n", None, "comments\n header x"),
    ],
)  # fmt: skip
def test_the_value_at_a_place_is_told_as_a_report_has_it(
    path: str, text: str | None, key: str | None, value: str | None
) -> None:
    files = {} if text is None else {path: text}
    assert value_at(files, path, key) == value
    if value is not None:
        put_value(files, path, key, value)
        assert value_at(files, path, key) == value


def test_a_key_of_a_block_that_is_gone_is_refused_and_not_dropped() -> None:
    with pytest.raises(UnreadableConfig, match="found no block there"):
        put(PATH, None, "acm", "acm on")
    assert put(PATH, None, "acm", None) is None


def test_the_comments_of_a_saved_file_are_put_as_a_whole() -> None:
    path = "servers/0/comments.conf"
    text = "comments\n header x\n"
    assert put(path, None, None, "comments\n header x") == text
    assert put(path, text, None, None) is None
    with pytest.raises(UnreadableConfig):
        put(path, text, None, "policy rate p")
