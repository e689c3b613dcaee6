from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from configrepo.factory import FACTORY_ROOT
from configrepo.layout import files_of
from configrepo.model import ServerId
from configrepo.parser import read
from configrepo.sealing import Keyring
from configrepo.store import CommitId
from scheduler.applying import Applier, ApplyCommands
from scheduler.expected import ExpectedHashes
from scheduler.running_text import RunningText
from scheduler.vault import Vault
from tests.support.replicas import Replica

EXAMPLE = Path(__file__).parents[2] / "examples" / "bqn1-v1.conf"
CLEAR = "$argon2id$v=19$m=19456,t=2,p=1$"


class Site:
    """A server that holds the example, committed and sealed."""

    def __init__(self, folder: Path) -> None:
        self.replica = Replica(folder, 1)
        Keyring.create().save(folder / "keyring.json")
        self.vault = Vault(folder / "keyring.json", lambda clear: f"{CLEAR}{clear.encode().hex()}")
        self.commit = self.committed(EXAMPLE.read_bytes())
        self.applier = self.applied_by()

    def committed(self, text: bytes) -> CommitId:
        document = self.vault.seal_document(read(text).document, "1")
        return self.replica.commit_files(files_of(document, "1"), "refs/heads/server/1")

    def applied_by(self) -> Applier:
        texts = RunningText(self.replica.store, self.vault, ServerId(1))
        state = self.replica.state
        now = datetime(2026, 1, 1, tzinfo=UTC)
        commands = ApplyCommands()
        return Applier(state, ServerId(1), self.replica.store, texts, commands, lambda: now)

    def expected(self, commit: CommitId) -> str:
        hashes = ExpectedHashes(self.replica.store, lambda: self.vault.keyring, self.vault.reseal)
        return hashes.at(commit, (ServerId(1),))[ServerId(1)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.replica.close()


def test_what_runs_has_the_hash_that_everybody_expects(site: Site) -> None:
    running = site.applier.apply(site.commit)
    assert running.result == "applied"
    assert running.hash == site.expected(site.commit)
    assert site.replica.store.ref("refs/bqn/running/1") == site.commit
    assert site.expected(CommitId(FACTORY_ROOT)) != running.hash


def test_secrets_are_in_clear_in_the_file_and_sealed_in_the_commit(site: Site) -> None:
    site.applier.apply(site.commit)
    clear = (site.replica.state / "running.conf").read_text()
    stored = "".join(site.replica.store.files(site.commit).values())
    assert "sealed:1:" in stored
    assert "sealed:1:" not in clear
    secrets = [line.split()[-1] for line in clear.splitlines() if " community " in line]
    assert all(secret not in stored for secret in secrets)


def test_loading_what_runs_again_changes_nothing(site: Site) -> None:
    site.applier.apply(site.commit)
    again = site.committed((site.replica.state / "running.conf").read_bytes())
    assert site.expected(again) == site.expected(site.commit)


def test_an_edit_of_the_running_file_is_drift(site: Site) -> None:
    site.applier.apply(site.commit)
    path = site.replica.state / "running.conf"
    path.write_text(path.read_text() + "syslog\n server 192.0.2.7 port 514\n")
    running = site.applier.check()
    assert running.result == "drifted"
    assert running.hash != site.expected(site.commit)


def test_joining_with_another_key_is_no_drift_and_the_hashes_agree_again(site: Site) -> None:
    before = site.applier.apply(site.commit).hash
    site.vault.keep(Keyring.create().merged_with(site.vault.keyring))
    running = site.applier.check()
    assert running.result == "applied"
    assert running.hash == site.expected(site.commit) != before
    assert site.applied_by().apply(site.commit).hash == running.hash


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE.read_text(),
        "! a header\n!\n! why\nuser ana\n password x\n role viewer\nstrange\n password y\n! last\n",
        "strange one\n token in-clear\n apikey other\nsnmp\n community public\n",
        "",
    ],
)
def test_what_was_written_here_is_understood_as_if_it_had_to_be_read(site: Site, text: str) -> None:
    # Committed as it is: a secret that is still in clear must come out the same both ways.
    files = files_of(read(text).document, "1")
    commit = site.replica.commit_files(files, "refs/heads/server/2")

    def fresh() -> RunningText:
        return RunningText(site.replica.store, site.vault, ServerId(1))

    texts = fresh()
    wanted = texts.wanted(commit)
    opened = texts.opened(wanted)
    assert opened == fresh().opened(wanted)
    assert texts.sealed(opened.encode()) == fresh().sealed(opened.encode())
    other = (opened.removesuffix("end\n") + "policy rate extra\n acm on\nend\n").encode()
    assert texts.sealed(other) == fresh().sealed(other)
