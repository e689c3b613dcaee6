"""A server alone gets another id by its pages: the very process starts again, as that one."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from scripts.visitor import Page, VisitError, Visitor, context_trusting
from tests.support.program import Place, app

pytestmark = pytest.mark.system
DEADLINE_S = 60.0
PASSWORD = "a password that is long enough"


def logged_in(place: Place, password: str) -> tuple[Visitor, Page]:
    visitor = Visitor("127.0.0.1", place.gui, context_trusting(str(place.certificate)))
    page = visitor.get("/login")
    form = page.form("name", "password")
    return visitor, visitor.send(page, form, {"name": "admin", "password": password})


def status_of(place: Place) -> dict[str, object]:
    told = app("status", "--settings", place.settings, "--json")
    return dict(json.loads(told.stdout)) if told.stdout else {}


def test_the_program_starts_again_with_the_new_id_what_it_ran_and_its_history(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    with place.served() as process:
        visitor, page = logged_in(place, place.code)
        page = visitor.send(page, page.form("new", "again"), {"new": PASSWORD, "again": PASSWORD})
        visitor, _ = logged_in(place, PASSWORD)
        page = visitor.get("/cluster/servers/0")
        page = visitor.send(page, page.form("new_id"), {"new_id": "7"})
        for said in ("from 0 to 7", "restarts by itself", "stays under the id 0"):
            assert said in page.text
        ran = (place.state / "running.conf").read_bytes()
        visitor.send(page, page.form(action="carry-out"), {})
        until, pause = time.monotonic() + DEADLINE_S, threading.Event()
        while status_of(place).get("me") != 7:
            assert time.monotonic() < until, status_of(place)
            assert process.poll() is None
            pause.wait(0.2)
        while status_of(place).get("status") != "complete":
            assert time.monotonic() < until, status_of(place)
            pause.wait(0.2)
        assert (place.state / "running.conf").read_bytes() == ran
        visitor, _ = logged_in(place, PASSWORD)
        assert "BQN 7" in visitor.get("/cluster").text
        with pytest.raises(VisitError):
            visitor.get("/cluster/servers/0")
        assert "Change the id of this server from 0 to 7" in visitor.get("/history").text
    assert process.returncode == 0
    assert (place.state / "config.git" / "HEAD").read_text().strip().endswith("server/7")
