"""A list of commits in memory, with trees of block files, as the store would keep them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta

from configrepo.errors import NotFound
from configrepo.layout import server_of
from configrepo.model import Files, ServerId
from scheduler.views import FileChange, RevisionDetail, RevisionView


class FakeHistory:
    """Commits on one line; ids are derived from number and message."""

    def __init__(self, begun: datetime) -> None:
        self._begun = begun
        self._trees: dict[str, dict[str, str]] = {}
        self.revisions: list[RevisionView] = []

    @property
    def head(self) -> str:
        """The newest commit."""
        return self.revisions[-1].id

    def tree(self, revision: str | None = None) -> dict[str, str]:
        """The files of a commit, the newest if none is named. Raises NotFound."""
        wanted = self.head if revision is None else revision
        if wanted not in self._trees:
            raise NotFound(f"There is no revision {revision}.")
        return self._trees[wanted]

    def write(
        self, tree: Files, author: str, message: str, committer: tuple[str, ServerId], term: int
    ) -> str:
        """Add a commit; returns its id."""
        number = len(self.revisions)
        revision = hashlib.sha1(f"{number} {message}".encode(), usedforsecurity=False).hexdigest()
        subject, _, body = message.partition("\n")
        parents = (self.head,) if self.revisions else ()
        name, server = committer
        self._trees[revision] = dict(tree)
        self.revisions.append(
            RevisionView(
                id=revision,
                parents=parents,
                author=author,
                committer=name,
                time=self._begun + timedelta(minutes=number),
                subject=subject,
                body=body.strip(),
                term=str(term),
                server=str(int(server)),
            )
        )
        return revision

    def detail(self, revision: str) -> RevisionDetail:
        """One commit with its changes against its first parent. Raises NotFound."""
        after = self.tree(revision)
        found = next(r for r in self.revisions if r.id == revision)
        before = self.tree(found.parents[0]) if found.parents else {}
        return RevisionDetail(found, changes(before, after))

    def touched(self, revision: str, path: str) -> bool:
        """Whether a commit changed a path."""
        return any(c.path == path for c in self.detail(revision).changes)


def title(path: str, text: str) -> str:
    """How a page calls a block."""
    return path.split("/", 2)[2] if path.endswith("/comments.conf") else text.partition("\n")[0]


def server_id(path: str) -> ServerId | None:
    """The server of a server-specific path."""
    found = server_of(path)
    return ServerId(int(found)) if found is not None else None


def laid_over(tree: Files, overlay: Mapping[str, str | None]) -> dict[str, str]:
    """A tree with a candidate on top; None removes."""
    merged = {**tree, **overlay}
    return {path: text for path, text in merged.items() if text is not None}


def changes(before: Files, after: Files) -> tuple[FileChange, ...]:
    """Every file that differs."""
    return tuple(
        FileChange(p, title(p, after.get(p) or before[p]), before.get(p), after.get(p))
        for p in sorted({*before, *after})
        if before.get(p) != after.get(p)
    )
