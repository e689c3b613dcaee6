from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from configrepo.errors import StoreError
from configrepo.revision import RefUpdate
from configrepo.serving import advertisement, bound_s, upload_pack
from configrepo.store import Store
from tests.support.repositories import LINE, SCRUBBED, commit, line_of, new_store, policy, real_git

DRAFT = "refs/bqn/drafts/ana"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with new_store(tmp_path_factory.mktemp("served") / "config.git") as made:
        head = line_of(made, 3)[-1]
        draft = commit(made, head, "a draft", policy(77))
        made.move([RefUpdate(DRAFT, None, draft)], "draft")
        made.set_head(LINE)
        yield made


@pytest.fixture(scope="module")
def address(store: Store) -> Iterator[str]:
    """A smallest HTTP server around the two functions."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = advertisement(store.path)
            self.answer("application/x-git-upload-pack-advertisement", [body])

        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer("application/x-git-upload-pack-result", upload_pack(store.path, request))

        def answer(self, kind: str, pieces: Iterator[bytes] | list[bytes]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            for piece in pieces:
                self.wfile.write(piece)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/git/cluster.git"
        server.shutdown()
        thread.join()


def git_client(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], env=SCRUBBED, capture_output=True, text=True, check=False, timeout=60
    )


def clone_request(commit_id: str) -> bytes:
    want = f"want {commit_id} ofs-delta\n".encode()
    return b"%04x" % (len(want) + 4) + want + b"00000009done\n"


def test_real_git_clones_everything_but_drafts(store: Store, address: str, tmp_path: Path) -> None:
    done = git_client("clone", "--quiet", "--mirror", address, str(tmp_path / "clone"))
    assert done.returncode == 0, done.stderr
    assert real_git(tmp_path / "clone", "fsck", "--strict") == ""
    refs = real_git(tmp_path / "clone", "for-each-ref", "--format=%(refname)")
    assert refs == LINE
    again = git_client(f"--git-dir={tmp_path / 'clone'}", "fetch", "--quiet", "origin")
    assert again.returncode == 0, again.stderr


def test_a_draft_cannot_be_had_by_its_id_either(store: Store, address: str, tmp_path: Path) -> None:
    draft = store.ref(DRAFT)
    assert draft is not None
    git_client("init", "--quiet", "--bare", str(tmp_path / "clone"))
    for version in ("0", "2"):
        done = git_client(
            *("-c", f"protocol.version={version}", f"--git-dir={tmp_path / 'clone'}"),
            *("fetch", address, draft),
        )
        assert done.returncode != 0
    with pytest.raises(StoreError, match="not our ref"):
        list(upload_pack(store.path, clone_request(draft)))


@pytest.mark.parametrize("request_body", [b"zzzz", b"0032want x\n", clone_request("1" * 40)])
def test_a_request_that_is_not_gits_raises_instead_of_ending_early(
    store: Store, request_body: bytes
) -> None:
    with pytest.raises(StoreError, match="ended with 128"):
        list(upload_pack(store.path, request_body))


def big(store: Store) -> bytes:
    """A request whose answer does not fit into a pipe."""
    head = store.ref(LINE)
    assert head is not None
    noise = {f"common/policy/rate/r{n}.conf": os.urandom(40_000).hex() for n in range(40)}
    made = commit(store, head, "big", noise)
    store.move([RefUpdate(LINE, head, made)], "big")
    return clone_request(made)


def children_of_git(store: Store) -> list[str]:
    """Command lines of running git processes that name this repository."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = place.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if "upload-pack" in line and str(store.path) in line:
            found.append(line)
    return found


def ended(store: Store) -> bool:
    """Wait until no git serves this repository; a killed process needs a moment to be gone."""
    deadline = time.monotonic() + 20
    while children_of_git(store):
        if time.monotonic() > deadline:
            return False
    return True


def test_a_client_that_goes_away_leaves_no_process(store: Store) -> None:
    answer = upload_pack(store.path, big(store))
    assert next(iter(answer))
    assert children_of_git(store)
    answer.close()
    assert ended(store)


def test_a_client_that_takes_nothing_is_ended_and_told(store: Store) -> None:
    answer = upload_pack(store.path, big(store), silence_s=0.3)
    next(answer)
    assert ended(store)
    with pytest.raises(StoreError, match="ended with -9"):
        for _ in answer:
            pass


def test_a_big_answer_is_complete(store: Store) -> None:
    request = big(store)
    assert sum(len(piece) for piece in upload_pack(store.path, request)) > 1_000_000


def test_a_clone_that_takes_too_long_is_ended_though_pieces_are_taken(store: Store) -> None:
    answer = upload_pack(store.path, big(store), longest_s=0.0)
    with pytest.raises(StoreError, match="ended with -9"):
        for _ in answer:
            pass
    assert ended(store)


def test_a_large_repository_has_as_long_as_a_slow_line_needs(tmp_path: Path) -> None:
    assert bound_s(tmp_path) == 1800
    (tmp_path / "objects" / "pack").mkdir(parents=True)
    with (tmp_path / "objects" / "pack" / "one.pack").open("wb") as pack:
        pack.truncate(160 << 20)
    assert bound_s(tmp_path) == 2_560
