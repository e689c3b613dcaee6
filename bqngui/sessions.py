"""Who is logged in: a table on this server, so that a session can be ended.

The browser holds a random token, the table its SHA-256. A session ends after 15 minutes
without a deed of the person (polling by a page is none), after 12 hours in any case, at
logout, when the role or password of the account changes (`stamp`), and with a restart of
the machine. Time is that of the boot clock, so setting the wall clock ends nothing and
prolongs nothing. Before login there is no row: a visitor's form token is derived from
the visitor's own cookie.

While the disk takes nothing (it is full) the table lives in memory: nobody is logged out,
people can log in, and who logs out is. The file is removed then, because it would bring ended
sessions back, and made again when there is room; a restart in between ends all sessions.

Edge: `sessions.sqlite3` of the state directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
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
_BACK_AFTER_S = 10.0

_Statement = tuple[str, tuple[object, ...]]
_log = logging.getLogger(__name__)


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
        self._path = path
        self._again = now() + _BACK_AFTER_S
        self._db, self._in_memory = _open(path)
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
        self._write(
            (
                "DELETE FROM sessions WHERE seen < ? OR begun < ?",
                (now - self._idle_s, now - self._longest_s),
            ),
            (
                "DELETE FROM sessions WHERE token IN"
                " (SELECT token FROM sessions ORDER BY seen DESC LIMIT -1 OFFSET ?)",
                (_MOST_SESSIONS - 1,),
            ),
            ("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", row),
        )
        return token

    def find(self, token: str) -> Session | None:
        """The live session of a token."""
        now = self._now()
        with self._lock:
            row = self._db.execute(
                "SELECT account, local, stamp, data, begun, seen FROM sessions WHERE token = ?",
                (_digest(token),),
            ).fetchone()
        if row is None:
            return None
        account, local, stamp, data, begun, seen = row
        if now - seen > self._idle_s or now - begun > self._longest_s:
            self.end(token)
            return None
        return Session(account, bool(local), stamp, data)

    def deed(self, token: str) -> None:
        """The person did something now: the idle time begins anew."""
        now = self._now()
        written_long_ago = now - min(_WRITE_SEEN_EVERY_S, self._idle_s / 10)
        self._write(
            (
                "UPDATE sessions SET seen = ? WHERE token = ? AND seen <= ?",
                (now, _digest(token), written_long_ago),
            )
        )

    def keep_data(self, token: str, data: str) -> None:
        """Store what the pages remember for this session."""
        self._write(("UPDATE sessions SET data = ? WHERE token = ?", (data, _digest(token))))

    def end(self, token: str) -> None:
        """End one session."""
        self._write(("DELETE FROM sessions WHERE token = ?", (_digest(token),)))

    def end_all(self, account: str, *, local: bool) -> None:
        """End every session of an account on this server."""
        self._write(("DELETE FROM sessions WHERE account = ? AND local = ?", (account, local)))

    def _write(self, *statements: _Statement) -> None:
        with self._lock:
            if self._in_memory and self._now() >= self._again:
                self._return_to_disk()
            try:
                self._execute(statements)
            except sqlite3.OperationalError as error:
                if self._in_memory:
                    raise
                _log.error("sessions are kept in memory only: %s", error)
                self._leave_disk()
                self._execute(statements)

    def _execute(self, statements: tuple[_Statement, ...]) -> None:
        with self._db:
            for statement, values in statements:
                self._db.execute(statement, values)

    def _leave_disk(self) -> None:
        on_disk, self._db = self._db, _connected(":memory:")
        on_disk.backup(self._db)
        on_disk.close()
        _remove(self._path)
        self._in_memory, self._again = True, self._now() + _BACK_AFTER_S

    def _return_to_disk(self) -> None:
        try:
            on_disk = _prepared(self._path)
            with contextlib.ExitStack() as undo:
                undo.callback(on_disk.close)
                self._db.backup(on_disk)
                undo.pop_all()
        except (OSError, sqlite3.DatabaseError):
            _remove(self._path)
            self._again = self._now() + _BACK_AFTER_S
            return
        self._db.close()
        self._db, self._in_memory = on_disk, False
        _log.warning("sessions are kept on the disk again")

    def _forget_other_boots(self, boot: str) -> None:
        if self._fact("boot", boot) == boot:
            return
        self._write(
            ("DELETE FROM sessions", ()),
            ("UPDATE facts SET value = ? WHERE name = 'boot'", (boot,)),
        )

    def _fact(self, name: str, default: str) -> str:
        self._write(("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, default)))
        with self._lock:
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _open(path: Path) -> tuple[sqlite3.Connection, bool]:
    """Open the table, and whether it is in memory only, as the disk takes no file.

    A file that is damaged is made anew: all that is lost is logins.
    """
    for _ in range(2):
        try:
            return _prepared(path), False
        except (OSError, sqlite3.DatabaseError) as error:
            _log.error("%s cannot be used, and is made anew: %s", path.name, error)
            _remove(path)
    return _connected(":memory:"), True


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


def _prepared(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600, exist_ok=True)
    db = _connected(path)
    with contextlib.ExitStack() as undo:
        undo.callback(db.close)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        undo.pop_all()
    return db


def _connected(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        db.executescript(_SCHEMA)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db
