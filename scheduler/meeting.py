"""Meeting without a join code: what two servers show each other, and what people compare.

The vendor's way: each person says the id and address of the other server. The joining
server asks who answers there, draws a secret, and sends it with its record over TLS to
the certificate that it saw, signed by its own key for that certificate only. So each
server knows which keys the other one holds, but not yet whether they are the right ones:
that is what people compare. Someone between the servers has another certificate on each
side, and shows two persons two different things.

The number stands for all keys of both and for the secret of this one meeting. It is slow
to make, so that nobody finds, in the 15 minutes or before, keys that give the same one.

Pure.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.members import Member, fingerprint
from scheduler.errors import WrongIdentity
from scheduler.joincode import JoinCode, host_key_digest, prove, proven, vouch, vouched
from scheduler.views import Meeting, Shown

ROUTE = "/join/meet"
_PURPOSE = "meet"
_SECRET_BYTES = 16
_ROUNDS = 1 << 17
_GROUPS, _DIGITS = 6, 5


def request(code: JoinCode, own: Member, schema: int, key: Ed25519PrivateKey) -> dict[str, Any]:
    """What the joining server sends; `code` holds the certificate seen, and the secret."""
    content = {"record": asdict(own), "schema": schema}
    proof = prove(code.secret, _PURPOSE, {**content, "to": code.control_fingerprint})
    signature = vouch(key, proof)
    return {**content, "secret": code.secret.hex(), "proof": proof, "signature": signature}


def secret_of(body: Mapping[str, Any], record: Member, to: str) -> bytes | None:
    """The secret of a request, if the server of that record made it for the certificate `to`."""
    content = {key: body.get(key) for key in ("record", "schema")}
    proof = body.get("proof")
    try:
        secret = bytes.fromhex(str(body.get("secret")))
        host_key_digest(record.ssh_host_key)
        right = proven(secret, _PURPOSE, {**content, "to": to}, proof)
    except ValueError:
        return None
    right = right and vouched(record.certificate, proof, body.get("signature"))
    return secret if right and len(secret) == _SECRET_BYTES else None


def answer(code: JoinCode) -> dict[str, Any]:
    """What the inviting server says of itself; its certificate was shown already."""
    return {"id": code.id, "cluster": code.cluster_id, "ssh": code.ssh_fingerprint}


def completed(code: JoinCode, said: Mapping[str, Any]) -> JoinCode:
    """The code that the joining server would have been given, by what it saw and was told.

    Raises:
        WrongIdentity: another server answered, or one that does not understand.
    """
    place = f"{code.address}:{code.control_port}"
    if said.get("id") != code.id or isinstance(said.get("id"), bool):
        raise WrongIdentity(f"BQN {code.id} was expected at {place}, and another server answers")
    cluster, ssh = said.get("cluster"), said.get("ssh")
    if not _is_hex(cluster, 16) or not _is_hex(ssh, 32):
        raise WrongIdentity(f"{place} gave an answer that is not understood")
    return replace(code, cluster_id=str(cluster), ssh_fingerprint=str(ssh))


def _is_hex(value: object, length: int) -> bool:
    if not isinstance(value, str) or len(value) != 2 * length:
        return False
    return all(letter in "0123456789abcdef" for letter in value)


def seen_by_inviter(code: JoinCode, joiner: Member) -> Meeting:
    """What the inviting server shows."""
    return Meeting(_inviter(code), _joiner(joiner), _number(code, joiner))


def seen_by_joiner(code: JoinCode, joiner: Member) -> Meeting:
    """What the joining server shows: the same, the other way round."""
    return Meeting(_joiner(joiner), _inviter(code), _number(code, joiner))


def _inviter(code: JoinCode) -> Shown:
    return Shown(code.id, _written(code.control_fingerprint), _written(code.ssh_fingerprint))


def _joiner(record: Member) -> Shown:
    host_key = _written(host_key_digest(record.ssh_host_key))
    return Shown(record.id, fingerprint(record.certificate), host_key)


def _written(digest: str) -> str:
    """A SHA-256 in the style of OpenSSH."""
    text = base64.b64encode(bytes.fromhex(digest)).decode("ascii")
    return "SHA256:" + text.rstrip("=")


@lru_cache(maxsize=8)
def _number(code: JoinCode, joiner: Member) -> str:
    inviter = [code.id, code.control_fingerprint, code.ssh_fingerprint]
    other = [joiner.id, joiner.certificate, joiner.ssh_host_key, joiner.ssh_key]
    keys = json.dumps([inviter, other]).encode()
    digest = hashlib.pbkdf2_hmac("sha256", keys, b"bqn-meet-v1\0" + code.secret, _ROUNDS)
    digits = f"{int.from_bytes(digest, 'big') % 10 ** (_GROUPS * _DIGITS):030d}"
    return " ".join(digits[i : i + _DIGITS] for i in range(0, len(digits), _DIGITS))
