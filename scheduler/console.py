"""The console socket: how the command line on the same machine asks the running program.

One JSON object a line in, one out, over a Unix socket of mode 0600: whoever may open it
owns the state directory anyway, and acts as the local administrator.

Edge: a Unix socket.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from configrepo.errors import ConfigRepoError
from scheduler.errors import RemoteRefused, SchedulerError, Unreachable

MAX_BYTES = 1 << 20
_log = logging.getLogger(__name__)

Answer = Callable[[Mapping[str, Any]], dict[str, Any]]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    answers: Mapping[str, Answer]


class _Handler(socketserver.StreamRequestHandler):
    timeout = 10.0
    server: _Server

    def handle(self) -> None:
        try:
            request = json.loads(self.rfile.readline(MAX_BYTES))
            answer = self.server.answers[request["ask"]]
            reply = answer(request)
        except (SchedulerError, ConfigRepoError) as error:
            reply = {"error": str(error)}
        except (ValueError, KeyError, TypeError) as error:
            _log.warning("console: a request could not be read: %r", error)
            reply = {"error": "the request could not be read"}
        with contextlib.suppress(OSError):
            self.wfile.write(json.dumps(reply, default=str).encode() + b"\n")


class Console:
    """Answers the command line while the program runs."""

    def __init__(self, path: Path, answers: Mapping[str, Answer]) -> None:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = _Server(str(path), _Handler)
        finally:
            os.umask(before)
        self._server.answers = answers
        self._path = path
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="console", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop answering and remove the socket."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._path.unlink(missing_ok=True)


def ask(path: Path, request: Mapping[str, Any], timeout_s: float = 60.0) -> dict[str, Any]:
    """Ask the running program.

    Raises:
        Unreachable: it does not run.
        RemoteRefused: it refused; the message is its sentence.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                reply = json.loads(stream.readline(MAX_BYTES))
    except (OSError, ValueError) as error:
        raise Unreachable(f"the program does not answer on {path}: {error}") from error
    if not isinstance(reply, dict) or "error" in reply:
        raise RemoteRefused(str(reply["error"]) if isinstance(reply, dict) else "no answer")
    return reply
