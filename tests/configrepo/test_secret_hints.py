from __future__ import annotations

import pytest

from configrepo.model import Severity
from configrepo.parser import read
from configrepo.secret_hints import MOST, secret_hints
from tests.support.configurations import document


@pytest.mark.parametrize(
    ("line", "column"),
    [
        ("radius server apikey hunter2", 22),
        ("billing auth-token hunter2", 20),
        ("vpn passphrase hunter2", 16),
        ("vpn pre_shared_key hunter2", 20),
        ("portal apiKey=hunter2", 8),
        ("portal password=hunter2", 8),
        ("login password 7 094F471A1A0A", 18),
        ("licence Zk3vQ9xT1mB7rL5pW0dYcH2n", 9),
        ("licence 9f86d081884c7d659a2feaa0c55ad015", 9),
    ],
)
def test_a_line_that_may_carry_a_secret_is_pointed_at_without_quoting_it(
    line: str, column: int
) -> None:
    [told] = secret_hints(read(f"clock timezone UTC\n{line}\n").document)
    assert (told.severity, told.line, told.column) == (Severity.WARNING, 2, column)
    assert (told.path, told.key) == ("servers/a/undefined.conf", None)
    assert line.split()[-1].partition("=")[2] not in told.message or "=" not in line
    assert line.split()[-1] not in told.message
    assert "in the history in clear" in told.message


def test_a_line_in_a_known_block_is_looked_at_too() -> None:
    [told] = secret_hints(read("snmp\n contact noc\n v3 auth-key hunter2\n").document)
    assert (told.line, told.column, told.path) == (3, 14, "common/snmp.conf")


@pytest.mark.parametrize(
    "line",
    [
        "radius secret hunter2",
        "radius key sealed:1:ab:Zk3vQ9xT1mB7rL5pW0dYcH2n",
        "bypass mode 1",
        "monkey business 5",
        "auth-key off",
        "traffic passthrough on",
        "host a-long-name-of-some-server-42.example.net",
        "prefix 2001:db8:1234:5678:9abc:def0:1234:5678",
        "quota residential_fiber_gigabit_2024",
        "token-ring",
    ],
)
def test_what_is_sealed_or_ordinary_is_not(line: str) -> None:
    assert secret_hints(read(f"{line}\n").document) == ()


@pytest.mark.parametrize("name", ["factory", "bqn0-v1", "bqn1-v1", "bqn2-v1"])
def test_the_examples_raise_no_false_alarm(name: str) -> None:
    assert secret_hints(document(name)) == ()


def test_a_flood_is_cut_short() -> None:
    text = "".join(f"line{n} apikey x{n}\n" for n in range(MOST + 50))
    assert len(secret_hints(read(text).document)) == MOST
