from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from select import select

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


PROGRAM = """
import sys
from pathlib import Path
from scheduler.sshd import OwnSshd
home = Path(sys.argv[1])
OwnSshd(home, int(sys.argv[2]), home / "authorized_keys").start()
print("started", flush=True)
sys.stdin.read()
"""


def test_it_ends_with_a_program_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "ssh"), str(free_port())],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"started\n"
        sshd = os.pidfd_open(int((tmp_path / "ssh" / "sshd.pid").read_text()))
        program.kill()
    ended, _, _ = select([sshd], [], [], 10)
    os.close(sshd)
    assert ended


def test_one_that_ended_by_itself_is_started_again(tmp_path: Path, sshd: OwnSshd) -> None:
    sshd.start()
    assert sshd.keep_alive() == "the own sshd runs"
    pid = int((tmp_path / "ssh" / "sshd.pid").read_text())
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select([handle], [], [], 10)
    os.close(handle)
    assert sshd.keep_alive() == "the own sshd had ended and was started again"
    assert listens(sshd.port)


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


def test_a_configuration_that_is_not_new_is_left_alone_and_another_one_written(
    tmp_path: Path,
) -> None:
    home, keys = tmp_path / "ssh", tmp_path / "authorized_keys"
    config = home / "sshd_config"
    OwnSshd(home, 2222, keys)
    os.utime(config, (1, 1))
    OwnSshd(home, 2222, keys)
    assert config.stat().st_mtime == 1
    OwnSshd(home, 2223, keys)
    assert config.stat().st_mtime != 1
    assert "Port 2223\n" in config.read_text()
