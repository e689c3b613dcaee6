"""Carries commits over a byte stream to and from git on another server.

dulwich speaks git's protocol; the stream (an SSH channel) is opened by the caller. The
far end is git itself: `receive-pack` with this product's hooks, or `upload-pack`. What
is fetched goes into a directory of its own, is checked there by git and by the rules of
`configrepo.admission`, and only then becomes part of the repository.

Edge: a byte stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Protocol

from dulwich.client import TraditionalGitClient
from dulwich.errors import GitProtocolError, HangupException, SendPackError
from dulwich.objects import ObjectID
from dulwich.pack import UnpackedObject
from dulwich.protocol import Protocol as GitProtocol
from dulwich.refs import Ref

from configrepo.errors import TooMuchAtOnce, TransferFailed
from configrepo.revision import CommitId, is_commit_id

LARGEST_PACK = 64 * 1024 * 1024
_MOST_WORDS = 64 * 1024
_GATHERED = 32 * 1024
_NOT_A_REF = b"^{}"

PackOf = Callable[[Mapping[str, CommitId], list[CommitId]], tuple[int, Iterator[UnpackedObject]]]
"""From the refs of the far end and what it wants to the objects between."""


class Stream(Protocol):
    """A byte stream to git on another server."""

    def read(self, size: int, /) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the stream."""

    def write(self, data: bytes, /) -> None:
        """Send all of `data`."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of a push.

    Attributes:
        before: the refs of the far end as it showed them at the beginning.
        refused: per ref that did not move, the reason that the far end gave.
        messages: the lines that its hooks printed.
        acknowledged: what the far end says is on its disk (`APPACK` lines): ref to commit.
    """

    before: Mapping[str, CommitId]
    refused: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[str, ...] = ()
    acknowledged: Mapping[str, CommitId] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether every ref is where it was wanted."""
        return not self.refused


def push(stream: Stream, updates: Mapping[str, CommitId], pack_of: PackOf) -> Pushed:
    """Ask the far end to move refs, all or none; the caller closes the stream.

    Raises:
        TransferFailed: the stream ended or was not git's protocol.
    """
    words = bytearray()
    before: dict[str, CommitId] = {}
    wanted = {Ref(ref.encode()): ObjectID(new.encode("ascii")) for ref, new in updates.items()}

    def choose(advertised: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
        before.update(_commits(advertised))
        return dict(wanted)

    def generate(
        have: Iterable[ObjectID], want: Iterable[ObjectID], **_: object
    ) -> tuple[int, Iterator[UnpackedObject]]:
        del have  # Without the names of the refs; `before` has them.
        return pack_of(before, [_text(one) for one in want])

    gathered = _Gathered(stream)
    client = _StreamClient(gathered)
    refused: dict[str, str] = {}
    with _translated():
        try:
            result = client.send_pack(b"", choose, generate, _collector(words), atomic=True)
            gathered.flush()
        except SendPackError as error:
            reason = error.args[0] if error.args else b""
            said = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            refused = dict.fromkeys(updates, said.removeprefix("unpack ") or "refused")
        else:
            statuses = (result.ref_status or {}).items()
            refused = {ref.decode(): reason for ref, reason in statuses if reason is not None}
    messages = tuple(words.decode("utf-8", "replace").splitlines())
    return Pushed(before, refused, messages, _acknowledged(messages))


def fetch(
    stream: Stream,
    wanted: Sequence[str],
    have: Iterable[CommitId],
    is_here: Callable[[CommitId], bool],
    pack: IO[bytes],
    most_bytes: int = LARGEST_PACK,
) -> dict[str, CommitId]:
    """Write a pack with what is missing of the wanted refs; the caller closes the stream.

    Args:
        stream: leads to `git upload-pack`.
        wanted: full ref names; one that ends with `/` stands for all refs below it.
        have: commits that are here, best ones first.
        is_here: whether a commit is here.
        pack: receives the pack; stays empty if nothing is missing.
        most_bytes: how large the pack may be.

    Returns:
        Where the far end has the wanted refs; those it does not have are left out.

    Raises:
        TooMuchAtOnce: the pack is larger than `most_bytes`.
        TransferFailed: the stream ended, or was not git's protocol.
    """
    found: dict[str, CommitId] = {}

    def choose(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
        for ref, commit in _commits(refs).items():
            if any(ref == one or (one.endswith("/") and ref.startswith(one)) for one in wanted):
                found[ref] = commit
        return [ObjectID(one.encode()) for one in sorted({*found.values()}) if not is_here(one)]

    def receive(data: bytes) -> int:
        if pack.tell() + len(data) > most_bytes:
            raise TooMuchAtOnce(most_bytes, found)
        return pack.write(data)

    with _translated():
        client = _StreamClient(_Gathered(stream))
        client.fetch_pack(b"", choose, _Haves(have), receive, lambda _: None)
    return found


class _Gathered:
    """Sends what was written when an answer is awaited, or when it has become much.

    dulwich writes every line and every object for itself, and each costs a packet.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting = bytearray()

    def read(self, size: int, /) -> bytes:
        """Exactly `size` bytes, fewer only at the end of the stream."""
        self.flush()
        return self._stream.read(size)

    def write(self, data: bytes, /) -> None:
        """Send `data`, before anything is read."""
        self._waiting += data
        if len(self._waiting) >= _GATHERED:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if self._waiting:
            data, self._waiting = bytes(self._waiting), bytearray()
            self._stream.write(data)


class _StreamClient(TraditionalGitClient):
    """git's protocol over a stream that is already open."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(thin_packs=False, quiet=True)
        self._stream = stream

    def _connect(
        self, cmd: bytes, path: str | bytes, protocol_version: int | None = None
    ) -> tuple[GitProtocol, Callable[[], bool], IO[bytes] | None]:
        return GitProtocol(self._stream.read, self._stream.write), lambda: False, None


class _Haves:
    """The commits offered to the far end: a bounded list instead of the whole history."""

    shallow: frozenset[ObjectID] = frozenset()

    def __init__(self, commits: Iterable[CommitId]) -> None:
        self._left = iter([ObjectID(one.encode("ascii")) for one in commits])

    def __next__(self) -> ObjectID | None:
        return next(self._left, None)

    def __iter__(self) -> Iterator[ObjectID]:
        return self._left

    def ack(self, sha: ObjectID) -> None:
        """The far end knows a commit; the list is short enough to go on."""

    def nak(self) -> None:
        """The far end knows none so far."""


def _collector(words: bytearray) -> Callable[[bytes], None]:
    def collect(data: bytes) -> None:
        words.extend(data[: max(0, _MOST_WORDS - len(words))])

    return collect


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except HangupException as error:
        raise TransferFailed("the other server closed the connection") from error
    except (GitProtocolError, OSError, EOFError, ValueError, AssertionError, KeyError) as error:
        raise TransferFailed(f"the transfer broke off: {error or type(error).__name__}") from error


def _commits(advertised: Mapping[Ref, ObjectID]) -> dict[str, CommitId]:
    return {
        ref.decode(): _text(commit)
        for ref, commit in advertised.items()
        if ref.startswith(b"refs/") and not ref.endswith(_NOT_A_REF) and is_commit_id(_text(commit))
    }


def _text(name: ObjectID) -> CommitId:
    return CommitId(name.decode("ascii"))


def _acknowledged(messages: Sequence[str]) -> dict[str, CommitId]:
    found = {}
    for line in messages:
        match line.split():
            case ["APPACK", ref, commit]:
                found[ref] = CommitId(commit)
            case _:
                pass
    return found
