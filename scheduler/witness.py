"""Asks the witness address (R13): something that answers wherever this server is not cut off.

Usually the gateway. It counts as answering if a TCP connection to it is accepted or
refused; both need a packet from it.

Edge: sockets (asyncio).
"""

from __future__ import annotations

import asyncio
import contextlib

DEFAULT_PORT = 80


def parse(setting: str) -> tuple[str, int]:
    """`address`, `address:port` or `[IPv6]:port`; without a port it is 80.

    Raises:
        ValueError: the port is no port.
    """
    bare = setting.count(":") > 1 and not setting.startswith("[")
    host, colon, port = (setting, "", "") if bare else setting.rpartition(":")
    if not colon or port.endswith("]"):
        return setting.strip("[]"), DEFAULT_PORT
    number = int(port)
    if not 0 < number < 1 << 16:
        raise ValueError(f"{number} is no port")
    return host.strip("[]"), number


async def answers(address: str, port: int, timeout_s: float) -> bool:
    """Whether the witness answers now."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(address, port)
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    except (OSError, UnicodeError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
