"""The commands `init`, `status` and `token`: the GUI's room, at a terminal.

`status` and `token` ask the running program over its console socket; who may open it owns
the state directory, and acts as the local administrator.

Edge: command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from bqngui import local_admin
from bqngui.passwords import Passwords
from configrepo.errors import UnreadableConfig
from configrepo.model import Document, ServerId
from configrepo.parser import read
from scheduler.console import ask
from scheduler.errors import Unreachable
from scheduler.founding import found_server
from scheduler.settings import load_settings
from scheduler.state_dir import ServerRecord
from scheduler.views import Role

DONE, NO, WRONG = 0, 1, 2
LONGEST_NAME = 48


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the arguments of the three commands."""
    make = commands.add_parser("init", help="make the state directory of a new server")
    make.add_argument("--state", type=Path, required=True, metavar="DIR")
    make.add_argument("--id", type=_server_id, default=ServerId(0), metavar="N", help="0 to 255")
    make.add_argument(
        "--name", type=_server_name, metavar="NAME", help="default: the hostname, or bqn<N>"
    )
    make.add_argument("--config", type=Path, metavar="FILE", help="a saved configuration")
    tell = commands.add_parser("status", help="tell how the cluster is")
    tell.add_argument("--json", action="store_true", help="print one JSON object")
    tokens = commands.add_parser("token", help="make a token for a user").add_subparsers(
        dest="token_command", required=True, metavar="COMMAND"
    )
    create = tokens.add_parser("create", help="print a fresh token, once")
    create.add_argument("name", metavar="NAME", help="the user; it is added if it is new")
    create.add_argument("--role", choices=[role.value for role in Role], required=True)
    create.add_argument("--days", type=_days, default=365, metavar="N", help="valid so long")
    for command in (tell, create):
        where = command.add_mutually_exclusive_group(required=True)
        where.add_argument("--settings", type=Path, metavar="FILE")
        where.add_argument("--state", type=Path, metavar="DIR")


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 3650:
        raise argparse.ArgumentTypeError("a token is valid 1 to 3650 days")
    return int(text)


def _server_name(text: str) -> str:
    if len(text.split()) != 1 or len(text) > LONGEST_NAME:
        raise argparse.ArgumentTypeError(
            f"a name has no blanks and at most {LONGEST_NAME} characters"
        )
    return text


def _server_id(text: str) -> ServerId:
    if not text.isdecimal() or not 0 <= int(text) <= 255:
        raise argparse.ArgumentTypeError("the id is a number from 0 to 255")
    return ServerId(int(text))


def init(arguments: argparse.Namespace) -> int:
    """Make a new server and print the one-time code of its local administrator."""
    document: Document | None = None
    if arguments.config is not None:
        try:
            document = read(arguments.config.read_bytes()).document
        except OSError as error:
            return _say(f"{arguments.config}: {error.strerror}", WRONG)
        except UnreadableConfig as error:
            for problem in error.problems:
                place = f"{arguments.config}:{problem.line}:{problem.column}"
                _say(f"{place}: {problem.severity}: {problem.message}", WRONG)
            return WRONG
    name = arguments.name or _hostname(document) or f"bqn{arguments.id}"
    record = ServerRecord(arguments.id, name)
    found_server(arguments.state, record, document, Passwords().hashed)
    code = local_admin.create(arguments.state)
    print(f"BQN {arguments.id} ({name}) is ready in {arguments.state}.")
    print("Log in as admin with this code, and choose a password:")
    print(f"one-time code: {code}")
    return DONE


def _hostname(document: Document | None) -> str | None:
    if document is None:
        return None
    words = (block.text.split() for block in document.blocks)
    return next((line[1] for line in words if line[0] == "hostname" and len(line) > 1), None)


def _console_path(arguments: argparse.Namespace) -> Path:
    if arguments.state is not None:
        state: Path = arguments.state
        return state / "run" / "console.sock"
    return load_settings(arguments.settings).server.state / "run" / "console.sock"


def status(arguments: argparse.Namespace) -> int:
    """Tell how the cluster is: 0 ready, 1 degraded, 2 not running."""
    try:
        answer = ask(_console_path(arguments), {"ask": "status"}, timeout_s=10.0)
    except Unreachable:
        return _say("The program does not run here.", WRONG)
    if arguments.json:
        print(json.dumps(answer, indent=1, sort_keys=True))
    else:
        print("\n".join(_status_lines(answer)))
    fine = answer["state"] in ("ready", "alone") and answer["status"] == "complete"
    return DONE if fine else NO


def _status_lines(answer: dict[str, object]) -> list[str]:
    servers = answer["servers"]
    assert isinstance(servers, list)
    lines = [
        f"state {answer['state']}: {answer['state_sentence']}",
        f"status {answer['status']}: {answer['status_sentence']}",
    ]
    for server in servers:
        lines.append(
            f"BQN {server['id']} {server['name']} {server['role']} {server['state']}, "
            f"{server['sync']}: {server['sync_sentence']}"
        )
    return lines


def token(arguments: argparse.Namespace) -> int:
    """Make a token through the running program, as the local administrator."""
    request = {
        "ask": "token",
        "name": arguments.name,
        "role": arguments.role,
        "days": arguments.days,
    }
    try:
        answer = ask(_console_path(arguments), request)
    except Unreachable:
        return _say("The program does not run here: start it with 'app.py serve' first.", WRONG)
    print(answer["token"])
    return _say(answer["sentence"], DONE)


def _say(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code
