from __future__ import annotations

from typing import Any

from scheduler.firewall_rules import rules_for


def lines(*arguments: str, port: str = "63501", **more: Any) -> list[str]:
    cause, target, address = arguments
    return [rule.line for rule in rules_for(cause, port, target, address, **more)]


def test_a_filtered_port_gets_a_line_for_both_firewalls() -> None:
    assert lines("filtered", "BQN 1", "10.0.0.2", source="10.0.0.1") == [
        "nft insert rule inet filter input ip saddr 10.0.0.1 tcp dport 63501 accept",
        "iptables -I INPUT -p tcp -s 10.0.0.1 --dport 63501 -j ACCEPT",
    ]


def test_version_six_addresses_get_their_own_commands() -> None:
    assert lines("refused", "BQN 1", "2001:db8::2", source="2001:db8::1") == [
        "nft insert rule inet filter input ip6 saddr 2001:db8::1 tcp dport 63501 accept",
        "ip6tables -I INPUT -p tcp -s 2001:db8::1 --dport 63501 -j ACCEPT",
    ]


def test_names_and_many_sources_give_a_rule_without_an_address() -> None:
    assert lines("filtered", "BQN 1", "bqn1.example", source="bqn0.example") == lines(
        "filtered", "BQN 1", "bqn1.example"
    )
    assert "saddr" not in lines("filtered", "BQN 1", "10.0.0.2")[0]


def test_a_translated_address_gets_the_forward_and_the_rule_behind_it() -> None:
    assert lines("port not forwarded", "BQN 1", "192.0.2.1", inside=("10.0.0.2", "")) == [
        "nft insert rule ip nat prerouting ip daddr 192.0.2.1 tcp dport 63501 "
        "dnat to 10.0.0.2:63501",
        "iptables -t nat -I PREROUTING -p tcp -d 192.0.2.1 --dport 63501 "
        "-j DNAT --to-destination 10.0.0.2:63501",
        "nft insert rule inet filter input tcp dport 63501 accept",
        "iptables -I INPUT -p tcp --dport 63501 -j ACCEPT",
    ]
    assert "ADDRESS-BEHIND-THE-ROUTER" in lines("port not forwarded", "BQN 1", "192.0.2.1")[0]


def test_a_forward_leads_to_the_port_behind_the_router() -> None:
    found = lines(
        "port not forwarded", "BQN 1", "192.0.2.1", port="7001", inside=("10.0.0.2", "63501")
    )
    assert found[0].endswith("tcp dport 7001 dnat to 10.0.0.2:63501")
    assert found[2] == "nft insert rule inet filter input tcp dport 63501 accept"


def test_a_server_cannot_put_more_than_its_address_into_a_line_to_copy() -> None:
    found = lines("port not forwarded", "BQN 1", "192.0.2.1", inside=("10.0.0.2; reboot", "63501"))
    assert "reboot" not in " ".join(found)


def test_several_ports_are_a_range_in_both_spellings() -> None:
    assert lines("filtered", "BQN 1-3", "", port="63501-63503") == [
        "nft insert rule inet filter input tcp dport 63501-63503 accept",
        "iptables -I INPUT -p tcp --dport 63501:63503 -j ACCEPT",
    ]


def test_no_rule_is_offered_where_none_helps() -> None:
    assert lines("wrong key", "BQN 1", "10.0.0.2") == []
    assert lines("no route", "BQN 1", "10.0.0.2") == []
