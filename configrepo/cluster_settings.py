"""What holds for the cluster as a whole: which key seals, whether automation is paused.

Which schema its configuration has stands there too: no release that reads less may lead.
It is the block `cluster` in `cluster/cluster.conf`, written by the program. The key that
seals is named in the tree, so a commit and its key change at the same moment on every
server; the key itself is never in Git. No block is the same as an empty one.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from configrepo.layout import parse_block_file
from configrepo.model import Files
from configrepo.words import join

PATH = "cluster/cluster.conf"


@dataclass(frozen=True, slots=True)
class Pause:
    """Automation is paused; times are UTC as `2026-11-22T15:00:00Z`."""

    since: str
    remind: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """`sealing_key` is the id of a key of the keyring; None before the first rotation.

    `format` is the schema of the configuration (docs/adr/0013).
    """

    sealing_key: str | None = None
    pause: Pause | None = None
    format: int = 1


def cluster_settings(files: Files) -> ClusterSettings:
    """The settings in these files.

    Raises:
        UnreadableConfig: the block cannot be read.
    """
    key: str | None = None
    pause: Pause | None = None
    schema = 1
    for block in parse_block_file(PATH, files[PATH]) if PATH in files else ():
        for child in block.children:
            match child.words:
                case ("format", number):
                    schema = int(number)
                case ("sealing-key", name):
                    key = name
                case ("automation-paused", "since", since, "remind", remind, "reason", reason):
                    pause = Pause(since, remind, reason)
    return ClusterSettings(key, pause, schema)


def settings_file(settings: ClusterSettings) -> tuple[str, str | None]:
    """The path and the canonical text of the block; None if there is nothing to say."""
    lines: list[tuple[str, ...]] = []
    if settings.format > 1:
        lines.append(("format", str(settings.format)))
    if settings.sealing_key is not None:
        lines.append(("sealing-key", settings.sealing_key))
    if (pause := settings.pause) is not None:
        times = ("since", pause.since, "remind", pause.remind)
        lines.append(("automation-paused", *times, "reason", pause.reason))
    if not lines:
        return PATH, None
    return PATH, "\n ".join(["cluster", *(join(words) for words in lines)]) + "\n"
