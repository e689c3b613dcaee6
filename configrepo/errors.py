"""Exceptions of the room that remembers.

    ConfigRepoError
    ├── UnreadableConfig     a text that the language cannot read; carries every problem
    ├── UnknownKey           a sealed token that no key of the keyring opens
    ├── StateTooNew          a state directory written by a newer release
    ├── StoreError           the repository is broken or refused an operation
    │   ├── RefMoved         compare-and-swap lost: somebody else moved the ref
    │   ├── TransferFailed   the stream to another server ended early or was not git's
    │   │   └── TooMuchAtOnce another server sends more than is taken at a time
    │   └── DiskFull         no space left on the device of the repository
    └── NotFound             a revision, path or server that does not exist

An expected outcome (a disagreement, a refused commit) is a value, not an exception.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from configrepo.model import Problem


class ConfigRepoError(Exception):
    """Root of the exceptions of this room."""


class UnreadableConfig(ConfigRepoError):
    """A configuration text that cannot be read.

    Attributes:
        problems: every problem of the text, in line order; at least one is an error.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"line {p.line}: {p.message}" for p in problems))
        self.problems = problems


class UnknownKey(ConfigRepoError):
    """A sealed token cannot be opened at its place. The message never quotes the token."""


class StateTooNew(ConfigRepoError):
    """The state directory was written by a newer release of this program."""


class StoreError(ConfigRepoError):
    """The repository is broken, or git refused an operation."""


class RefMoved(StoreError):
    """A ref no longer holds the value that the caller read (compare-and-swap lost)."""


class TransferFailed(StoreError):
    """The stream to another server ended early, was not git's protocol, or was refused here."""


class TooMuchAtOnce(TransferFailed):
    """Another server sends more than is taken at a time.

    Attributes:
        found: where it has the refs that were asked for: commit ids by ref name.
    """

    def __init__(self, most_bytes: int, found: Mapping[str, str]) -> None:
        super().__init__(f"the other server sends more than {most_bytes} bytes at a time")
        self.found = dict(found)


class DiskFull(StoreError):
    """The device of the repository has no space left; nothing was changed."""


class NotFound(ConfigRepoError):
    """A revision, path or server does not exist."""
