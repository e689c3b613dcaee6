"""The rule to add where a connection does not get through: lines to copy, ready for use.

Pure.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from scheduler import causes

_INSIDE = "ADDRESS-BEHIND-THE-ROUTER"


@dataclass(frozen=True, slots=True)
class Rule:
    """One ready line: where it is entered, and the line itself."""

    where: str
    line: str


def rules_for(
    cause: str,
    port: str,
    target: str,
    address: str,
    source: str = "",
    inside: tuple[str, str] = ("", ""),
) -> tuple[Rule, ...]:
    """The lines that let a connection through; none where no rule helps.

    Args:
        cause: a word of `scheduler.causes`.
        port: the TCP port that was tried, or a range such as "63501-63503".
        target: the name of the server that should answer.
        address: its address as the others know it, empty for several servers.
        source: the address of the server that tried, empty for any.
        inside: the address and the port of the target behind its router, as far as known.
    """
    if cause in (causes.REFUSED, causes.FILTERED):
        return _accept(port, target, source, address)
    if cause in (causes.PORT_NOT_FORWARDED, causes.OTHER_SERVER):
        behind = inside[1] or port
        # The server itself says where it is: nothing but an address gets into a line to copy.
        within = inside[0] if _is_address(inside[0]) else _INSIDE
        forward = _forward(port, address, within, behind)
        return (*forward, *_accept(behind, target, "", address))
    return ()


def _accept(port: str, target: str, source: str, address: str) -> tuple[Rule, ...]:
    v6 = ":" in (source or address)
    only = _is_address(source)
    nft = f"{'ip6' if v6 else 'ip'} saddr {source} " if only else ""
    ipt = f"-s {source} " if only else ""
    command = "ip6tables" if v6 else "iptables"
    return (
        Rule(
            f"on {target}, nftables",
            f"nft insert rule inet filter input {nft}tcp dport {port} accept",
        ),
        Rule(
            f"on {target}, iptables",
            f"{command} -I INPUT -p tcp {ipt}--dport {_colon(port)} -j ACCEPT",
        ),
    )


def _forward(port: str, address: str, inside: str, behind: str) -> tuple[Rule, ...]:
    v6 = ":" in address
    known = _is_address(address)
    to = f"[{inside}]:{behind}" if ":" in inside else f"{inside}:{behind}"
    nft = f"{'ip6' if v6 else 'ip'} daddr {address} " if known else ""
    ipt = f"-d {address} " if known else ""
    family, command = ("ip6", "ip6tables") if v6 else ("ip", "iptables")
    where = f"on the router that has {address or 'their addresses'}"
    return (
        Rule(
            f"{where}, nftables",
            f"nft insert rule {family} nat prerouting {nft}tcp dport {port} dnat to {to}",
        ),
        Rule(
            f"{where}, iptables",
            f"{command} -t nat -I PREROUTING -p tcp {ipt}--dport {_colon(port)} "
            f"-j DNAT --to-destination {to}",
        ),
    )


def _colon(port: str) -> str:
    """A port or range as iptables writes it."""
    return port.replace("-", ":")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
