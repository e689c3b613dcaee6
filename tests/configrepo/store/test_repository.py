from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from configrepo.errors import NotFound, RefMoved, StoreError
from configrepo.factory import FACTORY_FILES, FACTORY_ROOT
from configrepo.members import Member, member_file, with_allowed_signers
from configrepo.model import ServerId
from configrepo.revision import CommitId, Person, RefUpdate
from configrepo.sshsig import public_line
from configrepo.store import Store
from tests.support.repositories import (
    ANA,
    HOSTNAME,
    KEY,
    LINE,
    SIGNER,
    commit,
    line_of,
    new_store,
    policy,
    real_git,
)

MISSING = CommitId("1" * 40)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path / "config.git") as made:
        yield made


def test_a_commit_says_who_when_and_why(store: Store) -> None:
    store = Store(store.path, SIGNER, now=lambda: 1_800_000_000.9)
    made = store.write_commit(
        [FACTORY_ROOT],
        {**FACTORY_FILES, **HOSTNAME},
        Person("Ana <x>", "ana@example.net"),
        "Name the server\n\nFor the dashboard.",
        {"Server": "0", "Request-Id": "r1"},
    )
    revision = store.revision(made)
    store.close()
    assert revision.parents == (FACTORY_ROOT,)
    assert (revision.author_name, revision.author_email) == ("Ana x", "ana@example.net")
    assert revision.committer == "server-0"
    assert revision.time == datetime.fromtimestamp(1_800_000_000, UTC)
    assert revision.subject == "Name the server"
    assert revision.message == "Name the server\n\nFor the dashboard."
    assert revision.trailers == {"Server": "0", "Request-Id": "r1"}


def test_git_finds_every_signature_good_with_the_signers_of_the_tree(
    store: Store, tmp_path: Path
) -> None:
    key = public_line(KEY.public_key())
    record = Member(ServerId(0), "bqn0", "10.0.0.1", 22, 63500, "AAAA", key, key)
    files = with_allowed_signers({**FACTORY_FILES, **HOSTNAME, **dict([member_file(record)])})
    made = store.write_commit([FACTORY_ROOT], files, ANA, "Join", {"Server": "0"})
    signers = tmp_path / "signers"
    signers.write_text(real_git(store.path, "show", f"{made}:cluster/allowed_signers") + "\n")
    shown = real_git(
        store.path,
        *("-c", f"gpg.ssh.allowedSignersFile={signers}"),
        *("log", "--format=%G? %GS", made),
    )
    assert shown.splitlines() == ["G server-0", "N"]
    assert store.signed_by(made) == key


def test_fsck_of_real_git_is_strict_and_clean(store: Store) -> None:
    line_of(store, 3)
    assert real_git(store.path, "fsck", "--strict", "--full") == ""
    assert store.fsck() is None
    assert store.fsck(connectivity_only=True) is None


def test_a_tree_comes_back_file_by_file_as_git_lists_it(store: Store) -> None:
    made = line_of(store, 2)[-1]
    files = store.files(made)
    assert files == {**FACTORY_FILES, **HOSTNAME, **policy(0), **policy(1)}
    listed = real_git(store.path, "ls-tree", "-r", "--name-only", made).splitlines()
    assert sorted(files) == sorted(listed)
    files["common/ntp.conf"] = "changed by the caller"
    assert store.files(made)["common/ntp.conf"] == FACTORY_FILES["common/ntp.conf"]


def test_a_file_left_out_is_gone_and_changed_paths_say_so(store: Store) -> None:
    files = {**FACTORY_FILES, **HOSTNAME, "common/dos.conf": "dos\n"}
    del files["common/ntp.conf"]
    made = store.write_commit([FACTORY_ROOT], files, ANA, "x", {})
    expected = ("common/dos.conf", "common/ntp.conf", "servers/0/hostname.conf")
    assert store.changed_paths(FACTORY_ROOT, made) == expected
    assert store.changed_paths(None, FACTORY_ROOT) == tuple(sorted(FACTORY_FILES))


def test_many_new_files_become_one_pack(store: Store) -> None:
    files = {path: text for number in range(300) for path, text in policy(number).items()}
    made = commit(store, FACTORY_ROOT, "many", files)
    store.move([RefUpdate(LINE, None, made)], "test")
    assert len(list((store.path / "objects" / "pack").glob("*.pack"))) == 1
    assert store.files(made) == {**FACTORY_FILES, **files}
    assert store.fsck() is None


def test_time_never_runs_backwards_along_the_history(store: Store) -> None:
    early = Store(store.path, SIGNER, now=lambda: 1000.0)
    first = commit(early, FACTORY_ROOT, "with a clock of 1970", HOSTNAME)
    second = commit(early, first, "again", policy(1))
    early.close()
    times = [store.revision(one).time.timestamp() for one in (FACTORY_ROOT, first, second)]
    assert times[1:] == [times[0] + 1, times[0] + 2]


def test_a_store_without_a_key_does_not_commit(store: Store) -> None:
    with (
        Store.open(store.path, None) as reader,
        pytest.raises(StoreError, match="reading"),
    ):
        commit(reader, FACTORY_ROOT, "x", HOSTNAME)


def test_refs_move_only_from_the_value_that_was_read(store: Store) -> None:
    first, second = line_of(store, 2)
    with pytest.raises(RefMoved, match=f"is at {second}"):
        store.move([RefUpdate(LINE, first, FACTORY_ROOT)], "stale")
    with pytest.raises(RefMoved):
        store.move([RefUpdate(LINE, None, first)], "exists")
    with pytest.raises(RefMoved, match="is at nothing"):
        store.move([RefUpdate("refs/heads/cluster", first, second)], "does not exist")
    assert store.ref(LINE) == second


def test_all_refs_move_or_none(store: Store) -> None:
    first, second = line_of(store, 2)
    term = "refs/terms/000000000001-000"
    with pytest.raises(RefMoved):
        store.move([RefUpdate(term, None, second), RefUpdate(LINE, first, second)], "half")
    assert store.refs() == {LINE: second}
    store.move(
        [RefUpdate(term, None, second), RefUpdate("refs/heads/cluster", None, second)], "both"
    )
    assert store.refs("refs/terms/") == {term: second}
    assert store.refs() == {LINE: second, term: second, "refs/heads/cluster": second}


def test_a_draft_can_be_deleted(store: Store) -> None:
    made = commit(store, FACTORY_ROOT, "draft", HOSTNAME)
    store.move([RefUpdate("refs/bqn/drafts/ana", None, made)], "keep")
    store.move([RefUpdate("refs/bqn/drafts/ana", made, None)], "done")
    assert store.ref("refs/bqn/drafts/ana") is None


def test_a_ref_cannot_move_to_a_commit_that_is_not_here(store: Store) -> None:
    with pytest.raises(NotFound):
        store.move([RefUpdate(LINE, None, MISSING)], "x")


def test_refs_and_objects_that_another_process_brought_are_seen(store: Store) -> None:
    assert store.ref(LINE) is None
    with Store.open(store.path, SIGNER) as other:
        made = line_of(other, 2)[-1]
    assert store.ref(LINE) == made
    assert store.files(made).keys() >= HOSTNAME.keys()
    real_git(store.path, "repack", "-a", "-d", "-q")
    real_git(store.path, "pack-refs", "--all")
    assert store.ref(LINE) == made
    assert store.refs() == {LINE: made}
    later = commit(store, made, "after the repack", policy(7))
    store.move([RefUpdate(LINE, made, later)], "on")
    assert store.ref(LINE) == later


def test_what_is_not_here_is_not_found(store: Store) -> None:
    for wrong in (MISSING, CommitId("x"), CommitId("--all"), CommitId("é" * 40), CommitId("")):
        for ask in (store.files, store.revision, store.log, store.entries):
            with pytest.raises(NotFound):
                ask(wrong)
        with pytest.raises(NotFound):
            store.is_ancestor(FACTORY_ROOT, wrong)
        with pytest.raises(NotFound):
            store.ahead(wrong, FACTORY_ROOT)
        with pytest.raises(NotFound):
            store.merge_base(wrong, FACTORY_ROOT)
        assert not store.has(wrong)
    tree = CommitId(real_git(store.path, "rev-parse", f"{FACTORY_ROOT}^{{tree}}"))
    with pytest.raises(NotFound, match="not a commit"):
        store.files(tree)


def test_history_is_newest_first_in_pages_and_of_one_object(store: Store) -> None:
    made = line_of(store, 5)
    subjects = [revision.subject for revision in store.log(made[-1])]
    assert subjects[:5] == [f"Change {number}" for number in (4, 3, 2, 1, 0)]
    assert [one.id for one in store.log(made[-1], limit=2, skip=1)] == [made[3], made[2]]
    (path,) = policy(2)
    assert [one.id for one in store.log(made[-1], path=path)] == [made[2]]
    assert store.log(made[-1], path="common/nothing.conf") == []
    assert store.log(made[-1], path=":(glob)**") == []
    for no_path in ("a\n--all", "../x", "common/../../x", "/etc/passwd", "common//x", ""):
        with pytest.raises(NotFound, match="not a path"):
            store.log(made[-1], path=no_path)


def test_a_request_is_found_again_by_its_trailer(store: Store) -> None:
    files = {**FACTORY_FILES, **HOSTNAME}
    first = store.write_commit([FACTORY_ROOT], files, ANA, "a", {"Request-Id": "one"})
    second = store.write_commit([first], FACTORY_FILES, ANA, "b", {"Request-Id": "two"})
    found = store.find_trailer("Request-Id", "one", second)
    assert found is not None
    assert found.id == first
    assert store.find_trailer("Request-Id", "on", second) is None
    assert store.find_trailer("Request-Id", "one", second, limit=1) is None


def test_ancestry_of_a_fork_is_what_git_says(store: Store) -> None:
    base = line_of(store, 2)[-1]
    a = commit(store, base, "a", policy(10))
    b1 = commit(store, base, "b1", policy(11))
    b2 = commit(store, b1, "b2", policy(12))
    merge = store.write_commit([a, b2], store.files(a), ANA, "merge", {})
    assert store.merge_base(a, b2) == base
    assert store.is_ancestor(base, merge)
    assert store.is_ancestor(merge, merge)
    assert not store.is_ancestor(a, b2)
    assert (store.ahead(b2, a), store.ahead(a, b2), store.ahead(merge, a)) == (2, 1, 3)
    assert store.ahead(a, merge) == 0
    unrelated = store.write_commit([], FACTORY_FILES, ANA, "alone", {})
    assert store.merge_base(a, unrelated) is None


def test_a_clone_checks_out_what_head_names(store: Store, tmp_path: Path) -> None:
    line_of(store)
    store.set_head(LINE)
    assert real_git(store.path, "symbolic-ref", "HEAD") == LINE
    with pytest.raises(ValueError, match="ref name"):
        store.set_head("refs/heads/a b")


def test_creating_twice_changes_nothing(store: Store) -> None:
    made = line_of(store)[-1]
    with Store.create(store.path, SIGNER) as again:
        assert again.ref(LINE) == made


def test_opening_restores_the_configuration_of_this_release(store: Store, tmp_path: Path) -> None:
    (store.path / "config").write_text("[core]\n\tbare = true\n\thooksPath = /tmp/evil\n")
    hooks = tmp_path / 'a "quoted" place'
    Store.open(store.path, None, hooks=hooks).close()
    assert real_git(store.path, "config", "core.hooksPath") == str(hooks)
    assert real_git(store.path, "config", "core.fsync") == "all"
    assert real_git(store.path, "config", "receive.fsckObjects") == "true"


def test_a_place_that_is_no_repository_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(StoreError, match="not a repository"):
            Store.open(path, None)


def test_a_file_cannot_also_be_a_directory(store: Store) -> None:
    files = {"common/user": "x\n", "common/user/a.conf": "user a\n"}
    with pytest.raises(ValueError, match="is a file"):
        store.write_commit([], files, ANA, "x", {})


def test_a_stale_lock_does_not_block_a_ref_for_ever(store: Store) -> None:
    first = line_of(store)[-1]
    lock = store.path / f"{LINE}.lock"
    lock.write_text("")
    os.utime(lock, (1, 1))
    later = commit(store, first, "later", policy(5))
    store.move([RefUpdate(LINE, first, later)], "on")
    assert store.ref(LINE) == later
    assert not lock.exists()


def test_of_many_threads_each_round_one_wins_and_nothing_is_lost(store: Store) -> None:
    line_of(store)
    wins = []

    def work(number: int) -> None:
        for attempt in range(200):
            at = store.ref(LINE)
            assert at is not None
            files = {**store.files(at), **policy(100 + number)}
            made = store.write_commit([at], files, ANA, f"{number} {attempt}", {})
            try:
                store.move([RefUpdate(LINE, at, made)], "race")
            except RefMoved:
                continue
            wins.append(made)
            return
        raise AssertionError("never won")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    head = store.ref(LINE)
    assert head is not None
    assert all(store.is_ancestor(one, head) for one in wins)
    assert store.ahead(head, FACTORY_ROOT) == 7
    assert {path for number in range(6) for path in policy(100 + number)} <= store.files(
        head
    ).keys()


def test_readers_and_a_writer_share_one_store(store: Store) -> None:
    made = line_of(store, 20)
    real_git(store.path, "repack", "-a", "-d", "-q")
    stop = threading.Event()

    def read() -> int:
        rounds = 0
        while not stop.is_set():
            with Store.open(store.path, None) as fresh:
                assert len(fresh.files(made[rounds % 20])) > 11
            assert store.revision(made[rounds % 20]).subject.startswith("Change")
            rounds += 1
        return rounds

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        head = made[-1]
        for number in range(10):
            later = commit(store, head, "w", policy(200 + number))
            store.move([RefUpdate(LINE, head, later)], "w")
            head = later
        stop.set()
        assert all(reader.result() > 0 for reader in readers)


SAVE = """
import sys
from pathlib import Path
from configrepo.errors import DiskFull, StoreError
from configrepo.factory import FACTORY_ROOT
from configrepo.revision import RefUpdate
from tests.support.repositories import HOSTNAME, LINE, SIGNER, commit
from configrepo.store import Store

with Store.open(Path(sys.argv[1]), SIGNER) as store:
    try:
        made = commit(store, FACTORY_ROOT, "Change", HOSTNAME)
        store.move([RefUpdate(LINE, None, made)], "change")
        print(f"saved {made}", flush=True)
    except DiskFull as error:
        print(f"full: {error}", flush=True)
    except StoreError as error:
        print(f"not confirmed: {error}", flush=True)
"""


def save_under_strace(store: Store, trace: Path, *options: str) -> str:
    command = ["strace", "-f", "-y", "-s", "400", "-o", str(trace), *options]
    done = subprocess.run(
        [*command, sys.executable, "-c", SAVE, str(store.path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        timeout=60,
    )
    return done.stdout.strip()


def test_everything_is_on_disk_before_the_answer(store: Store, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    said = save_under_strace(store, trace, "-e", "trace=fsync,syncfs,rename,write")
    lines = [line for line in trace.read_text().splitlines() if "resumed>" not in line]

    def last(*words: str) -> int:
        found = [at for at, line in enumerate(lines) if all(word in line for word in words)]
        assert found, words
        return found[-1]

    synced = [line for line in lines if "fsync(" in line and "/objects/" in line]
    moved = last("rename(", f"{LINE}.lock")
    # blob, two directories, root tree and commit
    assert len(synced) == 5
    assert last("fsync(", "/objects/") < moved
    assert last("fsync(", f"{LINE}.lock") < moved
    assert moved < last("syncfs(", "config.git") < last("write(", said)


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_full_disk_while_objects_are_written_leaves_the_former_state(
    store: Store, tmp_path: Path, nth: int
) -> None:
    inject = f"inject=fsync:error=ENOSPC:when={nth}"
    said = save_under_strace(store, tmp_path / "trace", "-e", "trace=fsync", "-e", inject)
    assert said.startswith("full: no space left")
    assert store.refs() == {}
    assert store.fsck() is None
    line_of(store)
    assert store.fsck() is None


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_ref_that_cannot_be_written_does_not_move(
    store: Store, tmp_path: Path, error: str
) -> None:
    place = ("-P", f"{store.path}/{LINE}.lock")
    inject = ("-e", "trace=fsync", "-e", f"inject=fsync:error={error}")
    said = save_under_strace(store, tmp_path / "trace", *place, *inject)
    assert said.startswith("not confirmed: git update-ref failed")
    assert store.refs() == {}
    line_of(store)
    assert store.fsck() is None


def test_a_barrier_that_fails_is_not_answered_as_saved(store: Store, tmp_path: Path) -> None:
    inject = ("-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO")
    said = save_under_strace(store, tmp_path / "trace", *inject)
    assert said.startswith("not confirmed:")
    assert "Input/output error" in said


def kill_while_saving(store: Store, call: str, *options: str) -> None:
    """Kill the process at a call, then check that a new one finds the old or the new state."""
    inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL{options[-1]}")
    subprocess.run(
        [
            *("strace", "-f", "-o", "/dev/null", *options[:-1], *inject),
            *(sys.executable, "-c", SAVE, str(store.path)),
        ],
        capture_output=True,
        cwd=Path(__file__).parents[3],
        check=False,
        timeout=60,
    )
    with Store.open(store.path, SIGNER) as again:
        head = again.ref(LINE)
        assert head is None or again.files(head) == {**FACTORY_FILES, **HOSTNAME}
        assert again.fsck(connectivity_only=True) is None
        if head is not None:
            again.move([RefUpdate(LINE, head, None)], "again")


@pytest.mark.parametrize("call", ["rename", "fsync", "openat"])
def test_killed_while_writing_objects_it_starts_again_with_what_was(
    store: Store, tmp_path: Path, call: str
) -> None:
    trace = tmp_path / "count"
    save_under_strace(store, trace, "-e", f"trace={call}")
    store.move([RefUpdate(LINE, store.ref(LINE), None)], "again")
    calls = [line.split() for line in trace.read_text().splitlines() if f"{call}(" in line]
    writer = next(words[0] for words in calls if "/objects/" in " ".join(words))
    own = [" ".join(words) for words in calls if words[0] == writer]
    points = [at for at, text in enumerate(own, 1) if "/objects/" in text]
    for at in {points[0], points[-1]}:
        kill_while_saving(store, call, f":when={at}")


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_killed_while_the_ref_moves_it_starts_again_with_the_old_or_the_new(
    store: Store, call: str
) -> None:
    kill_while_saving(store, call, "-P", f"{store.path}/{LINE}.lock", "")
    for lock in store.path.rglob("*.lock"):
        os.utime(lock, (1, 1))
    line_of(store)
    assert store.fsck() is None
