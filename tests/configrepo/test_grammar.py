from configrepo.grammar import Matched, Mismatch, compile_pattern, match_line


def test_the_words_before_the_first_variable_part_are_literal() -> None:
    assert compile_pattern("wire <wire*> access <if>").literal == ("wire",)
    assert compile_pattern("acm global on|off").literal == ("acm", "global")
    assert compile_pattern("block").literal == ("block",)


def test_a_line_that_matches_comes_out_in_normal_spelling() -> None:
    pattern = compile_pattern("ip-range <prefix*> [ port <port> ] [ protocol <protocol> ]")
    found = match_line(pattern, ("ip-range", "2001:DB8::/32", "protocol", "06"))
    assert found == Matched(("ip-range", "2001:db8::/32", "protocol", "6"), ("2001:db8::/32",))


def test_the_first_wrong_word_is_named_with_what_was_expected() -> None:
    pattern = compile_pattern("rate <kbps> [ burst-rate <kbps> ] [ burst-duration <seconds> ]")
    assert match_line(pattern, ("rate", "1", "burst-duration", "x")) == Mismatch(
        3, "a number from 0 to 86400"
    )
    assert match_line(pattern, ("rate", "1", "nonsense")) == Mismatch(
        2, "burst-rate, burst-duration or the end of the line"
    )
    assert match_line(pattern, ("rate",)) == Mismatch(1, "a number from 0 to 1000000000")
    assert match_line(compile_pattern("acm on|off"), ("acm", "maybe")) == Mismatch(1, "on or off")
    assert match_line(compile_pattern("a <name> b"), ("a", "x", "c")) == Mismatch(2, "b")


def test_profiles_are_put_in_order_and_stand_once_each() -> None:
    pattern = compile_pattern("rule {profiles} policy <name>policy:rate", ("access", "time"))
    words = ("rule", "time", "policy", "access", "x", "policy", "p")
    assert match_line(pattern, words) == Matched(
        ("rule", "access", "x", "time", "policy", "policy", "p"),
        ("access", "x", "time", "policy"),
    )
    twice = match_line(pattern, ("rule", "time", "a", "time", "b", "policy", "p"))
    assert isinstance(twice, Mismatch)
    assert twice.at == 3
    assert match_line(pattern, ("rule", "time")) == Mismatch(
        2, "a name (without blanks, at most 48 characters, escaped at most 64 bytes)"
    )
    assert match_line(pattern, ("rule", "vlan", "v")) == Mismatch(
        1, "policy or a profile type (access, time)"
    )


def test_a_pattern_knows_whether_it_holds_a_secret() -> None:
    assert compile_pattern("community <secret>").secret
    assert not compile_pattern("contact <text>").secret
