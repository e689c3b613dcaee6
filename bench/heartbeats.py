"""Listens on the loopback interface when one server's control process sends to another.

The kernel notes the time of each packet, so the gaps are those of the sending process
itself, not of what a page or a view shows later. Needs root (a packet socket).

Edge: sockets, threads.
"""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import threading

_ALL = 3
_OUTGOING = 4
_ATTACH_FILTER = 26
_TIMESTAMPNS = 35
_INSTRUCTION = struct.Struct("HBBI")


class Heartbeats:
    """The longest time between two packets with content from one server to another."""

    def __init__(self, sender_port: int, receiver_port: int) -> None:
        """Begin to listen.

        Args:
            sender_port: the control port of the server that sends.
            receiver_port: that of the other; either may have dialled.
        """
        self.largest_gap_s = 0.0
        self.count = 0
        self._last: float | None = None
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        self._only(sender_port, receiver_port)
        self._socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
        self._socket.bind(("lo", 0))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _only(self, sender_port: int, receiver_port: int) -> None:
        """Let the kernel drop everything but TCP from the one port or to the other."""
        program = (
            (0x28, 0, 0, 12),  # the protocol of the frame
            (0x15, 0, 8, 0x0800),  # IPv4, else drop
            (0x30, 0, 0, 23),  # the protocol of the packet
            (0x15, 0, 6, socket.IPPROTO_TCP),  # TCP, else drop
            (0xB1, 0, 0, 14),  # how long the header is
            (0x48, 0, 0, 14),  # from which port
            (0x15, 2, 0, sender_port),
            (0x48, 0, 0, 16),  # to which port
            (0x15, 0, 1, receiver_port),
            (0x06, 0, 0, 65_535),
            (0x06, 0, 0, 0),
        )
        code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*one) for one in program))
        attached = struct.pack("HL", len(program), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, attached)

    def _listen(self) -> None:
        while not self._ended.is_set():
            if not select.select([self._socket], [], [], 0.2)[0]:
                continue
            packet, notes, _, address = self._socket.recvmsg(128, 64)
            # On this interface everything is seen twice: going out and coming in.
            if address[2] != _OUTGOING and _has_content(packet):
                self._heard(notes)

    def _heard(self, notes: list[tuple[int, int, bytes]]) -> None:
        for level, kind, data in notes:
            if (level, kind) == (socket.SOL_SOCKET, _TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("qq", data[:16])
                at = seconds + nanoseconds / 1e9
                if self._last is not None:
                    self.largest_gap_s = max(self.largest_gap_s, at - self._last)
                self._last = at
                self.count += 1


def _has_content(packet: bytes) -> bool:
    """Whether a TCP packet carries more than its headers."""
    (length,) = struct.unpack_from(">H", packet, 16)
    header = (packet[14] & 0x0F) * 4
    offset = (packet[14 + header + 12] >> 4) * 4
    return bool(length > header + offset)
