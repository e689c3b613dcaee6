"""Pushing to a real git over a real sshd, and every URL that must not reach git."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.errors import StoreError
from configrepo.mirroring import MirrorTarget, push_mirror, wrong_url
from configrepo.sshsig import Signer
from configrepo.store import CommitId, Person, RefUpdate, Store
from scheduler.sshd import OwnSshd, account
from tests.support.sshd import free_port

SOMEBODY = Person("BQN 0", "bqn0@example.net")
CLUSTER, DRAFT = "refs/heads/cluster", "refs/bqn/drafts/x"


@pytest.mark.parametrize(
    "url",
    [
        "ssh://git@git.example/bqn.git",
        "ssh://git.example:2222/srv/bqn.git",
        "https://git.example/team/bqn.git",
        "https://robot@git.example:8443/bqn.git",
        "ssh://git@[2001:db8::1]:22/bqn.git",
    ],
)
def test_what_names_a_repository_on_an_ssh_or_https_server_is_taken(url: str) -> None:
    assert wrong_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c id",
        "file:///etc",
        "/etc",
        "../other.git",
        "http://git.example/bqn.git",
        "git://git.example/bqn.git",
        "git@git.example:bqn.git",
        "ssh://-oProxyCommand=id/bqn.git",
        "ssh://-x@git.example/bqn.git",
        "https://robot:secret@git.example/bqn.git",
        "https://git.example",
        "https://git.example/",
        "https:///bqn.git",
        "ssh://git.example:99999/bqn.git",
        "ssh://git.example/bqn.git\n--force",
        "ssh://git.example/$(id)",
        "https://git.example/a b",
        "https://git.example/../../x",
    ],
)
def test_everything_else_is_refused_before_git_sees_it(url: str, tmp_path: Path) -> None:
    assert wrong_url(url) is not None
    with pytest.raises(StoreError, match="URL of the mirror"):
        push_mirror(tmp_path, MirrorTarget(url), tmp_path / "credentials")


class Hosting:
    """An external Git server: a bare repository behind an sshd, and our store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store.create(
            folder / "config.git", Signer(SOMEBODY, Ed25519PrivateKey.generate())
        )
        self.hosted = folder / "hosted.git"
        subprocess.run(["git", "init", "-q", "--bare", str(self.hosted)], check=True)
        key = folder / "key"
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(argv, check=True)
        keys = folder / "authorized_keys"
        served = shlex.quote(str(self.hosted))
        keys.write_text(
            f'command="git receive-pack {served}" {key.with_suffix(".pub").read_text()}'
        )
        self.sshd = OwnSshd(folder / "sshd", free_port(), keys)
        self.sshd.start()
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.sshd.port} {self.sshd.host_key}\n")
        url = f"ssh://{account()}@127.0.0.1:{self.sshd.port}/hosted.git"
        self.target = MirrorTarget(url, key=key, known_hosts=known)

    def commit(self, ref: str, text: str) -> CommitId:
        head = self.store.ref(ref)
        files = {"common/ntp.conf": f"ntp\n server {text}\n"}
        parents = () if head is None else (head,)
        commit = self.store.write_commit(parents, files, SOMEBODY, "Change", {"Server": "0"})
        self.store.move((RefUpdate(ref, head, commit),), "test")
        return commit

    def push(self) -> None:
        push_mirror(self.folder / "config.git", self.target, self.folder / "credentials")

    def refs(self) -> dict[str, str]:
        argv = ["git", "-C", str(self.hosted), "for-each-ref", "--format=%(refname) %(objectname)"]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return {line.split()[0]: line.split()[1] for line in said.splitlines()}

    def close(self) -> None:
        self.sshd.stop()
        self.store.close()


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[Hosting]:
    made = Hosting(tmp_path)
    yield made
    made.close()


def test_everything_but_drafts_is_pushed_and_again_when_it_grows(hosting: Hosting) -> None:
    refs = (CLUSTER, "refs/heads/server/0", "refs/terms/000000000001-000", "refs/notes/apply-0")
    heads = {ref: hosting.commit(ref, f"192.0.2.{n}") for n, ref in enumerate(refs, 1)}
    hosting.commit(DRAFT, "192.0.2.99")
    hosting.push()
    assert hosting.refs() == heads
    heads[CLUSTER] = hosting.commit(CLUSTER, "192.0.2.50")
    hosting.push()
    assert hosting.refs() == heads


def test_what_others_wrote_to_the_mirror_is_not_overwritten_but_told(hosting: Hosting) -> None:
    hosting.commit(CLUSTER, "192.0.2.1")
    hosting.push()
    theirs = hosting.commit("refs/heads/server/9", "192.0.2.9")
    hosting.push()
    update = ["git", "-C", str(hosting.hosted), "update-ref", CLUSTER, theirs]
    subprocess.run(update, check=True)
    hosting.commit(CLUSTER, "192.0.2.2")
    with pytest.raises(StoreError, match="refs/heads/cluster was refused"):
        hosting.push()
    assert hosting.refs()[CLUSTER] == theirs


def test_another_host_key_is_a_stop(hosting: Hosting) -> None:
    hosting.commit(CLUSTER, "192.0.2.1")
    known = hosting.folder / "known_hosts"
    words = known.read_text().split()
    other = hosting.folder / "key.pub"
    known.write_text(f"{words[0]} {' '.join(other.read_text().split()[:2])}\n")
    with pytest.raises(StoreError, match=r"[Hh]ost key verification failed"):
        hosting.push()
    assert hosting.refs() == {}


def test_a_server_that_does_not_answer_is_told_in_one_line(hosting: Hosting) -> None:
    hosting.commit(CLUSTER, "192.0.2.1")
    hosting.sshd.stop()
    with pytest.raises(StoreError, match="refused"):
        hosting.push()


def test_a_token_is_read_from_its_file_and_kept_private(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cr/t:x\n")
    target = MirrorTarget("https://127.0.0.1:1/bqn.git", token=token)
    Store.create(tmp_path / "config.git", None).close()
    with pytest.raises(StoreError) as caught:
        push_mirror(tmp_path / "config.git", target, tmp_path / "credentials")
    assert "s3cr" not in str(caught.value)
    kept = tmp_path / "credentials"
    assert kept.read_text() == "https://bqn:s3cr%2Ft%3Ax@127.0.0.1:1\n"
    assert kept.stat().st_mode & 0o777 == 0o600
