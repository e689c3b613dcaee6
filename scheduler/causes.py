"""Why a connection failed, in the words that people search for, and what to do about it.

Pure.
"""

from __future__ import annotations

import errno
from socket import gaierror
from ssl import SSLCertVerificationError, SSLError

OK = "ok"
REFUSED = "refused"
FILTERED = "filtered"
NO_ROUTE = "no route"
NAME_NOT_FOUND = "name not found"
NOT_OUR_PROGRAM = "not our program"
OTHER_CLUSTER = "other cluster"
OTHER_SERVER = "other server"
WRONG_IDENTITY = "wrong identity"
NOT_A_MEMBER = "not a member"
NO_ANSWER = "no answer"
PORT_NOT_FORWARDED = "port not forwarded"
VERSION = "version"
CLOCK_FAR_OFF = "clock far off"
TOO_SLOW = "too slow"
WRONG_KEY = "wrong key"
GATE_MISSING = "gate missing"

# With these the other server was reached; they are worth a look all the same.
REACHED = frozenset({OK, CLOCK_FAR_OFF, TOO_SLOW})

_BY_NUMBER = {
    errno.ECONNREFUSED: REFUSED,
    errno.ETIMEDOUT: FILTERED,
    errno.EPERM: FILTERED,
    errno.EACCES: FILTERED,
    errno.EHOSTUNREACH: NO_ROUTE,
    errno.ENETUNREACH: NO_ROUTE,
    errno.EADDRNOTAVAIL: NO_ROUTE,
    errno.ECONNRESET: NOT_OUR_PROGRAM,
    errno.EPIPE: NOT_OUR_PROGRAM,
}

_SAID = {
    REFUSED: "connection refused",
    FILTERED: "no answer at all",
    NO_ROUTE: "no route to the address",
    NAME_NOT_FOUND: "the name is not known",
    NOT_OUR_PROGRAM: "something else answers there",
    OTHER_CLUSTER: "it belongs to another cluster",
    OTHER_SERVER: "another server of ours answers there",
    WRONG_IDENTITY: "its certificate is not the pinned one",
    NOT_A_MEMBER: "it does not know the certificate of whoever asks",
    NO_ANSWER: "it accepts connections but does not answer",
    PORT_NOT_FORWARDED: "its address is translated and nothing is forwarded to it",
    VERSION: "the two releases do not understand each other",
    CLOCK_FAR_OFF: "its clock is far off",
    TOO_SLOW: "it answers, but too slowly",
    WRONG_KEY: "it does not accept the SSH key of whoever asks",
    GATE_MISSING: "the key is let in, but the program does not answer behind it",
}

_ADVICE = {
    OK: "",
    REFUSED: (
        "Start the program on {address}, or check that its {what} is {port}; if a firewall "
        "rejects the connection, add there: {rule}"
    ),
    FILTERED: (
        "A firewall on the way or on {address} drops the packets; add there: {rule}; where "
        "addresses are translated, forward TCP {port}"
    ),
    NO_ROUTE: "Check the address {address}, its network mask and the routes to it",
    NAME_NOT_FOUND: "Check the spelling of {address}, or enter its IP address",
    NOT_OUR_PROGRAM: "Check the port {port}: another program listens on it at {address}",
    OTHER_CLUSTER: "Remove {address} from its cluster first, or check the address",
    OTHER_SERVER: "Check {address} and its port forwarding: another id answers at port {port}",
    WRONG_IDENTITY: (
        "Compare the fingerprints on both servers. If {address} was reinstalled, remove it from "
        "the cluster and add it again; if not, somebody is in between"
    ),
    NOT_A_MEMBER: "Remove this server at {address} and add it again, so that keys are exchanged",
    NO_ANSWER: "Look at the log of the program on {address}",
    PORT_NOT_FORWARDED: (
        "On the router that has {address}, forward TCP {port} to the server behind it; on the "
        "server itself add: {rule}"
    ),
    VERSION: "Install the same release on both servers",
    CLOCK_FAR_OFF: "Check NTP on both servers: it harms nothing, but logs are hard to compare",
    TOO_SLOW: "Check the link to {address} and the load there; for slow links use the preset wan",
    WRONG_KEY: (
        "The account at {address} does not know the key of whoever asks: check that sshd there "
        "reads the authorized_keys file of the settings, and that both servers know each other"
    ),
    GATE_MISSING: (
        "The key is accepted at {address}, but its program does not answer behind it: check that "
        "the program runs there and that authorized_keys names its installed release"
    ),
}

WORDS = frozenset({OK, *_SAID})


def cause_of(error: BaseException) -> str:
    """The cause word of a failed connection or handshake."""
    match error:
        case gaierror():
            return NAME_NOT_FOUND
        case SSLCertVerificationError():
            return WRONG_IDENTITY
        case SSLError():
            alerts = ("CERTIFICATE_REQUIRED", "UNKNOWN_CA", "BAD_CERTIFICATE", "unknown ca")
            refused = any(word in str(error) for word in alerts)
            return NOT_A_MEMBER if refused else NOT_OUR_PROGRAM
        case TimeoutError():
            return FILTERED
        case OSError():
            return _BY_NUMBER.get(error.errno or 0, NO_ANSWER)
        case ValueError():  # an address that cannot be one
            return NAME_NOT_FOUND
    return NO_ANSWER


def said(cause: str) -> str:
    """A cause word as a few words for a sentence."""
    return _SAID.get(cause, cause)


def advice(
    cause: str, address: str, port: int | str, what: str = "control port", rule: str = ""
) -> str:
    """What to do about a cause, with the rule to add where a rule helps.

    `rule` is said instead of a line for nftables, where ready lines are shown beside it.
    """
    rule = rule or f"nft add rule inet filter input tcp dport {port} accept"
    template = _ADVICE.get(cause, _ADVICE[NO_ANSWER])
    named = what if what.endswith("port") else f"{what} port"
    return template.format(address=address, port=port, what=named, rule=rule)
