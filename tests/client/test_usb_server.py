"""`myclerk usb serve`: what a USB/IP client gets, and who gets nothing."""

from __future__ import annotations

import asyncio
import io
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from usb_fakes import FakeDevice
from usbip_host import Host

from myclerk_client.errors import ConnectionLost
from myclerk_client.usb import server as module
from myclerk_client.usb.bridge import Tricks
from myclerk_client.usb.capture import Capture
from myclerk_client.usb.server import UsbIpServer
from myclerk_protocol.status import Conflict, DeviceGone, Forbidden, MyClerkError, NotFound, Unsupported

REQ_DEVLIST = bytes.fromhex("0111800500000000")
REQ_IMPORT = bytes.fromhex("0111800300000000")


class Devices:
    """`board.usb` of a board with two devices."""

    def __init__(self) -> None:
        info = {**FakeDevice().info, "serial": "SN"}
        other = {"name": "usb:2-1", "port": "2-1", "bus": 2, "product_id": 9}
        self.listed: list[dict[str, Any]] = [info, {**info, **other}]
        self.attached: list[FakeDevice] = []
        self.fails: MyClerkError | None = None

    async def list(self) -> list[dict[str, Any]]:
        if self.fails is not None:
            raise self.fails
        return self.listed

    async def attach(self, port: str) -> FakeDevice:
        if self.fails is not None:
            raise self.fails
        device = FakeDevice()
        device.info = self.listed[0]
        self.attached.append(device)
        return device


Story = Callable[[Devices, UsbIpServer, int], Awaitable[None]]


def served(story: Story, **options: Any) -> list[str]:
    """Run a test with a server; what the server said."""

    async def main() -> None:
        devices = Devices()
        server = UsbIpServer(devices, say=said.append, tricks=Tricks.parse(["off"]), **options)  # type: ignore[arg-type]
        [(host, port)] = await server.listen(port=0)
        assert host == "127.0.0.1"
        try:
            await asyncio.wait_for(story(devices, server, port), 20)
        finally:
            await server.close()
        assert all(device.detached for device in devices.attached)

    said: list[str] = []
    asyncio.run(main())
    return said


async def ask(port: int, request: bytes) -> bytes:
    """Send something; everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def imported(port: int, bus_id: str = "1-1") -> tuple[Host, bytes]:
    """A host that has imported a device, and what it was told of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQ_IMPORT + bus_id.encode().ljust(32, b"\0"))
    told = await asyncio.wait_for(reader.readexactly(8 + 312), 10)
    return Host(reader, writer), told


def listed(reply: bytes) -> list[str]:
    """The bus IDs of a list."""
    count = struct.unpack_from(">I", reply, 8)[0]
    found, position = [], 12
    for _ in range(count):
        found.append(reply[position + 256 : position + 288].rstrip(b"\0").decode())
        position += 312 + 4 * reply[position + 311]
    assert position == len(reply)
    return found


def test_the_list_and_an_import() -> None:
    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        assert listed(await ask(port, REQ_DEVLIST)) == ["1-1", "2-1"]
        host, told = await imported(port)
        assert told[:8] == bytes.fromhex("0111000300000000")
        assert told[8 + 256 : 8 + 259] == b"1-1"
        reading = host.submit(0x81, length=64)
        (device,) = devices.attached
        while not device.transfers:
            await asyncio.sleep(0)
        device.transfers[0].finish(b"data")
        answer = await host.answer()
        assert (answer.seqnum, answer.data) == (reading, b"data")
        host.close()
        while not device.detached:
            await asyncio.sleep(0)

    said = served(story)
    assert "usb:1-1 is attached at 127.0.0.1" in said[0]
    assert "is detached by 127.0.0.1" in said[1]


def test_urbs_right_behind_the_import_are_not_lost() -> None:
    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        host = Host(reader, writer)
        writer.write(REQ_IMPORT + b"1-1".ljust(32, b"\0"))
        host.submit(0x02, data=bytes(100_000))
        while not devices.attached or not devices.attached[0].transfers:
            await asyncio.sleep(0)
        assert len(devices.attached[0].transfers[0].data) == 100_000
        writer.close()

    served(story)


@pytest.mark.parametrize("rule", ["usb:2-1", "2-1", "1234:0009", "1234:0009:SN"])
def test_only_what_is_asked_for_is_served(rule: str) -> None:
    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        assert listed(await ask(port, REQ_DEVLIST)) == ["2-1"]
        assert await ask(port, REQ_IMPORT + b"1-1".ljust(32, b"\0")) == bytes.fromhex("0111000300000004")
        assert devices.attached == []

    served(story, resources=[rule])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Conflict("no"), 2),
        (Forbidden("no"), 1),
        (NotFound("no"), 4),
        (DeviceGone("no"), 4),
        (Unsupported("no"), 3),
    ],
)
def test_a_refusal_says_why(error: MyClerkError, status: int) -> None:
    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        devices.fails = error
        assert await ask(port, REQ_IMPORT + b"1-1".ljust(32, b"\0")) == bytes.fromhex(f"01110003{status:08x}")

    assert served(story) == ["1-1 is refused: no"]


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", REQ_IMPORT + b"x" * 32, b"", REQ_DEVLIST[:4], bytes(8), REQ_IMPORT]
)
def test_who_does_not_speak_the_protocol_is_hung_up_on(noise: bytes) -> None:
    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(noise)
        writer.write_eof()
        try:
            assert await asyncio.wait_for(reader.read(), 10) == b""
        except ConnectionResetError:
            pass
        writer.close()
        assert listed(await ask(port, REQ_DEVLIST)) == ["1-1", "2-1"]

    served(story)


def test_who_says_nothing_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)

    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        assert await ask(port, b"") == b""

    served(story)


def test_not_everybody_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 1)

    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        host, _ = await imported(port)
        assert await ask(port, REQ_DEVLIST) == b""
        host.close()

    served(story)


def test_the_end_hangs_up_and_gives_back() -> None:
    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        host, _ = await imported(port)
        await server.close()
        assert await host.hung_up()
        host.close()
        assert devices.attached[0].detached

    served(story)


def test_a_board_that_is_lost_and_its_next_session() -> None:
    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        devices.fails = ConnectionLost("the board is away")
        assert await ask(port, REQ_DEVLIST) == b""
        server.devices = Devices()  # type: ignore[assignment]
        assert listed(await ask(port, REQ_DEVLIST)) == ["1-1", "2-1"]

    served(story)


def test_a_capture_sees_it() -> None:
    file = io.BytesIO()

    async def story(devices: Devices, server: UsbIpServer, port: int) -> None:
        server._capture = Capture(file)
        before = len(file.getvalue())
        host, _ = await imported(port)
        host.request(0x00, 5, 1)
        await host.answer()
        assert len(file.getvalue()) >= before + 2 * 64
        host.close()

    served(story)
