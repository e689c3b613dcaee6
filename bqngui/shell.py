"""What a request can reach: the desk of this server and the tools of the login.

`create_app` puts one `Shell` into the application; pages ask for `desk()` and nothing
else. A page never keeps the desk between requests.

Core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from flask import current_app

from bqngui.attempts import Attempts
from bqngui.local_admin import LocalAdmin
from bqngui.passwords import Passwords
from bqngui.sessions import SessionTable
from bqngui.settings import GuiSettings
from scheduler.desk_seam import Desk

_KEY = "bqn"


@dataclass(frozen=True, slots=True)
class Shell:
    """The one set of objects behind all pages of an application."""

    desk: Desk
    settings: GuiSettings
    sessions: SessionTable
    attempts: Attempts
    local_admin: LocalAdmin
    passwords: Passwords


def install(extensions: dict[str, object], shell: Shell) -> None:
    """Put the shell into an application's extensions."""
    extensions[_KEY] = shell


def current_shell() -> Shell:
    """The shell of the application that answers this request."""
    return cast("Shell", current_app.extensions[_KEY])


def desk() -> Desk:
    """The desk of this server."""
    return current_shell().desk
