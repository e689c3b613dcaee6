from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.sshsig import public_line, sign_commit, signed_by

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"\x08" * 32)


def verify_with_openssh(folder: Path, payload: bytes, armored: bytes) -> int:
    (folder / "signers").write_text(f'me namespaces="git" {public_line(KEY.public_key())}\n')
    (folder / "sig").write_bytes(armored)
    names = ["-f", str(folder / "signers"), "-s", str(folder / "sig"), "-I", "me", "-n", "git"]
    return subprocess.run(
        ["ssh-keygen", "-Y", "verify", *names], input=payload, capture_output=True, check=False
    ).returncode


def test_openssh_finds_the_signature_good_and_notices_a_changed_byte(tmp_path: Path) -> None:
    armored = sign_commit(b"tree 1\n", KEY)
    assert verify_with_openssh(tmp_path, b"tree 1\n", armored) == 0
    assert verify_with_openssh(tmp_path, b"tree 2\n", armored) != 0
    assert verify_with_openssh(tmp_path, b"tree 1\n", sign_commit(b"tree 1\n", OTHER)) != 0


def test_a_good_signature_names_its_key() -> None:
    assert signed_by(b"x", sign_commit(b"x", KEY)) == public_line(KEY.public_key())


def test_a_signature_made_by_openssh_is_read(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (tmp_path / "text").write_bytes(b"hello\n")
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "git", tmp_path / "text"],
        check=True,
        capture_output=True,
    )
    public = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    armored = (tmp_path / "text.sig").read_bytes()
    assert signed_by(b"hello\n", armored) == public
    assert signed_by(b"hallo\n", armored) is None


def test_whatever_is_not_a_signature_is_no_signature() -> None:
    good = sign_commit(b"x", KEY)
    lines = good.splitlines()
    for bad in (b"", b"x", good[:-40], b"\n".join([lines[0], lines[-1]]), good.replace(b"A", b"B")):
        assert signed_by(b"x", bad) is None
    for at in range(30, len(good) - 30):
        changed = bytearray(good)
        changed[at] = ord("A") if changed[at] != ord("A") else ord("B")
        assert signed_by(b"x", bytes(changed)) is None
