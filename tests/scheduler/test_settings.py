"""The settings file: what it may say, and what is said about a wrong one."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_type_hints

import pytest

from configrepo.model import ServerId
from scheduler.errors import SettingsError
from scheduler.settings import load_settings, parse_settings
from scheduler.settings_page import settings_page
from scheduler.settings_table import SECTIONS, Kind, Rule, Settings

ROOT = Path(__file__).parents[2]
FOLDER = Path("/etc/bqn")
MINIMAL = '[server]\nstate = "state"\n'

TYPES: dict[Kind, tuple[object, ...]] = {
    Kind.TEXT: (str | None,),
    Kind.NAME: (str | None,),
    Kind.ADDRESS: (str,),
    Kind.PORT: (int, int | None),
    Kind.COUNT: (int, int | None),
    Kind.SECONDS: (int, int | None),
    Kind.SWITCH: (bool,),
    Kind.FILE: (Path, Path | None),
    Kind.COMMAND: (tuple[str, ...],),
    Kind.WORDS: (tuple[str, ...],),
}


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, FOLDER)
    return caught.value.problems


def test_the_smallest_file_gives_all_defaults() -> None:
    settings = parse_settings(MINIMAL, FOLDER)
    assert settings == Settings(server=SECTIONS["server"](state=Path("/etc/bqn/state")))
    assert settings.gui.port == 443
    assert settings.ssh.port == 22
    assert settings.control.preset == "lan"


def test_the_control_port_follows_the_id_unless_it_is_set() -> None:
    assert parse_settings(MINIMAL, FOLDER).control_port(ServerId(0)) == 63500
    assert parse_settings(MINIMAL, FOLDER).control_port(ServerId(255)) == 63755
    moved = parse_settings(MINIMAL + "[control]\nport = 7000\n", FOLDER)
    assert moved.control_port(ServerId(3)) == 7000


def test_every_key_is_read() -> None:
    settings = parse_settings(
        """
        [server]
        state = "/var/lib/bqn"
        name = "north-pop"
        [gui]
        address = "::1"
        port = 8440
        certificate = "gui.pem"
        key = "gui.key"
        trusted_hosts = ["bqn0.example.net"]
        threads = 8
        [control]
        address = "127.0.0.1"
        port = 63600
        preset = "wan"
        [ssh]
        port = 2200
        user = "bqn"
        own_sshd = true
        address = "127.0.0.1"
        [apply]
        apply_command = ["/usr/bin/apply", "--now"]
        health_command = ["/usr/bin/health"]
        read_command = ["/usr/bin/read"]
        timeout_s = 5
        [samples]
        source = "host"
        access = ["eth1"]
        internet = ["eth2", "eth3"]
        """,
        FOLDER,
    )
    assert settings.server.name == "north-pop"
    assert settings.gui.certificate == Path("/etc/bqn/gui.pem")
    assert settings.gui.trusted_hosts == ("bqn0.example.net",)
    assert settings.control.preset == "wan"
    assert settings.ssh.own_sshd
    assert settings.apply.apply_command == ("/usr/bin/apply", "--now")
    assert settings.samples.internet == ("eth2", "eth3")


def test_all_problems_of_a_file_are_reported_together() -> None:
    problems = problems_of(
        """
        [server]
        [gui]
        port = 70000
        threads = "many"
        certificat = "gui.pem"
        [control]
        preset = "fast"
        address = "bqn0"
        [ssh]
        own_sshd = "yes"
        [apply]
        apply_command = "reload now"
        [sample]
        source = "host"
        """
    )
    assert problems == (
        "[server] state is missing; it has no default",
        "[gui] certificat is not a setting; did you mean certificate?",
        "[gui] port must be between 1 and 65535, not 70000",
        '[gui] threads must be a whole number without quotes, not "many"',
        '[control] address must be an IP address of this machine in quotes, such as "0.0.0.0", '
        'not "bqn0"',
        '[control] preset must be "lan" or "wan", not "fast"',
        '[ssh] own_sshd must be true or false without quotes, not "yes"',
        "[apply] apply_command must be a list of program and arguments such as "
        '["/usr/bin/apply", "--now"], not "reload now"; no shell is used',
        "[sample] is not a section; did you mean [samples]?",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[gui]\ncertificate = "a.pem"',
            "[gui] certificate is set but key is not; set both or neither",
        ),
        ('[gui]\nkey = "a.key"', "[gui] key is set but certificate is not; set both or neither"),
        (
            "[gui]\nport = 63501",
            "[gui] port 63501 lies in the range of the control ports (63500-63755); "
            "choose a port outside it",
        ),
        (
            "[gui]\nport = 2200\n[ssh]\nport = 2200",
            "[gui] port and [ssh] port are both 2200; give each its own port",
        ),
        (
            "[gui]\nport = 7000\n[control]\nport = 7000",
            "[gui] port and [control] port are both 7000; give each its own port",
        ),
        (
            '[ssh]\nown_sshd = true\nauthorized_keys = "/etc/keys"',
            "[ssh] authorized_keys is set but own_sshd is true; "
            "the own sshd keeps its own, remove authorized_keys",
        ),
        (
            '[ssh]\naddress = "127.0.0.1"',
            "[ssh] address is set but own_sshd is not true; "
            "the sshd of the system has its own settings, remove address",
        ),
        (
            '[samples]\naccess = ["eth1"]\ninternet = ["eth1"]',
            "[samples] access and internet both name eth1; an interface is on one side only",
        ),
        (
            '[samples]\nsource = "simulated"\naccess = ["eth1"]',
            "[samples] interfaces are named but source is simulated; "
            'set source = "host" or remove them',
        ),
    ],
)
def test_values_that_contradict_each_other_are_refused(text: str, problem: str) -> None:
    assert problems_of(MINIMAL + text) == (problem,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[gui]\nport = true", "[gui] port must be a whole number without quotes, not true"),
        (
            "[gui]\nthreads = 3",
            "[gui] threads must be between 4 and 256, not 3",
        ),
        (
            '[samples]\naccess = ["eth1", "eth1"]',
            "[samples] access names something twice; keep one of them",
        ),
        (
            '[apply]\nread_command = ["show-config"]',
            '[apply] read_command must start with the full path of the program, not "show-config"',
        ),
        (
            "[apply]\napply_command = []",
            "[apply] apply_command must be a list of program and arguments such as "
            '["/usr/bin/apply", "--now"], not []; no shell is used',
        ),
        ("[gui]\nown_sshd = true", "[gui] own_sshd is not a setting here; it belongs under [ssh]"),
        (
            "[control]\nzzz = 1",
            "[control] zzz is not a setting; the keys here are address, port, preset, witness",
        ),
        (
            "[zzz]",
            f"[zzz] is not a section; the sections are {', '.join(SECTIONS)}",
        ),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wanted(text: str, problem: str) -> None:
    assert problems_of(MINIMAL + text) == (problem,)


def test_a_name_with_blanks_is_refused() -> None:
    assert problems_of('[server]\nstate = "s"\nname = "North POP"') == (
        "[server] name must be 1 to 48 letters, digits, dots, dashes or underscores in quotes, "
        'not "North POP"',
    )


def test_a_state_directory_whose_sockets_would_have_too_long_names_is_refused() -> None:
    assert parse_settings(f'[server]\nstate = "/{"d" * 89}"', FOLDER)
    assert problems_of(f'[server]\nstate = "/{"d" * 90}"') == (
        "[server] state is too long for the sockets below it; use at most 90 bytes",
    )


def test_a_section_that_is_a_value_is_refused() -> None:
    assert problems_of('server = "here"') == (
        "[server] must be a section; write [server] on a line of its own",
    )


def test_a_file_that_is_not_toml_is_refused_with_its_line() -> None:
    (problem,) = problems_of("[server\n")
    assert problem.startswith("not valid TOML: ")
    assert "line 1" in problem


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bqn.toml"
    with pytest.raises(SettingsError, match=r"there is no such file; write one"):
        load_settings(path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bqn.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(path)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path)


def test_files_that_are_named_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "bqn.toml"
    path.write_text(
        MINIMAL + '[gui]\ncertificate = "a.pem"\nkey = "a.key"\n'
        '[apply]\napply_command = ["/nowhere/apply"]\n',
        encoding="utf-8",
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert caught.value.problems == (
        f"{path}: [gui] certificate names {tmp_path / 'a.pem'}, which is not a file that can be "
        "read; correct the path",
        f"{path}: [gui] key names {tmp_path / 'a.key'}, which is not a file that can be read; "
        "correct the path",
        f"{path}: [apply] apply_command names /nowhere/apply, which is not a file that can be "
        "read; correct the path",
    )


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bqn.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    assert load_settings(path).server.state == tmp_path / "state"


@pytest.mark.parametrize("name", SECTIONS)
def test_each_key_has_a_rule_that_fits_its_type(name: str) -> None:
    hints = get_type_hints(SECTIONS[name])
    for field in fields(SECTIONS[name]):
        rule: Rule = field.metadata["rule"]
        assert rule.meaning.endswith("."), field.name
        if rule.kind is not Kind.CHOICE:
            assert hints[field.name] in TYPES[rule.kind], field.name
        if field.default is None or field.default == ():
            assert rule.unset, f"{field.name}: say what holds when it is absent"
        assert (field.default is MISSING) == (field.name == "state")


def test_the_page_of_the_settings_is_complete() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), "run: python -m scheduler.settings_page > docs/settings.md"


def test_the_example_of_the_page_can_be_read() -> None:
    example = settings_page().split("```toml\n")[1].split("```")[0]
    assert parse_settings(example, FOLDER).server.state == Path("/var/lib/bqn")
