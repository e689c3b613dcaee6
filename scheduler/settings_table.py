"""The settings of one server: every key with its kind, default, limits and meaning.

The dataclasses here are the one table: `scheduler.settings` reads a file by it and
`scheduler.settings_page` prints docs/settings.md from it. What is not here is not a
setting. The id of the server is not one: it lives in the state directory, because the
pages change it.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from configrepo.model import ServerId

CONTROL_PORT_OF_ID_0 = 63500
HIGHEST_ID = 255


class Kind(StrEnum):
    """What a value must look like; the text is how docs/settings.md calls it."""

    TEXT = "text"
    NAME = "name without blanks"
    ADDRESS = "IP address"
    PORT = "port"
    COUNT = "whole number"
    SECONDS = "seconds"
    SWITCH = "true or false"
    CHOICE = "one of"
    FILE = "path"
    COMMAND = "command"
    WORDS = "list of texts"


@dataclass(frozen=True, slots=True)
class Rule:
    """What is known about one key.

    `low` and `high` are inclusive and only for counts and seconds; `choices` only for
    choices. `unset` says in words what holds when the key is absent and has no fixed
    default.
    """

    kind: Kind
    meaning: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()
    unset: str = ""


def _key(default: Any, rule: Rule) -> Any:
    return field(default=default, metadata={"rule": rule})


def _port(default: int | None, meaning: str, unset: str = "") -> Any:
    return _key(default, Rule(Kind.PORT, meaning, 1, 65535, unset=unset))


def _file(meaning: str, unset: str) -> dict[str, Rule]:
    return {"rule": Rule(Kind.FILE, meaning, unset=unset)}


def _command(meaning: str, unset: str) -> Any:
    return _key((), Rule(Kind.COMMAND, meaning, unset=unset))


@dataclass(frozen=True, slots=True)
class ServerSection:
    """What this server keeps, and where."""

    state: Path = field(
        metadata={
            "rule": Rule(
                Kind.FILE,
                "State directory made by `app.py init`: repository, keys, running configuration. "
                "At most 90 bytes long, because sockets live below it.",
            )
        }
    )
    name: str | None = _key(
        None,
        Rule(
            Kind.NAME,
            "Name of this server on the pages and in the cluster's list of servers.",
            unset="the name given to `app.py init`",
        ),
    )


@dataclass(frozen=True, slots=True)
class GuiSection:
    """Where browsers reach this server (HTTPS only)."""

    address: str = _key(
        "0.0.0.0",  # noqa: S104 - a management GUI answers on every address unless told otherwise
        Rule(Kind.ADDRESS, "Address that the GUI listens on; `0.0.0.0` is every IPv4 address."),
    )
    port: int = _port(443, "Port that the GUI listens on.")
    certificate: Path | None = field(
        default=None,
        metadata=_file(
            "PEM file with the certificate, the chain after it. Needs `key` as well.",
            "a self-signed certificate, made at the first start; its fingerprint is printed",
        ),
    )
    key: Path | None = field(
        default=None,
        metadata=_file(
            "PEM file with the private key of `certificate`, without a passphrase.",
            "the key of the self-signed certificate",
        ),
    )
    trusted_hosts: tuple[str, ...] = _key(
        (),
        Rule(
            Kind.WORDS,
            "Host names under which browsers may call this GUI. A request with another name "
            "is refused, which keeps foreign web sites from reaching it by DNS tricks.",
            unset="every name is answered",
        ),
    )
    threads: int = _key(
        16,
        Rule(Kind.COUNT, "Threads that answer requests of browsers.", 4, 256),
    )


@dataclass(frozen=True, slots=True)
class ControlSection:
    """The control port: how the servers of a cluster notice and follow one another."""

    address: str = _key(
        "0.0.0.0",  # noqa: S104 - the other servers must reach it
        Rule(Kind.ADDRESS, "Address that the control port listens on."),
    )
    port: int | None = _port(
        None,
        "TCP port of the control traffic. Only change it when a port forwarding forces you to.",
        f"{CONTROL_PORT_OF_ID_0} + id of the server",
    )
    preset: Literal["lan", "wan"] = _key(
        "lan",
        Rule(
            Kind.CHOICE,
            "Timing of the election. `lan` takes over within about 3 seconds, `wan` within "
            "about 25 and forgives slow or lossy links. The same on every server of a cluster.",
            choices=("lan", "wan"),
        ),
    )
    witness: str | None = _key(
        None,
        Rule(
            Kind.TEXT,
            "Address (`address` or `address:port`, TCP) that answers unless this server is cut "
            "off, such as the gateway. While it neither accepts nor refuses a connection, this "
            "server does not begin to lead; one that leads goes on.",
            unset="no witness: a server that reaches no other one leads",
        ),
    )


@dataclass(frozen=True, slots=True)
class SshSection:
    """How configuration reaches this server: SSH with a forced command."""

    port: int = _port(22, "Port on which sshd of this server answers.")
    user: str | None = _key(
        None,
        Rule(
            Kind.TEXT,
            "Account to log in with at the other servers.",
            unset="the account that this program runs as",
        ),
    )
    host_key_public: Path | None = field(
        default=None,
        metadata=_file(
            "Public ed25519 host key of the sshd of this server; the others pin it.",
            "`/etc/ssh/ssh_host_ed25519_key.pub`, or the key of the own sshd",
        ),
    )
    authorized_keys: Path | None = field(
        default=None,
        metadata=_file(
            "File that sshd reads for the account. This program owns it: "
            "other lines in it are lost. Name it in `AuthorizedKeysFile` of sshd_config.",
            "`ssh/authorized_keys` in the state directory",
        ),
    )
    own_sshd: bool = _key(
        False,
        Rule(
            Kind.SWITCH,
            "Start an own, unprivileged sshd on `port` (as the demo does) instead of using the "
            "one of the system.",
        ),
    )
    address: str = _key(
        "0.0.0.0",  # noqa: S104 - the other servers must reach it
        Rule(Kind.ADDRESS, "Address that the own sshd listens on; only with `own_sshd = true`."),
    )


@dataclass(frozen=True, slots=True)
class ApplySection:
    """How a configuration becomes the running one on this server."""

    apply_command: tuple[str, ...] = _command(
        "Program with its arguments that applies a configuration. The path of the file is added "
        "as the last argument. Exit status 0 means applied.",
        "the file `running.conf` of the state directory is replaced atomically, nothing is run",
    )
    health_command: tuple[str, ...] = _command(
        "Program with its arguments that says whether the server is healthy after an apply. "
        "Another exit status than 0 puts the last working configuration back.",
        "an apply that succeeded counts as healthy",
    )
    read_command: tuple[str, ...] = _command(
        "Program with its arguments that prints the running configuration. It is how changes "
        "from outside are seen.",
        "the pages say *as last applied; outside changes cannot be seen*",
    )
    who_command: tuple[str, ...] = _command(
        "Program with its arguments that prints in one line who changed the running "
        "configuration last. It is asked when a change from outside is shown.",
        "the owner of `running.conf`; with `read_command` it is not known",
    )
    timeout_s: int = _key(
        60,
        Rule(Kind.SECONDS, "Time limit of each of these commands; then it is killed.", 1, 3600),
    )
    canary: int | None = _key(
        None,
        Rule(
            Kind.COUNT,
            "Id of the server that applies every commit first; the others follow after its "
            "health command agreed and `canary_pause_s`. It counts on the primary that makes the "
            "commit; the form of a commit can say otherwise.",
            0,
            HIGHEST_ID,
            unset="all servers apply at once",
        ),
    )
    canary_pause_s: int = _key(
        60,
        Rule(
            Kind.SECONDS,
            "How long the canary must run a commit well before the others apply it.",
            0,
            86400,
        ),
    )


@dataclass(frozen=True, slots=True)
class ReplicationSection:
    """When a commit counts as saved: on how many servers it must be."""

    ack: Literal["local", "one", "all"] = _key(
        "one",
        Rule(
            Kind.CHOICE,
            "What a person waits for after a commit: `local` for the disk of the primary, `one` "
            "for the disk of one other server as well, `all` for every server that answers. The "
            "commit is saved on the primary in any case; a page says when more was asked for.",
            choices=("local", "one", "all"),
        ),
    )
    ack_timeout_s: int = _key(
        5,
        Rule(Kind.SECONDS, "How long a person waits for the other servers at most.", 1, 60),
    )


@dataclass(frozen=True, slots=True)
class MirrorSection:
    """A copy of the repository on an external Git server, pushed by the server that leads."""

    url: str | None = _key(
        None,
        Rule(
            Kind.TEXT,
            "Where to push: `ssh://USER@HOST/PATH` or `https://HOST/PATH`, without a password. "
            "Refs only move forward there, drafts are not sent, secrets are sealed.",
            unset="there is no mirror",
        ),
    )
    key: Path | None = field(
        default=None,
        metadata=_file("Private SSH key for an `ssh://` mirror, without a passphrase.", "not used"),
    )
    known_hosts: Path | None = field(
        default=None,
        metadata=_file(
            "File in the form of OpenSSH's `known_hosts` with the host key of an `ssh://` mirror; "
            "no other key is accepted.",
            "not used",
        ),
    )
    token_file: Path | None = field(
        default=None,
        metadata=_file(
            "File with the token for an `https://` mirror, and nothing else.", "no login"
        ),
    )
    ca_file: Path | None = field(
        default=None,
        metadata=_file(
            "CA file for the certificate of an `https://` mirror.", "the authorities of the system"
        ),
    )


@dataclass(frozen=True, slots=True)
class SamplesSection:
    """Where the throughput on the pages comes from."""

    source: Literal["host", "simulated"] = _key(
        "host",
        Rule(
            Kind.CHOICE,
            "`host` reads the interface counters of this machine. `simulated` invents traffic "
            "and says so on every page that shows it; for demonstrations.",
            choices=("host", "simulated"),
        ),
    )
    access: tuple[str, ...] = _key(
        (),
        Rule(
            Kind.WORDS,
            "Interfaces towards the subscribers: what they send is downlink, "
            "what they receive is uplink.",
            unset="not counted",
        ),
    )
    internet: tuple[str, ...] = _key(
        (),
        Rule(
            Kind.WORDS,
            "Interfaces towards the internet: what they receive is downlink, what they send is "
            "uplink. Only counted when `access` is empty.",
            unset="the internet ports of the wires of the configuration",
        ),
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one server. Paths are absolute; commands are argument lists."""

    server: ServerSection
    gui: GuiSection = GuiSection()
    control: ControlSection = ControlSection()
    ssh: SshSection = SshSection()
    apply: ApplySection = ApplySection()
    replication: ReplicationSection = ReplicationSection()
    mirror: MirrorSection = MirrorSection()
    samples: SamplesSection = SamplesSection()

    def control_port(self, server_id: ServerId) -> int:
        """The control port of this server under that id."""
        if self.control.port is not None:
            return self.control.port
        return CONTROL_PORT_OF_ID_0 + server_id


SECTIONS: dict[str, type[Any]] = {
    "server": ServerSection,
    "gui": GuiSection,
    "control": ControlSection,
    "ssh": SshSection,
    "apply": ApplySection,
    "replication": ReplicationSection,
    "mirror": MirrorSection,
    "samples": SamplesSection,
}
