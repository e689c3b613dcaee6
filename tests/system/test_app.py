"""The command line as a user runs it: every way that a start can fail says what to do."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.support.program import Place, app

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("app"))


def test_a_server_runs_tells_its_status_makes_tokens_and_stops(place: Place) -> None:
    assert app("status", "--settings", place.settings).returncode == 2
    with place.served() as process:
        told = app("status", "--settings", place.settings, "--json")
        status = json.loads(told.stdout)
        assert (status["state"], status["me"], told.returncode) in {
            ("alone", 0, 0),
            ("alone", 0, 1),
        }
        made = app("token", "create", "auditor", "--role", "viewer", "--state", place.state)
        assert made.returncode == 0, made.stderr
        assert made.stdout.startswith("bqn_")
        assert made.stdout.strip() not in made.stderr
        other = app("token", "create", "auditor", "--role", "operator", "--state", place.state)
        assert other.returncode == 1
        assert "auditor is viewer" in other.stderr
        second = app("serve", "--settings", place.settings)
        assert second.returncode == 1
        assert "another process runs on" in second.stderr
    assert process.returncode == 0
    down = app("token", "create", "auditor", "--role", "viewer", "--state", place.state)
    assert down.returncode == 2
    assert "start it with" in down.stderr


@pytest.mark.parametrize("which", ["gui", "control", "ssh"])
def test_a_port_in_use_is_named_and_the_state_stays_good(place: Place, which: str) -> None:
    with socket.create_server(("127.0.0.1", getattr(place, which))):
        failed = app("serve", "--settings", place.settings)
    assert failed.returncode == 1, failed.stderr
    assert str(getattr(place, which)) in failed.stderr
    assert "Traceback" not in failed.stderr
    with place.served() as process:
        assert process.poll() is None


def test_a_state_directory_of_a_newer_release_is_left_alone(place: Place) -> None:
    record = place.state / "server.json"
    before = record.read_text()
    newer = json.dumps({**json.loads(before), "format": 99})
    record.write_text(newer)
    try:
        failed = app("serve", "--settings", place.settings)
        assert failed.returncode == 1
        assert "newer release" in failed.stderr
        assert record.read_text() == newer
    finally:
        record.write_text(before)


def test_making_a_server_twice_or_from_a_bad_file_changes_nothing(
    place: Place, tmp_path: Path
) -> None:
    again = app("init", "--state", place.state)
    assert again.returncode == 1
    assert "already holds a server" in again.stderr
    bad = tmp_path / "bad.conf"
    bad.write_text("ntp\n server\nclock timezone\n")
    refused = app("init", "--state", tmp_path / "new", "--config", bad)
    assert refused.returncode == 2
    assert refused.stderr.count("error:") == 2
    assert f"{bad}:2:" in refused.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--settings", "/nonexistent.toml"],
        ["init", "--state", "x", "--id", "256"],
        ["init", "--state", "x", "--name", "North POP"],
        ["token", "create", "x", "--role", "king", "--state", "x"],
        ["config", "check"],
        [],
    ],
)
def test_wrong_usage_exits_2_with_a_sentence(words: list[str]) -> None:
    failed = app(*words)
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert failed.stderr


def test_all_problems_of_a_settings_file_are_told_together(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(place.settings.read_text().replace("[samples]", "[sample]") + "port = 'x'\n")
    failed = app("serve", "--settings", path)
    assert failed.returncode == 2
    assert len(failed.stderr.strip().splitlines()) >= 1
    assert "did you mean [samples]" in failed.stderr


def test_the_keys_of_a_server_are_for_its_account_only(place: Place) -> None:
    for path in (place.state / "keys").iterdir():
        if path.suffix != ".pub":
            assert path.stat().st_mode & 0o077 == 0, path
    assert (place.state / "keys").stat().st_mode & 0o077 == 0
