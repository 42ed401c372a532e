"""Plugging devices in, keeping them plugged in, and the notes about who has what."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from usb_fakes import FakeDevice
from usbip_host import Host

from myclerk_client.errors import ConnectionLost, SessionLost
from myclerk_client.usb import auto, plugged
from myclerk_client.usb.attachment import Attachment, plugged_in
from myclerk_client.usb.auto import Keeper
from myclerk_client.usb.bridge import Tricks
from myclerk_client.usb.plugged import Note, noted, notes
from myclerk_protocol.status import BadRequest, Conflict, DeviceGone, Forbidden, LocalError, NotFound


class Controller:
    """Stands in for vhci_hcd: keeps the socket, and lets go of it when told to."""

    def __init__(self) -> None:
        self.sockets: dict[int, socket.socket] = {}
        self.attached: list[tuple[int, int]] = []
        self.refuses: Exception | None = None

    def prepare(self) -> None:
        pass

    def attach(self, connection: socket.socket, speed: int, identifier: int) -> int:
        if self.refuses is not None:
            raise self.refuses
        self.attached.append((speed, identifier))
        self.sockets[7] = connection.dup()
        return 7

    def detach(self, port: int) -> None:
        if port not in self.sockets:
            raise NotFound("nothing there")
        self.sockets.pop(port).close()

    async def host(self) -> Host:
        return Host(*await asyncio.open_connection(sock=self.sockets.pop(7)))


Story = Callable[[Controller, FakeDevice, Attachment], Awaitable[None]]


def plugged_story(story: Story, controller: Controller | None = None) -> FakeDevice:
    """Run a test with a device plugged in; the device."""

    async def main() -> None:
        made = controller or Controller()
        async with plugged_in(device, Tricks(), None, made) as attachment:  # type: ignore[arg-type]
            await story(made, device, attachment)
        assert not made.sockets

    device = FakeDevice()
    asyncio.run(main())
    assert device.detached
    return device


def test_a_device_is_plugged_in_and_given_back() -> None:
    async def story(controller: Controller, device: FakeDevice, attachment: Attachment) -> None:
        assert attachment.port == 7
        assert controller.attached == [(3, 0x10002)]
        host = await controller.host()
        host.request(0x00, 5, 1)
        assert (await host.answer()).status == 0
        host.close()
        assert await attachment.ended() is None

    plugged_story(story)


def test_the_kernel_lets_go_first() -> None:
    async def story(controller: Controller, device: FakeDevice, attachment: Attachment) -> None:
        assert not attachment.bridge.ended.done()

    plugged_story(story)


def test_a_device_that_left() -> None:
    async def story(controller: Controller, device: FakeDevice, attachment: Attachment) -> None:
        attachment.bridge.lost(DeviceGone("it was unplugged"))
        assert isinstance(await attachment.ended(), DeviceGone)
        host = await controller.host()
        assert await host.hung_up()
        host.close()

    plugged_story(story)


def test_a_device_that_cannot_be_plugged_in_is_given_back() -> None:
    controller = Controller()
    controller.refuses = LocalError("no root")
    device = FakeDevice()

    async def main() -> None:
        async with plugged_in(device, Tricks(), None, controller):  # type: ignore[arg-type]
            pass

    with pytest.raises(LocalError, match="no root"):
        asyncio.run(main())
    assert device.detached


# -- keeping it --------------------------------------------------------------------------------------------


class Board:
    """A board whose device comes and goes as ``script`` says; ``usb`` is its own face."""

    def __init__(self, script: list[Any]) -> None:
        self.usb = self
        self.link = self
        self.closed = False
        self.script = script

    async def __aenter__(self) -> Board:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.closed = True

    async def device(self, resource: str) -> dict[str, Any]:
        return self._next("device", resource)

    async def wait_for(self, resource: str) -> dict[str, Any]:
        return self._next("wait_for", resource)

    async def attach(self, name: str) -> Any:
        return self._next("attach", name)

    def _next(self, what: str, argument: str) -> Any:
        expected, result = self.script.pop(0)
        assert (what, argument) == (expected, "usb:0403:6001" if what != "attach" else "usb:1-1")
        if isinstance(result, Exception):
            raise result
        return result


FOUND = {"name": "usb:1-1"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "FIRST_RETRY", 0.001)
    monkeypatch.setattr(auto, "LAST_RETRY", 0.002)


def kept(boards: list[Any], uses: list[Any]) -> list[str]:
    """Run a keeper; what it said. ``uses`` is how each use of the device ends."""

    async def connect() -> Any:
        found = boards.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def use(board: Any, device: Any) -> Any:
        assert device == "device"
        ended = uses.pop(0)
        if isinstance(ended, ConnectionLost) and not isinstance(ended, SessionLost):
            board.closed = True
        return ended

    async def main() -> None:
        keeper = Keeper(connect, "0403:6001", use, said.append)
        await asyncio.wait_for(keeper.run(await connect()), 10)

    said: list[str] = []
    asyncio.run(main())
    assert not uses
    assert not boards
    return said


@pytest.mark.usefixtures("quick")
def test_a_device_is_attached_whenever_it_is_there() -> None:
    board = Board(
        [
            ("device", NotFound("not there")),
            ("wait_for", FOUND),
            ("attach", "device"),
            ("device", FOUND),
            ("attach", Conflict("the last session still has it")),
            ("device", FOUND),
            ("attach", "device"),
            ("device", FOUND),
            ("attach", "device"),
        ]
    )
    said = kept([board], [DeviceGone("it was unplugged"), SessionLost("the agent restarted"), None])
    assert said == ["waiting for usb:0403:6001", "it was unplugged", "the agent restarted"]
    assert board.script == []


@pytest.mark.usefixtures("quick")
def test_a_board_that_is_lost_is_awaited() -> None:
    first = Board([("device", FOUND), ("attach", "device")])
    second = Board([("device", FOUND), ("attach", ConnectionLost("gone again"))])
    third = Board([("device", FOUND), ("attach", "device")])
    away = ConnectionLost("the board cannot be reached")
    said = kept([first, away, second, third], [ConnectionLost("the connection was lost"), None])
    assert said == ["the connection was lost; connecting again", "gone again; connecting again"]
    assert first.closed
    assert second.closed
    assert third.closed


@pytest.mark.usefixtures("quick")
def test_an_id_that_several_devices_have_for_a_while_ends_nothing_and_is_said_once() -> None:
    several = BadRequest("several devices are usb:0403:6001")
    board = Board(
        [
            ("device", FOUND),
            ("attach", "device"),
            ("device", several),
            ("device", FOUND),
            ("attach", several),
            ("device", FOUND),
            ("attach", "device"),
        ]
    )
    said = kept([board], [DeviceGone("it was unplugged"), None])
    assert said == ["it was unplugged", "several devices are usb:0403:6001"]
    assert board.script == []


@pytest.mark.usefixtures("quick")
def test_what_another_attempt_cannot_overcome_ends_it() -> None:
    with pytest.raises(Forbidden):
        kept([Board([("device", FOUND), ("attach", Forbidden("the board lives on it"))])], [])


# -- notes -------------------------------------------------------------------------------------------------


def test_notes_are_there_as_long_as_the_device_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(plugged.os, "geteuid", lambda: 1000)
    mine = Note(3, "bench", "usb:1-1", "A disk", os.getpid())
    with noted(mine):
        assert notes() == {3: mine}
        (tmp_path / "myclerk-usb" / "04.json").write_text('{"port": 4}')
        (tmp_path / "myclerk-usb" / "05.json").write_text("damaged")
        assert notes() == {3: mine}
    assert notes() == {}
    with noted(Note(6, "bench", "usb:1-1", "A disk", 2**22 + 1)):
        assert notes() == {}


def test_a_note_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "myclerk-usb").write_text("a file")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(plugged.os, "geteuid", lambda: 1000)
    with noted(Note(3, "bench", "usb:1-1", "A disk", os.getpid())):
        pass
