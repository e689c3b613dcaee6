"""The table of the configuration language: which blocks and children there are.

This is data. The parser, the canonical order, the keys of the merge, the layout in the
repository, the places of secrets, the checks and docs/configuration-format.md are all
derived from it: adding a setting is adding a row. The notation of the patterns is
explained in `configrepo.grammar`.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from configrepo.grammar import BlockRow, ChildRow, Many, compile_pattern

PROFILE_TYPES = (
    "access",
    "internet",
    "vlan",
    "interface",
    "policy-rate",
    "subscriber-group",
    "subscriber-id",
    "dpi",
    "time",
    "throughput",
)

_IP_RANGE = "+ ip-range <prefix> [ port <port> ] [ protocol <protocol> ]"
_LIMIT = "rate <kbps> [ burst-rate <kbps> ] [ burst-duration <seconds> ] [ burst-threshold <kbps> ]"
_POLICIES = "Rates, flows, monitoring"


@dataclass(frozen=True, slots=True)
class _Spec:
    """A row as it is written here; children are marked `=` one value, `+` set, `#` keyed."""

    opener: str
    file: str
    section: str
    children: tuple[str, ...] = ()
    flat: bool = False
    shared: bool = False
    clashes: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    wanted: tuple[str, ...] = ()
    used_by: bool = False


def _general(opener: str, file: str, *children: str) -> _Spec:
    return _Spec(opener, f"common/{file}.conf", "General", children)


def _profile(kind: str, *children: str, wanted: tuple[str, ...] = ()) -> _Spec:
    file = f"common/profile/{kind}/{{name}}.conf"
    return _Spec(f"profile {kind} <name*>", file, "Profiles", children, wanted=wanted, used_by=True)


def _policy(kind: str, *children: str, limits: tuple[str, ...] = ()) -> _Spec:
    file = f"common/policy/{kind}/{{name}}.conf"
    clashes = ((("block",), limits),) if limits else ()
    return _Spec(f"policy {kind} <name*>", file, _POLICIES, children, clashes=clashes, used_by=True)


def _rules(kind: str) -> _Spec:
    rule = f"# rule {{profiles}} policy <name>policy:{kind}"
    return _Spec(f"rules {kind}", f"common/rules/{kind}.conf", _POLICIES, (rule,))


def _server(opener: str, file: str, *children: str) -> _Spec:
    return _Spec(opener, f"servers/{{server}}/{file}.conf", "Interfaces", children)


_TABLE: tuple[_Spec, ...] = (
    _Spec("clock timezone <zone>", "common/clock.conf", "General", flat=True),
    _general("ntp", "ntp", "+ server <address>"),
    _general("general-settings", "general-settings", "= ipv6-prefix-length <prefix-length>"),
    _general(
        "user <name*>",
        "user/{name}",
        "= role administrator|operator|viewer",
        "= password <secret>",
        "# token <name*> sha256 <sha256> expires <date>",
        "# ssh-key <name*> <type> <key>",
    ),
    _general("snmp", "snmp", "= contact <text>", "+ client <address>", "= community <secret>"),
    _general("syslog", "syslog", "# server <address*> port <port>"),
    _Spec(
        "api rest",
        "common/api/rest.conf",
        "REST API",
        ("= enable", "= port <port>", "+ client <address>", "# user <name*> password <secret>"),
    ),
    _general("optimization", "optimization", "= acm global on|off", "= tcpo on|off"),
    _general(
        "dos",
        "dos",
        "= downlink failed-handshake-rate <number>",
        "= uplink failed-handshake-rate <number>",
        "= minimum-rate <kbps>",
        "= rate-multiplier <number>",
    ),
    _Spec(
        "subscriber-group <name*>",
        "common/subscriber-group/{name}.conf",
        "Groups",
        ("+ ip-range <prefix>", "+ subscriber-id <pattern>", "+ vlan <vlan>"),
    ),
    _profile("access", _IP_RANGE),
    _profile("internet", _IP_RANGE),
    _profile("vlan", "+ vlan <vlan>", "+ untagged"),
    _profile("interface", "+ interface <if>"),
    _profile("policy-rate", "+ pattern <pattern>"),
    _profile("subscriber-group", "+ pattern <pattern>"),
    _profile("subscriber-id", "+ pattern <pattern>"),
    _profile("dpi", "+ signature <domain>", "+ predefined <set>"),
    _profile("time", "= days <days>", "= hours <hours>", wanted=("days", "hours")),
    _profile("throughput", "= threshold <kbps>"),
    _policy(
        "rate",
        f"= downlink {_LIMIT}",
        f"= uplink {_LIMIT}",
        "= acm on|off",
        "= max-flows <number>",
        "= block",
        limits=("downlink rate", "uplink rate"),
    ),
    _policy(
        "flow",
        "= tcpo on|off",
        "= downlink shaping <kbps>",
        "= uplink shaping <kbps>",
        "= block",
        "= block-incoming",
        "+ skip rate-limitation|blocking",
        limits=("downlink shaping", "uplink shaping"),
    ),
    _policy("monitor", "= metrics <metrics>"),
    _rules("rate"),
    _rules("flow"),
    _rules("monitor"),
    _Spec("hostname <name>", "servers/{server}/hostname.conf", "Interfaces", flat=True),
    _server(
        "interface management <if>",
        "interface/management",
        "= ip address <prefix>",
        "= gateway <address>",
        "+ nameserver <address>",
    ),
    _server(
        "interface <data-interface*>",
        "interface/{name}",
        "= mtu <mtu>",
        "= speed <speed>",
        "= description <text>",
    ),
    _Spec(
        "wire <wire*> access <if>interface internet <if>interface",
        "servers/{server}/wire.conf",
        "Interfaces",
        flat=True,
        shared=True,
    ),
    _Spec(
        "route <prefix*> <address>",
        "servers/{server}/route.conf",
        "Interfaces",
        flat=True,
        shared=True,
    ),
)

_MEMBER = _Spec(
    "server <server-id*>",
    "cluster/servers/{name}.conf",
    "Cluster",
    (
        "= name <name>",
        "= address <host>",
        "= ssh-port <port>",
        "= control-port <port>",
        "= certificate <base64>",
        "= ssh-host-key <type> <key>",
        "= ssh-key <type> <key>",
        "= state active|removed",
        "= removed <date>",
        "= ineligible reason <text> [ until <date> ]",
        "# former-key <type> <key*> until <date>",
        "# seen-from <server-id*> address <host> [ ssh-port <port> ] [ control-port <port> ]",
    ),
)

_CLUSTER = _Spec(
    "cluster",
    "cluster/cluster.conf",
    "Cluster",
    (
        "= format <number>",
        "= sealing-key <key>",
        "= automation-paused since <date> remind <date> reason <text>",
    ),
)

UNDEFINED_FILE = "servers/{server}/undefined.conf"
COMMON_UNDEFINED_FILE = "common/undefined.conf"
COMMENTS_FILE = "servers/{server}/comments.conf"
SECRET_WORDS = frozenset({"password", "secret", "key", "community", "token", "psk"})
"""In an undefined line the word after one of these is a secret."""


def _child(index: int, spec: str) -> ChildRow:
    many = {"=": Many.ONE, "+": Many.SET, "#": Many.KEYED}[spec[0]]
    return ChildRow(index, many, compile_pattern(spec[2:], PROFILE_TYPES))


def _row(index: int, spec: _Spec) -> BlockRow:
    return BlockRow(
        index=index,
        opener=compile_pattern(spec.opener),
        file=spec.file,
        section=spec.section,
        children=tuple(_child(number, child) for number, child in enumerate(spec.children)),
        flat=spec.flat,
        shared=spec.shared,
        clashes=spec.clashes,
        wanted=spec.wanted,
        used_by=spec.used_by,
    )


BLOCKS: tuple[BlockRow, ...] = tuple(_row(index, spec) for index, spec in enumerate(_TABLE))
MEMBER: BlockRow = _row(len(_TABLE), _MEMBER)
CLUSTER: BlockRow = _row(len(_TABLE) + 1, _CLUSTER)
OWN_BLOCKS = (MEMBER, CLUSTER)
"""What the program itself keeps under `cluster/`; no saved file holds it."""

_LONGEST = 2
_BY_LITERAL = {row.opener.literal: row for row in BLOCKS}
_CHILDREN = {
    row: {child.pattern.literal: child for child in row.children} for row in (*BLOCKS, *OWN_BLOCKS)
}


def block_row(words: tuple[str, ...], member: bool = False) -> BlockRow | None:
    """The row whose literal words begin this opener (the longest wins), or None."""
    own = next((row for row in OWN_BLOCKS if words[:1] == row.opener.literal), None)
    if member and own is not None:
        return own
    for length in range(_LONGEST, 0, -1):
        row = _BY_LITERAL.get(words[:length])
        if row is not None:
            return row
    return None


def child_row(block: BlockRow, words: tuple[str, ...]) -> ChildRow | None:
    """The row of a child of `block` whose literal words begin this line, or None."""
    rows = _CHILDREN[block]
    for length in range(_LONGEST, 0, -1):
        row = rows.get(words[:length])
        if row is not None:
            return row
    return None
