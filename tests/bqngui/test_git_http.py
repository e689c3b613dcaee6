"""The read-only clone, with real git as the client of the real server."""

from __future__ import annotations

import base64
import errno
import gzip
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from bqngui.git_http import Clone
from configrepo.revision import RefUpdate
from configrepo.store import Store
from scheduler.views import Person, Role, TokenMade
from tests.bqngui.conftest import OpenSite
from tests.support import fake_scenes as scenes
from tests.support.fake_desk import ADMINISTRATOR, FakeDesk
from tests.support.repositories import (
    HOSTNAME,
    LINE,
    SCRUBBED,
    commit,
    line_of,
    new_store,
    real_git,
)
from tests.support.site import Site

REFS = "/git/cluster.git/info/refs?service=git-upload-pack"
PACK = "/git/cluster.git/git-upload-pack"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path / "config.git")
    line_of(store, 3)
    store.set_head(LINE)
    yield store
    store.close()


@pytest.fixture
def site(open_site: OpenSite, store: Store) -> Site:
    return open_site(
        FakeDesk(scenes.overview_alone(), scenes.cluster_files((0,)), store.path), clones=1
    )


@pytest.fixture
def token(site: Site) -> str:
    name = site.account(Role.VIEWER)
    made = site.desk.create_token(ADMINISTRATOR, name, "audit", 30, "t1")
    assert isinstance(made, TokenMade)
    return made.text


def git(site: Site, *arguments: str, token: str = "") -> subprocess.CompletedProcess[str]:
    authority = site.settings.state_dir / "keys" / "gui.crt"
    credentials = base64.b64encode(f"auditor:{token}".encode()).decode()
    header = ["-c", f"http.extraHeader=Authorization: Basic {credentials}"] if token else []
    return subprocess.run(
        ["git", "-c", f"http.sslCAInfo={authority}", *header, *arguments],
        capture_output=True,
        text=True,
        env={**SCRUBBED, "GIT_TERMINAL_PROMPT": "0"},
        timeout=60,
        check=False,
    )


def basic(token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"x:{token}".encode()).decode()}


def ask(site: Site, path: str, token: str = "") -> TestResponse:
    return site.visitor().client.get(
        path, base_url="https://localhost", headers=basic(token) if token else {}
    )


def send(site: Site, body: bytes, token: str, **headers: str) -> TestResponse:
    return site.visitor().client.post(
        PACK,
        base_url="https://localhost",
        data=body,
        headers={
            **basic(token),
            "Content-Type": "application/x-git-upload-pack-request",
            **headers,
        },
    )


def test_an_auditor_clones_and_later_fetches(
    site: Site, token: str, store: Store, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    url = f"{site.url}/git/cluster.git"
    done = git(site, "clone", "--quiet", url, str(copy), token=token)
    assert done.returncode == 0, done.stderr
    assert real_git(copy / ".git", "fsck", "--strict") == ""
    head = store.ref(LINE)
    assert head is not None
    assert real_git(copy / ".git", "rev-parse", "HEAD") == head
    # A history of some length on both sides makes git send a long, compressed request.
    for number in range(40):
        real_git(
            copy / ".git", "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree",
            "HEAD^{tree}", "-p", "HEAD", "-m", f"local {number}",
        )  # fmt: skip
    fresh = commit(store, head, "one more", {**HOSTNAME, "common/clock.conf": "clock UTC\n"})
    store.move([RefUpdate(LINE, head, fresh)], "test")
    done = git(site, "-C", str(copy), "fetch", "--quiet", "origin", token=token)
    assert done.returncode == 0, done.stderr
    assert real_git(copy / ".git", "rev-parse", "origin/server/0") == fresh
    lines = {(e.person, e.action, e.result) for e in site.desk.audited}
    assert ("vera", "clone of the configuration", "done") in lines


def test_a_push_is_refused_in_words(site: Site, token: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    url = f"{site.url}/git/cluster.git"
    assert git(site, "clone", "--quiet", url, str(copy), token=token).returncode == 0
    done = git(site, "-C", str(copy), "push", "origin", "HEAD:refs/heads/mine", token=token)
    assert done.returncode != 0
    assert "403" in done.stderr
    assert "This repository is read only." in done.stderr
    assert ask(site, PACK.replace("upload", "receive"), token).status_code == 403


def test_without_a_token_there_is_nothing_to_see(site: Site, token: str, tmp_path: Path) -> None:
    answer = ask(site, REFS)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert send(site, b"0000", "wrong").status_code == 401
    done = git(site, "clone", f"{site.url}/git/cluster.git", str(tmp_path / "copy"))
    assert done.returncode != 0
    # A session of the GUI is no token.
    assert site.administrator().get(REFS).status_code == 401


def test_a_revoked_token_opens_nothing(site: Site, token: str) -> None:
    assert ask(site, REFS, token).status_code == 200
    site.desk.revoke_token(ADMINISTRATOR, "vera", "audit", "t2")
    assert ask(site, REFS, token).status_code == 401


def test_wrong_tokens_are_slowed_down(site: Site, token: str) -> None:
    assert [ask(site, REFS, "wrong").status_code for _ in range(5)] == [401] * 5
    answer = ask(site, REFS, token)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) <= 30


def test_only_the_smart_protocol_for_reading_is_spoken(site: Site, token: str) -> None:
    assert "smart protocol" in ask(site, "/git/cluster.git/info/refs", token).text
    answer = ask(site, "/git/cluster.git/info/refs?service=git-receive-pack", token)
    assert (answer.status_code, answer.mimetype) == (403, "text/plain")
    assert ask(site, "/git/cluster.git/HEAD", token).status_code == 404
    assert ask(site, "/git/other.git/info/refs", token).status_code == 404


def test_answers_are_typed_and_guarded(site: Site, token: str) -> None:
    answer = ask(site, REFS, token)
    assert answer.headers["Content-Type"] == "application/x-git-upload-pack-advertisement"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"].startswith("no-cache")
    assert "Set-Cookie" not in answer.headers


def pkt(line: str) -> bytes:
    return f"{len(line) + 4:04x}{line}".encode()


def request_for(store: Store) -> bytes:
    head = store.ref(LINE)
    return pkt(f"want {head} side-band-64k ofs-delta agent=test\n") + b"0000" + pkt("done\n")


def test_compressed_requests_are_read_up_to_a_limit(site: Site, token: str, store: Store) -> None:
    plain = request_for(store)
    packed = send(site, gzip.compress(plain), token, **{"Content-Encoding": "gzip"})
    assert packed.status_code == 200
    assert b"PACK" in packed.data
    bomb = gzip.compress(bytes(40 * 1024 * 1024))
    for body, coding in ((bomb, "gzip"), (b"not gzip", "gzip"), (plain, "br")):
        answer = send(site, body, token, **{"Content-Encoding": coding})
        assert answer.status_code == 400
        assert "cannot be read" in answer.text
    cut = gzip.compress(plain)[:-4]
    assert send(site, cut, token, **{"Content-Encoding": "gzip"}).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"zzzz",
        b"0032want x\n",
        b"0005a",
        b"0009done\n",
        b"fff0aaa",
        bytes(10),
        b"0014want zzzzzzzzzzz\n0000",
        b"\xff" * 4096,
    ],
)
def test_what_git_would_not_send_is_refused_in_words(
    site: Site, token: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = send(site, body, token)
    assert (answer.status_code, answer.mimetype) == (400, "text/plain")
    assert "not what git sends to fetch" in answer.text
    assert [record for record in caplog.records if record.exc_info] == []
    audited = next(e.result for e in site.desk.audited if e.action.startswith("clone"))
    assert audited.startswith("refused: ")


def test_what_is_not_offered_is_refused_as_git_does_it(site: Site, token: str) -> None:
    unknown = pkt(f"want {'1' * 40} ofs-delta\n") + b"0000" + pkt("done\n")
    answer = send(site, unknown, token)
    assert answer.status_code == 200
    assert answer.data[4:].startswith(b"ERR upload-pack: not our ref 1111")
    assert len(answer.data) == int(answer.data[:4], 16)
    answer.close()
    audited = next(e.result for e in site.desk.audited if e.action.startswith("clone"))
    assert audited.startswith("refused: upload-pack: not our ref 1111")


def test_after_what_cannot_be_read_there_is_room_for_the_next_clone(
    site: Site, token: str, store: Store
) -> None:
    for _ in range(3):
        assert send(site, b"zzzz", token).status_code == 400
    assert b"PACK" in send(site, request_for(store), token).data


def test_an_answer_that_git_cannot_finish_is_no_whole_answer(
    site: Site, token: str, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A blob is missing in the repository: git finds out in the middle."""
    head = store.ref(LINE)
    assert head is not None
    blob = store.entries(head)["common/policy/rate/rate-2.conf"].blob
    (store.path / "objects" / blob[:2] / blob[2:]).unlink()
    done = git(
        site, "clone", "--quiet", f"{site.url}/git/cluster.git", str(tmp_path / "copy"), token=token
    )
    assert done.returncode != 0
    assert "Traceback" not in caplog.text
    assert "broke off" in caplog.text
    results = [e.result for e in site.desk.audited if e.action.startswith("clone")]
    assert len(results) == 1
    assert results[0].startswith("broken off: ")


def test_clones_leave_threads_for_pages(site: Site, token: str, store: Store) -> None:
    client = site.visitor().client
    options = {"base_url": "https://localhost", "data": request_for(store)}
    first = client.post(PACK, headers=basic(token), buffered=False, **options)
    busy = client.post(PACK, headers=basic(token), **options)
    assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")
    # The client of the first goes away before it took anything; its place is free again.
    first.close()
    with client.post(PACK, headers=basic(token), **options) as again:
        assert b"PACK" in again.data
    results = [e.result for e in site.desk.audited if e.action.startswith("clone")]
    assert sorted(results) == ["broken off", "done"]


def test_a_clone_that_cannot_even_begin_frees_its_place() -> None:
    places = threading.Semaphore(1)
    desk = FakeDesk.alone()
    clone = Clone(_no_space(), places, desk, Person("audit", Role.VIEWER, "192.0.2.1"))
    assert places.acquire(blocking=False)
    with pytest.raises(OSError, match="No space left"):
        clone.begin()
    assert places.acquire(blocking=False)


def _no_space() -> Iterator[bytes]:
    return (_raised(errno.ENOSPC) for _ in range(1))


def _raised(number: int) -> bytes:
    raise OSError(number, os.strerror(number))


def test_another_site_cannot_make_a_browser_clone(site: Site, token: str) -> None:
    assert send(site, b"0000", token, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
