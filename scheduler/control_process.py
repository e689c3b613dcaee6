"""The control process: the control port and the election, and nothing else.

Started by `ControlRoom` as `python -m scheduler.control_process LINK LISTENER` with two
inherited descriptors. It ends at once when the link closes, so that the death of the
program, however it dies, is the death of its control port. It imports nothing of the
GUI, Git or SSH.

Edge: processes, sockets.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys

from scheduler.control_node import Node
from scheduler.errors import SchedulerError
from scheduler.link import LineReader, LinkBroken, LinkWriter, Received


class _Program:
    """The end of the link here: reads lines until it closes."""

    def __init__(self, link: socket.socket, listener: socket.socket) -> None:
        self._link = link
        self._listener = listener
        self._reader = LineReader()
        self._writer = LinkWriter(link)
        self._node: Node | None = None
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self) -> int:
        asyncio.get_running_loop().add_reader(self._link, self._read)
        status = await self._end
        if self._node is not None:
            await self._node.stop()
        return status

    def _read(self) -> None:
        try:
            received = self._reader.read(self._link)
        except BlockingIOError:
            return
        except LinkBroken:
            # The program is gone: so is this server, and the others shall see it at once.
            os._exit(0)
        for line in received:
            self._take(line)

    def _take(self, line: Received) -> None:
        kind = line.value["t"]
        if kind == "settings":
            try:
                self._node = Node(line.value, self._listener, self._writer)
            except (OSError, ValueError, SchedulerError) as error:
                self._writer.send({"t": "failed", "sentence": str(error)})
                os._exit(3)
        elif kind == "stop":
            if not self._end.done():
                self._end.set_result(0)
        elif self._node is not None:
            self._node.told(line.value)


def main(arguments: list[str]) -> int:
    """Serve one link until it closes."""
    # The program alone decides when this process ends; a terminal's Ctrl-C reaches both.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(
        level=os.environ.get("BQN_LOG_LEVEL", "INFO"), format="control: %(levelname)s %(message)s"
    )
    link, listener = (socket.socket(fileno=int(argument)) for argument in arguments)
    link.setblocking(False)

    async def run() -> int:
        return await _Program(link, listener).run()

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
