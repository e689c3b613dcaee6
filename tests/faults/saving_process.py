"""A server that commits once for each line it reads, and says what it has acknowledged.

    python -m tests.faults.saving_process FOLDER

Edge: files, processes.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

from scheduler.views import Committed
from scheduler.wire import ChangeRequest
from tests.support.small_server import ADMIN, SmallServer


def main(folder: Path) -> None:
    """Answer every line with the id of a new commit, or with why there is none."""
    server = SmallServer(folder, 0)
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin):
        name = f"rate-{number}"
        text = f"policy rate {name}\n downlink rate {number + 1}\n"
        path = f"common/policy/rate/{name}.conf"
        request = ChangeRequest(
            server.changes.head(), {path: text}, f"Change {number}", uuid.uuid4().hex
        )
        outcome = server.changes.commit(request, ADMIN)
        said = outcome.revision if isinstance(outcome, Committed) else f"no: {outcome}"
        print(said.replace("\n", " "), flush=True)
    server.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
