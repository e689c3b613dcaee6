from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.layout import parse_block_file, path_allowed, read_files
from configrepo.members import (
    FormerKey,
    Ineligible,
    Member,
    SeenFrom,
    allowed_signers,
    fingerprint,
    member_file,
    members_of,
    with_allowed_signers,
)
from configrepo.model import ServerId
from configrepo.sshsig import public_line, sign_commit
from configrepo.writer import block_text
from tests.support.repositories import KEY

SSH_KEY = public_line(KEY.public_key())
OTHER_KEY = public_line(Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())


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


FULL = replace(
    member(1, "removed"),
    removed="2026-11-22T15:00:00Z",
    ineligible=Ineligible("new power supply", "2026-11-23T06:00:00Z"),
    former_keys=(FormerKey(OTHER_KEY, "2026-10-01T00:00:00Z"),),
    seen_from=(
        SeenFrom(ServerId(0), "203.0.113.7"),
        SeenFrom(ServerId(10), "2001:db8::1", 2201, 63599),
    ),
)


def test_everything_that_a_record_can_hold_comes_back_from_its_canonical_file() -> None:
    path, text = member_file(FULL)
    assert members_of({path: text}) == (FULL,)
    assert "".join(map(block_text, parse_block_file(path, text))) == text
    endless = replace(FULL, ineligible=Ineligible("maintenance"))
    assert members_of(dict([member_file(endless)])) == (endless,)


def test_an_override_counts_for_its_viewer_only_and_only_for_what_it_says() -> None:
    near, far, other = (FULL.seen_by(ServerId(viewer)) for viewer in (0, 10, 2))
    assert (near.address, near.ssh_port, near.control_port) == ("203.0.113.7", 22, 63501)
    assert (far.address, far.ssh_port, far.control_port) == ("2001:db8::1", 2201, 63599)
    assert other is FULL


def test_a_removed_key_and_a_former_key_are_valid_only_for_commits_before() -> None:
    signers = allowed_signers((member(0), FULL))
    assert signers.splitlines() == [
        f'server-0 namespaces="git" {SSH_KEY}',
        f'server-1 namespaces="git",valid-before="20261001000000Z" {OTHER_KEY}',
        f'server-1 namespaces="git",valid-before="20261122150000Z" {SSH_KEY}',
    ]


@pytest.mark.parametrize(("time", "valid"), [("20261122145959Z", True), ("20261122150001Z", False)])
def test_openssh_takes_the_removal_time_at_its_word(
    tmp_path: Path, time: str, *, valid: bool
) -> None:
    (tmp_path / "signers").write_text(allowed_signers((FULL,)))
    (tmp_path / "sig").write_bytes(sign_commit(b"payload", KEY))
    found = subprocess.run(
        [
            *("ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "server-1", "-n", "git"),
            *("-s", "sig", f"-Overify-time={time}"),
        ],
        cwd=tmp_path,
        input=b"payload",
        capture_output=True,
        check=False,
    )
    assert (found.returncode == 0) is valid, found
