"""Kinds of values that stand in a configuration line, with their normal spelling.

Each kind says how it is shown in the documentation (KBPS), how a word is read (its
normal spelling, or None if it does not parse) and what is wrong with a value that can be
read but makes no sense (a check, told as a sentence). The kinds are looked up by name in
`KINDS`; the schema names them in angle brackets.

Pure.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from configrepo.path_names import MAX_COMPONENT, escape

MAX_NAME = 48
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_REMEMBERED = 1 << 16
"""A configuration is checked at every commit, and most of it is what it was."""

_DIGITS = re.compile(r"[0-9]{1,40}")
_HOURS = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")
_HEX = re.compile(r"[0-9A-Fa-f]{1,256}")


def _fine(_: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class ValueKind:
    """One kind of value.

    Attributes:
        shown: the word in CAPITALS (or the choices) of the documentation.
        expected: what a person has to write, as the end of "expected …".
        read: the normal spelling of a word, or None if it does not parse.
        wrong: a sentence about a readable value that makes no sense, or None.
        numeric: sorted by number instead of bytewise.
        secret: never quoted in a message, sealed before it enters Git.
    """

    shown: str
    expected: str
    read: Callable[[str], str | None]
    wrong: Callable[[str], str | None] = _fine
    numeric: bool = False
    secret: bool = False


def shortened(word: str) -> str:
    """A word as a message quotes it."""
    return word if len(word) <= 60 else f"{word[:57]}…"


def _any(word: str) -> str | None:
    return word


def _name(word: str) -> str | None:
    if not word or len(word) > MAX_NAME or any(c.isspace() for c in word):
        return None
    return word if len(escape(word)) <= MAX_COMPONENT else None


def _data_interface(word: str) -> str | None:
    return None if word.casefold() == "management" else _name(word)


def _digits(word: str) -> str | None:
    if _DIGITS.fullmatch(word) is None:
        return None
    return word.lstrip("0") or "0"


def _number(shown: str, low: int, high: int) -> ValueKind:
    def wrong(word: str) -> str | None:
        if low <= int(word) <= high:
            return None
        return f"{word} is out of range; use a number from {low} to {high}"

    return ValueKind(shown, f"a number from {low} to {high}", _digits, wrong, numeric=True)


def _choice_or_number(choices: tuple[str, ...], number: ValueKind) -> ValueKind:
    def read(word: str) -> str | None:
        return word if word in choices else number.read(word)

    def wrong(word: str) -> str | None:
        return None if word in choices else number.wrong(word)

    expected = f"{', '.join(choices)} or {number.expected}"
    return ValueKind("|".join((*choices, number.shown)), expected, read, wrong)


@lru_cache(_REMEMBERED)
def spell_address(word: str) -> str | None:
    """The normal spelling of an IP address (IPv6 as RFC 5952), or None if it is none."""
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        zone = f"%{address.scope_id}" if address.scope_id else ""
        return f"::ffff:{address.ipv4_mapped}{zone}"
    return str(address)


@lru_cache(_REMEMBERED)
def spell_prefix(word: str) -> str | None:
    """The normal spelling of ADDRESS/LENGTH (host bits are kept), or None if it is none."""
    address, slash, length = word.partition("/")
    spelled, digits = spell_address(address), _digits(length)
    if not slash or spelled is None or digits is None or "%" in spelled:
        return None
    most = 32 if "." in address and ":" not in address else 128
    return f"{spelled}/{digits}" if int(digits) <= most else None


def _address(word: str) -> str | None:
    return spell_address(word) or word


def _address_wrong(word: str) -> str | None:
    if spell_address(word) is not None:
        return None
    return f"{shortened(word)} is not an IP address; write it like 192.0.2.1 or 2001:db8::1"


def _prefix(word: str) -> str | None:
    return spell_prefix(word) or word


def _prefix_wrong(word: str) -> str | None:
    if spell_prefix(word) is not None:
        return None
    found = shortened(word)
    return f"{found} is not a prefix; write ADDRESS/LENGTH, like 192.0.2.0/24 or 2001:db8::/32"


def _hours(word: str) -> str | None:
    found = _HOURS.fullmatch(word)
    if found is None:
        return None
    return f"{found[1]:0>2}:{found[2]}-{found[3]:0>2}:{found[4]}"


def _hours_wrong(word: str) -> str | None:
    start, end = word.split("-")
    if not _time_of_day(start) or not (_time_of_day(end) or end == "24:00"):
        return f"{word} is not a time span; use HH:MM-HH:MM from 00:00 to 23:59 (end: 24:00)"
    return None


def _time_of_day(word: str) -> bool:
    hours, minutes = word.split(":")
    return int(hours) < 24 and int(minutes) < 60


def _days(word: str) -> str | None:
    lower = word.lower()
    for part in lower.split(","):
        ends = part.split("-")
        if len(ends) > 2 or any(day not in DAYS for day in ends):
            return None
    return lower


def _date(word: str) -> str | None:
    return word if _DATE.fullmatch(word) else None


def _date_wrong(word: str) -> str | None:
    try:
        datetime.datetime.fromisoformat(word)
    except ValueError:
        return f"{word} is not a date of the calendar; use YYYY-MM-DD"
    return None


def _hex(word: str) -> str | None:
    return word.lower() if _HEX.fullmatch(word) else None


def _sha256_wrong(word: str) -> str | None:
    return None if len(word) == 64 else "a SHA-256 value has 64 hexadecimal digits"


def _metrics(word: str) -> str | None:
    return word if all(word.split(",")) else None


def _text(shown: str, expected: str) -> ValueKind:
    return ValueKind(shown, expected, _any)


_NAME_RULE = f"without blanks, at most {MAX_NAME} characters, escaped at most {MAX_COMPONENT} bytes"

KINDS: dict[str, ValueKind] = {
    "address": ValueKind("ADDRESS", "an IP address", _address, _address_wrong),
    "base64": _text("BASE64", "a certificate in base64"),
    "data-interface": ValueKind(
        "IF", f"an interface name ({_NAME_RULE}, not management)", _data_interface
    ),
    "date": ValueKind("DATE", "a date as YYYY-MM-DD", _date, _date_wrong),
    "days": ValueKind("DAYS", "days as mon-fri or mon,wed,sat-sun", _days),
    "domain": ValueKind("DOMAIN", "a domain", str.lower),
    "host": ValueKind("HOST", "an IP address or host name", _address),
    "hours": ValueKind("HH:MM-HH:MM", "hours as HH:MM-HH:MM", _hours, _hours_wrong),
    "if": ValueKind("IF", f"an interface name ({_NAME_RULE})", _name),
    "key": _text("KEY", "a public key"),
    "kbps": _number("KBPS", 0, 1_000_000_000),
    "metrics": ValueKind(
        "all|none|METRIC[,…]", "all, none or metrics separated by commas", _metrics
    ),
    "mtu": _number("N", 68, 65535),
    "name": ValueKind("NAME", f"a name ({_NAME_RULE})", _name),
    "number": _number("N", 0, 1_000_000_000),
    "pattern": _text("PATTERN", "a pattern"),
    "port": _number("N", 1, 65535),
    "prefix": ValueKind("PREFIX", "a prefix as ADDRESS/LENGTH", _prefix, _prefix_wrong),
    "prefix-length": _number("N", 1, 128),
    "protocol": _choice_or_number(("tcp", "udp", "icmp"), _number("N", 0, 255)),
    "seconds": _number("S", 0, 86400),
    "secret": ValueKind("SECRET", "a secret word", _any, secret=True),
    "server-id": _number("ID", 0, 255),
    "set": _text("SET", "the name of a predefined set"),
    "sha256": ValueKind("HEX", "hexadecimal digits", _hex, _sha256_wrong),
    "speed": _choice_or_number(("auto",), _number("N", 1, 1_000_000)),
    "text": _text("TEXT", "one word, or a text in double quotes"),
    "type": _text("TYPE", "a key type"),
    "vlan": _number("N", 1, 4094),
    "wire": _number("N", 0, 65535),
    "zone": _text("ZONE", "a time zone like Europe/Madrid"),
}
