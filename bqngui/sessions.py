"""Who is logged in: a table on this server, so that a session can be ended.

The browser holds a random token, the table its SHA-256. A session ends after 15 minutes
without a deed of the person (polling by a page is none), after 12 hours in any case, at
logout, when the role or password of the account changes (`stamp`), and with a restart of
the machine. Time is that of the boot clock, so setting the wall clock ends nothing and
prolongs nothing. Before login there is no row: a visitor's form token is derived from
the visitor's own cookie.

Edge: `sessions.sqlite3` of the state directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    token BLOB PRIMARY KEY, account TEXT NOT NULL, local INTEGER NOT NULL, stamp TEXT NOT NULL,
    begun REAL NOT NULL, seen REAL NOT NULL, data TEXT NOT NULL
) WITHOUT ROWID;
"""
_WRITE_SEEN_EVERY_S = 20.0
_MOST_SESSIONS = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """One login. `stamp` is the account's as it was then; `data` is JSON of the pages."""

    account: str
    local: bool
    stamp: str
    data: str


def boot_clock() -> float:
    """Seconds since the machine started; runs on while it sleeps, ignores the wall clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """A name of this run of the machine; boot clocks of two runs cannot be compared."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()


class SessionTable:
    """The sessions of this server; safe for threads."""

    def __init__(
        self,
        path: Path,
        *,
        idle_s: float,
        longest_s: float,
        now: Callable[[], float] = boot_clock,
        boot: str | None = None,
    ) -> None:
        self._idle_s = idle_s
        self._longest_s = longest_s
        self._now = now
        self._lock = threading.Lock()
        self._db = _open(path)
        self._forget_other_boots(boot_id() if boot is None else boot)
        self._secret = self._fact("form secret", secrets.token_hex(32)).encode()

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._db.close()

    @property
    def secret(self) -> str:
        """A secret of this server, for signing form tokens; survives a restart."""
        return self._secret.decode()

    def form_token(self, token: str) -> str:
        """The value that forms sent under this cookie must carry (before it is signed)."""
        return hmac.new(self._secret, token.encode(), hashlib.sha256).hexdigest()

    def begin(self, account: str, *, local: bool, stamp: str, data: str = "{}") -> str:
        """Make a session for somebody who proved who they are; returns the cookie's token."""
        token = secrets.token_urlsafe(32)
        now = self._now()
        row = (_digest(token), account, local, stamp, now, now, data)
        with self._lock, self._db:
            self._db.execute(
                "DELETE FROM sessions WHERE seen < ? OR begun < ?",
                (now - self._idle_s, now - self._longest_s),
            )
            self._db.execute(
                "DELETE FROM sessions WHERE token IN"
                " (SELECT token FROM sessions ORDER BY seen DESC LIMIT -1 OFFSET ?)",
                (_MOST_SESSIONS - 1,),
            )
            self._db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return token

    def find(self, token: str) -> Session | None:
        """The live session of a token."""
        now = self._now()
        with self._lock, self._db:
            row = self._db.execute(
                "SELECT account, local, stamp, data, begun, seen FROM sessions WHERE token = ?",
                (_digest(token),),
            ).fetchone()
            if row is None:
                return None
            account, local, stamp, data, begun, seen = row
            if now - seen > self._idle_s or now - begun > self._longest_s:
                self._db.execute("DELETE FROM sessions WHERE token = ?", (_digest(token),))
                return None
        return Session(account, bool(local), stamp, data)

    def deed(self, token: str) -> None:
        """The person did something now: the idle time begins anew."""
        now = self._now()
        written_long_ago = now - min(_WRITE_SEEN_EVERY_S, self._idle_s / 10)
        with self._lock, self._db:
            self._db.execute(
                "UPDATE sessions SET seen = ? WHERE token = ? AND seen <= ?",
                (now, _digest(token), written_long_ago),
            )

    def keep_data(self, token: str, data: str) -> None:
        """Store what the pages remember for this session."""
        with self._lock, self._db:
            self._db.execute("UPDATE sessions SET data = ? WHERE token = ?", (data, _digest(token)))

    def end(self, token: str) -> None:
        """End one session."""
        with self._lock, self._db:
            self._db.execute("DELETE FROM sessions WHERE token = ?", (_digest(token),))

    def end_all(self, account: str, *, local: bool) -> None:
        """End every session of an account on this server."""
        with self._lock, self._db:
            self._db.execute(
                "DELETE FROM sessions WHERE account = ? AND local = ?", (account, local)
            )

    def _forget_other_boots(self, boot: str) -> None:
        if self._fact("boot", boot) == boot:
            return
        with self._lock, self._db:
            self._db.execute("DELETE FROM sessions")
            self._db.execute("UPDATE facts SET value = ? WHERE name = 'boot'", (boot,))

    def _fact(self, name: str, default: str) -> str:
        with self._lock, self._db:
            self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, default))
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _open(path: Path) -> sqlite3.Connection:
    """Open the table; a file that is damaged is made anew: all that is lost is logins."""
    try:
        return _prepared(path)
    except sqlite3.DatabaseError:
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    db = sqlite3.connect(path, check_same_thread=False)
    with contextlib.ExitStack() as undo:
        undo.callback(db.close)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.executescript(_SCHEMA)
        undo.pop_all()
    return db
