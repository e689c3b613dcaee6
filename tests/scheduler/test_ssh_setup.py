"""The setup below a root of its own: real accounts files, real `sshd -t`, no system touched."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from configrepo.model import ServerId
from scheduler import causes
from scheduler.authorized_keys import KNOCKING, KeyHolder
from scheduler.errors import SchedulerError
from scheduler.founding import found_server
from scheduler.identity import Identity
from scheduler.settings_table import ServerSection, Settings, SshSection
from scheduler.ssh_plan import SNIPPET, MakeAccount, WriteSnippet
from scheduler.ssh_setup import SshSetup, add_arguments, run, run_program, tell_undone
from scheduler.sshd import account, create_host_key
from scheduler.state_dir import ServerRecord
from tests.support.sshd import SshServer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="accounts are made as root")
STATE = Path("/var/lib/bqn")


class Machine:
    """A root folder with the files that useradd and sshd read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[str] = []
        self.reload_problem: str | None = None
        for name in ("etc/ssh/sshd_config.d", "var/lib", "run/sshd"):
            (root / name).mkdir(parents=True)
        etc = root / "etc"
        (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (etc / "group").write_text("root:x:0:\n")
        (etc / "shadow").write_text("root:*:19000:0:99999:7:::\n")
        (etc / "gshadow").write_text("root:*::\n")
        shutil.copy("/etc/login.defs", etc)
        create_host_key(etc / "ssh" / "host")
        self.config = etc / "ssh" / "sshd_config"
        self.config.write_text(
            f"Include {root}/etc/ssh/sshd_config.d/*.conf\nHostKey {etc}/ssh/host\n"
        )
        settings = Settings(ServerSection(STATE), ssh=SshSection(user="bqn"))
        self.setup = SshSetup(settings, root, self.run)

    def run(self, argv: Sequence[str]) -> str | None:
        self.ran.append(argv[0])
        if argv[0] == "systemctl":
            return self.reload_problem
        argv = ["/usr/sbin/sshd", *argv[1:]] if argv[0] == "sshd" else argv
        return run_program(argv)

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    tmp_path.chmod(0o755)
    return Machine(tmp_path)


def test_a_new_machine_is_set_up_and_a_second_run_has_nothing_to_do(machine: Machine) -> None:
    plan = machine.setup.plan()
    assert not plan.obstacles
    assert isinstance(plan.steps[0], MakeAccount)
    assert not machine.at("/var/lib/bqn").exists()
    machine.setup.apply(plan)
    entry = machine.at("/etc/passwd").read_text().splitlines()[-1].split(":")
    assert (entry[0], entry[5], entry[6]) == ("bqn", str(STATE), "/bin/sh")
    shadow = machine.at("/etc/shadow").read_text().splitlines()[-1]
    assert shadow.startswith("bqn:*:")
    for name in ("/var/lib/bqn", "/var/lib/bqn/ssh"):
        found = machine.at(name).stat()
        assert (found.st_uid, found.st_mode & 0o777) == (int(entry[2]), 0o700)
    keys = machine.at("/var/lib/bqn/ssh/authorized_keys").stat()
    assert (keys.st_uid, keys.st_mode & 0o777) == (int(entry[2]), 0o600)
    assert machine.ran == ["useradd", "sshd", "systemctl"]
    assert machine.setup.plan().steps == ()


def test_sshd_reads_what_was_written_for_the_account_and_for_nobody_else(machine: Machine) -> None:
    machine.setup.apply(machine.setup.plan())

    def effective(user: str) -> str:
        where = f"user={user},host=x,addr=192.0.2.1"
        argv = ["/usr/sbin/sshd", "-T", "-C", where, "-f", str(machine.config)]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    assert f"authorizedkeysfile {STATE}/ssh/authorized_keys" in effective("bqn")
    assert "disableforwarding yes" in effective("bqn")
    assert "authenticationmethods publickey" in effective("bqn")
    assert str(STATE) not in effective("root")


def test_the_own_key_may_probe_before_the_first_start(machine: Machine) -> None:
    found_server(machine.at(str(STATE)), ServerRecord(ServerId(3), "bqn3"), None, lambda w: w)
    machine.setup.apply(machine.setup.plan())
    line = machine.at("/var/lib/bqn/ssh/authorized_keys").read_text()
    assert "gate.sh 3 /var/lib/bqn probe" in line


def test_a_configuration_that_sshd_refuses_is_put_back(machine: Machine) -> None:
    machine.at(str(SNIPPET)).write_text("# before\n")
    with machine.config.open("a") as config:
        config.write("NoSuchOption yes\n")
    with pytest.raises(SchedulerError, match="put back"):
        machine.setup.apply(machine.setup.plan())
    assert machine.at(str(SNIPPET)).read_text() == "# before\n"
    assert "systemctl" not in machine.ran


def test_a_snippet_that_was_changed_is_replaced(machine: Machine) -> None:
    machine.setup.apply(machine.setup.plan())
    machine.at(str(SNIPPET)).write_text("Match User bqn\n")
    (step,) = machine.setup.plan().steps
    assert isinstance(step, WriteSnippet)
    assert step.replaces


def test_what_was_set_up_is_taken_away_again(machine: Machine) -> None:
    assert machine.setup.undoing().steps == ()
    machine.setup.apply(machine.setup.plan())
    (step,) = machine.setup.undoing().steps
    assert "AuthorizedKeysFile" in step.sentence
    machine.setup.apply(machine.setup.undoing())
    assert not machine.at(str(SNIPPET)).exists()
    assert machine.setup.undoing().steps == ()
    (again,) = machine.setup.plan().steps
    assert isinstance(again, WriteSnippet)


def test_what_sshd_still_reads_is_not_said_to_be_taken_away(machine: Machine) -> None:
    machine.setup.apply(machine.setup.plan())
    text = machine.at(str(SNIPPET)).read_text()
    machine.reload_problem = "Job for ssh.service failed."
    with pytest.raises(SchedulerError, match=r"put back: Job for ssh\.service failed"):
        machine.setup.apply(machine.setup.undoing())
    assert machine.at(str(SNIPPET)).read_text() == text
    (step,) = machine.setup.undoing().steps
    assert "those that are open stay until they end" in step.sentence


def test_after_the_undoing_the_own_key_is_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = found_server(tmp_path / "s", ServerRecord(ServerId(3), "bqn3"), None, lambda w: w)
    own = KeyHolder(ServerId(3), Identity.load(state.keys).ssh_public, KNOCKING)
    server = SshServer(state.path, (own,))
    try:
        public = tmp_path / "host.pub"
        public.write_text(f"{server.host_key} root@host\n")
        ssh = SshSection(port=server.port, user=account(), host_key_public=public)
        setup = SshSetup(Settings(ServerSection(state.path), ssh=ssh), Path("/"), run_program)
        assert tell_undone(setup) == 1
        assert "own key still comes in" in capsys.readouterr().out
        server.allow(())
        assert tell_undone(setup) == 0
        said = capsys.readouterr().out
        assert "open no new connection" in said
        assert f"`userdel {account()}` removes the account" in said
    finally:
        server.stop()


def test_the_way_through_sshd_to_the_gate_is_verified_with_the_own_key(tmp_path: Path) -> None:
    state = found_server(tmp_path / "s", ServerRecord(ServerId(3), "bqn3"), None, lambda w: w)
    own = KeyHolder(ServerId(3), Identity.load(state.keys).ssh_public, KNOCKING)
    server = SshServer(state.path, (own,))
    try:
        public = tmp_path / "host.pub"
        public.write_text(f"{server.host_key} root@host\n")
        ssh = SshSection(port=server.port, user=account(), host_key_public=public)
        setup = SshSetup(Settings(ServerSection(state.path), ssh=ssh), Path("/"), run_program)
        assert setup.probe().cause == causes.OK
        server.allow(())
        assert setup.probe().cause == causes.WRONG_KEY
    finally:
        server.stop()


def test_the_command_prints_first_and_changes_nothing_without_apply(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "bqn.toml"
    settings.write_text(f'[server]\nstate = "{tmp_path}/s"\n[ssh]\nuser = "bqn-not-there"\n')
    before = Path("/etc/passwd").read_bytes()
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    run(parser.parse_args(["setup", "--settings", str(settings)]))
    said = capsys.readouterr().out
    assert "1. add the system account bqn-not-there" in said
    assert "AuthorizedKeysFile" in said
    assert Path("/etc/passwd").read_bytes() == before
    assert not (tmp_path / "s").exists()


def test_with_an_own_sshd_there_is_nothing_to_set_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "bqn.toml"
    settings.write_text('[server]\nstate = "s"\n[ssh]\nport = 2222\nown_sshd = true\n')
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run(parser.parse_args(["setup", "--settings", str(settings), "--apply"])) == 0
    assert "nothing to set up" in capsys.readouterr().out
