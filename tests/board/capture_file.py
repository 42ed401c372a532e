"""Reading capture files back, from the specifications, and by tshark."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Urb:
    """An event: ``kind`` "S" or "C", ``transfer`` 0 isochronous, 1 interrupt, 2 control, 3 bulk.

    ``packets`` are (status, length).
    """

    kind: str
    transfer: int
    endpoint: int
    status: int
    length: int
    packets: tuple[tuple[int, int], ...]


def urbs(data: bytes) -> Iterator[Urb]:
    """The events of a pcapng file with LINKTYPE_USB_LINUX_MMAPPED."""
    position = 0
    while position < len(data):
        kind, size = struct.unpack_from("<II", data, position)
        if kind == 6:
            yield _event(data[position + 28 : position + size - 4])
        position += size


def _event(packet: bytes) -> Urb:
    _, event, transfer, endpoint, *_ = struct.unpack_from("<QBBBB", packet)
    status, length = struct.unpack_from("<iI", packet, 28)
    (count,) = struct.unpack_from("<I", packet, 60)
    packets = []
    for number in range(count):
        packet_status, _, packet_length = struct.unpack_from("<iII", packet, 64 + 16 * number)
        packets.append((packet_status, packet_length))
    return Urb(chr(event), transfer, endpoint, status, length, tuple(packets))


def dissected(path: Path) -> list[str]:
    """A line for each packet that tshark finds in a file."""
    if shutil.which("tshark") is None:
        pytest.skip("reading captures needs: sudo apt install tshark")
    done = subprocess.run(["tshark", "-r", str(path)], capture_output=True, text=True, check=True)
    assert "Malformed" not in done.stdout
    return done.stdout.splitlines()
