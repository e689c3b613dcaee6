"""What the system's sshd needs so that the other servers can bring the configuration.

Facts in, steps out; nothing is changed here. Whatever is right already is no step, so a
second run has nothing to do.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SNIPPET: Final = Path("/etc/ssh/sshd_config.d/bqn.conf")
_SNIPPET_TEXT: Final = """\
# {place}: the account of the cluster manager. Its keys are written
# by the program; each may only exchange the configuration through the forced command.
Match User {user}
    AuthorizedKeysFile {keys}
    AuthenticationMethods publickey
    DisableForwarding yes
    PermitTTY no
    PermitUserRC no
"""
_OTHERS_WRITE: Final = 0o022


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it is: `owner` is a number, None if there is no such folder."""

    path: Path
    owner: int | None
    mode: int = 0


@dataclass(frozen=True, slots=True)
class SshFacts:
    """How things stand.

    `account_id` is None while there is no such account; `shell` is its login shell.
    `above` are the folders above the state directory, the outermost first, `owned` the
    state directory and those in it that lead to the keys file. `snippet` is the text that
    is there, `included` whether sshd_config reads it.
    """

    user: str
    home: Path
    keys: Path
    account_id: int | None
    shell: str
    above: tuple[Folder, ...]
    owned: tuple[Folder, ...]
    keys_owner: int | None
    snippet: str | None
    included: bool


@dataclass(frozen=True, slots=True)
class MakeAccount:
    """Add a system account that no password opens."""

    user: str
    home: Path

    @property
    def sentence(self) -> str:
        """What will be done."""
        return f"add the system account {self.user} (home {self.home}, shell /bin/sh, no password)"


@dataclass(frozen=True, slots=True)
class SetFolder:
    """Make a folder, or give it the owner and mode that sshd wants."""

    path: Path
    mode: int

    @property
    def sentence(self) -> str:
        """What will be done."""
        return f"make {self.path} a folder of the account, mode {self.mode:04o}"


@dataclass(frozen=True, slots=True)
class SetKeys:
    """Make the keys file, or give it to the account."""

    path: Path

    @property
    def sentence(self) -> str:
        """What will be done."""
        return f"make {self.path} a file of the account, mode 0600; the program writes it"


@dataclass(frozen=True, slots=True)
class WriteSnippet:
    """Write the part of sshd's configuration that is about the account, then reload sshd."""

    path: Path
    text: str
    replaces: bool

    @property
    def sentence(self) -> str:
        """What will be done."""
        verb = "replace" if self.replaces else "write"
        lines = "".join(f"\n      {line}" for line in self.text.splitlines())
        return f"{verb} {self.path} and reload sshd:{lines}"


@dataclass(frozen=True, slots=True)
class RemoveSnippet:
    """Take the part about the account out of sshd's configuration, then reload sshd."""

    path: Path
    text: str

    @property
    def sentence(self) -> str:
        """What will be done."""
        lines = "".join(f"\n      {line}" for line in self.text.splitlines())
        return (
            f"remove {self.path} and reload sshd; the other servers and auditors open no new "
            f"connection then, those that are open stay until they end:{lines}"
        )


Step = MakeAccount | SetFolder | SetKeys | WriteSnippet | RemoveSnippet


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be changed, and what a person must change first."""

    steps: tuple[Step, ...]
    obstacles: tuple[str, ...] = ()


def snippet_text(user: str, keys: Path) -> str:
    """The part of sshd's configuration for the account."""
    return _SNIPPET_TEXT.format(place=SNIPPET, user=user, keys=str(keys).replace("%", "%%"))


def plan_setup(facts: SshFacts) -> Plan:
    """Decide what has to be changed."""
    steps: list[Step] = []
    if facts.account_id is None:
        steps.append(MakeAccount(facts.user, facts.home))
    steps += [SetFolder(folder.path, 0o700) for folder in facts.owned if _wrong(folder, facts)]
    if facts.keys_owner is None or facts.keys_owner != facts.account_id:
        steps.append(SetKeys(facts.keys))
    wanted = snippet_text(facts.user, facts.keys)
    if facts.snippet != wanted:
        steps.append(WriteSnippet(SNIPPET, wanted, facts.snippet is not None))
    return Plan(tuple(steps), tuple(_obstacles(facts)))


def _wrong(folder: Folder, facts: SshFacts) -> bool:
    owned = folder.owner is not None and folder.owner == facts.account_id
    return not owned or bool(folder.mode & 0o077)


def _obstacles(facts: SshFacts) -> list[str]:
    found = [
        f"{folder.path} can be written by others than root (mode {folder.mode:04o}), so sshd "
        "trusts no keys below it: chmod go-w it, or keep the state elsewhere."
        for folder in facts.above
        if folder.owner not in (None, 0, facts.account_id) or folder.mode & _OTHERS_WRITE
    ]
    if not facts.keys.is_relative_to(facts.home):
        found.append(
            f"{facts.keys} lies outside the state directory {facts.home}, and the program must be "
            "able to replace it: remove authorized_keys from [ssh] in the settings."
        )
    if not facts.included:
        found.append(
            f"sshd_config does not read {SNIPPET.parent}: add the line "
            f"'Include {SNIPPET.parent}/*.conf' at its top."
        )
    if facts.account_id is not None and facts.shell.endswith(("nologin", "false")):
        found.append(
            f"The account {facts.user} has the shell {facts.shell}, with which sshd cannot start "
            f"the gate: usermod --shell /bin/sh {facts.user}."
        )
    if any(letter in str(facts.keys) for letter in " \t\"'\\"):
        found.append(f"{facts.keys} has a blank or a quote in its name, which sshd takes apart.")
    return found
