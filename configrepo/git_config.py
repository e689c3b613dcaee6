"""The configuration of the repository itself, as a frozen text.

It stands in the repository's own file and not in the environment, because `git push`
strips `GIT_CONFIG_*` for the receiving side. Everything written is fsynced, everything
received is checked, nothing is collected or pruned behind our back, only a part of a large
pack is in memory at a time (receiving has little of it), and the hooks come
from the installed release (docs/adr names the measurements).

Pure.
"""

from __future__ import annotations

from pathlib import Path

_TEXT = """\
[core]
\trepositoryformatversion = 0
\tbare = true
\tfilemode = true
\tsymlinks = false
\tlogAllRefUpdates = always
\tfsync = all
\tfsyncMethod = fsync
\tfilesRefLockTimeout = 500
\tpackedGitWindowSize = 16777216
\tpackedGitLimit = 100663296
\tdeltaBaseCacheLimit = 33554432
[receive]
\tfsckObjects = true
\tdenyNonFastForwards = true
\tdenyDeletes = true
\tmaxInputSize = 20m
\tautogc = false
\tadvertisePushOptions = false
[fetch]
\tfsckObjects = true
[gc]
\tauto = 0
\tpruneExpire = never
[pack]
\tthreads = 1
[uploadpack]
\tallowFilter = false
[transfer]
\tbundleURI = false
[protocol]
\tallow = never
[protocol "ssh"]
\tallow = always
[protocol "file"]
\tallow = user
"""


def repository_config(hooks: Path | None) -> str:
    """The text of `config.git/config`; without `hooks` no hook runs at all.

    Raises:
        ValueError: a path that git's format could not hold.
    """
    place = "/dev/null" if hooks is None else str(hooks)
    if any(ord(letter) < 32 for letter in place):
        raise ValueError("a hooks directory cannot have control characters in its name")
    quoted = place.replace("\\", "\\\\").replace('"', '\\"')
    return f'{_TEXT}[core]\n\thooksPath = "{quoted}"\n'
