"""Password hashing (argon2id) and the rules for a new password.

The profile is OWASP's minimum (19 MiB, 2 passes, 1 lane; about 25 ms). At most two
hashes are computed at one time, so that a storm of logins cannot eat the memory of a
small server. A login with an unknown name costs the same time as one with a known name.

Edge: the processor (argon2 is the only user of it).
"""

from __future__ import annotations

import itertools
import threading
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 12
LONGEST = 256
_AT_ONCE = 2
_WAIT_S = 10.0

# Words that people lengthen with digits, or repeat, to reach the least length; compared
# after digits and punctuation are taken away and letters are lowered.
_TRIED_FIRST = """
password passw passwort contrasena motdepasse administrator administrador admin root letmein
welcome changeme changemenow changeit default secret qwerty qwertyuiop qwertyui qwertzuiop
azertyuiop asdfghjkl asdf zxcvbnm iloveyou sunshine princess football baseball basketball
monkey dragon master superman batman trustno starwars computer internet network router switch
server cisco juniper mikrotik ubiquiti cambium bequant bqn qoe bandwidth traffic test testing
guest user operator viewer company temporary temp pass summer winter spring autumn monday
friday january february november december
"""
_COMMON_WORDS = frozenset(_TRIED_FIRST.split())


class Busy(Exception):
    """Too many logins at one time; nothing was decided."""


class Passwords:
    """Hashes and compares passwords; one per application."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._gate = threading.BoundedSemaphore(_AT_ONCE)
        self._nobody = self._hasher.hash("nobody has this password")

    def hashed(self, password: str) -> str:
        """The argon2id hash of a password, with a fresh salt."""
        with self._turn():
            return self._hasher.hash(_normal(password))

    def agrees(self, password_hash: str | None, password: str) -> bool:
        """Whether the password belongs to the hash; None (no such account) takes as long.

        Raises:
            Busy: no turn within ten seconds.
        """
        with self._turn():
            try:
                self._hasher.verify(password_hash or self._nobody, _normal(password))
            except (VerificationError, InvalidHashError):
                return False
        return password_hash is not None

    def _turn(self) -> _Turn:
        return _Turn(self._gate)


class _Turn:
    def __init__(self, gate: threading.BoundedSemaphore) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        if not self._gate.acquire(timeout=_WAIT_S):
            raise Busy

    def __exit__(self, *_: object) -> None:
        self._gate.release()


def objection(password: str, name: str) -> str | None:
    """Why a new password of the account `name` is not taken, or None.

    No rules of composition and no expiry: length, and not one of those tried first.
    """
    if len(password) < SHORTEST:
        return f"The password needs at least {SHORTEST} characters; this one has {len(password)}."
    if len(password) > LONGEST:
        return f"The password may have at most {LONGEST} characters."
    lowered = password.casefold()
    letters = "".join(c for c in lowered if c.isalpha())
    if len(set(lowered)) < 5 or _is_run(lowered):
        return "The password is a simple pattern; take several unrelated words instead."
    if _once(letters) in {*_COMMON_WORDS, name.casefold()}:
        return "The password is one of those that are tried first; take several unrelated words."
    return None


def _once(letters: str) -> str:
    """A word that is written several times (`adminadmin`), written once."""
    for length in range(1, len(letters) // 2 + 1):
        if letters[:length] * (len(letters) // length) == letters:
            return letters[:length]
    return letters


def _is_run(text: str) -> bool:
    steps = {ord(b) - ord(a) for a, b in itertools.pairwise(text)}
    return steps <= {1, -9} or steps <= {-1, 9}


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)
