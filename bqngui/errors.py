"""Turns exceptions into pages: the one table from exception types to status and words.

    type                       status  who must act
    configrepo NotFound        404     the reader: wrong or old address
    configrepo UnreadableConfig 422    the writer: the sentences name line and place
    configrepo RefMoved        409     nobody: try again
    configrepo DiskFull        507     whoever runs the server; so does an OSError that
                                       says that no space is left
    scheduler Unreachable      503     the network, or wait for the takeover
    scheduler RemoteRefused    409     the other server's sentence says it
    scheduler WrongIdentity    502     an administrator: a key is not the pinned one
    werkzeug HTTPException     its own
    everything else            500     us: incident number on the page, traceback in the log

A script gets the same sentence as JSON.

Core.
"""

from __future__ import annotations

import errno
import logging
import secrets
from dataclasses import dataclass

from flask import Flask, g, jsonify, make_response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from bqngui.authorization import wants_page
from configrepo.errors import DiskFull, NotFound, RefMoved, UnreadableConfig
from scheduler.errors import RemoteRefused, Unreachable, WrongIdentity

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Words:
    """What an error page says; `sentence` None takes the exception's own text."""

    status: int
    title: str
    advice: str
    sentence: str | None = None


TABLE: dict[type[Exception], Words] = {
    NotFound: Words(404, "Not found", "It may have been removed, or the address is mistyped."),
    UnreadableConfig: Words(422, "The configuration cannot be read", "Nothing was changed."),
    RefMoved: Words(
        409,
        "Somebody else was faster",
        "Nothing was changed. Go back and try again.",
        "Another commit was made at the same moment.",
    ),
    DiskFull: Words(
        507,
        "The disk of this server is full",
        "Nothing was changed. Go back to find the input, free some space, then try again.",
    ),
    Unreachable: Words(
        503,
        "A server cannot be reached",
        "Nothing was changed here. Go back to find the input, and try again.",
    ),
    RemoteRefused: Words(409, "The other server refused", "Nothing was changed."),
    WrongIdentity: Words(
        502,
        "A server shows a key that is not its own",
        "Nothing was sent to it. An administrator must find out why before anything else.",
    ),
    CSRFError: Words(
        400,
        "The form is too old",
        "Nothing was changed. Go back, reload the page and send it again.",
        "The form does not belong to this session.",
    ),
}

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

# Where a view says nothing of its own.
_HTTP_SENTENCES = {
    404: "There is no page at this address.",
    405: "This address does not take that kind of request.",
    413: "What was sent is too large.",
}
_HTTP_ADVICE = {
    403: "Nothing was changed.",
    404: "The menu leads to every page.",
    405: "The menu leads to every page.",
    413: "Nothing was changed. A configuration may have at most 16 MiB.",
}


def register(app: Flask) -> None:
    """Let the application answer all exceptions by this table."""
    for kind in TABLE:
        app.register_error_handler(kind, _expected)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def _expected(error: Exception) -> Response:
    kind = next(k for k in type(error).__mro__ if k in TABLE)
    words = TABLE[kind]
    return _answer(words.status, words.title, words.sentence or str(error), words.advice)


def _http(error: HTTPException) -> Response:
    if isinstance(error.response, Response):
        return error.response
    status = error.code or 500
    sentence = error.description or error.name
    if error.description == type(error).description:
        sentence = _HTTP_SENTENCES.get(status, sentence)
    answer = _answer(status, error.name, sentence, _HTTP_ADVICE.get(status, ""))
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After", "WWW-Authenticate"}:
            answer.headers[name] = value
    return answer


def _unexpected(error: Exception) -> Response:
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return _expected(DiskFull("There was no room to write that down."))
    incident = secrets.token_hex(4)
    log.error("incident %s at %s %s", incident, request.method, request.path, exc_info=error)
    sentence = f"This is a fault of the program. The log has the details under incident {incident}."
    g.person = None  # what failed may be what the layout with menu and banner needs
    return _answer(500, "Something went wrong", sentence, "Try again, or report the incident.")


def _answer(status: int, title: str, sentence: str, advice: str) -> Response:
    if not wants_page():
        answer = jsonify(error=title, sentence=sentence, advice=advice)
        if request.headers.get("HX-Request") and status == 401:
            answer.headers["HX-Redirect"] = "/login?ended=1"
        answer.status_code = status
        return answer
    words = {"status": status, "page_title": title, "sentence": sentence, "advice": advice}
    if g.get("person") is not None:
        try:
            return make_response(
                render_template("errors/page.html", layout="base.html", **words), status
            )
        except Exception:  # the menu and the banners need what may be broken
            log.exception("the error page could not be shown with its menu")
            g.person = None
    return make_response(
        render_template("errors/page.html", layout="outside.html", **words), status
    )
