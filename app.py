"""The fuse box: the command line, and the one place where the rooms are wired together.

    app.py init --state DIR [--id N] [--name NAME] [--config FILE]
    app.py serve --settings FILE
    app.py status (--settings FILE | --state DIR) [--json]
    app.py token create NAME --role viewer (--settings FILE | --state DIR)
    app.py config check|canonical|merge …
    app.py ssh setup --settings FILE [--apply]

Exit codes of `status`: 0 ready, 1 degraded, 2 not running. Everywhere else 0 is done, 1 is
no (with a sentence), 2 is wrong usage or input that cannot be read.

Edge: processes, signals, command line.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bqngui import command_line as commands
from bqngui import create_app
from bqngui import server as gui_server
from bqngui.passwords import Passwords
from bqngui.settings import GuiSettings
from configrepo import command_line as config_commands
from configrepo.errors import ConfigRepoError
from scheduler import ssh_setup
from scheduler.assembly import Assembly
from scheduler.console import Console
from scheduler.console_answers import console_answers
from scheduler.errors import SchedulerError, SettingsError
from scheduler.settings import load_settings
from scheduler.settings_table import Settings
from scheduler.state_dir import RELEASE

SWITCH_S = 0.0005
"""How long a thread may keep the interpreter while others want it, in seconds.

Saving waits for the disk and for git many times; with Python's 5 ms it would wait as long
again behind whatever job is busy, each time (docs/adr/0018).
"""


class Program:
    """One running server: the assembly of the scheduler's room, shown by the GUI."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        self.server = Assembly(settings, Passwords().hashed, self.stopping)
        self.stack = ExitStack()

    def run(self) -> int:
        """Start everything, wait for a signal, stop everything in the other order."""
        sys.setswitchinterval(SWITCH_S)
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        signal.signal(signal.SIGINT, lambda *_: self.stopping.set())
        with self.stack:
            self.server.start()
            self.stack.callback(self.server.stop)
            self._show()
            self.stopping.wait()
            print("Stopping.", flush=True)
        if self.server.restarting:
            print("Starting again with the new id.", flush=True)
            again = [sys.executable, *sys.orig_argv[1:]]
            os.execv(sys.executable, again)  # noqa: S606 - its own command line
        return 0

    def _show(self) -> None:
        gui = self.settings.gui
        settings = GuiSettings(
            server_id=self.server.me,
            state_dir=self.server.state.path,
            address=gui.address,
            port=gui.port,
            certificate=gui.certificate,
            key=gui.key,
            trusted_hosts=gui.trusted_hosts,
            threads=gui.threads,
        )
        running = gui_server.start(create_app(self.server.desk, settings), settings)
        self.stack.callback(running.stop)
        answers = console_answers(self.server.desk, lambda: datetime.now(UTC))
        console = Console(self.server.state.run / "console.sock", answers)
        self.stack.callback(console.close)
        print(f"BQN {self.server.me} ({self.server.name}), release {RELEASE}")
        print(f"GUI on https://{gui.address}:{running.port}/")
        print(f"certificate {running.fingerprint}", flush=True)


def serve(arguments: argparse.Namespace) -> int:
    """Run the server until it is told to stop."""
    return Program(load_settings(arguments.settings)).run()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="app.py", description="BQN cluster manager")
    words = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = words.add_parser("serve", help="run the server")
    run.add_argument("--settings", type=Path, required=True, metavar="FILE")
    commands.add_arguments(words)
    config_commands.add_arguments(words.add_parser("config", help="read and merge files"))
    ssh_setup.add_arguments(words.add_parser("ssh", help="let the other servers in over SSH"))
    return top


COMMANDS = {
    "init": commands.init,
    "serve": serve,
    "status": commands.status,
    "token": commands.token,
    "config": config_commands.run,
    "ssh": ssh_setup.run,
}


def main(words: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = parser().parse_args(words)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    try:
        return COMMANDS[arguments.command](arguments)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return commands.WRONG
    except (SchedulerError, ConfigRepoError) as error:
        print(error, file=sys.stderr)
        return commands.NO


if __name__ == "__main__":
    raise SystemExit(main())
