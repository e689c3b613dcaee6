"""The repository for auditors: `git clone https://<server>/git/cluster.git`, read only.

Git's "smart" HTTP protocol (gitprotocol-http(5)); the password is a token of the Users
page, the user name does not matter. Refusals are plain text, which git shows as *remote:*
lines. A clone is streamed by a worker thread, so only some of them may run at one time.

Core.
"""

from __future__ import annotations

import errno
import logging
import math
import threading
import zlib
from collections.abc import Generator, Iterator

from flask import Blueprint, request
from werkzeug.wrappers import Response

from bqngui.authorization import public
from bqngui.settings import MEBIBYTE
from bqngui.shell import Shell, current_shell
from configrepo.errors import StoreError
from configrepo.serving import advertisement, upload_pack
from scheduler.desk_seam import Desk
from scheduler.views import Person

_REALM = 'Basic realm="BQN configuration: a token is the password", charset="UTF-8"'
_LONGEST_REQUEST = 32 * MEBIBYTE
_UPLOAD = "git-upload-pack"
_READ_ONLY = "This repository is read only. Changes are committed in the GUI of any server."
_SMART_ONLY = "Only git's smart protocol is spoken here: use git clone, version 1.6.6 or later."
_UNREADABLE = "The request cannot be read: it is damaged, or larger than 32 MiB."
_NOT_GIT = "The request cannot be read: it is not what git sends to fetch."
_NOT_UNDERSTOOD = ("protocol error", "hung up unexpectedly", "unknown object type", "invalid")
"""Git's words for a request that no git has made."""
_NO_CLONE = "The repository cannot be read at this moment. The log of the server says why."
_BUSY = "Too many clones run at this moment. Try again in some seconds."
_NO_TOKEN = "A token is needed as the password. Tokens are made on the page Users and tokens."  # noqa: S105

_log = logging.getLogger(__name__)


class Clone:
    """The stream of one clone: when it ends, its place is free and the audit log has a line."""

    def __init__(
        self,
        pieces: Generator[bytes, None, None] | Iterator[bytes],
        places: threading.Semaphore,
        desk: Desk,
        person: Person,
    ) -> None:
        self._git = pieces
        self._pieces: Iterator[bytes] = pieces
        self._places = places
        self._desk = desk
        self._person = person
        self._result = "broken off"
        self._open = True
        self._first = b""

    def begin(self) -> str | None:
        """Wait for the first piece of the answer; why there will be none, or None.

        Nothing was sent yet, so that a request that git cannot read gets an answer in words.
        """
        try:
            self._first = next(iter(self._pieces), b"")
        except StoreError as error:
            self._result = f"refused: {error}"
            return str(error)
        except BaseException:
            self.close()  # nobody else will: there is no answer yet
            raise
        if self._first[4:8] == b"ERR ":
            # Git has said all; that it ends with an error then is no news.
            self._pieces = iter(())
            self._result = f"refused: {self._first[8:200].decode('utf-8', 'replace').strip()}"
        else:
            self._result = "broken off"
        return None

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            yield self._first
        try:
            yield from self._pieces
        except StoreError as error:
            self._result = f"broken off: {error}"
            _log.warning("a clone of %s broke off: %s", self._person.name, error)
            # The server closes the connection, so that the answer does not look complete.
            raise ConnectionAbortedError(errno.ECONNABORTED, str(error)) from error
        if not self._result.startswith("refused"):
            self._result = "done"

    def close(self) -> None:
        """Called by the server when the answer is sent or the client is gone."""
        if not self._open:
            return
        self._open = False
        try:
            if isinstance(self._git, Generator):
                self._git.close()
        finally:
            self._places.release()
            self._desk.audit(self._person, "clone of the configuration", self._result)


def make_blueprint(places: threading.Semaphore) -> Blueprint:
    """The views; `places` bounds the clones that run at one time."""
    blueprint = Blueprint("git_http", __name__, url_prefix="/git/cluster.git")
    turn = threading.Lock()

    @blueprint.get("/info/refs")
    @public
    def refs() -> Response:
        """What may be fetched."""
        service = request.args.get("service")
        if service != _UPLOAD:
            return _refusal(403, _SMART_ONLY if service is None else _READ_ONLY)
        match _token_holder(turn):
            case Response() as refusal:
                return refusal
            case _:
                body = advertisement(current_shell().desk.repository())
                return _git_answer(Response(body), "advertisement")

    @blueprint.post(f"/{_UPLOAD}")
    @public
    def pack() -> Response:
        """The objects that the client lacks."""
        match _token_holder(turn):
            case Response() as refusal:
                return refusal
            case person:
                return _stream(person, places)

    @blueprint.route("/git-receive-pack", methods=["GET", "POST"])
    @public
    def receive() -> Response:
        """A push: never."""
        return _refusal(403, _READ_ONLY)

    return blueprint


def _stream(person: Person, places: threading.Semaphore) -> Response:
    body = _body()
    if body is None:
        return _refusal(400, _UNREADABLE)
    if not places.acquire(blocking=False):
        answer = _refusal(503, _BUSY)
        answer.headers["Retry-After"] = "5"
        return answer
    desk = current_shell().desk
    clone = Clone(upload_pack(desk.repository(), body), places, desk, person)
    failed = clone.begin()
    if failed is not None:
        clone.close()
        return _no_clone(failed)
    return _git_answer(Response(clone, direct_passthrough=True), "result")


def _no_clone(failed: str) -> Response:
    if any(words in failed for words in _NOT_UNDERSTOOD):
        return _refusal(400, _NOT_GIT)
    _log.error("a clone could not begin: %s", failed)
    return _refusal(500, _NO_CLONE)


def _token_holder(turn: threading.Lock) -> Person | Response:
    """Whose token came with the request, or the refusal.

    One after the other in `turn`, so that programs of one address that come at once with
    right tokens do not count as guessing.
    """
    address = request.remote_addr or ""
    given = request.authorization
    if given is None or given.type != "basic" or not given.password:
        answer = _refusal(401, _NO_TOKEN)
        answer.headers["WWW-Authenticate"] = _REALM
        return answer
    with turn:
        return _looked_at(current_shell(), f"token from {address}", address, given.password)


def _looked_at(shell: Shell, name: str, address: str, token: str) -> Person | Response:
    wait_s = shell.attempts.begin(name, address)
    if wait_s > 0:
        seconds = math.ceil(wait_s)
        answer = _refusal(429, f"Too many wrong tokens. The next is looked at in {seconds} s.")
        answer.headers["Retry-After"] = str(seconds)
        return answer
    account = shell.desk.token_account(token)
    if account is None:
        answer = _refusal(401, "The token is wrong or has expired.")
        answer.headers["WWW-Authenticate"] = _REALM
        return answer
    shell.attempts.give_back(name, address)
    return Person(account.name, account.role, address)


def _body() -> bytes | None:
    """The request's body, decompressed; None if it is damaged or too large."""
    raw = request.get_data(cache=False)
    if request.headers.get("Content-Encoding", "identity").lower() == "identity":
        return raw
    if request.headers["Content-Encoding"].lower() not in {"gzip", "x-gzip"}:
        return None
    reader = zlib.decompressobj(31)
    try:
        body = reader.decompress(raw, _LONGEST_REQUEST)
    except zlib.error:
        return None
    return body if reader.eof else None


def _git_answer(answer: Response, kind: str) -> Response:
    answer.headers["Content-Type"] = f"application/x-{_UPLOAD}-{kind}"
    answer.headers["Cache-Control"] = "no-cache, max-age=0, must-revalidate"
    return answer


def _refusal(status: int, sentence: str) -> Response:
    return Response(f"{sentence}\n", status, mimetype="text/plain")
