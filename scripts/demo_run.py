"""Starts the demo, or takes the whole tour by itself.

    scripts/demo           three servers until Ctrl-C; goes on where the last run stopped
    scripts/demo --auto    every step of the tour, verified; exit status 0 if all are true

Edge: processes.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType

from scripts.demo_servers import ROOT, Demo, DemoError, Layout
from scripts.demo_tour import take_tour
from scripts.visitor import VisitError

TOUR = """\
  1. Log in at {0} as admin. The browser warns once: the certificates are self-signed.
  2. Administration > Cluster > Add BQN to a cluster: in BQN 0 enter id 1, {address},
     SSH port {ssh1}; copy the join code to the same page of BQN 1 at {1}.
  3. Accept BQN 1; Unify opens and asks nothing. Commit: the cluster is ready, complete.
  4. Add BQN 2 ({2}, SSH port {ssh2}): answer three questions, acknowledge two, commit.
  5. Change a block under Configuration > Text in BQN 1; all three servers run it.
  6. kill -9 {pid}: BQN 1 takes over and says why. History shows it all, and goes back."""


def main() -> int:
    """Run what the command line asks for; returns the exit status."""
    options = _options()
    layout = Layout(
        folder=options.dir or ROOT / ".demo" / ("auto" if options.auto else ""),
        gui_port=options.gui_port,
        control_port=options.control_port,
        ssh_port=options.ssh_port,
    )
    if options.auto and layout.folder.exists():
        shutil.rmtree(layout.folder)
    demo = Demo(layout)

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        demo.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        print("Starting BQN 0, 1 and 2 ...", flush=True)
        password = demo.start()
        if options.auto:
            return take_tour(demo, password)
        _print_tour(demo, password)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        pass
    except (DemoError, VisitError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    finally:
        print("Stopping ...", flush=True)
        demo.stop()
    return 130 if options.auto else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/demo", description="Three BQN servers on this machine."
    )
    parser.add_argument("--auto", action="store_true", help="take the tour and verify each step")
    parser.add_argument("--dir", type=Path, help="folder of the demo (default: .demo)")
    parser.add_argument("--gui-port", type=int, default=8440, help="first HTTPS port (8440)")
    parser.add_argument("--control-port", type=int, default=63500, help="first control port")
    parser.add_argument("--ssh-port", type=int, default=2200, help="first SSH port (2200)")
    options = parser.parse_args()
    if options.dir is not None:
        options.dir = options.dir.absolute()
    return options


def _print_tour(demo: Demo, password: str) -> None:
    urls = [server.url for server in demo.servers]
    print(f"\nAddress:  {urls[0]}\nUser:     admin\nPassword: {password}\n")
    print(
        TOUR.format(
            *urls,
            address=demo.layout.address,
            ssh1=demo.servers[1].ssh_port,
            ssh2=demo.servers[2].ssh_port,
            pid=demo.servers[0].pid,
        )
    )
    print("\nThe traffic on the pages is simulated. Ctrl-C stops everything.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
