"""What this server says of itself: to members in full, to strangers only who it is.

Core: asks the parts of the running server.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from configrepo.model import ServerId
from scheduler.applying import Applier
from scheduler.changes import Changes
from scheduler.connectivity import PRODUCT
from scheduler.messages import PROTOCOL
from scheduler.overview import Report, report_to_json
from scheduler.roster import Roster
from scheduler.sampling import Sampler
from scheduler.state_dir import RELEASE, StateDir


class Reporting:
    """The reports of one server."""

    def __init__(
        self,
        me: ServerId,
        name: str,
        gui_port: int,
        state: StateDir,
        roster: Roster,
        changes: Changes,
        applier: Applier,
        shown: Callable[[], tuple[str, str]],
        sampler: Sampler,
        refs: Callable[[], Mapping[str, str]],
        unreached: Callable[[], tuple[ServerId, ...]],
    ) -> None:
        self._me = me
        self._name = name
        self._gui_port = gui_port
        self._state = state
        self._roster = roster
        self._changes = changes
        self._applier = applier
        self._shown = shown
        self._sampler = sampler
        self._refs = refs
        self._unreached = unreached

    def report(self) -> Report:
        """What it runs and carries now."""
        running = self._applier.running()
        result, sentence = self._shown()
        proven = self._applier.proven()
        if proven is None and result == "applied":
            sentence = self._applier.doubt()
        known = self._roster.member(self._me)
        host = known.address if known else socket.gethostname()
        return Report(
            id=self._me,
            name=self._name,
            version=RELEASE,
            gui_url=f"https://{host}:{self._gui_port}/",
            head=self._changes.head(),
            running=running.commit,
            hash=proven,
            result=result,
            sentence=sentence,
            cpu_percent=self._sampler.cpu_percent,
            simulated=self._sampler.simulated,
            samples=self._sampler.samples,
            refs=self._refs(),
            unreached=self._unreached(),
        )

    def answer(self, _asker: ServerId, _body: Mapping[str, Any]) -> dict[str, Any]:
        """RPC route `/report`."""
        return report_to_json(self.report())

    def probe(self, _asker: ServerId | str, _body: Mapping[str, Any]) -> dict[str, Any]:
        """Route `/probe`, for everybody: enough to find a wrong port, cluster or clock."""
        return {
            "product": PRODUCT,
            "id": self._me,
            "version": RELEASE,
            "protocols": [PROTOCOL, PROTOCOL],
            "cluster": self._state.record().cluster_id if self._roster.active() else None,
            "time": time.time(),
        }
