"""Servers with keys, for tests: made once per test run, because they are never changed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from configrepo.model import ServerId
from scheduler.identity import Identity


@cache
def identity(number: int) -> Identity:
    """The keys of the n-th test server."""
    return Identity.create(Path(mkdtemp(prefix=f"bqn-test-keys-{number}-")))


@dataclass(frozen=True, slots=True)
class Callee:
    """Where a test server answers."""

    id: ServerId
    address: str
    control_port: int
    certificate: str


def callee(number: int, port: int) -> Callee:
    """The n-th test server at a port of this machine."""
    return Callee(ServerId(number), "127.0.0.1", port, identity(number).certificate_b64)
