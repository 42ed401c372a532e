"""Captures: tshark reads what was sent and what came."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from usb_fakes import FakeDevice

from myclerk_client.usb.capture import Capture
from myclerk_client.usb.transfers import IsochronousResult, UrbResult
from myclerk_client.usb.usbip.urbs import Packet, Submit

SETUP = bytes([0x80, 6, 0, 1, 0, 0, 18, 0])


def urb(
    number: int, address: int, length: int = 0, data: bytes = b"", *, setup: bytes = bytes(8), **fields: Any
) -> Submit:
    return Submit(number, address, 0, length or len(data), 0, 4, setup, data, **fields)


def captured(path: Path) -> None:
    """A control transfer, bulk both ways with a stall, an interrupt that is cancelled, isochronous packets."""

    async def main() -> None:
        device = FakeDevice(settings={1: 1})
        with path.open("wb") as file:
            capture = Capture(file)
            monitor = capture.device(device)  # type: ignore[arg-type]
            descriptor = device.descriptors[:18]
            for sent, result in (
                (urb(1, 0x80, 18, setup=SETUP), UrbResult(descriptor, 18)),
                (urb(2, 0x02, data=b"to the device"), UrbResult(transferred=13)),
                (urb(3, 0x81, 64), UrbResult(b"from it", 7, "EPIPE")),
                (urb(4, 0x83, 8), UrbResult(errno="ECONNRESET")),
                (
                    urb(5, 0x85, 30, packets=(Packet(0, 10), Packet(10, 10), Packet(20, 10))),
                    IsochronousResult(b"abcde", 5, None, [2, 0, 3], {1: "EPROTO"}, 77),
                ),
            ):
                monitor.submitted(sent)
                monitor.completed(sent, result)
            capture.flush()

    asyncio.run(main())


def dissected(path: Path) -> list[dict[str, Any]]:
    """What tshark says of each packet."""
    if shutil.which("tshark") is None:
        pytest.skip("reading captures needs: sudo apt install tshark")
    done = subprocess.run(
        ["tshark", "-r", str(path), "-T", "json", "-x"], capture_output=True, text=True, check=True
    )
    assert "malformed" not in done.stdout.lower()
    return [packet["_source"]["layers"] for packet in json.loads(done.stdout)]


def test_tshark_reads_a_capture(tmp_path: Path) -> None:
    captured(tmp_path / "urbs.pcapng")
    packets = dissected(tmp_path / "urbs.pcapng")
    usb = [packet["usb"] for packet in packets]
    assert [layer["usb.urb_type"] for layer in usb] == ["'S'", "'C'"] * 5
    kinds = ["0x02", "0x03", "0x03", "0x01", "0x00"]
    assert [layer["usb.transfer_type"] for layer in usb] == [kind for kind in kinds for _ in range(2)]
    assert [layer["usb.endpoint_address"] for layer in usb[::2]] == ["0x80", "0x02", "0x81", "0x83", "0x85"]
    assert [layer["usb.urb_status"] for layer in usb[1::2]] == ["0", "0", "-32", "-104", "0"]
    assert [layer["usb.bus_id"] for layer in usb] == ["1"] * 10
    assert packets[1]["DEVICE DESCRIPTOR"]["usb.idVendor"] == "0x1234"
    raw = packets[2]["usb.capdata_raw"][0] if "usb.capdata_raw" in packets[2] else json.dumps(packets[2])
    assert b"to the device".hex() in raw.replace(":", "")
    assert usb[9]["usb.iso.numdesc"] == "3"
    assert usb[9]["usb.iso.error_count"] == "1"
    assert [packet["frame"]["frame.time_delta"][0] for packet in packets] == ["0"] * 10


def test_long_data_is_cut_off_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "long.pcapng"

    async def main() -> None:
        device = FakeDevice()
        with path.open("wb") as file:
            capture = Capture(file)
            monitor = capture.device(device)  # type: ignore[arg-type]
            sent = urb(1, 0x81, 1 << 20)
            monitor.submitted(sent)
            monitor.completed(sent, UrbResult(bytes(1 << 20), 1 << 20))
            capture.flush()

    asyncio.run(main())
    assert path.stat().st_size < 300_000
    packets = dissected(path)
    assert packets[1]["usb"]["usb.urb_len"] == str(1 << 20)


def test_blocks_are_whole_and_aligned() -> None:
    file = io.BytesIO()

    async def main() -> None:
        capture = Capture(file)
        for size in range(5):
            capture.event(bytes(64 + size), 1_700_000_000 * 10**9 + 5)
        await asyncio.sleep(0.3)  # written by itself

    asyncio.run(main())
    data = file.getvalue()
    kinds, position = [], 0
    while position < len(data):
        kind, size = struct.unpack_from("<II", data, position)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, position + size - 4)[0] == size
        if kind == 6:
            high, low = struct.unpack_from("<II", data, position + 12)
            assert high << 32 | low == 1_700_000_000 * 10**9 + 5
        kinds.append(kind)
        position += size
    assert kinds == [0x0A0D0D0A, 1, 6, 6, 6, 6, 6]
