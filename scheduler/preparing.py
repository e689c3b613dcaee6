"""Keeps ready what a commit wants to know: the newest files, read and checked.

With thousands of objects that takes a second or more the first time: after the start of the
program, and on a secondary that takes over. It is done in the background, before anybody
asks; after that each new commit costs only what changed.

Core: reads the store through the commit path.
"""

from __future__ import annotations

from configrepo.errors import UnreadableConfig
from configrepo.store import CommitId
from scheduler.changes import Changes


class Preparing:
    """The job; it does nothing while the newest commit is the one that it knows."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._known: CommitId | None = None

    def run(self) -> str | None:
        """Prepare for changes of the newest commit."""
        head = self._changes.head()
        if head == self._known:
            return None
        self._known = head  # also if it fails: it would fail in each round, with all its work
        try:
            self._known = self._changes.prepare()
        except UnreadableConfig as error:
            # A commit can arrive before the key that it is sealed with.
            return f"{head[:10]} cannot be prepared: {error}"
        return f"{self._known[:10]} is read and checked"
