"""Who this server is towards the others: two keys and a certificate, made at first start.

    identity_ed25519       the SSH client key, which also signs commits (OpenSSH format)
    identity_ed25519.pub   its public half
    control.pem            key and certificate of the control port

The certificate is self-signed, is not an authority and never expires: nothing about it
is believed but its SHA-256, which the other servers hold as a pin. Keys never leave
their directory and never enter Git.

Edge: files, randomness.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from scheduler.errors import SchedulerError
from scheduler.state_dir import write_durably

_SSH_KEY = "identity_ed25519"
_CONTROL = "control.pem"
_NEVER_BEFORE = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class IdentityError(SchedulerError):
    """The keys of this server are missing, damaged, or already there."""


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """The keys of this server.

    `certificate` is DER; `ssh_public` is one line "ssh-ed25519 AAAA…" without a comment.
    """

    directory: Path
    private_key: Ed25519PrivateKey
    ssh_public: str
    certificate: bytes

    def __repr__(self) -> str:
        """The fingerprint only, so that no log can hold a key."""
        return f"Identity({self.fingerprint})"

    @property
    def certificate_b64(self) -> str:
        """The certificate of the control port as base64 of its DER form."""
        return base64.b64encode(self.certificate).decode("ascii")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate in 64 hexadecimal digits."""
        return hashlib.sha256(self.certificate).hexdigest()

    @property
    def control_pem(self) -> Path:
        """Key and certificate of the control port, for `ssl`."""
        return self.directory / _CONTROL

    @property
    def ssh_key(self) -> Path:
        """The SSH client key, in OpenSSH format."""
        return self.directory / _SSH_KEY

    @classmethod
    def create(cls, directory: Path) -> Identity:
        """Make new keys in a directory (`keys/` of the state directory).

        Raises:
            IdentityError: there are keys already; they are left as they are.
        """
        if (directory / _SSH_KEY).exists():
            raise IdentityError(f"{directory} already holds the keys of a server")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = Ed25519PrivateKey.generate()
        write_durably(directory / _CONTROL, _control_pem())
        write_durably(directory / f"{_SSH_KEY}.pub", f"{_ssh_public(key)}\n".encode(), mode=0o644)
        # Last, because its presence says that the others are complete.
        write_durably(directory / _SSH_KEY, _openssh(key))
        return cls.load(directory)

    @classmethod
    def load(cls, directory: Path) -> Identity:
        """Read the keys of a directory.

        Raises:
            IdentityError: a file is missing or is not what it should be.
        """
        try:
            key = serialization.load_ssh_private_key((directory / _SSH_KEY).read_bytes(), None)
            certificate = x509.load_pem_x509_certificate((directory / _CONTROL).read_bytes())
        except FileNotFoundError as error:
            raise IdentityError(f"{error.filename} is missing: restore the keys") from error
        except (ValueError, UnsupportedAlgorithm) as error:
            raise IdentityError(f"a key in {directory} is damaged: {error}") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise IdentityError(f"{directory / _SSH_KEY} is not an ed25519 key")
        return cls(
            directory=directory,
            private_key=key,
            ssh_public=_ssh_public(key),
            certificate=certificate.public_bytes(serialization.Encoding.DER),
        )

    @classmethod
    def load_or_create(cls, directory: Path) -> Identity:
        """Read the keys of a directory, or make them if there are none."""
        if (directory / _SSH_KEY).exists():
            return cls.load(directory)
        return cls.create(directory)


def _ssh_public(key: Ed25519PrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode("ascii")
    )


def _openssh(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def _control_pem() -> bytes:
    """A fresh key and its certificate. The subject is random: stores look up by subject."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"bqn-{secrets.token_hex(16)}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NEVER_BEFORE)
        .not_valid_after(_NEVER_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, None)
    )
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
