"""Auditors with real git over a real sshd: they get everything sealed and change nothing."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from configrepo.layout import files_of
from configrepo.members import Member, member_file, with_allowed_signers
from configrepo.parser import read
from configrepo.store import CommitId, Person, RefUpdate
from scheduler.auditing import Auditing, auditors_of
from scheduler.auditing_seam import CloneWays
from scheduler.authorized_keys import write_authorized_keys
from scheduler.ssh_keys import PublicKey, read_public_key
from scheduler.sshd import account
from scheduler.submission import Submission
from scheduler.views import Committed, Refused
from tests.support.small_server import ADMIN, OPERATOR, SmallServer
from tests.support.sshd import SshServer
from tests.support.standing import alone

SECRETS = 1000
DRAFT = "refs/bqn/drafts/of-somebody"
NOBODY = Person("BQN 0", "bqn0@example.net")


def planted() -> list[str]:
    return [f"Tr0ub4dor-{number:04d}-horse" for number in range(SECRETS)]


class Office:
    """One server with a user *audit*, its sshd, and the laptop of that auditor."""

    def __init__(self, folder: Path) -> None:
        self.server = server = SmallServer(folder, 0)
        self.noted: list[tuple[str, str]] = []
        submission = Submission(
            server.me, server.store, server.changes, alone, server.roster.active, _asks_nobody
        )
        self.auditing = Auditing(
            submission,
            lambda: (server.changes.head(), server.files()),
            lambda: CloneWays(account(), self.sshd.port, self.sshd.host_key),
            lambda _person, action, result: self.noted.append((action, result)),
        )
        self.sshd = SshServer(server.state.path, ())
        self.laptop = folder / "laptop"
        self.laptop.mkdir()
        self.key = self.new_key("id")
        self.save({**server.files(), "common/user/audit.conf": "user audit\n role viewer\n"})

    def new_key(self, name: str) -> PublicKey:
        path = self.laptop / name
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(argv, check=True)
        found = read_public_key(path.with_suffix(".pub").read_text())
        assert isinstance(found, PublicKey)
        return found

    def save(self, files: Mapping[str, str]) -> CommitId:
        store, head = self.server.store, self.server.changes.head()
        sealed = with_allowed_signers(self.server.vault.seal_files(files))
        commit = store.write_commit((head,), sealed, NOBODY, "Plant", {"Server": "0"})
        store.move((RefUpdate("refs/heads/server/0", head, commit),), "test")
        return commit

    def open_doors(self) -> None:
        auditors = auditors_of(self.server.files())
        write_authorized_keys(self.sshd.keys, (), self.server.state.path, auditors=auditors)

    def url(self, path: str = "/git/cluster.git") -> str:
        ways = self.auditing.clone_ways()
        return f"ssh://{ways.account}@127.0.0.1:{ways.port}{path}"

    def git(self, *words: str, key: str = "id") -> subprocess.CompletedProcess[str]:
        known = self.laptop / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.sshd.port} {self.sshd.host_key}\n")
        ssh = (
            f"ssh -F /dev/null -i {self.laptop / key} -o IdentitiesOnly=yes -o BatchMode=yes"
            f" -o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes"
        )
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.laptop),
            "GIT_SSH_COMMAND": ssh,
            "GIT_CONFIG_NOSYSTEM": "1",
            "LC_ALL": "C",
        }
        return subprocess.run(
            ["git", *words],
            cwd=self.laptop,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )

    def close(self) -> None:
        self.sshd.stop()
        self.server.close()


def _asks_nobody(
    member: Member, route: str, body: Mapping[str, Any], timeout_s: float
) -> dict[str, Any]:
    raise AssertionError(f"a server alone asks nobody: {member.id} {route} {body} {timeout_s}")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.close()


def registered(office: Office) -> None:
    outcome = office.auditing.add_key(ADMIN, "audit", "laptop", office.key, "r1")
    assert isinstance(outcome, Committed), outcome
    office.open_doors()


def test_a_registered_key_clones_and_fetches_and_a_removed_one_does_not(office: Office) -> None:
    office.open_doors()
    assert office.git("clone", office.url(), "before").returncode != 0
    registered(office)
    done = office.git("clone", office.url())
    assert done.returncode == 0, done.stderr
    newest = office.save({**office.server.files(), "common/ntp.conf": "ntp\n server 192.0.2.9\n"})
    assert office.git("-C", "cluster", "pull").returncode == 0
    assert office.git("-C", "cluster", "rev-parse", "HEAD").stdout.strip() == newest
    outcome = office.auditing.remove_key(ADMIN, "audit", "laptop", "r2")
    assert isinstance(outcome, Committed)
    office.open_doors()
    assert office.git("-C", "cluster", "fetch").returncode != 0
    actions = [action for action, _ in office.noted]
    assert actions == ["Add SSH key laptop of audit", "Remove SSH key laptop of audit"]


def test_a_clone_proves_its_signatures_and_brings_terms_notes_and_what_runs(
    office: Office,
) -> None:
    path, text = member_file(office.server.record())
    head = office.save({**office.server.files(), path: text})
    term, running = "refs/terms/000000000001-000", "refs/bqn/running/0"
    office.server.store.move((RefUpdate(term, None, head), RefUpdate(running, None, head)), "test")
    registered(office)
    office.git("clone", office.url())
    for spec in ("+refs/terms/*:refs/terms/*", "+refs/bqn/running/*:refs/bqn/running/*"):
        office.git("-C", "cluster", "config", "--add", "remote.origin.fetch", spec)
    assert office.git("-C", "cluster", "fetch").returncode == 0
    shown = office.git("-C", "cluster", "for-each-ref", "--format=%(refname)").stdout
    assert {term, running} <= set(shown.split())
    signers = "gpg.ssh.allowedSignersFile=cluster/allowed_signers"
    states = office.git("-C", "cluster", "-c", signers, "log", "--format=%G?").stdout.split()
    assert set(states[:-1]) == {"G"}
    assert states[-1] == "N"
    assert office.git("-C", "cluster", "fsck", "--strict").returncode == 0


@pytest.mark.parametrize(
    "ref", ["refs/heads/cluster", "refs/heads/mine", "refs/bqn/drafts/mine", "refs/notes/apply-0"]
)
def test_an_auditor_can_push_nothing_and_delete_nothing(office: Office, ref: str) -> None:
    registered(office)
    office.git("clone", office.url())
    before = office.server.store.refs()
    for spec in (f"HEAD:{ref}", f"+HEAD:{ref}", ":refs/heads/server/0"):
        done = office.git("-C", "cluster", "push", "origin", spec)
        assert done.returncode != 0
        assert "may not ask for receive-pack" in done.stderr or "may only" in done.stderr
    assert office.server.store.refs() == before


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/config", "/git/other.git", "/git/cluster.git/../../keys", "/~/keys"]
)
def test_no_other_path_is_served(office: Office, path: str) -> None:
    registered(office)
    done = office.git("clone", office.url(path), "stolen")
    assert done.returncode != 0
    assert not (office.laptop / "stolen").exists()


def test_drafts_are_not_served_by_name_nor_by_id(office: Office) -> None:
    head = office.server.changes.head()
    draft = office.server.store.write_commit(
        (head,), {"common/ntp.conf": "ntp\n server 192.0.2.77\n"}, NOBODY, "Draft", {}
    )
    office.server.store.move((RefUpdate(DRAFT, None, draft),), "test")
    registered(office)
    assert DRAFT not in office.git("ls-remote", office.url()).stdout
    office.git("clone", office.url())
    for version in ("0", "2"):
        for wanted in (DRAFT, draft):
            protocol = f"protocol.version={version}"
            done = office.git("-C", "cluster", "-c", protocol, "fetch", "origin", wanted)
            assert done.returncode != 0
    assert office.git("-C", "cluster", "cat-file", "-e", draft).returncode != 0


def test_a_thousand_planted_secrets_are_nowhere_in_a_clone(office: Office) -> None:
    secrets = planted()
    users = "".join(f" user u{i} password {secret}\n" for i, secret in enumerate(secrets[:-2]))
    text = (
        f"api rest\n enable\n{users}"
        f"snmp\n community {secrets[-2]}\n"
        f"tunnel far\n psk {secrets[-1]}\n"
    )
    document = office.server.vault.seal_document(read(text).document, "0")
    written = files_of(document, "0")
    assert sum(text.count("sealed:1:") for text in written.values()) == SECRETS
    office.save({**office.server.files(), **files_of(read(text).document, "0")})
    registered(office)
    assert office.git("clone", "--mirror", office.url(), "mirror.git").returncode == 0
    everything = office.git("-C", "mirror.git", "cat-file", "--batch-all-objects", "--batch").stdout
    assert everything.count("sealed:1:") >= SECRETS
    for secret in secrets:
        assert secret not in everything
        assert base64.b64encode(secret.encode()).decode().rstrip("=") not in everything


def test_only_an_administrator_registers_keys_and_nobody_the_same_twice(office: Office) -> None:
    outcome = office.auditing.add_key(OPERATOR, "audit", "laptop", office.key, "r1")
    assert isinstance(outcome, Refused)
    registered(office)
    again = office.auditing.add_key(ADMIN, "audit", "other", office.key, "r2")
    assert isinstance(again, Refused)
    assert "registered already, for audit" in again.sentence
    unknown = office.auditing.add_key(ADMIN, "nobody", "x", office.new_key("x"), "r3")
    assert isinstance(unknown, Refused)
