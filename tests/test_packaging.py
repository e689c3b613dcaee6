"""What is installed on a server can be read by the program that is installed with it."""

from __future__ import annotations

import configparser
from pathlib import Path

from scheduler.settings import parse_settings

PACKAGING = Path(__file__).parents[1] / "packaging"


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(PACKAGING / "bqn-cluster-manager.service", encoding="utf-8")
    return parser


def test_the_settings_that_are_installed_are_valid() -> None:
    text = (PACKAGING / "bqn.toml").read_text(encoding="utf-8")
    settings = parse_settings(text, Path("/etc/bqn"))
    assert settings.server.state == Path("/var/lib") / unit()["Service"]["StateDirectory"]
    assert settings.ssh.user == unit()["Service"]["User"]


def test_the_sshd_reads_the_keys_that_the_program_writes() -> None:
    text = (PACKAGING / "bqn.toml").read_text(encoding="utf-8")
    settings = parse_settings(text, Path("/etc/bqn"))
    sshd = (PACKAGING / "sshd-bqn.conf").read_text(encoding="utf-8")
    assert f"AuthorizedKeysFile {settings.ssh.authorized_keys}\n" in sshd
    assert f"Match User {settings.ssh.user}\n" in sshd


def test_the_unit_starts_the_program_with_the_settings_of_the_instructions() -> None:
    start = unit()["Service"]["ExecStart"]
    assert start.endswith("app.py serve --settings /etc/bqn/bqn.toml")
    readme = (PACKAGING / "README.md").read_text(encoding="utf-8")
    assert "/etc/bqn/bqn.toml" in readme
    assert "bqn-cluster-manager.service" in readme
