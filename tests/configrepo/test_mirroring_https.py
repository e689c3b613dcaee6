"""The mirror on an HTTPS server of our own: git's http-backend behind TLS on the loopback."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bqngui.certificate import for_gui, tls_context
from bqngui.settings import GuiSettings
from configrepo.errors import StoreError
from configrepo.mirroring import MirrorTarget, push_mirror
from configrepo.model import ServerId
from configrepo.revision import CommitId, RefUpdate
from scheduler.control_view import ControlRole
from scheduler.mirror import Mirror, MirrorSeams
from tests.support.repositories import LINE, SCRUBBED, commit, line_of, new_store, policy, real_git

TOKEN = "a token & signs: /@%"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DRAFT = "refs/bqn/drafts/ana"


EXPECTED = "Basic " + base64.b64encode(f"bqn:{TOKEN}".encode()).decode()


class Host(ThreadingHTTPServer):
    """Answers for the repositories below `folder`, or always with the status `always`."""

    folder: Path
    always: int | None = None


class Answer(BaseHTTPRequestHandler):
    """One request, handed to `git http-backend` (gitprotocol-http(5), RFC 3875)."""

    server: Host

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        self.answer(self.body())

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def answer(self, body: bytes) -> None:
        if self.server.always is not None:
            self.send_error(self.server.always)
        elif self.headers.get("Authorization") != EXPECTED:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.by_git(body)

    def by_git(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        environment = {
            **SCRUBBED,
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "bqn",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        backend = ["git", "http-backend"]
        made = subprocess.run(
            backend, input=body, env=environment, capture_output=True, check=True, timeout=60
        ).stdout
        head, _, content = made.partition(b"\r\n\r\n")
        lines = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(lines.pop("Status", "200 OK").split()[0]))
        for name, value in lines.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Hosting:
    """An external Git server over HTTPS that asks for a token, and our store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = new_store(folder / "config.git")
        self.head = line_of(self.store, 2)[-1]
        hosted = folder / "hosted.git"
        subprocess.run(["git", "init", "-q", "--bare", str(hosted)], check=True)
        subprocess.run(["git", "-C", str(hosted), "config", "http.receivepack", "true"], check=True)
        self.hosted = hosted
        (folder / "tls").mkdir()
        certificate = for_gui(GuiSettings(ServerId(0), folder / "tls", "127.0.0.1", 0))
        self.host = Host(("127.0.0.1", 0), Answer)
        self.host.folder = folder
        self.host.socket = tls_context(certificate).wrap_socket(
            self.host.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self.host.serve_forever)
        self._thread.start()
        token = folder / "token"
        token.write_text(f"{TOKEN}\n")
        self.target = MirrorTarget(
            f"https://localhost:{self.host.server_address[1]}/hosted.git",
            token=token,
            authority=folder / "tls" / "keys" / "gui.crt",
        )

    def push(self) -> None:
        push_mirror(self.store.path, self.target, self.folder / "credentials")

    def grow(self, number: int) -> CommitId:
        made = commit(self.store, self.head, "one more", policy(number))
        self.store.move([RefUpdate(LINE, self.head, made)], "test")
        self.head = made
        return made

    def has(self) -> dict[str, str]:
        said = real_git(self.hosted, "for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split() for line in said.splitlines()) if said else {}

    def close(self) -> None:
        self.host.shutdown()
        self._thread.join()
        self.host.server_close()
        self.store.close()


@pytest.fixture
def hosting(tmp_path: Path) -> Iterator[Hosting]:
    made = Hosting(tmp_path)
    yield made
    made.close()


def test_everything_but_drafts_is_pushed_with_the_token_of_the_file(hosting: Hosting) -> None:
    draft = commit(hosting.store, hosting.head, "a draft", policy(77))
    hosting.store.move([RefUpdate(DRAFT, None, draft)], "draft")
    hosting.push()
    assert hosting.has() == {LINE: hosting.head}
    hosting.grow(50)
    hosting.push()
    assert hosting.has() == {LINE: hosting.head}
    assert real_git(hosting.hosted, "fsck", "--strict", "--no-dangling") == ""


def test_a_certificate_that_is_not_of_the_named_authority_is_a_stop(hosting: Hosting) -> None:
    (hosting.folder / "other").mkdir()
    stranger = for_gui(GuiSettings(ServerId(1), hosting.folder / "other", "127.0.0.1", 0))
    assert stranger
    authority = hosting.folder / "other" / "keys" / "gui.crt"
    for one in (authority, None):
        hosting.target = replace(hosting.target, authority=one)
        with pytest.raises(StoreError, match=r"[Cc]ertificate"):
            hosting.push()
    assert hosting.has() == {}


def test_a_wrong_token_is_told_and_nobody_sees_it(hosting: Hosting) -> None:
    (hosting.folder / "token").write_text("another token\n")
    with pytest.raises(StoreError, match="Authentication failed") as caught:
        hosting.push()
    assert "another" not in str(caught.value)
    assert hosting.has() == {}


def test_the_state_and_the_error_of_the_mirror_are_its_own_and_pass_with_their_cause(
    hosting: Hosting,
) -> None:
    now = [0.0]
    mirror = Mirror(
        hosting.target.url,
        MirrorSeams(
            push=hosting.push,
            refs=hosting.store.refs,
            role=lambda: ControlRole.PRIMARY,
            now=lambda: NOON,
            monotonic=lambda: now[0],
        ),
    )

    def state() -> tuple[str, str]:
        mirror.run()
        view = mirror.state()
        assert view is not None
        return view.state, view.sentence

    assert state()[0] == "current"
    assert mirror.alarms() == ()
    hosting.grow(60)
    hosting.host.always = 503
    failed, sentence = state()
    assert failed == "failed"
    assert "503" in sentence
    assert mirror.alarms() == (
        f"The mirror {hosting.target.url} does not have the newest commits: {sentence}",
    )
    hosting.host.always = None
    assert state()[0] == "failed", "the pause after a failure is kept"
    now[0] = 60.0
    assert state()[0] == "current"
    assert mirror.alarms() == ()
    assert hosting.has() == {LINE: hosting.head}
