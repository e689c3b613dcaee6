"""A server that receives: a real sshd, the gate, the hooks and the receiving program.

    python -m tests.faults.receiving_process FOLDER KEY

KEY is the sender's private key as hex. Prints the port and the host key, ends with its input.

Edge: files, processes.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.replicas import Replica


def main(folder: Path, key: str) -> None:
    """Be server 1, which follows server 0."""
    with tempfile.TemporaryDirectory() as other:
        zero, one = Replica(Path(other), 0), Replica(folder, 1)
        zero.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))
        one.listen(zero)
        one.follow(zero)
        print(json.dumps([one.sshd.port, one.sshd.host_key]), flush=True)
        sys.stdin.read()
        one.close()
        zero.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
