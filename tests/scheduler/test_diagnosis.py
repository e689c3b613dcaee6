"""What is the same is said once; what is not is said one by one, with its rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from configrepo.members import Member, SeenFrom
from configrepo.model import ServerId
from scheduler import causes
from scheduler.diagnosis import Facts, diagnose, ranges
from scheduler.doctor_seam import Diagnosis
from scheduler.findings import Finding, Pair, Standpoint

OK = Finding("ok", 2)
Found = Mapping[tuple[int, int], tuple[Finding, Finding]]


def member(number: int) -> Member:
    return Member(
        ServerId(number), f"bqn{number}", f"10.0.0.{number}", 22, 63500 + number, "", "", ""
    )


def diagnosed(
    servers: int, found: Found, standpoints: Mapping[ServerId, Standpoint] | None = None
) -> Diagnosis:
    pairs = [
        Pair(ServerId(a), ServerId(b), *found.get((a, b), (OK, OK)))
        for a in range(servers)
        for b in range(servers)
        if a != b
    ]
    members = tuple(member(number) for number in range(servers))
    return diagnose(Facts(members, pairs, {}, standpoints or {}))


def test_a_healthy_cluster_is_one_number() -> None:
    diagnosis = diagnosed(16, {})
    assert (diagnosis.ok, diagnosis.untried, diagnosis.lines) == (240, 0, ())
    assert len(diagnosis.matrix) == 240


def test_one_exception_names_the_pair_the_cause_and_the_rule() -> None:
    diagnosis = diagnosed(3, {(0, 1): (Finding("filtered"), OK)})
    (line,) = diagnosis.lines
    assert diagnosis.ok == 5
    assert line.sentence == (
        "BQN 0 does not reach BQN 1 on its control port (10.0.0.1, TCP 63501): no answer at all."
    )
    assert line.rules[0].line == (
        "nft insert rule inet filter input ip saddr 10.0.0.0 tcp dport 63501 accept"
    )
    assert line.advice


def test_an_address_is_the_one_that_the_source_dials() -> None:
    seen = SeenFrom(ServerId(0), "192.0.2.1", control_port=9001)
    members = (member(0), replace(member(1), seen_from=(seen,)))
    pairs = (
        Pair(ServerId(0), ServerId(1), Finding("refused"), OK),
        Pair(ServerId(1), ServerId(0), OK, OK),
    )
    (line,) = diagnose(Facts(members, pairs, {}, {})).lines
    assert "(192.0.2.1, TCP 9001)" in line.sentence
    assert "tcp dport 9001 accept" in line.rules[0].line


def test_what_all_others_say_of_one_server_is_one_line() -> None:
    refused = (Finding("refused"), OK)
    diagnosis = diagnosed(5, {(a, 3): refused for a in (0, 1, 2, 4)})
    (line,) = diagnosis.lines
    assert line.sentence.startswith("No other server reaches BQN 3 on its control port")
    assert (line.pairs, diagnosis.ok) == (4, 16)
    assert "saddr" not in line.rules[0].line


def test_a_server_that_reaches_nobody_is_one_line() -> None:
    diagnosis = diagnosed(5, {(3, b): (OK, Finding("no route")) for b in (0, 1, 2, 4)})
    (line,) = diagnosis.lines
    assert (
        line.sentence == "BQN 3 does not reach any other server over SSH: no route to the address."
    )


def test_some_of_many_are_named_by_their_ranges() -> None:
    diagnosis = diagnosed(9, {(a, 8): (OK, Finding("wrong key")) for a in (0, 1, 2, 5)})
    assert diagnosis.lines[0].sentence.startswith(
        "4 servers (BQN 0-2, 5) do not reach BQN 8 over SSH"
    )
    assert ranges((ServerId(0), ServerId(2), ServerId(3))) == "BQN 0, 2-3"


def test_a_refused_port_of_a_translated_address_is_not_forwarded() -> None:
    places = {ServerId(1): Standpoint("192.168.1.5", ("10.0.0.1",))}
    diagnosis = diagnosed(2, {(0, 1): (Finding("refused"), Finding("filtered"))}, places)
    assert {line.cause for line in diagnosis.lines} == {causes.PORT_NOT_FORWARDED}
    assert "dnat to 192.168.1.5:63501" in " ".join(
        rule.line for line in diagnosis.lines for rule in line.rules
    )


def test_an_override_that_is_not_forwarded_gets_its_port_forwarded_to_the_own_one() -> None:
    seen = SeenFrom(ServerId(0), "192.0.2.1", ssh_port=7022, control_port=7001)
    members = (member(0), replace(member(1), seen_from=(seen,)), member(2))
    found = (Finding("refused"), Finding("filtered"))
    pairs = [Pair(ServerId(0), ServerId(1), *found), Pair(ServerId(2), ServerId(1), *found)]
    places = {ServerId(1): Standpoint("192.168.1.5", ("192.0.2.1",))}
    diagnosis = diagnose(Facts(members, pairs, {}, places))
    assert {(line.what, *line.sources, line.cause) for line in diagnosis.lines} == {
        ("control port", 0, causes.PORT_NOT_FORWARDED),
        ("control port", 2, "refused"),
        ("SSH", 0, causes.PORT_NOT_FORWARDED),
        ("SSH", 2, "filtered"),
    }
    rules = " ".join(rule.line for line in diagnosis.lines for rule in line.rules)
    assert "daddr 192.0.2.1 tcp dport 7001 dnat to 192.168.1.5:63501" in rules
    assert "daddr 192.0.2.1 tcp dport 7022 dnat to 192.168.1.5:22" in rules


def test_a_cut_is_one_line_for_each_direction_and_check() -> None:
    cut = (Finding("filtered"), Finding("filtered"))
    found = {(a, b): cut for a in range(4) for b in range(4, 8)}
    found |= {(b, a): cut for a, b in found}
    diagnosis = diagnosed(8, found)
    assert [line.pairs for line in diagnosis.lines] == [16] * 4
    assert diagnosis.lines[0].sentence == (
        "4 servers (BQN 4-7) do not reach 4 servers (BQN 0-3) on their control ports: "
        "no answer at all."
    )
    assert "tcp dport 63500-63503 accept" in diagnosis.lines[0].rules[0].line


def test_where_nobody_reaches_anybody_there_is_one_line() -> None:
    every = {(a, b): (OK, Finding("refused")) for a in range(16) for b in range(16) if a != b}
    (line,) = diagnosed(16, every).lines
    assert line.sentence == (
        "16 servers (BQN 0-15) do not reach one another over SSH: connection refused."
    )
    assert line.pairs == 240


def test_what_does_no_harm_comes_last_and_says_that_it_was_reached() -> None:
    late = Finding("clock far off", 3, "its clock differs by 60 min")
    diagnosis = diagnosed(3, {(0, 1): (late, OK), (0, 2): (Finding("no route"), OK)})
    assert [line.harmless for line in diagnosis.lines] == [False, True]
    assert diagnosis.lines[1].sentence == (
        "BQN 0 reaches BQN 1 on its control port (10.0.0.1, TCP 63501), "
        "but its clock differs by 60 min."
    )


def test_a_server_that_could_not_be_asked_is_told_and_its_pairs_are_not_tried() -> None:
    members = tuple(member(number) for number in range(3))
    pairs = [Pair(ServerId(0), ServerId(b), OK, OK) for b in (1, 2)]
    pairs += [Pair(ServerId(1), ServerId(b), OK, OK) for b in (0, 2)]
    not_asked = {ServerId(2): ("refused", "connection refused")}
    diagnosis = diagnose(Facts(members, pairs, not_asked, {}))
    assert (diagnosis.ok, diagnosis.untried) == (4, 2)
    assert diagnosis.lines[0].sentence == (
        "BQN 2 could not be asked what it reaches: connection refused."
    )


def test_beyond_a_few_hundred_pairs_there_is_no_matrix() -> None:
    assert diagnosed(17, {}).matrix == ()


def test_another_host_key_is_told_in_words_about_host_keys() -> None:
    diagnosis = diagnosed(2, {(0, 1): (OK, Finding("wrong identity"))})
    assert "host key" in diagnosis.lines[0].advice
