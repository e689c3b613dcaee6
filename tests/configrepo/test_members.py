from __future__ import annotations

import base64
import subprocess
from pathlib import Path

from configrepo.layout import path_allowed, read_files
from configrepo.members import (
    Member,
    allowed_signers,
    fingerprint,
    member_file,
    members_of,
    with_allowed_signers,
)
from configrepo.model import ServerId
from configrepo.sshsig import public_line, sign_commit
from tests.support.repositories import KEY

SSH_KEY = public_line(KEY.public_key())


def member(number: int, state: str = "active") -> Member:
    return Member(
        id=ServerId(number),
        name=f"bqn{number}",
        address=f"10.0.0.{number + 1}",
        ssh_port=22,
        control_port=63500 + number,
        certificate=base64.b64encode(b"certificate").decode(),
        ssh_host_key=SSH_KEY,
        ssh_key=SSH_KEY,
        state="removed" if state == "removed" else "active",
    )


def test_a_member_comes_back_from_its_file() -> None:
    records = (member(0), member(1, "removed"), member(12))
    files = dict(member_file(one) for one in records)
    assert members_of(files) == records
    assert read_files(files) == ()


def test_the_file_of_a_member_is_canonical() -> None:
    path, text = member_file(member(3))
    assert path == "cluster/servers/3.conf"
    assert path_allowed(path)
    assert text.startswith("server 3\n name bqn3\n address 10.0.0.4\n ssh-port 22\n")
    assert text.endswith("\n state active\n")


def test_the_signers_follow_the_members() -> None:
    files = dict([member_file(member(0))])
    signed = with_allowed_signers({**files, "cluster/allowed_signers": "forged\n"})
    assert signed["cluster/allowed_signers"] == f'server-0 namespaces="git" {SSH_KEY}\n'
    assert with_allowed_signers(signed) == signed
    assert with_allowed_signers({"common/ntp.conf": "ntp\n"}) == {"common/ntp.conf": "ntp\n"}


def test_openssh_accepts_the_signers_file(tmp_path: Path) -> None:
    signers = tmp_path / "signers"
    signers.write_text(allowed_signers((member(0), member(1))))
    (tmp_path / "sig").write_bytes(sign_commit(b"payload", KEY))
    names = ["-f", str(signers), "-s", str(tmp_path / "sig"), "-I", "server-1", "-n", "git"]
    subprocess.run(["ssh-keygen", "-Y", "verify", *names], input=b"payload", check=True)


def test_a_fingerprint_is_written_as_openssh_does() -> None:
    text = fingerprint(base64.b64encode(b"certificate").decode())
    assert text.startswith("SHA256:")
    assert len(text) == len("SHA256:") + 43
