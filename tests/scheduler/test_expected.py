"""Hashes that servers must report: right, and not worked out again for what did not change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from configrepo.model import Files, ServerId
from configrepo.sealing import Keyring
from configrepo.store import CommitId
from configrepo.writer import canonical_text
from scheduler.applying import text_hash
from scheduler.expected import ExpectedHashes
from scheduler.vault import Vault
from tests.support.replicas import Replica

SERVERS = tuple(ServerId(n) for n in range(255))
POLICIES = {
    f"common/policy/rate/r{n}.conf": f"policy rate r{n}\n downlink rate {n}\n" for n in range(50)
}
NAMES = {f"servers/{n}/hostname.conf": f"hostname s{n}\n" for n in (0, 1, 254)}


class World:
    """A repository whose commits are asked about; what is read for it is counted by path."""

    def __init__(self, folder: Path) -> None:
        self.replica = Replica(folder, 0)
        Keyring.create().save(folder / "keyring.json")
        self.vault = Vault(folder / "keyring.json", str)
        self.read: list[str] = []
        self.hashes = ExpectedHashes(self.replica.store, lambda: self.vault.keyring, self._counted)

    def _counted(self, files: Files) -> Files:
        self.read += files
        return self.vault.reseal(files)

    def commit(self, files: Files) -> CommitId:
        return self.replica.commit_files(self.vault.seal_files(files))

    def ask(self, commit: CommitId, servers: tuple[ServerId, ...] = SERVERS) -> dict[ServerId, str]:
        self.read.clear()
        return dict(self.hashes.at(commit, servers))

    def long_way(self, commit: CommitId, server: int) -> str:
        files = self.replica.store.files(commit)
        return text_hash(canonical_text(self.vault.effective(files, str(server))))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.replica.close()


def test_every_server_has_the_hash_of_its_own_text(world: World) -> None:
    commit = world.commit({**POLICIES, **NAMES, "common/snmp.conf": "snmp\n community x\n"})
    found = world.ask(commit)
    assert found.keys() == set(SERVERS)
    for server in (0, 1, 7, 254):
        assert found[ServerId(server)] == world.long_way(commit, server)
    assert len(set(found.values())) == 4


def test_the_common_part_is_read_once_for_all_servers(world: World) -> None:
    world.ask(world.commit({**POLICIES, **NAMES}))
    assert sorted(world.read) == sorted([*POLICIES, *NAMES])


def test_only_what_changed_is_read_for_the_next_commit(world: World) -> None:
    first = world.commit({**POLICIES, **NAMES})
    world.ask(first)
    renamed = {**POLICIES, **NAMES, "servers/1/hostname.conf": "hostname other\n"}
    second = world.commit(renamed)
    found = world.ask(second)
    assert world.read == ["servers/1/hostname.conf"]
    assert found[ServerId(1)] == world.long_way(second, 1)
    world.ask(first)
    assert world.read == []
    third = world.commit({**renamed, "common/ntp.conf": "ntp\n server 192.0.2.9\n"})
    assert world.ask(third)[ServerId(1)] == world.long_way(third, 1)
    assert sorted(world.read) == sorted([*POLICIES, *NAMES, "common/ntp.conf"])


def test_servers_with_equal_parts_share_one_answer(world: World) -> None:
    same = {f"servers/{n}/hostname.conf": "hostname twin\n" for n in (3, 4, 5)}
    commit = world.commit({**POLICIES, **same})
    found = world.ask(commit)
    assert len([path for path in world.read if path.startswith("servers/")]) == 1
    assert found[ServerId(4)] == found[ServerId(5)] == world.long_way(commit, 5)


def test_another_key_makes_other_texts(world: World) -> None:
    commit = world.commit({"common/snmp.conf": "snmp\n community x\n"})
    before = world.ask(commit)[ServerId(0)]
    world.vault.keep(world.vault.keyring.rotated())
    assert world.ask(commit)[ServerId(0)] == world.long_way(commit, 0) != before


def test_what_is_sealed_with_a_missing_key_is_left_out_until_the_key_comes(world: World) -> None:
    theirs = Keyring.create()
    token = theirs.seal("common/snmp.conf", "community", "x")
    strange = {**NAMES, "common/snmp.conf": f"snmp\n community {token}\n"}
    commit = world.replica.commit_files(strange)
    assert world.ask(commit) == {}
    assert world.ask(commit) == {}
    assert world.read == []  # it is known already that the key is missing
    world.vault.take_in(theirs)
    assert world.ask(commit)[ServerId(0)] == world.long_way(commit, 0)


def test_a_part_that_cannot_be_opened_takes_away_only_that_servers_hash(world: World) -> None:
    token = Keyring.create().seal("servers/undefined", "apikey", "x")
    commit = world.replica.commit_files(
        {**POLICIES, "servers/7/undefined.conf": f"strange\n apikey {token}\n"}
    )
    assert world.ask(commit).keys() == set(SERVERS) - {7}
