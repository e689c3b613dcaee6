from configrepo.model import Document, arranged
from configrepo.parser import read


def test_blocks_are_arranged_by_the_table_then_by_name_or_number() -> None:
    blocks = read("wire 10 access a internet b\nwire 9 access c internet d\nodd\nntp\n").document
    shuffled = arranged(reversed(blocks.blocks))
    assert [block.words[0] for block in shuffled.blocks] == ["ntp", "wire", "wire", "odd"]
    assert [block.names for block in shuffled.blocks] == [(), ("9",), ("10",), ()]


def test_without_blocks_all_comments_are_header() -> None:
    assert arranged((), ("a",), ("b",)) == Document(("a", "b"))


def test_places_do_not_take_part_in_comparisons() -> None:
    assert read("ntp\n server 192.0.2.1\n").document == read("\n\nntp\n  server 192.0.2.1").document


def test_blocks_with_the_same_identity_must_be_one() -> None:
    one, other = (read(f"interface management {name}\n").document.blocks[0] for name in "ab")
    assert one.identity == other.identity
    assert one != other
