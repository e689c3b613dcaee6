from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from scheduler.authorized_keys import (
    GATE,
    KNOCKING,
    MEMBER,
    Auditor,
    KeyHolder,
    mark_of,
    write_authorized_keys,
)
from scheduler.ssh_keys import PublicKey, read_public_key
from scheduler.sshd import account
from tests.support.sshd import SshServer, public_line

REFUSED = 126
KEYS = {number: public_line(Ed25519PrivateKey.generate()) for number in (7, 17, 77)}
RECEIVE = "git-receive-pack 'config.git'"
UPLOAD = "git-upload-pack 'config.git'"

ABUSE = [
    "",
    "id",
    ";id",
    "sh",
    "/bin/sh -i",
    "bqn-probe;id",
    "bqn-probe ",
    " bqn-probe",
    "bqn-probe\n",
    "bqn-probe\nid",
    "bqn-probe && id",
    "$(id)",
    "`id`",
    "*",
    "sftp",
    "internal-sftp",
    "/usr/lib/openssh/sftp-server",
    "scp -t /tmp",
    "scp -f config.git/config",
    "rsync --server . .",
    "git-upload-pack config.git",
    "git-upload-pack '../config.git'",
    "git-upload-pack '/etc'",
    "git-upload-pack 'other.git'",
    "git-upload-pack 'config.git' ",
    "git-upload-pack 'config.git'\n",
    "git-upload-pack 'config.git';id",
    "git-upload-pack 'config.git' 'config.git'",
    "git-upload-pack --help",
    "git-upload-pack --strict 'config.git'",
    "git-receive-pack --stateless-rpc 'config.git'",
    "git-receive-pack 'config.git'\nid",
    "git-receive-pack 'config.git' || id",
    'git-receive-pack "config.git"',
    "git receive-pack 'config.git'",
    "git-upload-archive 'config.git'",
    "git-shell -c id",
    "GIT-UPLOAD-PACK 'config.git'",
    "git-upload-pack 'config.git/'",
    "git-upload-pack\t'config.git'",
    "é",
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "config.git")], check=True)
    return tmp_path


def gate(
    state: Path,
    asked: str,
    verbs: str = "receive-pack,upload-pack,probe",
    key: str = KEYS[7],
    who: str = "7",
    **more: str,
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(GATE), who, str(state), verbs, mark_of(key)],
        env={"SSH_ORIGINAL_COMMAND": asked, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=10,
        check=False,
    )


@pytest.mark.parametrize("asked", ABUSE)
def test_everything_but_the_three_commands_is_refused_and_logged(state: Path, asked: str) -> None:
    done = gate(state, asked)
    assert done.returncode == REFUSED
    assert done.stdout == b""
    log = (state / "gate.log").read_text()
    assert log.count("\n") == 1
    assert "server 7 refused" in log


def test_the_probe_answers_with_one_line_and_nothing_is_logged(state: Path) -> None:
    assert gate(state, "bqn-probe").stdout == b"bqn-gate 1\n"
    assert not (state / "gate.log").exists()


def test_who_was_removed_may_ask_no_more_on_a_connection_that_is_still_open(state: Path) -> None:
    def let_in(*holders: KeyHolder) -> None:
        write_authorized_keys(state / "authorized_keys", holders, state)

    other = KeyHolder(ServerId(77), KEYS[77])
    let_in(KeyHolder(ServerId(7), KEYS[7]), other)
    assert gate(state, "bqn-probe").returncode == 0
    let_in(other)
    told = gate(state, "bqn-probe")
    assert told.returncode == REFUSED
    assert b"not let in any more" in told.stderr
    # Other hardware takes the place: the old key stays out.
    let_in(KeyHolder(ServerId(7), KEYS[17]), other)
    assert gate(state, "bqn-probe").returncode == REFUSED
    assert gate(state, "bqn-probe", key=KEYS[17]).returncode == 0
    assert gate(state, "bqn-probe", key="").returncode == REFUSED


def test_a_person_whose_key_was_taken_away_may_ask_no_more(state: Path) -> None:
    key = read_public_key(KEYS[7])
    assert isinstance(key, PublicKey)
    for auditors, status in (([Auditor("olga", key)], 0), ([], REFUSED)):
        write_authorized_keys(state / "authorized_keys", [], state, auditors=auditors)
        asked = gate(state, UPLOAD, key=key.line, who="audit:olga")
        assert (asked.returncode == REFUSED) == (status == REFUSED), asked.stderr


def test_a_key_may_only_use_the_verbs_of_its_line(state: Path) -> None:
    assert gate(state, "bqn-probe", "probe").returncode == 0
    assert gate(state, RECEIVE, "probe").returncode == REFUSED
    assert gate(state, UPLOAD, "receive-pack,probe").returncode == REFUSED
    assert gate(state, RECEIVE, "upload-pack").returncode == REFUSED


def as_auditor(state: Path, asked: str, verbs: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(GATE), "audit:olga", str(state), verbs],
        env={"SSH_ORIGINAL_COMMAND": asked},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("verbs", ["upload-pack", "receive-pack,upload-pack,probe"])
@pytest.mark.parametrize("asked", [*ABUSE, RECEIVE, "git-receive-pack '/git/cluster.git'"])
def test_an_auditor_may_only_fetch_whatever_the_line_says(
    state: Path, asked: str, verbs: str
) -> None:
    assert as_auditor(state, asked, verbs).returncode == REFUSED
    assert "auditor olga refused" in (state / "gate.log").read_text()


@pytest.mark.parametrize("asked", [UPLOAD, "git-upload-pack '/git/cluster.git'"])
def test_what_an_auditor_fetches_is_noted(state: Path, asked: str) -> None:
    assert as_auditor(state, asked, "upload-pack").stdout == b"0000"
    assert f"auditor olga fetches: {asked}" in (state / "gate.log").read_text()


def test_the_environment_of_the_other_end_does_not_reach_git(state: Path) -> None:
    (state / "elsewhere.git").mkdir()
    done = gate(
        state,
        UPLOAD,
        GIT_DIR=str(state / "elsewhere.git"),
        GIT_PROTOCOL="version=2",
        GIT_EXEC_PATH=str(state / "elsewhere.git"),
        GIT_TRACE=str(state / "trace"),
    )
    assert done.stdout == b"0000"  # protocol 0 of the right, empty repository
    assert not (state / "trace").exists()


def test_a_full_log_is_put_aside(state: Path) -> None:
    (state / "gate.log").write_bytes(b"x" * 1_100_000)
    gate(state, "id")
    assert (state / "gate.log").stat().st_size < 1000
    assert (state / "gate.log.1").stat().st_size == 1_100_000


class OpenSsh:
    """The stock client, with the identity file of a key."""

    def __init__(self, server: SshServer, folder: Path, key: Ed25519PrivateKey) -> None:
        self.server = server
        identity = folder / "client_key"
        identity.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            )
        )
        identity.chmod(0o600)
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        self.options = [
            "-F/dev/null",
            f"-i{identity}",
            f"-oUserKnownHostsFile={known}",
            "-oStrictHostKeyChecking=yes",
            "-oIdentitiesOnly=yes",
            "-oBatchMode=yes",
            "-oExitOnForwardFailure=yes",
            "-oLogLevel=ERROR",
        ]

    def run(
        self, program: str, *words: str, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [program, *self.options, *words],
            input=given,
            env={"PATH": os.environ["PATH"], "BQN_CANARY": "sung"},
            capture_output=True,
            timeout=20,
            check=False,
        )

    def ssh(self, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        where = f"{account()}@127.0.0.1"
        return self.run("ssh", f"-p{self.server.port}", *words[:-1], where, words[-1], given=given)


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def client(state: Path, tmp_path: Path, key: Ed25519PrivateKey) -> Iterator[OpenSsh]:
    server = SshServer(state, (KeyHolder(ServerId(7), public_line(key), MEMBER),))
    yield OpenSsh(server, tmp_path, key)
    server.stop()


def test_the_stock_ssh_client_gets_no_shell_no_files_and_no_tunnel(
    state: Path, client: OpenSsh
) -> None:
    assert client.ssh("bqn-probe").stdout == b"bqn-gate 1\n"

    canary = state / "canary"
    assert client.ssh("-tt", f"touch {canary}").returncode == 255
    assert client.ssh("-oSendEnv=BQN_CANARY", f";touch {canary}").returncode == REFUSED
    assert client.ssh(f"bqn-probe\ntouch {canary}").returncode == REFUSED
    shell = client.run("ssh", f"-p{client.server.port}", f"{account()}@127.0.0.1", given=b"id\n")
    assert shell.returncode == REFUSED
    assert b"uid=" not in shell.stdout

    where = f"{account()}@127.0.0.1:{canary}"
    port = str(client.server.port)
    assert client.run("scp", "-P", port, "/etc/hostname", where).returncode != 0
    assert client.run("scp", "-O", "-P", port, "/etc/hostname", where).returncode != 0
    sftp = client.run("sftp", "-P", port, f"{account()}@127.0.0.1", given=b"put /etc/hostname\n")
    assert sftp.returncode != 0
    assert not canary.exists()


@pytest.mark.parametrize("forward", ["-R0:127.0.0.1:9", "-wany", "-R/tmp/bqn-forward:127.0.0.1:9"])
def test_no_forwarding_is_granted(client: OpenSsh, forward: str) -> None:
    assert client.ssh(forward, "-N", "x").returncode == 255


def test_a_local_forward_is_refused_when_it_is_used(client: OpenSsh) -> None:
    done = client.ssh("-W", f"127.0.0.1:{client.server.port}", "x")
    assert done.returncode == 255
    assert b"SSH-2.0" not in done.stdout


def test_a_key_without_a_line_is_not_let_in(client: OpenSsh) -> None:
    client.server.allow(())
    assert client.ssh("bqn-probe").returncode == 255


def test_a_knocking_server_may_only_probe(client: OpenSsh, key: Ed25519PrivateKey) -> None:
    client.server.allow((KeyHolder(ServerId(7), public_line(key), KNOCKING),))
    assert client.ssh("bqn-probe").returncode == 0
    assert client.ssh(UPLOAD).returncode == REFUSED
