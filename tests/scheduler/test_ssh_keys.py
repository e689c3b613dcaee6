from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from scheduler.ssh_keys import PublicKey, read_public_key


def made(folder: Path, *options: str) -> str:
    path = folder / "key"
    argv = ["ssh-keygen", "-q", "-N", "", "-C", "someone@laptop", "-f", str(path), *options]
    subprocess.run(argv, check=True)
    return path.with_suffix(".pub").read_text()


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "rsa", "-b", "2048"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "384"),
        ("-t", "ecdsa", "-b", "521"),
    ],
)
def test_a_key_of_openssh_is_read_with_the_fingerprint_that_openssh_gives(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    line = made(tmp_path, *options)
    key = read_public_key(line)
    assert isinstance(key, PublicKey)
    assert key.line == " ".join(line.split()[:2])
    told = subprocess.run(
        ["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True
    )
    assert key.fingerprint in told.stdout.split()


def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    found = read_public_key(made(tmp_path, "-t", "rsa", "-b", "1024"))
    assert found == "An RSA key needs 2048 bits; this has 1024."


def blob(*parts: bytes) -> str:
    whole = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return base64.b64encode(whole).decode()


GOOD = blob(b"ssh-ed25519", b"k" * 32)
HARDWARE = blob(b"sk-ssh-ed25519@openssh.com", b"k" * 32, b"ssh:")


def test_a_key_of_a_hardware_token_is_read() -> None:
    assert isinstance(read_public_key(f"sk-ssh-ed25519@openssh.com {HARDWARE}"), PublicKey)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "begins with its type"),
        ("ssh-ed25519", "begins with its type"),
        ("ssh-dss " + blob(b"ssh-dss", b"x"), "begins with its type"),
        (f'command="sh" ssh-ed25519 {GOOD}', "begins with its type"),
        (f"restrict,ssh-ed25519 {GOOD}", "begins with its type"),
        (f"ssh-ed25519 {GOOD}\nssh-ed25519 {GOOD}", "one key"),
        (f"ssh-ed25519 {GOOD}\rssh-ed25519 {GOOD}", "one key"),
        ("ssh-ed25519 " + "A" * 9000, "one key"),
        (f"ssh-ed25519 {GOOD[:-3]}", "damaged"),
        (f"ssh-ed25519 {GOOD}!", "damaged"),
        ("ssh-ed25519 " + blob(b"ssh-ed25519", b"k" * 31), "damaged"),
        ("ssh-ed25519 " + blob(b"ssh-rsa", b"k" * 32), "damaged"),
        ("ssh-ed25519 " + blob(b"ssh-ed25519", b"k" * 32, b"more"), "damaged"),
        ("ssh-rsa " + blob(b"ssh-rsa", b"\x03"), "damaged"),
        ("ecdsa-sha2-nistp256 " + blob(b"ecdsa-sha2-nistp256", b"nistp384", b"k" * 65), "damaged"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nxyz", "private key"),
    ],
)
def test_what_is_no_public_key_is_told_in_one_sentence(text: str, words: str) -> None:
    found = read_public_key(text)
    assert isinstance(found, str)
    assert words in found
