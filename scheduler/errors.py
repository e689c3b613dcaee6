"""Exceptions of the room that acts on time.

    SchedulerError
    ├── SettingsError        the settings file; carries every problem
    ├── Unreachable          a server did not answer; carries the cause as a `Reach` word
    ├── WrongIdentity        a certificate or host key is not the pinned one: a hard stop
    ├── KeyRefused           the other server does not let this server's SSH key in
    ├── RemoteRefused        the other server answered and said no; carries its sentence
    │   └── UnknownRoute     it does not know what it was asked: another release
    ├── JoinRefused          a join code is wrong, used, expired or was tried too often
    └── PortInUse            a listening address is taken; names it

Pure.
"""

from __future__ import annotations


class SchedulerError(Exception):
    """Root of the exceptions of this room."""


class SettingsError(SchedulerError):
    """The settings file has problems.

    Attributes:
        problems: one sentence each, naming the key and what to do.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Unreachable(SchedulerError):
    """A server did not answer.

    Attributes:
        cause: one of the causes of `scheduler.connectivity` (refused, filtered, no route, …).
    """

    def __init__(self, message: str, cause: str = "no answer") -> None:
        super().__init__(message)
        self.cause = cause


class WrongIdentity(SchedulerError):
    """The key that a server shows is not the pinned one. Nothing was sent to it."""


class KeyRefused(SchedulerError):
    """The other server's sshd does not let the key of this server in."""


class RemoteRefused(SchedulerError):
    """The other server answered and refused; the message is its own sentence."""


class UnknownRoute(RemoteRefused):
    """The other server does not know what it was asked: it runs another release."""


class JoinRefused(SchedulerError):
    """A join code is wrong, already used, expired, or was tried too often."""


class PortInUse(SchedulerError):
    """A listening address is already in use."""
