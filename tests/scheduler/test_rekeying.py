from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from configrepo.cluster_settings import ClusterSettings, settings_file
from configrepo.members import Member
from configrepo.model import ServerId
from configrepo.sealing import Keyring
from scheduler.errors import RemoteRefused, Unreachable
from scheduler.rekeying import MOST_KEYS, Rekeying
from scheduler.vault import Vault

PLACE = ("common/snmp.conf", "community")


class Station:
    """One server's keyring, asked by the others without a network."""

    def __init__(self, folder: Path, number: int, ring: Keyring) -> None:
        path = folder / f"{number}.json"
        ring.save(path)
        key = "ssh-ed25519 AAAA"
        address = f"10.0.0.{number}"
        self.member = Member(ServerId(number), "", address, 22, 63500 + number, "", key, key)
        self.vault = Vault(path, lambda word: word)
        self.others: list[Station] = []
        self.away = False
        self.named: str | None = None
        self.leader: ServerId | None = ServerId(0)
        self.rekeying = Rekeying(
            self.vault, self._files, self._members, self._call, lambda: self.leader
        )

    def _files(self) -> dict[str, str]:
        path, text = settings_file(ClusterSettings(self.named))
        return {} if text is None else {path: text}

    def _members(self) -> list[Member]:
        return [other.member for other in self.others]

    def _call(
        self, member: Member, route: str, body: Mapping[str, Any], timeout_s: float
    ) -> dict[str, Any]:
        assert route == "/keyring"
        other = next(one for one in self.others if one.member == member)
        if other.away:
            raise Unreachable("connection refused")
        return other.rekeying.answer(self.member.id, dict(body))


@pytest.fixture
def stations(tmp_path: Path) -> list[Station]:
    ring = Keyring.create()
    made = [Station(tmp_path, number, ring) for number in range(3)]
    for one in made:
        one.others = [other for other in made if other is not one]
    return made


def test_a_new_key_opens_everywhere_before_anybody_seals_with_it(stations: list[Station]) -> None:
    zero, one, two = stations
    before = zero.vault.keyring.current_key_id
    two.away = True
    new = zero.rekeying.new_key([one.member, two.member])
    assert new.given == (ServerId(1),)
    assert "refused" in new.missing[ServerId(2)]
    assert zero.vault.keyring.current_key_id == one.vault.keyring.current_key_id == before
    sealed = zero.vault.keyring.sealing_with(new.id).seal(*PLACE, "word")
    assert one.vault.open(*PLACE, sealed) == "word"


def test_the_commit_changes_the_key_and_who_was_away_asks_for_it(
    stations: list[Station], tmp_path: Path
) -> None:
    zero, one, two = stations
    two.away = True
    new = zero.rekeying.new_key([one.member, two.member])
    for station in stations:
        station.named = new.id
    two.away = False
    assert zero.rekeying.settle()
    assert not two.rekeying.settle()
    zero.away = one.away = True
    assert "nobody gave" in two.rekeying.fetch()
    one.away = False
    assert two.rekeying.fetch() == "BQN 1 gave the key of the cluster"
    assert two.rekeying.fetch() == "the key of the cluster is here"
    assert two.vault.keyring.current_key_id == new.id
    # It is on the disk: a restart seals with it too.
    assert Keyring.load(tmp_path / "2.json").current_key_id == new.id


def ring_of(count: int) -> Keyring:
    ring = Keyring.create()
    for _ in range(count - 1):
        ring, _ = ring.with_new_key()
    return ring


def test_of_a_member_that_offers_many_keys_only_the_missing_one_is_taken(
    stations: list[Station],
) -> None:
    zero, one, two = stations
    new = zero.rekeying.new_key([one.member])
    two.named, zero.away = new.id, True
    one.vault.take_in(ring_of(50))
    before = set(two.vault.keyring.keys)
    assert two.rekeying.fetch() == "BQN 1 gave the key of the cluster"
    assert set(two.vault.keyring.keys) == {*before, new.id}


def test_of_the_primary_former_keys_are_taken_too_as_far_as_there_is_room(
    stations: list[Station],
) -> None:
    zero, _, two = stations
    zero.vault.take_in(ring_of(3))
    two.named = zero.rekeying.new_key([]).id
    assert two.rekeying.fetch() == "BQN 0 gave the key of the cluster"
    assert set(two.vault.keyring.keys) == set(zero.vault.keyring.keys)
    two.vault.take_in(ring_of(MOST_KEYS - len(two.vault.keyring.keys)))
    two.named = zero.rekeying.new_key([]).id
    zero.vault.take_in(ring_of(5))
    assert two.rekeying.fetch() == "BQN 0 gave the key of the cluster"
    assert len(two.vault.keyring.keys) == MOST_KEYS + 1
    with pytest.raises(RemoteRefused, match="at most"):
        two.rekeying.answer(ServerId(0), {"keyring": ring_of(2).to_json()})


@pytest.mark.parametrize("stored", [None, "", "[]", "{}", 7])
def test_what_is_no_keyring_is_not_taken(stations: list[Station], stored: object) -> None:
    before = stations[1].vault.keyring
    with pytest.raises(RemoteRefused):
        stations[1].rekeying.answer(ServerId(0), {"keyring": stored})
    assert stations[1].vault.keyring == before


@pytest.mark.parametrize("leader", [None, 0, 2])
def test_keys_are_taken_from_the_primary_only(stations: list[Station], leader: int | None) -> None:
    """A member that filled the ring would keep everybody from getting a new key."""
    station = stations[1]
    station.leader = None if leader is None else ServerId(leader)
    before = station.vault.keyring
    for other in {0, 2} - {leader}:
        with pytest.raises(RemoteRefused, match="from the primary only"):
            station.rekeying.answer(ServerId(other), {"keyring": Keyring.create().to_json()})
    assert station.vault.keyring == before
