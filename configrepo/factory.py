"""The factory root: the first commit of every repository, byte-identical on every server.

It holds the `common/` part of the factory default of the first release. Because every
server starts from the same commit, any two repositories share an ancestor and every
unification is a real three-way merge. The text below is frozen: it is never made by
the writer again, or a change of the writer would give new servers another root. A later
release's factory default is a child of this commit.

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from configrepo.revision import CommitId, Person

FACTORY_FILES: Mapping[str, str] = MappingProxyType(
    {
        "common/clock.conf": "clock timezone Europe/Madrid\n",
        "common/dos.conf": (
            "dos\n"
            " downlink failed-handshake-rate 50\n"
            " uplink failed-handshake-rate 50\n"
            " minimum-rate 50000\n"
            " rate-multiplier 3\n"
        ),
        "common/general-settings.conf": "general-settings\n ipv6-prefix-length 64\n",
        "common/ntp.conf": "ntp\n server 203.0.113.10\n",
        "common/optimization.conf": "optimization\n acm global on\n tcpo on\n",
        "common/policy/flow/flow-default.conf": "policy flow flow-default\n tcpo on\n",
        "common/policy/monitor/monitor-default.conf": (
            "policy monitor monitor-default\n metrics all\n"
        ),
        "common/policy/rate/rate-default.conf": "policy rate rate-default\n acm on\n",
        "common/rules/flow.conf": "rules flow\n rule policy flow-default\n",
        "common/rules/monitor.conf": "rules monitor\n rule policy monitor-default\n",
        "common/rules/rate.conf": "rules rate\n rule policy rate-default\n",
    }
)

FACTORY_AUTHOR = Person("BQN factory default", "factory@bqn.invalid")
FACTORY_TIME = 1767225600
"""2026-01-01T00:00:00Z, written as `@1767225600 +0000`."""

FACTORY_MESSAGE = "Factory default of release R5.0\n"
FACTORY_ROOT = CommitId("2eaf1eb75dc0bc6e7638bba8add4f42fb4f2fe9f")
