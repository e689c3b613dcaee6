"""Names of objects as parts of repository paths, and back.

`escape` is injective and its results are harmless on every file system and for git:
letters, digits, `.`, `_`, `-` and `%XX` only, never a leading dot or dash, never a
trailing dot, never `.git…`, never a device name of DOS.

Pure.
"""

from __future__ import annotations

import re

MAX_COMPONENT = 64

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_ESCAPED = re.compile(r"(?:[A-Za-z0-9._-]|%[0-9A-F]{2})+")


def escape(name: str) -> str:
    """A name as a path component without its suffix; see the module for the rules."""
    if _SAFE.fullmatch(name) and not name.endswith(".") and not _DEVICE.fullmatch(name):
        return name
    raw = name.encode("utf-8", "surrogatepass")
    parts = [chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in raw]
    if parts and (parts[0] in (".", "-") or _DEVICE.fullmatch(name)):
        parts[0] = f"%{raw[0]:02X}"
    if parts and parts[-1] == ".":
        parts[-1] = "%2E"
    return "".join(parts)


def unescape(component: str) -> str | None:
    """The name that `escape` writes as this component, or None if it never writes it."""
    if len(component) > MAX_COMPONENT or _ESCAPED.fullmatch(component) is None:
        return None
    try:
        name = _decoded(component)
    except UnicodeDecodeError:
        return None
    return name if escape(name) == component else None


def _decoded(component: str) -> str:
    head, *rest = component.split("%")
    raw = bytearray(head.encode("ascii"))
    for part in rest:
        raw.append(int(part[:2], 16))
        raw += part[2:].encode("ascii")
    return raw.decode("utf-8")
