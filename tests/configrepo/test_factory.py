from __future__ import annotations

from pathlib import Path

from configrepo.factory import (
    FACTORY_AUTHOR,
    FACTORY_FILES,
    FACTORY_MESSAGE,
    FACTORY_ROOT,
    FACTORY_TIME,
)
from configrepo.layout import files_of, read_files
from configrepo.parser import read
from tests.support.repositories import new_store, real_git

EXAMPLE = Path(__file__).parents[2] / "examples" / "factory.conf"


def test_the_factory_root_has_the_same_id_for_ever() -> None:
    assert FACTORY_ROOT == "2eaf1eb75dc0bc6e7638bba8add4f42fb4f2fe9f"


def test_real_git_makes_the_same_factory_root(tmp_path: Path) -> None:
    path = tmp_path / "judge.git"
    real_git(path, "init", "--bare", "--quiet")
    index = {"GIT_INDEX_FILE": str(tmp_path / "index")}
    for name, text in FACTORY_FILES.items():
        blob = real_git(path, "hash-object", "-w", "--stdin", stdin=text.encode())
        real_git(path, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", env=index)
    tree = real_git(path, "write-tree", env=index)
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (
            ("NAME", FACTORY_AUTHOR.name),
            ("EMAIL", FACTORY_AUTHOR.email),
            ("DATE", f"@{FACTORY_TIME} +0000"),
        )
    }
    made = real_git(path, "commit-tree", tree, stdin=FACTORY_MESSAGE.encode(), env=who)
    assert made == FACTORY_ROOT


def test_the_literal_is_what_the_writer_makes_of_the_factory_default() -> None:
    files = files_of(read(EXAMPLE.read_bytes()).document, "0")
    assert {p: t for p, t in files.items() if p.startswith("common/")} == dict(FACTORY_FILES)
    assert read_files(FACTORY_FILES) == ()


def test_every_new_store_holds_it(tmp_path: Path) -> None:
    with new_store(tmp_path / "config.git") as store:
        assert store.files(FACTORY_ROOT) == dict(FACTORY_FILES)
        assert store.revision(FACTORY_ROOT).time.timestamp() == FACTORY_TIME
        assert store.signed_by(FACTORY_ROOT) is None
        assert store.refs() == {}
