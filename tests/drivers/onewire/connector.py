"""The kernel's end of the 1-Wire netlink interface, for tests: answers as drivers/w1/w1_netlink.c does.

It takes what a driver sends apart by the layouts of linux/connector.h and w1_netlink.h, by itself, and lets a
simulated bus do what is asked.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping

from myclerk_drivers.models.onewire import BitSearch
from myclerk_drivers.onewire.simulated import SimulatedBus

NO_PRESENCE = 255
"""The status of W1_CMD_RESET then: w1_reset_bus gives 1, and its negative goes into one byte."""


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


class Connector:
    """The packets that answer one packet. ``buses``: number of the master -> what is on it."""

    def __init__(self, buses: Mapping[int, SimulatedBus]) -> None:
        self.buses = buses
        self.commands: list[int] = []
        self.added: list[bytes] = []
        self._written = b""

    def answers(self, packet: bytes) -> list[bytes]:
        """What the kernel sends back, packet by packet."""
        assert _u32(packet, 0) == len(packet), "nlmsg_len"
        assert _u16(packet, 4) == 3, "NLMSG_DONE"
        assert len(packet) - 16 <= 16384, "CONNECTOR_MAX_MSG_SIZE"
        header, body = packet[16:36], packet[36:]
        assert (_u32(header, 0), _u32(header, 4)) == (3, 1), "CN_W1_IDX, CN_W1_VAL"
        assert _u16(header, 16) == len(body)
        assert _u16(header, 18) == 0, "a flag that is not known is refused"
        kind, size, master = body[0], _u16(body, 2), _u32(body, 4)
        assert size == len(body) - 12
        if kind == 6:
            numbers = b"".join(number.to_bytes(4, "little") for number in self.buses)
            return [self._packet(header, 1, bytes([6, 0]), b"", numbers)]
        assert kind == 4, "W1_MASTER_CMD"
        if master not in self.buses:
            return [self._packet(header, 0, bytes([4, 19]), body[4:12], b"")]
        return self._run(header, body, self.buses[master])

    def _run(self, header: bytes, body: bytes, bus: SimulatedBus) -> list[bytes]:
        sent, at = [], 12
        while at < len(body):
            code, size = body[at], _u16(body, at + 2)
            data = body[at + 4 : at + 4 + size]
            assert len(data) == size
            at += 4 + size
            self.commands.append(code)
            status, answer = self._command(bus, code, data)
            for part in answer:
                if (
                    len(part) == size
                ):  # it fills what the kernel has reserved, which sends that out first, unfilled
                    sent.append((36).to_bytes(4, "little") + b"\x03" + bytes(31))
                command = bytes([code, 0]) + len(part).to_bytes(2, "little") + part
                sent.append(self._packet(header, 1, bytes([4, 0]), body[4:12], command))
            sent.append(self._packet(header, 0, bytes([4, status]), body[4:12], bytes([code, 0, 0, 0])))
        return sent

    def _command(self, bus: SimulatedBus, code: int, data: bytes) -> tuple[int, list[bytes]]:
        match code:
            case 0:
                return 0, [bus.exchange(b"", len(data), reset=False) or b""]
            case 1:
                bus.exchange(data, 0, reset=False)
                self._written = data
                return 0, []
            case 4:
                return 0, [self._touch(bus, data)]
            case 5:
                return (NO_PRESENCE if bus.exchange(b"", 0) is None else 0), []
            case 6:
                self.added.append(data)
                return 0, []
        return 22, []

    def _touch(self, bus: SimulatedBus, data: bytes) -> bytes:
        """The slots of a search, which the byte written before them began."""
        searching = (d.rom for d in bus.devices.values() if self._written == b"\xf0" or d.alarm)
        line, answer = BitSearch(searching), bytearray(len(data))
        for at in range(8 * len(data)):
            answer[at // 8] |= line.slot(data[at // 8] >> at % 8 & 1) << at % 8
        return bytes(answer)

    def _packet(self, header: bytes, later: int, kind: bytes, master: bytes, data: bytes) -> bytes:
        sequence = _u32(header, 8)
        message = kind + len(data).to_bytes(2, "little") + master.ljust(8, b"\0") + data
        connector = (
            header[:8] + sequence.to_bytes(4, "little") + (sequence + 1 if later else 0).to_bytes(4, "little")
        )
        connector += len(message).to_bytes(2, "little") + b"\0\0" + message
        return (16 + len(connector)).to_bytes(4, "little") + b"\x03\0\0\0" + bytes(8) + connector


class ConnectorThread:
    """A connector that serves sockets; ``connect`` gives one. ``deaf`` to commands it answers none."""

    def __init__(self, connector: Connector, *, deaf: bool = False, mute: bool = False) -> None:
        self._connector = connector
        self._deaf, self._mute = deaf, mute
        self._threads: list[threading.Thread] = []

    def connect(self) -> socket.socket:
        """A driver's end of a new connection."""
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        thread = threading.Thread(target=self._serve, args=(far,))
        thread.start()
        self._threads.append(thread)
        return near

    def _serve(self, far: socket.socket) -> None:
        with far:
            while packet := far.recv(65536):
                if self._mute or (self._deaf and packet[36] == 4):
                    continue
                for answer in self._connector.answers(packet):
                    far.send(answer)

    def join(self) -> None:
        """Wait until every connection was closed."""
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
