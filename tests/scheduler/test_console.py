"""The command line reaches the running program over a socket of its owner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scheduler.console import Console, ask
from scheduler.errors import RemoteRefused, SchedulerError, Unreachable


def echo(request: Mapping[str, Any]) -> dict[str, Any]:
    return {"got": request["word"]}


def refuse(_request: Mapping[str, Any]) -> dict[str, Any]:
    raise SchedulerError("not now")


def test_an_answer_comes_back_and_a_refusal_keeps_its_sentence(tmp_path: Path) -> None:
    console = Console(tmp_path / "s", {"echo": echo, "refuse": refuse})
    try:
        assert ask(tmp_path / "s", {"ask": "echo", "word": "é"}) == {"got": "é"}
        with pytest.raises(RemoteRefused, match="not now"):
            ask(tmp_path / "s", {"ask": "refuse"})
        with pytest.raises(RemoteRefused, match="could not be read"):
            ask(tmp_path / "s", {"ask": "nothing"})
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    finally:
        console.close()


def test_a_program_that_does_not_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="does not answer"):
        ask(tmp_path / "s", {"ask": "echo"})
