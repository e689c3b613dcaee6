from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from configrepo.model import ServerId
from configrepo.path_names import escape
from scheduler.authorized_keys import (
    GATE,
    KNOCKING,
    LET_IN,
    Auditor,
    KeyHolder,
    Verb,
    authorized_lines,
    mark_of,
    write_authorized_keys,
)
from scheduler.ssh_keys import PublicKey, read_public_key
from tests.support.sshd import public_line

KEY = public_line(Ed25519PrivateKey.generate())
OTHER = public_line(Ed25519PrivateKey.generate())
STATE = Path("/srv/state")


def test_a_line_restricts_the_key_to_the_gate_with_the_id_of_its_owner() -> None:
    text = authorized_lines([KeyHolder(ServerId(0), KEY)], STATE, Path("/opt/gate.sh"))
    assert text == (
        'restrict,command="exec /opt/gate.sh 0 /srv/state receive-pack,upload-pack,probe '
        f'{mark_of(KEY)}" {KEY} server-0\n'
    )


def test_a_knocking_server_gets_the_probe_only() -> None:
    text = authorized_lines([KeyHolder(ServerId(2), KEY, KNOCKING)], STATE)
    assert f"{GATE} 2 /srv/state {Verb.PROBE}" in text


def test_a_comment_of_a_key_is_dropped_and_what_is_no_key_gets_no_line() -> None:
    holders = [
        KeyHolder(ServerId(0), KEY + " someone"),
        KeyHolder(ServerId(1), 'command="sh" ' + OTHER),
        KeyHolder(ServerId(2), OTHER + "\nssh-ed25519 AAAA"),
        KeyHolder(ServerId(3), "ssh-rsa AAAA"),
        KeyHolder(ServerId(4), ""),
    ]
    text = authorized_lines(holders, STATE)
    assert text.count("\n") == 1
    assert "someone" not in text


def test_a_person_may_fetch_and_nothing_else_under_a_name_that_is_safe() -> None:
    key = read_public_key(KEY)
    assert isinstance(key, PublicKey)
    text = authorized_lines([], STATE, Path("/opt/gate.sh"), [Auditor('a"; id', key)])
    name = escape('a"; id')
    assert '"; ' not in name
    assert text.startswith(
        f'restrict,command="exec /opt/gate.sh audit:{name} /srv/state upload-pack {mark_of(KEY)}" '
    )
    assert text.endswith(f" {KEY} audit-{name}\n")


def test_a_servers_key_stays_a_servers_key_when_a_person_registers_it_too() -> None:
    key = read_public_key(KEY)
    assert isinstance(key, PublicKey)
    holders = [KeyHolder(ServerId(0), KEY)]
    text = authorized_lines(holders, STATE, auditors=[Auditor("audit", key)])
    assert text == authorized_lines(holders, STATE)


def test_the_first_holder_of_a_key_keeps_it() -> None:
    holders = [KeyHolder(ServerId(0), KEY), KeyHolder(ServerId(1), KEY)]
    assert authorized_lines(holders, STATE) == authorized_lines(holders[:1], STATE)


@pytest.mark.parametrize("folder", ["a b", "it's", 'say "x"', "back\\slash", "$HOME", "100%"])
def test_an_odd_state_directory_reaches_the_gate_unchanged(tmp_path: Path, folder: str) -> None:
    show = tmp_path / "gate.sh"
    show.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    show.chmod(0o755)
    line = authorized_lines([KeyHolder(ServerId(0), KEY)], tmp_path / folder, show)
    quoted = line.removeprefix('restrict,command="').split(f'" {KEY}')[0]
    command = quoted.replace('\\"', '"').replace("\\\\", "\\")
    shown = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[1] == str(tmp_path / folder)
    assert shlex.split(command)[3] == str(tmp_path / folder)


def test_the_file_is_private_and_untouched_when_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "ssh" / "authorized_keys"
    let_in = tmp_path / "run" / LET_IN
    write_authorized_keys(path, [KeyHolder(ServerId(0), KEY)], tmp_path)
    before = path.stat()
    assert before.st_mode & 0o777 == 0o600
    write_authorized_keys(path, [KeyHolder(ServerId(0), KEY)], tmp_path)
    assert path.stat().st_ino == before.st_ino
    assert [file.name for file in let_in.iterdir()] == [mark_of(KEY)]
    write_authorized_keys(path, [], tmp_path)
    assert path.read_text() == ""
    assert list(let_in.iterdir()) == []
