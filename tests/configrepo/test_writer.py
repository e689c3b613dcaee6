from configrepo.parser import read
from configrepo.writer import block_text, canonical_text


def canonical(text: str) -> str:
    return canonical_text(read(text).document)


def test_an_empty_configuration_is_only_an_end() -> None:
    assert canonical("") == "end\n"
    assert canonical("!\n!\nend\n") == "end\n"


def test_the_order_is_that_of_the_table_then_of_names() -> None:
    text = (
        "hostname x\nrules rate\n rule policy p\n rule vlan v policy p\n rule access z policy p\n"
        "route 10.0.0.0/8 192.0.2.1\nwire 10 access a internet b\nwire 9 access c internet d\n"
        "policy rate b\npolicy rate B1\npolicy rate a\n block\n acm on\n uplink rate 1\nntp\n"
        "user x\n"
    )
    assert canonical(text) == (
        "ntp\n!\nuser x\n!\npolicy rate B1\npolicy rate a\n uplink rate 1\n acm on\n block\n"
        "policy rate b\n!\nrules rate\n rule access z policy p\n rule vlan v policy p\n"
        " rule policy p\n!\nhostname x\n!\nwire 9 access c internet d\n"
        "wire 10 access a internet b\n!\nroute 10.0.0.0/8 192.0.2.1\n!\nend\n"
    )


def test_comments_stay_with_what_follows_them() -> None:
    text = (
        "!head\n!\n! of ntp\nntp\n  server 192.0.2.9\n! of 1\n!  two\n  server 192.0.2.1\n"
        "! of clock\nclock timezone UTC\nend\n!after\n"
    )
    assert canonical(text) == (
        "!\n! head\n!\n! of clock\nclock timezone UTC\n!\n! of ntp\nntp\n ! of 1\n !  two\n"
        " server 192.0.2.1\n server 192.0.2.9\n!\n! after\n!\nend\n"
    )


def test_comments_alone_are_a_header() -> None:
    assert canonical("! a\n!\n! b\n") == "!\n! a\n! b\n!\nend\n"


def test_a_block_is_written_with_its_comments_before_it() -> None:
    block = read("!x\nsnmp\n contact 'a'\n!y\n client 192.0.2.1\n").document.blocks[0]
    assert block_text(block) == "! x\nsnmp\n contact 'a'\n ! y\n client 192.0.2.1\n"
