"""The measurements keep their contract: options, names of figures, a missing rival."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import commit_latency, fanout, figures, takeover

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = (
    "takeover",
    "members",
    "doctor",
    "fanout",
    "commit_latency",
    "clone",
    "healing",
    "catch_up",
)


def bench(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "bench" / f"{script}.py", *words],
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, float]:
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(told, dict)
    return told


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_knows_quick_and_refuses_what_it_does_not_know(script: str) -> None:
    assert "--quick" in bench(script, "--help").stdout
    assert bench(script, "--nonsense").returncode == 2


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("takeover", ("--keepalived", "/nonexistent/keepalived")),
        ("fanout", ("--ansible", "/nonexistent/ansible")),
    ],
)
def test_a_missing_rival_is_said_in_a_sentence_and_ends_with_3(
    script: str, words: tuple[str, ...]
) -> None:
    done = bench(script, "--quick", *words)
    assert done.returncode == figures.RIVAL_MISSING
    assert "\n" not in done.stderr.strip()
    assert any(word in done.stderr for word in ("is missing", "run this as root"))


@pytest.mark.system
def test_members_prints_its_figures() -> None:
    told = last_line(bench("members", "--members", "2", "--seconds", "0.2", "--deaths", "1"))
    assert list(told) == ["primary_cpu_cores", "primary_rss_mb", "dead_shown_s"]
    assert all(value >= 0 for value in told.values())


@pytest.mark.system
def test_clone_prints_its_figures() -> None:
    told = last_line(bench("clone", "--commits", "2", "--objects", "2", "--rounds", "1"))
    assert list(told) == ["vs_http_backend", "rss_mb"]
    assert all(value > 0 for value in told.values())


def test_takeover_tells_the_worst_of_all_sizes() -> None:
    two = takeover.Taken(2, [3.0], [1.0], [0.4], [3.1], [0.2])
    three = takeover.Taken(3, [2.0], [2.0], [0.5], [3.0], [0.2])
    assert takeover.figures_of([two, three]) == {
        "cut_p99_s": 3.0,
        "crash_p99_s": 2.0,
        "stop_p99_s": 0.5,
        "keepalived_p99_s": 3.1,
    }


def test_fanout_tells_ratios_and_a_projection() -> None:
    ours, theirs = [fanout.Spent(1.0, 0.32)], [fanout.Spent(2.0, 0.64)]
    told = fanout.tell(32, ours, theirs, [0.05], 0.02, 0.01, 10.0)
    assert told == pytest.approx(
        {
            "wall_vs_git": 0.5,
            "sender_cpu_vs_git": 0.5,
            "receiver_cpu_vs_plain": 2.0,
            "wall_vs_ansible": 0.1,
            "per_server_ms": 10.0,
            "projected_255_s": 2.55,
        }
    )


def test_commit_latency_tells_the_95th_of_each_kind() -> None:
    saved = [number / 1000 for number in range(1, 101)]
    assert commit_latency.tell(saved, [0.2], 10, 5) == {
        "saved_p95_ms": 95.0,
        "one_p95_ms": 200.0,
        "commits": 10,
        "objects": 5,
    }


def test_a_quantile_is_a_value_that_was_measured() -> None:
    assert figures.quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert figures.quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert figures.quantile([1.0], 0.0) == 1.0


def test_a_measurement_that_never_ends_is_ended(capsys: pytest.CaptureFixture[str]) -> None:
    def endless() -> figures.Figures:
        while True:
            pass

    assert figures.measure(endless, 1) == figures.OVERDUE
    assert "did not end within 1 s" in capsys.readouterr().err


def test_two_primaries_at_the_same_time_are_counted() -> None:
    handed = [(1.0, 1, "primary"), (9.0, 1, "secondary"), (9.2, 0, "primary")]
    assert takeover._last_overlap(handed) == 0.0
    both = [(1.0, 1, "primary"), (9.0, 0, "primary"), (9.5, 1, "secondary")]
    assert takeover._last_overlap(both) == 0.5
