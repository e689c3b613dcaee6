"""The certificate of the GUI: an own one by setting, else a self-signed one.

The self-signed one is made at the first start and kept. It is valid from 1970 to 9999
(a server whose clock battery is dead must still show its GUI), names this machine and
the address that is served, and is no authority for others. Its SHA-256 fingerprint is
printed on the console, for comparison with what the browser shows.

Edge: files of the state directory.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bqngui.settings import GuiSettings
from scheduler.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where certificate and key are; `fingerprint` is `SHA256:` and hexadecimal pairs."""

    certificate: Path
    key: Path
    fingerprint: str


def for_gui(settings: GuiSettings) -> Certificate:
    """The certificate that the settings name, or the self-signed one.

    Raises:
        SettingsError: the named files cannot be used.
    """
    if settings.certificate is not None:
        key = settings.key or settings.certificate
        return Certificate(settings.certificate, key, _fingerprint(settings.certificate))
    folder = settings.state_dir / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    certificate, key = folder / "gui.crt", folder / "gui.key"
    if not (certificate.is_file() and key.is_file()):
        _make(certificate, key, settings)
    return Certificate(certificate, key, _fingerprint(certificate))


def tls_context(certificate: Certificate) -> ssl.SSLContext:
    """A TLS context for browsers: TLS 1.2 and later, HTTP/1.1.

    Raises:
        SettingsError: certificate and key do not fit or cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate.certificate, certificate.key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            (
                f"the GUI certificate {certificate.certificate} with key {certificate.key}"
                f" cannot be used: {error}",
            )
        ) from error
    return context


def _fingerprint(path: Path) -> str:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SettingsError((f"the GUI certificate {path} cannot be read: {error}",)) from error
    digest = hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    pairs = ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))
    return f"SHA256:{pairs.upper()}"


def _make(certificate: Path, key: Path, settings: GuiSettings) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"BQN {settings.server_id}")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(settings)), critical=False)
        .sign(private, hashes.SHA256())
    )
    _write(
        key,
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(certificate, signed.public_bytes(serialization.Encoding.PEM))


def _names(settings: GuiSettings) -> list[x509.GeneralName]:
    wanted = [socket.gethostname(), "localhost", "127.0.0.1", "::1"]
    wanted += [settings.address, *settings.trusted_hosts]
    names: list[x509.GeneralName] = []
    for text in dict.fromkeys(wanted):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            names.append(x509.DNSName(text.lstrip(".").encode("idna").decode("ascii")))
        else:
            if not address.is_unspecified:
                names.append(x509.IPAddress(address))
    return names


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
