"""The gathering part, on real objects in git's own quarantine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest

from configrepo.admission import Admitted, Denied, PushFacts, admit
from configrepo.factory import FACTORY_ROOT
from configrepo.model import ServerId
from configrepo.revision import CommitId
from configrepo.sshsig import public_line
from configrepo.store import Store, facts_of_push
from tests.support.repositories import (
    ANA,
    HOSTNAME,
    KEY,
    SCRUBBED,
    commit,
    line_of,
    new_store,
    policy,
    real_git,
)

CLUSTER = "refs/heads/cluster"
ZERO = "0" * 40


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for all: gathering adds objects to it but moves nothing."""
    with new_store(tmp_path_factory.mktemp("here") / "here.git") as store:
        line_of(store, 2, ref=CLUSTER)
        yield store


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with new_store(tmp_path_factory.mktemp("there") / "there.git") as store:
        line_of(store, 2, ref=CLUSTER)
        yield store


@contextmanager
def quarantine(store: Store, source: Path, tips: Sequence[str]) -> Iterator[Path]:
    """An object directory as git's receive-pack makes it, with what `tips` bring."""
    place = Path(mkdtemp(prefix="tmp_objdir-incoming-", dir=store.path / "objects"))
    (place / "pack").mkdir()
    wanted = "".join(f"{tip}\n" for tip in tips) + f"^{FACTORY_ROOT}\n"
    pack = subprocess.run(
        ["git", f"--git-dir={source}", "pack-objects", "--revs", "--stdout", "-q"],
        input=wanted.encode(),
        env=SCRUBBED,
        capture_output=True,
        check=True,
    ).stdout
    subprocess.run(
        ["git", f"--git-dir={store.path}", "index-pack", "--stdin"],
        input=pack,
        env={
            **SCRUBBED,
            "GIT_OBJECT_DIRECTORY": str(place),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(store.path / "objects"),
        },
        capture_output=True,
        check=True,
    )
    yield place


def gathered(view: Store, *lines: str) -> PushFacts:
    return facts_of_push(
        view,
        lines,
        peer=ServerId(0),
        standing="member",
        me=ServerId(2),
        following=ServerId(0),
        epoch=1,
        accepted=None,
        keys={ServerId(0): frozenset({public_line(KEY.public_key())})},
    )


def facts_of(here: Store, source: Store, tip: CommitId | str, ref: str = CLUSTER) -> PushFacts:
    old = here.ref(ref) or ZERO
    with quarantine(here, source.path, [tip]) as place, here.in_quarantine(place) as view:
        return gathered(view, f"{old} {tip} {ref}")


def object_in(store: Store, kind: str, data: bytes) -> str:
    arguments = ["hash-object", "-t", kind, "-w", "--stdin", "--literally"]
    return real_git(store.path, *arguments, stdin=data)


def tree_in(store: Store, *entries: tuple[str, bytes, str]) -> str:
    data = b"".join(
        mode.encode() + b" " + name + b"\0" + bytes.fromhex(inner) for mode, name, inner in entries
    )
    return object_in(store, "tree", data)


def commit_of_tree(store: Store, tree: str, parent: str) -> str:
    who = "x <x@x> 1800000000 +0000"
    text = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nx\n"
    return object_in(store, "commit", text.encode())


def refusal(facts: PushFacts) -> str:
    decision = admit(facts)
    assert isinstance(decision, Denied)
    return decision.sentence


def head_of(store: Store) -> CommitId:
    head = store.ref(CLUSTER)
    assert head is not None
    return head


def test_an_honest_push_is_admitted_and_only_its_new_files_are_listed(
    here: Store, there: Store
) -> None:
    made = commit(there, head_of(there), "more", policy(7), term="1-0")
    # Both lines were made at another second, so the far line is pushed as a term.
    facts = facts_of(here, there, made, ref="refs/terms/000000000001-000")
    assert isinstance(admit(facts), Admitted)
    on_top = commit(here, head_of(here), "more", policy(8))
    facts = facts_of(here, here, on_top)
    assert isinstance(admit(facts), Admitted)
    assert facts.refs[0].fast_forward
    assert [file.path for file in facts.brought.files] == list(policy(8))


def test_a_fork_is_not_a_fast_forward(here: Store) -> None:
    fork = commit(here, FACTORY_ROOT, "fork", policy(9))
    facts = facts_of(here, here, fork)
    assert not facts.refs[0].fast_forward
    assert "take commits away" in refusal(facts)


def test_a_deletion_brings_nothing(here: Store) -> None:
    facts = gathered(here, f"{head_of(here)} {ZERO} {CLUSTER}")
    assert "deleted" in refusal(facts)
    assert facts.brought.files == ()


def test_a_line_that_is_not_gits_is_an_error(here: Store) -> None:
    with pytest.raises(Exception, match="cannot be read"):
        gathered(here, "nonsense")


@pytest.mark.parametrize(
    ("mode", "name", "words"),
    [
        ("120000", b"clock.conf", "mode 120000"),
        ("100755", b"clock.conf", "mode 100755"),
        ("104755", b"clock.conf", "mode 104755"),
        ("100666", b"clock.conf", "mode 100666"),
        ("160000", b"sub", "mode 160000"),
        ("100644", b"..", "not a place"),
        ("100644", b".git", "not a place"),
        ("100644", b".GIT", "not a place"),
        ("100644", b"git~1", "not a place"),
        ("100644", b".gitmodules", "not a place"),
        ("100644", b".gitattributes", "not a place"),
        ("100644", b"a/b", "not a place"),
        ("100644", b"..\\..\\x", "not a place"),
        ("100644", b"a\nb.conf", "not a place"),
        ("100644", b"\x1b[2J", "not a place"),
        ("100644", b"\xff\xfe", "not a place"),
        ("100644", b"--upload-pack=x", "not a place"),
        ("100644", b"CON.conf", "not a place"),
        ("100644", b"x" * 5000, "not a place"),
        ("100644", b"unknown.conf", "not a place"),
    ],
)
def test_a_malicious_tree_is_refused(here: Store, mode: str, name: bytes, words: str) -> None:
    blob = object_in(here, "blob", b"clock timezone UTC\n")
    inner = head_of(here) if mode == "160000" else blob
    common = tree_in(here, (mode, name, inner))
    root = tree_in(here, ("40000", b"common", common))
    made = commit_of_tree(here, root, head_of(here))
    facts = gathered(here, f"{head_of(here)} {made} {CLUSTER}")
    assert words in refusal(facts)


def test_a_malicious_commit_below_an_innocent_one_is_refused(here: Store) -> None:
    blob = object_in(here, "blob", b"x")
    bad = commit_of_tree(here, tree_in(here, ("100644", b".gitmodules", blob)), head_of(here))
    good = commit_of_tree(here, here.objects.tree_id(head_of(here)), bad)
    assert ".gitmodules" in refusal(gathered(here, f"{head_of(here)} {good} {CLUSTER}"))


def test_a_known_directory_in_another_place_is_refused(here: Store) -> None:
    known = {
        entry.path: entry.blob
        for entry in here.objects.children(here.objects.tree_id(head_of(here)))
    }
    moved = tree_in(here, ("40000", b"common", known["servers"]))
    made = commit_of_tree(here, moved, head_of(here))
    assert "common/0/hostname.conf" in refusal(gathered(here, f"{head_of(here)} {made} {CLUSTER}"))


def test_a_few_objects_that_unfold_to_millions_of_files_are_refused_at_once(here: Store) -> None:
    blob = object_in(here, "blob", b"x")
    tree = tree_in(here, *[("100644", b"f%d.conf" % n, blob) for n in range(10)])
    for _ in range(7):
        tree = tree_in(here, *[("40000", b"d%d" % n, tree) for n in range(10)])
    made = commit_of_tree(here, tree, head_of(here))
    facts = gathered(here, f"{head_of(here)} {made} {CLUSTER}")
    assert 40_000 < facts.brought.most_entries < 10**8  # counted no further than it takes
    assert "at most 40000 files" in refusal(facts)


def test_an_endlessly_deep_tree_is_refused_and_not_walked(here: Store) -> None:
    tree = tree_in(here, ("100644", b"f.conf", object_in(here, "blob", b"x")))
    for _ in range(60):
        tree = tree_in(here, ("40000", b"d", tree))
    made = commit_of_tree(here, tree, head_of(here))
    facts = gathered(here, f"{head_of(here)} {made} {CLUSTER}")
    assert len(facts.brought.files) == 1
    assert "mode 40000" in refusal(facts)


def test_a_blob_that_inflates_to_too_much_is_refused_by_its_header(here: Store) -> None:
    blob = object_in(here, "blob", b"\n" * (17 * 1024 * 1024))
    tree = tree_in(here, ("40000", b"common", tree_in(here, ("100644", b"ntp.conf", blob))))
    made = commit_of_tree(here, tree, head_of(here))
    assert "too large" in refusal(gathered(here, f"{head_of(here)} {made} {CLUSTER}"))


def test_a_tag_or_a_tree_is_not_a_commit(here: Store) -> None:
    head = head_of(here)
    who = "tagger x <x@x> 1800000000 +0000"
    tag = object_in(here, "tag", f"object {head}\ntype commit\ntag x\n{who}\n\nx\n".encode())
    tree = here.objects.tree_id(head)
    for name in (tag, tree):
        facts = gathered(here, f"{head} {name} refs/bqn/running/0")
        assert "commits only" in refusal(facts)


def test_a_cluster_that_the_reader_refuses_names_file_and_line(here: Store) -> None:
    made = commit(here, head_of(here), "x", {"common/ntp.conf": "ntp\n server\n"})
    said = refusal(facts_of(here, here, made))
    assert said.startswith("common/ntp.conf: line 2:")
    wrong = commit(here, head_of(here), "x", {"common/ntp.conf": "dos\n"})
    assert "common/ntp.conf" in refusal(facts_of(here, here, wrong))


def test_bytes_that_are_no_text_are_refused(here: Store) -> None:
    blob = object_in(here, "blob", b"ntp\n server \xff\n")
    tree = tree_in(here, ("40000", b"common", tree_in(here, ("100644", b"ntp.conf", blob))))
    made = commit_of_tree(here, tree, head_of(here))
    assert "UTF-8" in refusal(gathered(here, f"{head_of(here)} {made} {CLUSTER}"))


def test_the_view_reads_what_the_store_does_not_have_yet(here: Store, there: Store) -> None:
    made = there.write_commit(
        [FACTORY_ROOT], {**there.files(FACTORY_ROOT), **HOSTNAME}, ANA, "other box", {}
    )
    with quarantine(here, there.path, [made]) as place:
        assert not here.has(made)
        with here.in_quarantine(place) as view:
            assert view.files(made).keys() >= HOSTNAME.keys()
            assert view.is_ancestor(FACTORY_ROOT, made)
            assert view.ahead(made, FACTORY_ROOT) == 1
        assert not here.has(made)
