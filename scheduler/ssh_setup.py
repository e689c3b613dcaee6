"""The command `ssh setup`: the account, its keys file and sshd's configuration.

It prints what it will change first and changes nothing without `--apply`. Afterwards it
verifies: `sshd -t` reads the whole configuration, and this server's own key goes through
sshd to the gate, as the other servers' keys will. If sshd refuses the configuration, the
former snippet is put back. `--undo` takes the snippet away again, in the same two steps, and
verifies that this server's own key comes in no more; the account and its files stay, because
they are the server's, and so do connections that are open.

Edge: accounts, files below a root folder, processes.
"""

from __future__ import annotations

import argparse
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from configrepo.durable import write_file
from scheduler import causes
from scheduler.authorized_keys import KNOCKING, KeyHolder, authorized_lines
from scheduler.errors import SchedulerError
from scheduler.identity import Identity
from scheduler.settings import load_settings
from scheduler.settings_table import Settings
from scheduler.ssh import SshProbe, probe_ssh
from scheduler.ssh_plan import (
    SNIPPET,
    Folder,
    MakeAccount,
    Plan,
    RemoveSnippet,
    SetFolder,
    SetKeys,
    SshFacts,
    Step,
    WriteSnippet,
    plan_setup,
)
from scheduler.sshd import account, system_host_key
from scheduler.state_dir import StateDir

_TIME_LIMIT_S: Final = 60.0
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
Run = Callable[[Sequence[str]], str | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `ssh`."""
    words = parser.add_subparsers(dest="ssh_command", required=True, metavar="COMMAND")
    setup = words.add_parser("setup", help="let the system's sshd bring in the other servers")
    setup.add_argument("--settings", type=Path, required=True, metavar="FILE")
    setup.add_argument("--apply", action="store_true", help="change what was printed (as root)")
    setup.add_argument("--undo", action="store_true", help="take sshd's snippet away again")


def run(arguments: argparse.Namespace) -> int:
    """Print what is to be changed and, with `--apply`, change and verify it."""
    settings = load_settings(arguments.settings)
    if settings.ssh.own_sshd:
        _say("own_sshd is true: this server starts its own sshd; there is nothing to set up.")
        return 0
    if arguments.apply and os.geteuid() != 0:
        raise SchedulerError("--apply changes accounts and sshd: run it as root")
    setup = SshSetup(settings, Path("/"), run_program)
    done = setup.undoing() if arguments.undo else setup.plan()
    absent = f"{SNIPPET} is not there; only verifying."
    _print(done, absent if arguments.undo else "Everything is set up; only verifying.")
    if done.obstacles:
        return 1
    if done.steps and not arguments.apply:
        _say("Nothing was changed. Run it again with --apply.")
        return 0
    setup.apply(done)
    return tell_undone(setup) if arguments.undo else _verified(setup)


def tell_undone(setup: SshSetup) -> int:
    """Say what came of the undoing, after the own key was tried; the exit status."""
    if setup.founded and setup.probe().cause == causes.OK:
        _say(
            f"This server's own key still comes in: sshd reads {setup.keys} for another reason. "
            "Look at AuthorizedKeysFile in sshd_config."
        )
        return 1
    _say(
        f"Keys in {setup.keys} open no new connection. The account {setup.user} and all files "
        f"stay; `userdel {setup.user}` removes the account when the program does not run."
    )
    return 0


def _verified(setup: SshSetup) -> int:
    found = setup.probe()
    _say(found.sentence)
    return 0 if found.cause == causes.OK else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print(plan: Plan, nothing: str) -> None:
    for obstacle in plan.obstacles:
        _say(f"  first, by hand: {obstacle}")
    for number, step in enumerate(plan.steps, 1):
        _say(f"  {number}. {step.sentence}")
    if not plan.steps and not plan.obstacles:
        _say(nothing)


def run_program(argv: Sequence[str]) -> str | None:
    """Run a program of the system; returns why it failed, or None."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
            timeout=_TIME_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{argv[0]} cannot be run: {error}"
    if done.returncode == 0:
        return None
    return (done.stderr or done.stdout).strip() or f"{argv[0]} ended with {done.returncode}"


class SshSetup:
    """Sets up the system below `root` (`/`, but in tests), with `run` for its programs."""

    def __init__(self, settings: Settings, root: Path, run: Run) -> None:
        self._ssh = settings.ssh
        self._state = settings.server.state
        self._root = root
        self._run = run
        self.user = settings.ssh.user or account()
        self.keys = settings.ssh.authorized_keys or self._state / "ssh" / "authorized_keys"

    # --- facts ------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Look how things stand and decide what is to be changed."""
        entry = self._entry()
        inside = [p for p in self.keys.parents if p.is_relative_to(self._state)]
        keys = self._at(self.keys)
        snippet = self._at(SNIPPET)
        return plan_setup(
            SshFacts(
                user=self.user,
                home=self._state,
                keys=self.keys,
                account_id=None if entry is None else int(entry[2]),
                shell="" if entry is None else entry[6],
                above=tuple(self._folder(path) for path in reversed(self._state.parents)),
                owned=tuple(self._folder(path) for path in reversed(inside)),
                keys_owner=keys.stat().st_uid if keys.exists() else None,
                snippet=snippet.read_text() if snippet.exists() else None,
                included=self._included(),
            )
        )

    def undoing(self) -> Plan:
        """What has to be taken away so that sshd is as before."""
        snippet = self._at(SNIPPET)
        if not snippet.exists():
            return Plan(())
        return Plan((RemoveSnippet(SNIPPET, snippet.read_text()),))

    def _at(self, path: Path) -> Path:
        return self._root / path.relative_to("/")

    def _folder(self, path: Path) -> Folder:
        try:
            found = self._at(path).stat()
        except FileNotFoundError:
            return Folder(path, None)
        return Folder(path, found.st_uid, found.st_mode & 0o7777)

    def _entry(self) -> list[str] | None:
        if self._root == Path("/"):
            try:
                found = pwd.getpwnam(self.user)
            except KeyError:
                return None
            return [str(part) for part in found]
        lines = self._at(Path("/etc/passwd")).read_text().splitlines()
        return next((e for e in (x.split(":") for x in lines) if e[0] == self.user), None)

    def _included(self) -> bool:
        try:
            text = self._at(Path("/etc/ssh/sshd_config")).read_text()
        except OSError:
            return False
        pattern = f"{SNIPPET.parent}/*.conf"
        words = [line.split() for line in text.splitlines()]
        return any(w[:1] == ["Include"] and any(x.endswith(pattern) for x in w[1:]) for w in words)

    # --- changes ----------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Change what the plan says.

        Raises:
            SchedulerError: a step failed; says which and why.
        """
        for step in plan.steps:
            self._do(step)

    def _do(self, step: Step) -> None:
        match step:
            case MakeAccount(user, home):
                self._must(
                    [
                        *("useradd", *self._prefix(), "--system", "--user-group"),
                        *("--home-dir", str(home), "--no-create-home"),
                        *("--shell", "/bin/sh", "--password", "*", "--", user),
                    ]
                )
            case SetFolder(path, mode):
                self._at(path).mkdir(mode=mode, parents=True, exist_ok=True)
                self._at(path).chmod(mode)
                self._give(self._at(path))
            case SetKeys(path):
                if not self._at(path).exists():
                    write_file(self._at(path), self._own_line().encode(), mode=0o600)
                self._give(self._at(path))
            case WriteSnippet(path, text):
                self._write_snippet(self._at(path), text)
            case RemoveSnippet(path, text):
                self._at(path).unlink()
                problem = self._run(["systemctl", "reload", "ssh"])
                if problem is not None:
                    write_file(self._at(path), text.encode(), mode=0o644)
                    raise SchedulerError(f"sshd goes on as before, {path} was put back: {problem}")

    def _prefix(self) -> list[str]:
        return [] if self._root == Path("/") else ["--prefix", str(self._root)]

    def _must(self, argv: Sequence[str]) -> None:
        problem = self._run(argv)
        if problem is not None:
            raise SchedulerError(f"{argv[0]} failed: {problem}")

    def _give(self, path: Path) -> None:
        entry = self._entry()
        if entry is None:
            raise SchedulerError(f"there is no account {self.user}")
        os.chown(path, int(entry[2]), int(entry[3]))

    @property
    def founded(self) -> bool:
        """Whether this server has keys of its own yet."""
        return (self._at(self._state) / "keys").is_dir()

    def _own_line(self) -> str:
        """This server's own key may see that it reaches the gate, also before the first start."""
        if not self.founded:
            return ""
        state = StateDir.open(self._at(self._state))
        key = Identity.load(state.keys).ssh_public
        return authorized_lines([KeyHolder(state.record().id, key, KNOCKING)], self._state)

    def _write_snippet(self, path: Path, text: str) -> None:
        former = path.read_bytes() if path.exists() else None
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_file(path, text.encode(), mode=0o644)
        problem = self._run(["sshd", "-t", "-f", str(self._at(Path("/etc/ssh/sshd_config")))])
        if problem is not None:
            if former is None:
                path.unlink()
            else:
                write_file(path, former, mode=0o644)
            raise SchedulerError(
                f"sshd refuses its configuration with {path}, so it was put back: {problem}"
            )
        self._must(["systemctl", "reload", "ssh"])

    # --- verification -----------------------------------------------------------------

    def probe(self) -> SshProbe:
        """Go through sshd to the gate with this server's own key, as others will."""
        state = StateDir.open(self._at(self._state))
        key = Identity.load(state.keys).private_key
        host_key = system_host_key(self._ssh.host_key_public)
        return probe_ssh("127.0.0.1", self._ssh.port, key, self.user, host_key)
