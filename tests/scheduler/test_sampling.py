"""Throughput comes from the counters of the internet ports, or is simulated and says so."""

from __future__ import annotations

from pathlib import Path

from scheduler.sampling import (
    HostMeter,
    Sampler,
    SimulatedMeter,
    internet_ports,
    read_cpu,
)

WIRES = {"servers/0/wire.conf": "wire 1 access en1s0f0 internet en1s0f1\n"}


def proc(path: Path, received: int, sent: int, busy: int) -> Path:
    (path / "net").mkdir(parents=True, exist_ok=True)
    row = f"en1s0f1: {received} 0 0 0 0 0 0 0 {sent} 0 0 0 0 0 0 0"
    (path / "net" / "dev").write_text(
        f"Inter-| Receive\n face |bytes\n    lo: {row[9:]}\n  {row}\n"
    )
    (path / "stat").write_text(f"cpu  {busy} 0 0 {1000 - busy} 0 0 0 0 0 0\ncpu0 1 1\n")
    return path


def test_the_internet_ports_follow_from_the_wires() -> None:
    assert internet_ports(WIRES, "0") == ("en1s0f1",)
    assert internet_ports(WIRES, "1") == ()


def test_downlink_is_what_the_internet_port_receives(tmp_path: Path) -> None:
    meter = HostMeter(lambda: internet_ports(WIRES, "0"), proc=proc(tmp_path, 0, 0, 0))
    assert meter.kbps(10.0) is None
    proc(tmp_path, 2_000_000, 500_000, 0)
    assert meter.kbps(12.0) == (8000, 2000)


def test_seen_from_the_subscribers_it_is_the_other_way_round(tmp_path: Path) -> None:
    meter = HostMeter(lambda: ("en1s0f1",), "subscribers", proc(tmp_path, 0, 0, 0))
    meter.kbps(1.0)
    proc(tmp_path, 1000, 2000, 0)
    assert meter.kbps(2.0) == (16, 8)


def test_a_counter_that_went_back_gives_no_value_once(tmp_path: Path) -> None:
    meter = HostMeter(lambda: ("en1s0f1",), proc=proc(tmp_path, 5000, 5000, 0))
    meter.kbps(1.0)
    proc(tmp_path, 0, 0, 0)
    assert meter.kbps(2.0) is None
    proc(tmp_path, 1000, 1000, 0)
    assert meter.kbps(3.0) == (8, 8)


def test_a_host_without_these_ports_has_no_throughput(tmp_path: Path) -> None:
    sampler = Sampler(
        HostMeter(lambda: ("absent",), proc=proc(tmp_path, 1, 1, 0)), lambda: 0.0, tmp_path
    )
    sampler.take(1.0)
    proc(tmp_path, 1, 1, 250)
    (tmp_path / "stat").write_text("cpu  500 0 0 1500 0 0 0 0 0 0\n")
    sampler.take(2.0)
    assert sampler.samples == ()
    assert sampler.cpu_percent == 50.0
    assert not sampler.simulated


def test_simulated_values_are_labelled(tmp_path: Path) -> None:
    sampler = Sampler(SimulatedMeter(1), lambda: 100.0, proc(tmp_path, 0, 0, 0))
    sampler.take(1.0)
    assert sampler.simulated
    assert sampler.samples[0].downlink_kbps > 0


def test_the_kernels_cpu_line_is_read() -> None:
    assert read_cpu("cpu  10 1 4 70 5 3 2 5 9 9\n") == (25, 100)
