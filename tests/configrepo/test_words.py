import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configrepo.words import BadWord, columns, control_character, join, split

WORDS = st.lists(
    st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=8), min_size=1, max_size=5
)


@settings(max_examples=300, deadline=None)
@given(WORDS)
def test_words_that_were_joined_are_split_again(words: list[str]) -> None:
    line = join(words)
    assert split(line) == tuple(words)
    assert join(split(line)) == line


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=30))
def test_any_line_is_split_or_refused_with_a_place(line: str) -> None:
    try:
        found, last = columns(line), len(split(line)) - 1
    except BadWord as error:
        found, last = (error.column,), 0
    assert all(0 <= column <= len(line) for column in found)
    assert len(found) == last + 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b\tc", ("a", "b", "c")),
        ('contact "two words"', ("contact", "two words")),
        (r'x "a\"b\\c"', ("x", 'a"b\\c')),
        ('x ""', ("x", "")),
        (r"x a\b", ("x", r"a\b")),
        ('"plain"', ("plain",)),
        ("a\u00a0b", ("a\u00a0b",)),
    ],
)
def test_words_are_separated_by_blanks_and_held_together_by_quotes(
    line: str, words: tuple[str, ...]
) -> None:
    assert split(line) == words


@pytest.mark.parametrize(
    ("line", "column"),
    [('x "open', 2), ('x "a"b', 5), ('x a"b', 3), (r'x "a\n"', 4), ('x "a\\', 4)],
)
def test_bad_quoting_is_refused_where_it_goes_wrong(line: str, column: int) -> None:
    with pytest.raises(BadWord) as caught:
        split(line)
    assert caught.value.column == column
    assert "expected" in caught.value.reason


def test_a_word_that_would_begin_a_comment_is_quoted() -> None:
    assert join(["!x"]) == '"!x"'
    assert join(["x!"]) == "x!"


@pytest.mark.parametrize(
    ("line", "column"),
    [("a\x01", 1), ("\x7f", 0), ("a\tb", None), ("ü", None), ("a\u2028", 1), ("a\udc80", 1)],
)
def test_control_characters_are_found(line: str, column: int | None) -> None:
    assert control_character(line) == column
