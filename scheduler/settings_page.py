"""Prints docs/settings.md from the table of settings.

    python -m scheduler.settings_page > docs/settings.md

A test compares the page with what this prints, so the page is complete by construction.

Pure.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

from scheduler.settings_table import SECTIONS, Kind, Rule

_HEAD = """\
# Settings

One TOML file per server, given to `app.py serve --settings FILE`. This page is printed from
the table in `scheduler/settings_table.py`; a test keeps it complete.

- Relative paths start at the folder of the file.
- Every problem of a file is reported at once, with its key and what to do.
- A key that is not on this page is an error, so a typing mistake cannot go unnoticed.
- The id of the server is not a setting: it lives in the state directory and is changed there.
- A change takes effect when the program is started again.

The smallest file that works:

```toml
[server]
state = "/var/lib/bqn"
```
"""


def settings_page() -> str:
    """The text of docs/settings.md."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for name, section in SECTIONS.items():
        yield f"## [{name}]\n"
        yield f"{section.__doc__}\n"
        yield "| key | type | default | meaning |"
        yield "|---|---|---|---|"
        for field in fields(section):
            rule: Rule = field.metadata["rule"]
            yield f"| `{field.name}` | {_kind(rule)} | {_default(field)} | {rule.meaning} |"
        yield ""


def _kind(rule: Rule) -> str:
    match rule.kind:
        case Kind.CHOICE:
            return " or ".join(f'`"{choice}"`' for choice in rule.choices)
        case Kind.PORT | Kind.COUNT | Kind.SECONDS:
            return f"{rule.kind}, {rule.low} to {rule.high}"
        case Kind.COMMAND:
            return 'command as a list, `["/path/program", "argument"]`'
        case _:
            return str(rule.kind)


def _default(field: Field[Any]) -> str:
    rule: Rule = field.metadata["rule"]
    if field.default is MISSING:
        return "must be given"
    if rule.unset:
        return rule.unset
    match field.default:
        case bool() as switch:
            return f"`{str(switch).lower()}`"
        case int() as number:
            return f"`{number}`"
        case _ as text:
            return f'`"{text}"`'


if __name__ == "__main__":
    sys.stdout.write(settings_page())
