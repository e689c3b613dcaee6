"""Undefined lines that look as if they carried a secret, told before they go into Git.

What the schema knows is sealed; in an undefined line only the word after one of six words
is (`configrepo.secrets`). The rest of such a line is kept as it is, readable for whoever
may clone. So a line is pointed at whose words speak of a secret in another way:

1. a name such as `apikey`, `auth-token`, `passphrase` with a value after it or after `=`;
2. a sealed word that only says how the next one is written (`password 7 …`);
3. a long word that looks random.

It may be wrong both ways: it warns and forbids nothing. No word of a value is quoted.

Pure.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterator

from configrepo.errors import UnreadableConfig
from configrepo.layout import parse_block_file, path_of
from configrepo.model import Block, Child, Document, Problem, Severity
from configrepo.schema import SECRET_WORDS
from configrepo.secrets import SEALED_PREFIX, secret_positions
from configrepo.words import columns

MOST = 100
SHORTEST_RANDOM = 20
_LEAST_BITS = 3.2
_PART = re.compile(r"[a-z]+")
_NAMES = re.compile(
    r"[a-z]*(?:secrets?|tokens?|password|passwd|passphrase|passcode|psk|community|credentials?)"
    r"|pass|pwd|keys?|[a-z]+key"
)
_NO_SECRETS = frozenset({"monkey", "turkey", "hotkey"})
_SWITCHES = frozenset(
    {"on", "off", "yes", "no", "none", "enable", "enabled", "disable", "disabled", "true", "false"}
)
_WRITTEN = re.compile(r"[0-9]|hash|hashed|encrypted|cipher|clear|plain|ascii|hex|md5|sha\d*", re.I)
_RANDOM = re.compile(r"[A-Za-z0-9+/_=-]+")
_ADVICE = (
    "it may carry a secret, and it is not known: it is kept in the history in clear, for everybody "
    f"who may clone. Only the word after {', '.join(sorted(SECRET_WORDS))} is sealed"
)


def secret_hints(document: Document, server: str = "a") -> tuple[Problem, ...]:
    """A warning for each undefined line that looks as if it carried a secret in clear.

    Args:
        document: a readable document.
        server: whose folder the paths name.
    """
    found = (
        problem for block in document.blocks for problem in _of_block(block, path_of(block, server))
    )
    return tuple(itertools.islice(found, MOST))


def secret_hints_of_file(path: str, text: str) -> tuple[Problem, ...]:
    """The same for one file of the repository."""
    if not path.startswith(("common/", "servers/")) or path.endswith("/comments.conf"):
        return ()
    try:
        blocks = parse_block_file(path, text)
    except UnreadableConfig:
        return ()  # said where files are read
    found = (problem for block in blocks for problem in _of_block(block, path))
    return tuple(itertools.islice(found, MOST))


def _of_block(block: Block, path: str) -> Iterator[Problem]:
    sides: tuple[Block | Child, ...] = (block, *block.children)
    for side in sides:
        at = None if side.row is not None else next(_suspected(side), None)
        if at is not None:
            yield _told(side, at, path)


def _told(side: Block | Child, at: int, path: str) -> Problem:
    # The key of an undefined line is the whole line: it would quote what is warned of.
    places = columns(side.source) if side.line and side.source else []
    column = places[at] + 1 if at < len(places) else 0
    message = f"look at word {at + 1} of this undefined line: {_ADVICE}"
    return Problem(Severity.WARNING, side.line, column, message, path)


def _suspected(side: Block | Child) -> Iterator[int]:
    """The numbers of the words that may be secrets and are not sealed."""
    sealed = frozenset(secret_positions(side))
    for at, word in enumerate(side.words):
        if at in sealed or word.startswith(SEALED_PREFIX):
            continue
        before = side.words[at - 1] if at else ""
        if at - 1 in sealed:
            named = bool(_WRITTEN.fullmatch(before))
        else:
            named = _names_a_secret(before) and word.lower() not in _SWITCHES
        if named or _assigns(word) or _looks_random(word):
            yield at


def _names_a_secret(word: str) -> bool:
    if word.lower() in SECRET_WORDS:
        return False  # the next word is sealed
    parts = _PART.findall(word.lower())
    return any(_NAMES.fullmatch(part) and part not in _NO_SECRETS for part in parts)


def _assigns(word: str) -> bool:
    """Whether a word is of the form `apikey=…`."""
    name, sign, value = word.partition("=")
    return bool(sign and value) and (name.lower() in SECRET_WORDS or _names_a_secret(name))


def _looks_random(word: str) -> bool:
    """Whether a word is long and of many different characters, as keys and tokens are."""
    if len(word) < SHORTEST_RANDOM or not _RANDOM.fullmatch(word):
        return False
    kinds = (str.islower, str.isupper, str.isdigit)
    mixed = sum(any(kind(letter) for letter in word) for kind in kinds)
    is_hex = re.fullmatch(r"(?i:[0-9a-f]+)", word) is not None and mixed >= 2
    return (mixed == 3 or is_hex) and _bits(word) >= _LEAST_BITS


def _bits(word: str) -> float:
    """The entropy of a word's letters, in bits each."""
    counts = Counter(word).values()
    return -sum(n / len(word) * math.log2(n / len(word)) for n in counts)
