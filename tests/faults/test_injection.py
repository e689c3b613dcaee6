"""Words that git, a shell or SSH would take for an order, in every field of the GUI.

The desk behind the pages is a real one with a real repository. Whatever is answered, no
command of theirs runs, no server error comes, and what is kept is kept word for word.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pytest
from flask import Flask

from bqngui import create_app
from bqngui.local_admin import LocalAccount, LocalAdmin
from bqngui.settings import GuiSettings
from bqngui.shell import Shell
from scheduler.views import Committed
from tests.support.repositories import real_git
from tests.support.site import Visitor, password_hash
from tests.support.wired_servers import ADMIN, WiredServer

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = ("login.", "account.", "git_http.", "assets.", "static")
"""Hashing passwords and streaming repositories have tests of their own."""


def orders(canary: Path) -> list[str]:
    """What somebody would type to have a file made."""
    at = str(canary)
    run = (f"touch {at}", f"touch${{IFS}}{at}")
    return [
        f"--output={at}",
        f"--upload-pack={run[0]}",
        f"ext::sh -c touch% {at}",
        f"-oProxyCommand={run[0]}",
        f"$({run[0]})",
        f"`{run[0]}`;{run[0]}|{run[0]}",
        f"x\n{run[0]}\r\nx",
        f"@{{-1}}..--output={at}",
        f"--exec={run[0]}",
        f"-c core.sshCommand={run[0]}",
        f"-c alias.x=!{run[0]}",
        f"--config-env=core.pager={run[0]}",
        f"--receive-pack={run[0]}",
        f"-u{run[0]}",
        f"--open-files-in-pager={run[0]}",
        f"-O{run[0]}",
        f"--ext-diff={run[0]}",
        f"--git-dir={at}",
        f"--separate-git-dir={at}",
        f"--template={at}",
        f"--log-file={at}",
        f"--file={at}",
        f"-F{at}",
        f"-o{at}",
        f":(glob)../{at}",
        f":(top,attr:{run[1]}){at}",
        f"../../../../../../../..{at}",
        f"..%2f..{at}",
        f"file://{at}",
        f"ssh://-oProxyCommand={run[1]}/x",
        f"git@-oProxyCommand={run[1]}:x",
        f"HEAD^{{/{run[0]}}}",
        f"refs/heads/$({run[1]})",
        f"{'0' * 40} --output={at}",
        f"{{{{{run[0]}}}}}",
        f"${{jndi:file://{at}}}",
        f"\x00{run[0]}",
        f"\x1b]0;{run[0]}\x07",
        f"'; {run[0]}; '",
        f'"; {run[0]}; "',
        f"x & {run[0]} &",
        f"x || {run[0]}",
        f">{at}",
        f"<({run[0]})",
        f"!{run[0]}",
        f"Signed-off-by: x\n\nServer: 7\nTerm: 9-7\n{run[0]}",
        "-" * 300,
        "--",
        "--end-of-options",
        "@{u}",
    ]


class Front:
    """The pages over the desk of a real server."""

    def __init__(self, folder: Path) -> None:
        self.server = WiredServer(folder, 0, "bqn0-v1.conf")
        self.server.start()
        state = folder / "gui"
        state.mkdir()
        self.settings = GuiSettings(self.server.me, state, address="127.0.0.1", port=0)
        LocalAdmin(state).store(LocalAccount(password_hash(), one_time=False))
        self.app: Flask = create_app(self.server.server.desk, self.settings)
        self.shell = cast("Shell", self.app.extensions["bqn"])
        self.visitor = Visitor(self.app.test_client(), self.shell)
        assert self.visitor.log_in("admin", "correct horse battery staple").status_code == 303

    def close(self) -> None:
        """Stop everything."""
        self.shell.sessions.close()
        self.server.close()


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """A short path, because sockets live below it."""
    folder = Path(tempfile.mkdtemp(prefix="bqn-"))
    made = Front(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """The file that must not appear."""
    path = tmp_path / "canary"
    yield path
    assert not path.exists()


def fields() -> list[str]:
    """Every name under which a page reads something."""
    found: set[str] = set()
    for source in (ROOT / "bqngui").glob("*.py"):
        read = r"(?:args|form|values)(?:\.get(?:list)?\(|\[)\"([a-z_-]+)\""
        found |= set(re.findall(read, source.read_text()))
    for page in (ROOT / "templates").rglob("*.html"):
        found |= set(re.findall(r'name="([a-z_-]+)"', page.read_text()))
    assert {"message", "path", "revision", "name", "request_id"} <= found
    return sorted(found - {"csrf_token"})


def addresses(app: Flask, method: str, order: str) -> Iterator[str]:
    """Every address of the pages, the order in each of its places."""
    for rule in app.url_map.iter_rules():
        if method in (rule.methods or ()) and not rule.endpoint.startswith(LEFT_OUT):
            path = re.sub(r"<int:\w+>", "0", rule.rule)
            yield re.sub(r"<[^>]+>", quote(order, safe="").replace("\\", "\\\\"), path)


def test_no_field_of_any_page_is_an_order(front: Front, canary: Path, full: bool) -> None:
    names, asked = fields(), 0
    for order in orders(canary)[: None if full else 3]:
        everywhere = dict.fromkeys(names, order)
        for path in addresses(front.app, "GET", order):
            for query in (everywhere, {**everywhere, "server": "0"}):
                answer = front.visitor.get(path, query_string=query)
                asked += 1
                assert answer.status_code < 500, (path, order, answer.text[:2000])
                answer.close()
        for path in addresses(front.app, "POST", order):
            for form in (everywhere, {**everywhere, "server": "0", "request_id": uuid.uuid4().hex}):
                answer = front.visitor.post(path, dict(form))
                asked += 1
                assert answer.status_code < 500, (path, order, answer.text[:2000])
    print(f"{asked} requests over {len(names)} fields")
    assert front.server.server.store.fsck() is None


def test_a_message_is_kept_without_control_characters_or_refused(
    front: Front, canary: Path
) -> None:
    desk, kept = front.server.server.desk, 0
    for number, order in enumerate(orders(canary)):
        if "\0" in order:
            continue  # see the next test
        desk.edit(ADMIN, None, f"policy rate p{number}\n downlink rate {number + 1}\n")
        outcome = desk.commit(ADMIN, order, uuid.uuid4().hex, {})
        desk.discard(ADMIN)
        if not isinstance(outcome, Committed):
            continue
        kept += 1
        store = front.server.server.store
        path = str(store.path)
        body = real_git(Path(path), "log", "-1", "--format=%B", outcome.revision)
        words = "".join(letter for letter in order.split("\n")[0] if letter.isprintable())
        assert words.strip() in body
        trailers = real_git(
            Path(path), "log", "-1", "--format=%(trailers:key=Server)", outcome.revision
        )
        assert trailers == "Server: 0"
    print(f"{kept} of {len(orders(canary))} kept as messages")
    assert kept > 20


def test_a_zero_byte_in_a_message_is_left_out(front: Front) -> None:
    desk = front.server.server.desk
    desk.edit(ADMIN, None, "policy rate zero\n downlink rate 1\n")
    outcome = desk.commit(ADMIN, "a\0b", uuid.uuid4().hex, {})
    assert isinstance(outcome, Committed)
    assert desk.history(1)[0].subject == "ab"
