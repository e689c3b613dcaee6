"""What the GUI of one server needs to know before it starts.

`app.py` makes this value from the settings file; nothing here reads a file.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configrepo.model import ServerId

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GuiSettings:
    """How this server shows itself.

    `address` and `port` are where HTTPS is served; port 0 takes a free one (tests).
    `certificate` and `key` are PEM files of an own certificate; without them a
    self-signed one is made in the state directory at the first start.
    `trusted_hosts` are the names and addresses that browsers may use for this server
    (empty: any), a guard against DNS rebinding. At most `clones` of the `threads`
    stream a repository at one time, so that pages always find a thread.
    """

    server_id: ServerId
    state_dir: Path
    address: str = "0.0.0.0"  # noqa: S104 - a management network has many addresses
    port: int = 8443
    certificate: Path | None = None
    key: Path | None = None
    trusted_hosts: tuple[str, ...] = ()
    threads: int = 12
    clones: int = 4
    session_idle_s: float = 15 * 60
    session_longest_s: float = 12 * 3600

    @property
    def cookie_name(self) -> str:
        """The session cookie; it carries the id because ports do not separate cookies."""
        return f"__Host-bqn-{self.server_id}"
