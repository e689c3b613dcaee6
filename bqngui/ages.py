"""How long ago something was, in words.

Pure.
"""

from __future__ import annotations


def age_words(seconds: float) -> str:
    """An age in its largest fitting unit; less than two seconds, and the future, is now."""
    if seconds < 2:
        return "now"
    if seconds < 120:
        return f"{int(seconds)} s ago"
    if seconds < 7_200:
        return f"{int(seconds // 60)} min ago"
    if seconds < 172_800:
        return f"{int(seconds // 3_600)} h ago"
    return f"{int(seconds // 86_400)} days ago"
