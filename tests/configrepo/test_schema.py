from configrepo.grammar import Maybe, Value, Word, values_of
from configrepo.schema import BLOCKS, MEMBER, PROFILE_TYPES, block_row, child_row

ROWS = (*BLOCKS, MEMBER)


def test_every_row_is_found_by_its_literal_words() -> None:
    for row in BLOCKS:
        assert block_row((*row.opener.literal, "x")) is row
    for row in ROWS:
        for child in row.children:
            assert child_row(row, (*child.pattern.literal, "x")) is child


def test_the_longest_literal_words_win() -> None:
    assert block_row(("interface", "management", "en0")) is not block_row(("interface", "en0"))
    assert block_row(("profile", "nonsense", "x")) is None
    assert block_row(("server", "0")) is None
    assert block_row(("server", "0"), member=True) is MEMBER


def test_every_secret_is_the_last_word_of_its_line() -> None:
    for row in ROWS:
        assert not row.opener.secret
        for child in row.children:
            if child.pattern.secret:
                last = child.pattern.elements[-1]
                assert isinstance(last, Value)
                assert last.kind.secret


def test_optional_groups_begin_with_a_literal_word() -> None:
    for row in ROWS:
        for child in row.children:
            for element in child.pattern.elements:
                if isinstance(element, Maybe):
                    assert isinstance(element.elements[0], Word)


def test_names_that_a_line_refers_to_belong_to_rows_of_the_table() -> None:
    openers = {row.opener.literal for row in BLOCKS}
    for row in ROWS:
        for pattern in (row.opener, *(child.pattern for child in row.children)):
            assert {v.target for v in values_of(pattern.elements) if v.target} <= openers
    assert {("profile", kind) for kind in PROFILE_TYPES} <= openers


def test_keys_that_rows_speak_of_are_keys_of_their_children() -> None:
    for row in ROWS:
        keys = {" ".join(child.pattern.literal) for child in row.children}
        assert set(row.wanted) <= keys
        for one, other in row.clashes:
            assert {*one, *other} <= keys


def test_only_flat_commands_share_a_file() -> None:
    assert all(row.flat and not row.children for row in BLOCKS if row.shared)
    files = [row.file for row in ROWS]
    assert len(set(files)) == len(files)
