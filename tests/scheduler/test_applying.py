from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest

from configrepo.errors import StoreError, UnknownKey, UnreadableConfig
from configrepo.model import Problem, ServerId, Severity
from configrepo.revision import CommitId, RefUpdate
from scheduler.applying import PROVEN_FOR_S, Applier, ApplyCommands, text_hash
from tests.support.applying_process import applier, commit_of
from tests.support.manual_clock import ManualClock

ONE, TWO, THREE = (CommitId(letter * 40) for letter in "123")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REF = "refs/bqn/running/0"


class World:
    """Texts and refs in memory: sealing is upper case, canonical is stripped lines."""

    def __init__(self) -> None:
        self.texts = {ONE: "NTP ONE\n", TWO: "NTP TWO\n", THREE: "NTP ONE\n"}
        self.refs: dict[str, CommitId] = {}
        self.moves: list[CommitId | None] = []
        self.broken = False

    def wanted(self, commit: CommitId) -> str:
        if commit not in self.texts:
            raise UnknownKey("snmp community cannot be opened with the keys of this server")
        return self.texts[commit]

    def opened(self, sealed: str) -> str:
        return sealed.lower()

    def sealed(self, clear: bytes) -> str:
        if clear.startswith(b"?"):
            raise UnreadableConfig((Problem(Severity.ERROR, 1, 1, "unreadable"),))
        return "".join(f"{line.strip()}\n" for line in clear.decode().splitlines()).upper()

    def key(self) -> str:
        return "one"

    def ref(self, name: str) -> CommitId | None:
        return self.refs.get(name)

    def move(self, updates: tuple[RefUpdate, ...], reason: str) -> None:
        for update in updates:
            if self.broken:
                raise StoreError("the repository is broken")
            assert self.refs.get(update.ref) == update.old
            assert update.new is not None
            self.refs[update.ref] = update.new
            self.moves.append(update.new)


@pytest.fixture
def world() -> World:
    return World()


Make = Callable[..., Applier]


@pytest.fixture
def make(tmp_path: Path, world: World) -> Make:
    def build(
        apply: str = "",
        health: str = "",
        read: str = "",
        timeout_s: float = 5,
        read_every_s: float = 0,
        clock: Callable[[], float] = monotonic,
    ) -> Applier:
        def command(name: str, text: str) -> tuple[str, ...]:
            if not text:
                return ()
            path = tmp_path / name
            path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{text}\n")
            path.chmod(0o755)
            return (str(path),)

        commands = ApplyCommands(
            command("apply", apply),
            command("health", health),
            command("read", read),
            timeout_s,
            read_every_s,
        )
        return Applier(tmp_path, ServerId(0), world, world, commands, lambda: NOON, clock)

    return build


def test_without_commands_the_file_is_the_running_configuration(
    tmp_path: Path, world: World, make: Make
) -> None:
    running = make().apply(ONE)
    assert (running.result, running.commit, running.applied_at) == ("applied", ONE, NOON)
    assert running.hash == text_hash("NTP ONE\n")
    assert (tmp_path / "running.conf").read_text() == "ntp one\n"
    assert (tmp_path / "running.conf").stat().st_mode & 0o777 == 0o600
    assert world.refs[REF] == ONE


def test_what_is_known_survives_a_restart(make: Make) -> None:
    running = make().apply(ONE)
    assert make().running() == running


def test_the_command_gets_the_file(tmp_path: Path, make: Make) -> None:
    make(apply='cp "$1" device').apply(ONE)
    assert (tmp_path / "device").read_text() == "ntp one\n"


def test_a_commit_that_changes_nothing_here_moves_the_ref_without_an_apply(
    tmp_path: Path, world: World, make: Make
) -> None:
    applier = make(apply="echo x >> applies")
    applier.apply(ONE)
    running = applier.apply(THREE)
    assert (running.result, running.commit) == ("applied", THREE)
    assert running.sentence == "nothing changes on this server"
    assert world.moves == [ONE, THREE]
    assert (tmp_path / "applies").read_text() == "x\n"


def test_applying_twice_is_applying_once(tmp_path: Path, world: World, make: Make) -> None:
    applier = make(apply="echo x >> applies")
    first = applier.apply(ONE)
    assert applier.apply(ONE) == first
    assert world.moves == [ONE]
    assert (tmp_path / "applies").read_text() == "x\n"


@pytest.mark.parametrize(
    ("apply", "health"),
    [
        ('grep -q one "$1" || { echo no such server >&2; exit 1; }; cp "$1" device', ""),
        ('cp "$1" device', "grep -q one device || { echo no such server >&2; exit 1; }"),
    ],
)
def test_a_failure_puts_the_last_working_configuration_back(
    tmp_path: Path, world: World, make: Make, apply: str, health: str
) -> None:
    applier = make(apply=apply, health=health)
    applier.apply(ONE)
    running = applier.apply(TWO)
    assert running.result == "failed"
    assert (running.commit, running.target) == (ONE, TWO)
    assert "no such server; the last working configuration was put back" in running.sentence
    assert running.hash == text_hash("NTP ONE\n")
    assert (tmp_path / "running.conf").read_text() == "ntp one\n"
    assert (tmp_path / "device").read_text() == "ntp one\n"
    assert world.refs[REF] == ONE


def test_a_failed_commit_is_not_tried_again_until_somebody_asks(tmp_path: Path, make: Make) -> None:
    applier = make(apply='grep -q one "$1" || test -e mended')
    applier.apply(ONE)
    applier.apply(TWO)
    (tmp_path / "mended").touch()
    assert applier.apply(TWO).result == "failed"
    assert applier.apply(TWO, asked=True).result == "applied"


def test_a_term_that_begins_after_a_failure_tries_nothing(
    tmp_path: Path, world: World, make: Make
) -> None:
    applier = make(apply='echo >> "$(dirname "$1")/tries"; grep -q one "$1"')
    applier.apply(ONE)
    applier.apply(TWO)
    tries = (tmp_path / "tries").read_text()
    begun = CommitId("d" * 40)
    world.texts[begun] = world.texts[TWO]
    running = applier.apply(begun)
    assert (running.result, running.target) == ("failed", begun)
    assert (tmp_path / "tries").read_text() == tries


def test_the_first_apply_that_fails_says_that_there_is_nothing_to_go_back_to(
    make: Make, world: World
) -> None:
    running = make(apply="exit 1").apply(ONE)
    assert running.result == "failed"
    assert running.sentence.endswith("there is no earlier configuration to go back to")
    assert world.refs == {}


def test_a_command_that_hangs_is_killed_and_the_former_configuration_put_back(
    make: Make,
) -> None:
    applier = make(apply='grep -q one "$1" || tail -f /dev/null', timeout_s=0.3)
    applier.apply(ONE)
    running = applier.apply(TWO)
    assert "did not end within 0.3 s" in running.sentence
    assert running.hash == text_hash("NTP ONE\n")


def test_an_edit_of_the_file_is_seen_as_drift_and_left_alone(
    tmp_path: Path, make: Make, world: World
) -> None:
    applier = make()
    applier.apply(ONE)
    (tmp_path / "running.conf").write_text("ntp mine\n")
    running = applier.check()
    assert running.result == "drifted"
    assert running.hash == text_hash("NTP MINE\n")
    assert applier.apply(THREE).result == "drifted"
    assert (tmp_path / "running.conf").read_text() == "ntp mine\n"
    assert world.refs[REF] == ONE


def test_restoring_overwrites_the_drift_and_keeps_it_sealed(tmp_path: Path, make: Make) -> None:
    applier = make()
    applier.apply(ONE)
    (tmp_path / "running.conf").write_text("ntp mine\n")
    assert applier.apply(ONE, asked=True).result == "applied"
    assert (tmp_path / "running.conf").read_text() == "ntp one\n"
    assert (tmp_path / "outside.conf").read_text() == "NTP MINE\n"


def test_an_outside_change_that_cannot_be_read_is_kept_as_it_was(
    tmp_path: Path, make: Make
) -> None:
    applier = make()
    applier.apply(ONE)
    (tmp_path / "running.conf").write_text("? mine\n")
    assert applier.apply(TWO).result == "applied"
    assert (tmp_path / "outside.conf").read_text() == "? mine\n"


def test_undoing_the_edit_by_hand_ends_the_drift(tmp_path: Path, make: Make) -> None:
    applier = make()
    applier.apply(ONE)
    (tmp_path / "running.conf").write_text("ntp mine\n")
    applier.check()
    (tmp_path / "running.conf").write_text("  ntp one\n")
    assert applier.check().result == "applied"


def test_a_file_that_is_gone_or_no_configuration_is_drift(tmp_path: Path, make: Make) -> None:
    applier = make()
    applier.apply(ONE)
    (tmp_path / "running.conf").unlink()
    assert applier.check().sentence == "running.conf was removed from outside"
    (tmp_path / "running.conf").write_text("?\n")
    assert applier.check().result == "drifted"


def test_the_device_is_asked_what_runs(tmp_path: Path, make: Make) -> None:
    applier = make(apply='cp "$1" device', read="cat device")
    assert applier.apply(ONE).hash == text_hash("NTP ONE\n")
    (tmp_path / "device").write_text("ntp console\n")
    running = applier.check()
    assert (running.result, running.hash) == ("drifted", text_hash("NTP CONSOLE\n"))


def test_a_device_that_runs_something_else_after_the_apply_is_told(make: Make) -> None:
    running = make(read="echo ntp default").apply(ONE)
    assert running.result == "drifted"
    assert "runs another one" in running.sentence


def test_a_device_that_cannot_be_asked_leaves_the_hash_open(make: Make) -> None:
    running = make(read="exit 4").apply(ONE)
    assert running.result == "applied"
    assert running.hash is None
    assert "cannot be read back" in running.sentence


def test_a_hash_proves_what_runs_only_while_it_is_read_back(tmp_path: Path, make: Make) -> None:
    clock = ManualClock()
    applier = make(apply='cp "$1" device', read="cat device", clock=clock)
    assert applier.proven() is None
    applier.apply(ONE)
    clock.advance(PROVEN_FOR_S - 1)
    assert applier.proven() == text_hash("NTP ONE\n")
    (tmp_path / "device").unlink()
    assert applier.check().result == "applied"
    clock.advance(1)
    assert applier.proven() is None
    assert "not read back in the last 30 s: what runs cannot be read back" in applier.doubt()
    (tmp_path / "device").write_text("ntp one\n")
    applier.check()
    assert applier.proven() == text_hash("NTP ONE\n")


def test_what_was_known_before_a_restart_proves_nothing(make: Make) -> None:
    assert make().apply(ONE).hash == text_hash("NTP ONE\n")
    again = make()
    assert again.running().hash == text_hash("NTP ONE\n")
    assert again.proven() is None
    again.check()
    assert again.proven() == text_hash("NTP ONE\n")


@pytest.mark.parametrize("cut", ["before the command", "after the command"])
def test_an_apply_that_was_cut_short_is_done_again(
    tmp_path: Path, make: Make, world: World, cut: str
) -> None:
    """The record says applying before anything is touched; a crash leaves it so."""
    applier = make(apply='echo x >> applies; cp running.json record; cp "$1" device')
    applier.apply(ONE)
    applier.apply(TWO)
    (tmp_path / "running.json").write_bytes((tmp_path / "record").read_bytes())
    (tmp_path / "working.conf").write_text("ntp one\n")
    world.refs[REF] = ONE
    if cut == "before the command":
        (tmp_path / "device").write_text("ntp one\n")
    again = make(apply='echo x >> applies; cp "$1" device')
    assert again.running().result == "applying"
    assert again.apply(TWO).result == "applied"
    assert (tmp_path / "device").read_text() == "ntp two\n"
    assert (tmp_path / "applies").read_text() == "x\nx\nx\n"
    assert world.refs[REF] == TWO


def test_a_text_that_cannot_be_prepared_changes_nothing(tmp_path: Path, make: Make) -> None:
    applier = make()
    applier.apply(ONE)
    running = applier.apply(CommitId("9" * 40))
    assert running.result == "failed"
    assert "snmp community cannot be opened" in running.sentence
    assert (tmp_path / "running.conf").read_text() == "ntp one\n"


def test_a_text_that_could_not_be_prepared_is_tried_again_by_itself(
    make: Make, world: World
) -> None:
    applier = make()
    text = world.texts.pop(ONE)
    assert applier.apply(ONE).result == "failed"
    world.texts[ONE] = text
    assert applier.apply(ONE).result == "applied"


def test_the_device_is_not_asked_too_often(tmp_path: Path, make: Make) -> None:
    applier = make(apply='cp "$1" device', read="echo x >> asked; cat device", read_every_s=60)
    applier.apply(ONE)
    asked = len((tmp_path / "asked").read_text().splitlines())
    for _ in range(3):
        applier.check()
    assert len((tmp_path / "asked").read_text().splitlines()) == asked + 1


def test_a_repository_that_cannot_take_note_is_told_and_tried_again(
    make: Make, world: World
) -> None:
    applier = make()
    world.broken = True
    assert "does not take note" in applier.apply(ONE).sentence
    world.broken = False
    assert applier.apply(ONE).result == "applied"
    assert world.refs[REF] == ONE


def test_a_damaged_record_means_that_everything_is_applied_again(
    tmp_path: Path, make: Make
) -> None:
    make().apply(ONE)
    (tmp_path / "running.json").write_text("{}\n")
    assert make().apply(ONE).result == "applied"


def test_a_kill_at_any_write_leaves_a_state_from_which_the_apply_is_finished(
    tmp_path: Path,
) -> None:
    """strace kills the process at the first, second, … fsync until it comes through.

    Each rename stands between two of them, that of the file and that of its directory.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    killed = 0
    while True:
        state = tmp_path / f"{killed}"
        state.mkdir()
        (state / "apply").write_text(f'#!/bin/sh\ncp "$1" {state}/device\n')
        (state / "apply").chmod(0o755)
        applier(state).apply(commit_of("one"))
        done = subprocess.run(
            [strace, "-f", "-o", "/dev/null", "-etrace=fsync",
             f"-einject=fsync:signal=SIGKILL:when={killed + 1}",
             sys.executable, "-m", "tests.support.applying_process", str(state), "two"],
            cwd=Path(__file__).parents[2], capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert (state / "running.conf").read_text() in ("one", "two")
        assert (state / "working.conf").read_text() in ("one", "two")
        again = applier(state)
        assert again.running().result in ("applied", "applying")
        running = again.apply(commit_of("two"))
        assert (running.result, running.commit) == ("applied", commit_of("two"))
        files = ("running.conf", "working.conf", "device")
        assert [(state / name).read_text() for name in files] == ["two"] * 3
        assert (state / "ref").read_text() == commit_of("two")
        if done.returncode == 0:
            break
        killed += 1
    assert killed >= 8
