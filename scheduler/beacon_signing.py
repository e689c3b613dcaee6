"""Signs this server's beacons and checks those that others pass on.

A beacon that comes from its own server needs no signature: TLS has shown who speaks. One
that is passed on does, so that a member can make the beacon of another older or withhold
it, but never make one up. The signature covers the cluster, so that none counts elsewhere.

Pure.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scheduler.control_view import barred_to_json
from scheduler.election_values import Beacon

_PURPOSE = b"bqn-beacon-v1\0"


class NotAKey(ValueError):
    """These bytes hold no ed25519 key."""


def private_key(pem: bytes) -> Ed25519PrivateKey:
    """The key of the control port.

    Raises:
        NotAKey: it is none, or of another kind.
    """
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, Ed25519PrivateKey):
        raise NotAKey("the key of the control port is not an ed25519 key")
    return key


def public_key(certificate_b64: str) -> Ed25519PublicKey | None:
    """The key in a pinned certificate; None if it is of another kind."""
    certificate = x509.load_der_x509_certificate(base64.b64decode(certificate_b64))
    key = certificate.public_key()
    return key if isinstance(key, Ed25519PublicKey) else None


def signed(beacon: Beacon, cluster: str, key: Ed25519PrivateKey) -> Beacon:
    """The beacon with its signature."""
    signature = base64.b64encode(key.sign(_bytes(beacon, cluster))).decode("ascii")
    return replace(beacon, signature=signature)


def is_genuine(beacon: Beacon, cluster: str, key: Ed25519PublicKey) -> bool:
    """Whether the server that a beacon speaks of has signed it for this cluster."""
    try:
        key.verify(base64.b64decode(beacon.signature, validate=True), _bytes(beacon, cluster))
    except (InvalidSignature, ValueError):
        return False
    return True


def _bytes(beacon: Beacon, cluster: str) -> bytes:
    said = [
        cluster,
        beacon.id,
        beacon.boot,
        beacon.seq,
        beacon.role.value,
        beacon.epoch,
        beacon.maxep,
        beacon.following,
        beacon.head,
        barred_to_json(beacon.barred),
    ]
    return _PURPOSE + json.dumps(said, separators=(",", ":")).encode()
