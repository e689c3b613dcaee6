"""Reads the settings file of one server.

All problems of a file are reported together, each with its key and what to do, so that
an operator repairs it once. Relative paths are relative to the folder of the file.
What the keys are is not decided here but in `scheduler.settings_table`.

Edge: file system.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from configrepo.mirroring import wrong_url
from scheduler.errors import SettingsError
from scheduler.settings_table import (
    CONTROL_PORT_OF_ID_0,
    HIGHEST_ID,
    SECTIONS,
    ApplySection,
    ControlSection,
    GuiSection,
    Kind,
    MirrorSection,
    ReplicationSection,
    Rule,
    SamplesSection,
    ServerSection,
    Settings,
    SshSection,
)

LONGEST_SOCKET_PATH = 107
"""Bytes of a Unix socket's name on Linux (unix(7): 108 with the final zero)."""

Reader = Callable[[object, Rule, Path], object]


class _WrongValue(Exception):
    """A value that cannot be taken; the message says what is wanted."""


def load_settings(path: Path) -> Settings:
    """Read a settings file (TOML, UTF-8).

    Raises:
        SettingsError: the file cannot be read or has problems; carries all of them.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SettingsError(
            (f"{path}: there is no such file; write one, docs/settings.md names every key",)
        ) from None
    except UnicodeDecodeError:
        raise SettingsError((f"{path}: not UTF-8 text; save it as UTF-8",)) from None
    except OSError as error:
        raise SettingsError((f"{path}: cannot be read: {error.strerror}",)) from None
    try:
        settings = parse_settings(text, path.absolute().parent)
    except SettingsError as error:
        raise SettingsError(tuple(f"{path}: {p}" for p in error.problems)) from None
    missing = tuple(f"{path}: {problem}" for problem in _missing_files(settings))
    if missing:
        raise SettingsError(missing)
    return settings


def parse_settings(text: str, folder: Path) -> Settings:
    """Read the text of a settings file; relative paths start at `folder`.

    Raises:
        SettingsError: with every problem of the text, one sentence each.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError((f"not valid TOML: {error}",)) from None
    problems: list[str] = []
    values = {name: _section(name, data.get(name, {}), folder, problems) for name in SECTIONS}
    problems += [_unknown_section(name) for name in data if name not in SECTIONS]
    if problems:
        raise SettingsError(tuple(problems))
    settings = Settings(
        server=ServerSection(**values["server"]),
        gui=GuiSection(**values["gui"]),
        control=ControlSection(**values["control"]),
        ssh=SshSection(**values["ssh"]),
        apply=ApplySection(**values["apply"]),
        replication=ReplicationSection(**values["replication"]),
        mirror=MirrorSection(**values["mirror"]),
        samples=SamplesSection(**values["samples"]),
    )
    problems = _contradictions(settings, data)
    if problems:
        raise SettingsError(tuple(problems))
    return settings


def _section(name: str, given: object, folder: Path, problems: list[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        problems.append(f"[{name}] must be a section; write [{name}] on a line of its own")
        return {}
    known = {f.name: f for f in fields(SECTIONS[name])}
    problems += [_unknown_key(name, key, known) for key in given if key not in known]
    values: dict[str, Any] = {}
    for key, field in known.items():
        if key not in given:
            if field.default is MISSING:
                problems.append(f"[{name}] {key} is missing; it has no default")
            continue
        rule: Rule = field.metadata["rule"]
        try:
            values[key] = _READERS[rule.kind](given[key], rule, folder)
        except _WrongValue as wrong:
            problems.append(f"[{name}] {key} {wrong}")
    return values


def _unknown_section(name: str) -> str:
    if close := difflib.get_close_matches(name, SECTIONS, 1):
        return f"[{name}] is not a section; did you mean [{close[0]}]?"
    return f"[{name}] is not a section; the sections are {', '.join(SECTIONS)}"


def _unknown_key(section: str, key: str, known: Mapping[str, object]) -> str:
    if close := difflib.get_close_matches(key, known, 1):
        return f"[{section}] {key} is not a setting; did you mean {close[0]}?"
    elsewhere = [s for s, cls in SECTIONS.items() if key in {f.name for f in fields(cls)}]
    if elsewhere:
        return f"[{section}] {key} is not a setting here; it belongs under [{elsewhere[0]}]"
    return f"[{section}] {key} is not a setting; the keys here are {', '.join(known)}"


# --- One reader per kind ----------------------------------------------------------------


def _text(value: object, _rule: Rule, _folder: Path) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise _WrongValue(f"must be a text on one line in quotes, not {_shown(value)}")
    return value.strip()


def _name(value: object, _rule: Rule, _folder: Path) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,48}", value):
        wanted = "must be 1 to 48 letters, digits, dots, dashes or underscores in quotes"
        raise _WrongValue(f"{wanted}, not {_shown(value)}")
    return value


def _address(value: object, _rule: Rule, _folder: Path) -> str:
    try:
        return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        wanted = 'must be an IP address of this machine in quotes, such as "0.0.0.0"'
        raise _WrongValue(f"{wanted}, not {_shown(value)}") from None


def _number(value: object, rule: Rule, _folder: Path) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _WrongValue(f"must be a whole number without quotes, not {_shown(value)}")
    if not rule.low <= value <= rule.high:
        raise _WrongValue(f"must be between {rule.low} and {rule.high}, not {value}")
    return value


def _switch(value: object, _rule: Rule, _folder: Path) -> bool:
    if not isinstance(value, bool):
        raise _WrongValue(f"must be true or false without quotes, not {_shown(value)}")
    return value


def _choice(value: object, rule: Rule, _folder: Path) -> str:
    if not isinstance(value, str) or value not in rule.choices:
        quoted = " or ".join(f'"{choice}"' for choice in rule.choices)
        raise _WrongValue(f"must be {quoted}, not {_shown(value)}")
    return value


def _path(value: object, _rule: Rule, folder: Path) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _WrongValue(f"must be a path in quotes, not {_shown(value)}")
    return folder / value


def _words(value: object, _rule: Rule, _folder: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
        raise _WrongValue(f'must be a list of texts such as ["a", "b"], not {_shown(value)}')
    if len(set(value)) != len(value):
        raise _WrongValue("names something twice; keep one of them")
    return tuple(value)


def _command(value: object, _rule: Rule, _folder: Path) -> tuple[str, ...]:
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(v, str) and v and "\0" not in v for v in value)
    ):
        example = 'must be a list of program and arguments such as ["/usr/bin/apply", "--now"]'
        raise _WrongValue(f"{example}, not {_shown(value)}; no shell is used")
    if not Path(value[0]).is_absolute():
        raise _WrongValue(f'must start with the full path of the program, not "{value[0]}"')
    return tuple(value)


_READERS: dict[Kind, Reader] = {
    Kind.TEXT: _text,
    Kind.NAME: _name,
    Kind.ADDRESS: _address,
    Kind.PORT: _number,
    Kind.COUNT: _number,
    Kind.SECONDS: _number,
    Kind.SWITCH: _switch,
    Kind.CHOICE: _choice,
    Kind.FILE: _path,
    Kind.COMMAND: _command,
    Kind.WORDS: _words,
}


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 60 else text[:57] + "..."


# --- Values that do not go together -----------------------------------------------------


def _contradictions(settings: Settings, data: Mapping[str, Any]) -> list[str]:
    return [
        *_state_path(settings.server.state),
        *_certificate_pair(settings.gui),
        *_ports(settings),
        *_ssh(settings.ssh, data.get("ssh", {})),
        *_mirror(settings.mirror),
        *_samples(settings.samples),
    ]


def _state_path(state: Path) -> list[str]:
    longest = state / "run" / "receive.sock"
    if len(os.fsencode(longest)) <= LONGEST_SOCKET_PATH:
        return []
    most = LONGEST_SOCKET_PATH - len("/run/receive.sock")
    return [f"[server] state is too long for the sockets below it; use at most {most} bytes"]


def _certificate_pair(gui: GuiSection) -> list[str]:
    if (gui.certificate is None) == (gui.key is None):
        return []
    given, lacking = ("certificate", "key") if gui.key is None else ("key", "certificate")
    return [f"[gui] {given} is set but {lacking} is not; set both or neither"]


def _ports(settings: Settings) -> list[str]:
    gui, control, ssh = settings.gui, settings.control, settings.ssh
    lowest, highest = CONTROL_PORT_OF_ID_0, CONTROL_PORT_OF_ID_0 + HIGHEST_ID
    problems = [
        f"{key} {port} lies in the range of the control ports ({lowest}-{highest}); "
        "choose a port outside it"
        for key, port in (("[gui] port", gui.port), ("[ssh] port", ssh.port))
        if control.port is None and lowest <= port <= highest
    ]
    users = {"[gui] port": gui.port, "[control] port": control.port, "[ssh] port": ssh.port}
    names = list(users)
    for index, first in enumerate(names):
        for second in names[index + 1 :]:
            if users[first] is not None and users[first] == users[second]:
                problems.append(
                    f"{first} and {second} are both {users[first]}; give each its own port"
                )
    return problems


def _ssh(ssh: SshSection, given: Mapping[str, Any]) -> list[str]:
    if ssh.own_sshd:
        return [
            f"[ssh] {key} is set but own_sshd is true; the own sshd keeps its own, remove {key}"
            for key in ("host_key_public", "authorized_keys")
            if key in given
        ]
    if "address" in given:
        return [
            "[ssh] address is set but own_sshd is not true; "
            "the sshd of the system has its own settings, remove address"
        ]
    return []


def _mirror(mirror: MirrorSection) -> list[str]:
    if mirror.url is None:
        keys = ("key", "known_hosts", "token_file", "ca_file")
        given = [key for key in keys if getattr(mirror, key) is not None]
        return [f"[mirror] {key} is set but url is not; set url as well" for key in given]
    if (problem := wrong_url(mirror.url)) is not None:
        return [f"[mirror] url {problem}"]
    if mirror.url.startswith("ssh://"):
        needed = (("key", mirror.key), ("known_hosts", mirror.known_hosts))
        return [f"[mirror] {key} is missing; ssh needs it" for key, path in needed if path is None]
    return []


def _samples(samples: SamplesSection) -> list[str]:
    problems = []
    if both := sorted(set(samples.access) & set(samples.internet)):
        problems.append(
            f"[samples] access and internet both name {', '.join(both)}; "
            "an interface is on one side only"
        )
    if samples.source == "simulated" and (samples.access or samples.internet):
        problems.append(
            "[samples] interfaces are named but source is simulated; "
            'set source = "host" or remove them'
        )
    return problems


def _missing_files(settings: Settings) -> list[str]:
    named = {
        "[gui] certificate": settings.gui.certificate,
        "[gui] key": settings.gui.key,
        "[ssh] host_key_public": settings.ssh.host_key_public,
        "[mirror] key": settings.mirror.key,
        "[mirror] known_hosts": settings.mirror.known_hosts,
        "[mirror] token_file": settings.mirror.token_file,
        "[mirror] ca_file": settings.mirror.ca_file,
        "[apply] apply_command": _program(settings.apply.apply_command),
        "[apply] health_command": _program(settings.apply.health_command),
        "[apply] read_command": _program(settings.apply.read_command),
        "[apply] who_command": _program(settings.apply.who_command),
    }
    return [
        f"{key} names {path}, which is not a file that can be read; correct the path"
        for key, path in named.items()
        if path is not None and not path.is_file()
    ]


def _program(command: tuple[str, ...]) -> Path | None:
    return Path(command[0]) if command else None
