"""Only the server itself can make its beacons, and only for its own cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from configrepo.model import ServerId
from scheduler.beacon_signing import is_genuine, private_key, public_key, signed
from scheduler.control_view import Barred, ControlRole
from scheduler.election_values import Beacon
from tests.support.identities import identity

_CLUSTER = "c" * 32
_BEACON = Beacon(ServerId(0), 3, 4, ControlRole.PRIMARY, 5, 6, None, "a" * 40)


def _signed() -> Beacon:
    return signed(_BEACON, _CLUSTER, private_key(identity(0).control_pem.read_bytes()))


def _genuine(beacon: Beacon, cluster: str = _CLUSTER, server: int = 0) -> bool:
    key = public_key(identity(server).certificate_b64)
    assert key is not None
    return is_genuine(beacon, cluster, key)


def test_a_signed_beacon_is_genuine() -> None:
    assert _genuine(_signed())


@pytest.mark.parametrize(
    "change",
    [
        {"id": ServerId(1)},
        {"boot": 4},
        {"seq": 5},
        {"role": ControlRole.SECONDARY},
        {"epoch": 6},
        {"maxep": 7},
        {"following": ServerId(1)},
        {"head": None},
        {"barred": Barred("maintenance")},
        {"signature": ""},
        {"signature": "not base64"},
        {"signature": "AAAA"},
    ],
    ids=str,
)
def test_a_beacon_that_was_changed_is_not(change: dict[str, Any]) -> None:
    assert not _genuine(replace(_signed(), **change))


def test_a_beacon_of_another_cluster_or_another_key_is_not() -> None:
    assert not _genuine(_signed(), "d" * 32)
    assert not _genuine(_signed(), server=1)
