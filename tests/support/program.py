"""The program as a user runs it: a process of its own, with settings on free ports.

Edge: processes.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.settings_file import free_ports, write_settings

ROOT = Path(__file__).resolve().parents[2]


def app(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, ROOT / "app.py", *words],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


class Place:
    """A state directory with settings on free ports."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state"
        self.gui, self.control, self.ssh = free_ports(3)
        self.settings = folder / "bqn.toml"
        made = app("init", "--state", self.state, "--config", ROOT / "examples" / "bqn0-v1.conf")
        assert made.returncode == 0, made.stderr
        assert "one-time code: " in made.stdout
        self.code = made.stdout.split("one-time code: ")[1].split()[0]
        self.write()

    @property
    def certificate(self) -> Path:
        """The certificate of its pages."""
        return self.state / "keys" / "gui.crt"

    def write(self) -> None:
        """Write the settings."""
        write_settings(self.settings, self.state, gui=self.gui, control=self.control, ssh=self.ssh)

    @contextmanager
    def served(self) -> Iterator[subprocess.Popen[str]]:
        """The running program, once its pages answer."""
        process = subprocess.Popen(
            [sys.executable, ROOT / "app.py", "serve", "--settings", self.settings],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                for line in process.stdout:
                    if line.startswith("certificate SHA256:"):
                        break
                yield process
            finally:
                process.send_signal(signal.SIGTERM)
                process.stdout.read()
                process.wait(60)
