from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scheduler.errors import PortInUse
from scheduler.sshd import OwnSshd, create_host_key
from tests.support.sshd import free_port


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[OwnSshd]:
    server = OwnSshd(tmp_path / "ssh", free_port(), tmp_path / "authorized_keys")
    yield server
    server.stop()


def listens(port: int) -> bool:
    with socket.socket() as sock:
        sock.settimeout(5)
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_it_listens_when_start_returns_and_no_more_when_stop_returns(sshd: OwnSshd) -> None:
    sshd.start()
    assert sshd.alive()
    assert listens(sshd.port)
    sshd.stop()
    assert not sshd.alive()
    assert not listens(sshd.port)


def test_a_port_in_use_is_said_with_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sshd = OwnSshd(tmp_path / "ssh", port, tmp_path / "authorized_keys")
        with pytest.raises(PortInUse, match=f"SSH port {port} on 127.0.0.1 is already in use"):
            sshd.start()
        assert not sshd.alive()


def test_the_sshd_of_a_killed_run_is_replaced(tmp_path: Path, sshd: OwnSshd) -> None:
    sshd.start()
    left = int((tmp_path / "ssh" / "sshd.pid").read_text())
    second = OwnSshd(tmp_path / "ssh", sshd.port, tmp_path / "authorized_keys")
    second.start()
    try:
        assert not sshd.alive()
        assert int((tmp_path / "ssh" / "sshd.pid").read_text()) != left
        assert listens(second.port)
    finally:
        second.stop()


def test_a_pid_file_that_names_another_program_stops_nothing(tmp_path: Path, sshd: OwnSshd) -> None:
    (tmp_path / "ssh" / "sshd.pid").write_text(f"{os.getpid()}\n")
    sshd.start()
    assert sshd.alive()


def test_the_host_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "host_ed25519"
    first = create_host_key(path)
    assert first.startswith("ssh-ed25519 AAAA")
    assert create_host_key(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
