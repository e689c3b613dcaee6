"""The keys of a server: made once, readable by their owner only, never overwritten."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from scheduler.identity import Identity, IdentityError


def test_new_keys_are_read_back_as_they_were_made(tmp_path: Path) -> None:
    made = Identity.create(tmp_path / "keys")
    loaded = Identity.load(tmp_path / "keys")
    assert (loaded.ssh_public, loaded.certificate) == (made.ssh_public, made.certificate)
    assert loaded.private_key.private_bytes_raw() == made.private_key.private_bytes_raw()


def test_private_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    made = Identity.create(tmp_path / "keys")
    assert made.directory.stat().st_mode & 0o777 == 0o700
    assert made.ssh_key.stat().st_mode & 0o777 == 0o600
    assert made.control_pem.stat().st_mode & 0o777 == 0o600


def test_openssh_reads_the_key_and_agrees_on_its_public_half(tmp_path: Path) -> None:
    made = Identity.create(tmp_path / "keys")
    said = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(made.ssh_key)], capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[:2] == made.ssh_public.split()
    assert (made.directory / "identity_ed25519.pub").read_text().strip() == made.ssh_public


def test_the_certificate_is_no_authority_and_never_expires(tmp_path: Path) -> None:
    certificate = x509.load_der_x509_certificate(Identity.create(tmp_path).certificate)
    assert certificate.not_valid_before_utc.year == 1970
    assert certificate.not_valid_after_utc.year == 9999
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_existing_keys_are_never_overwritten(tmp_path: Path) -> None:
    made = Identity.create(tmp_path)
    with pytest.raises(IdentityError, match="already holds"):
        Identity.create(tmp_path)
    assert Identity.load_or_create(tmp_path).ssh_public == made.ssh_public


def test_a_crash_in_the_middle_of_making_keys_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "control.pem").write_bytes(b"half a key")
    assert Identity.load_or_create(tmp_path).fingerprint


@pytest.mark.parametrize("name", ["identity_ed25519", "control.pem"])
def test_a_damaged_or_missing_key_is_named(tmp_path: Path, name: str) -> None:
    Identity.create(tmp_path)
    (tmp_path / name).write_bytes(b"nonsense")
    with pytest.raises(IdentityError, match="damaged"):
        Identity.load(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(IdentityError, match=name):
        Identity.load(tmp_path)


def test_no_key_is_shown_in_a_log(tmp_path: Path) -> None:
    made = Identity.create(tmp_path)
    assert repr(made) == f"Identity({made.fingerprint})"
