from __future__ import annotations

import pytest

from configrepo.cluster_settings import ClusterSettings, Pause, cluster_settings, settings_file
from configrepo.errors import UnreadableConfig
from configrepo.layout import parse_block_file, path_allowed, read_files
from configrepo.writer import block_text

PAUSE = Pause("2026-11-22T15:00:00Z", "2026-11-22T17:00:00Z", 'new "fibre" in the cabinet')


@pytest.mark.parametrize(
    "settings",
    [
        ClusterSettings("0123456789ab"),
        ClusterSettings(None, PAUSE),
        ClusterSettings("0123456789ab", PAUSE),
    ],
)
def test_the_settings_come_back_from_their_canonical_file(settings: ClusterSettings) -> None:
    path, text = settings_file(settings)
    assert text is not None
    assert path_allowed(path)
    assert read_files({path: text}) == ()
    assert cluster_settings({path: text}) == settings
    assert "".join(map(block_text, parse_block_file(path, text))) == text


def test_a_cluster_without_settings_has_no_file() -> None:
    assert settings_file(ClusterSettings()) == ("cluster/cluster.conf", None)
    assert cluster_settings({}) == ClusterSettings()


def test_a_member_cannot_hide_in_the_file_of_the_cluster() -> None:
    with pytest.raises(UnreadableConfig):
        cluster_settings({"cluster/cluster.conf": "server 1\n name bqn1\n"})


def test_a_saved_configuration_does_not_know_the_block() -> None:
    assert read_files({"common/undefined.conf": "cluster\n sealing-key 12\n"}) == ()
