"""Attaching and what it refuses, against a directory in the form of sysfs and a usbfs in memory."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_usbfs import FakeContext, FakeUsbfs
from sysfs_tree import SysfsTree, descriptors

from myclerk_drivers.base import Resource
from myclerk_drivers.usb import UsbDriver, driver
from myclerk_drivers.usb.device import AttachedDevice
from myclerk_drivers.usb.listing import Listing
from myclerk_drivers.usb.usage import Usage
from myclerk_protocol.status import (
    BadRequest,
    Conflict,
    DeviceGone,
    Forbidden,
    HardwareError,
    NotFound,
    OperationError,
    Unsupported,
)

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Bench:
    """A driver for the devices of a tree, which all have the same usbfs."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.tree = SysfsTree(root.resolve())
        self.usbfs = FakeUsbfs()
        self.opened: list[str] = []
        self.opening_error = 0
        monkeypatch.setattr(driver, "Usbfs", self._open)
        context = FakeContext(self.usbfs)
        context.settings = {"state": str(root / "state"), **settings}
        tree = str(self.tree.root)
        self.driver = UsbDriver(context, Listing(tree), lambda: Usage(tree))

    def _open(self, node: str) -> FakeUsbfs:
        self.opened.append(node)
        if self.opening_error:
            raise OSError(self.opening_error, "no")
        return self.usbfs

    def resource(self, name: str = "usb:1-1") -> Resource:
        found = self.driver.find(name)
        assert found is not None
        return found

    async def attach(self, name: str = "usb:1-1") -> AttachedDevice:
        """As the agent does it: on a worker thread."""
        return await asyncio.to_thread(self.driver.attach, self.resource(name))

    def records(self) -> list[str]:
        return [path.name for path in (self.tree.root / "state").glob("*")]


Make = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a bench, within a running event loop."""
    return lambda **settings: Bench(tmp_path, monkeypatch, **settings)


def test_a_device_is_attached_and_given_back(bench: Make, run: Run) -> None:
    async def main() -> None:
        on = bench()
        on.tree.interface(on.tree.device("1-1"), driver="cdc_acm")
        attached = await on.attach()
        assert on.opened == ["/dev/bus/usb/001/002"]
        assert on.usbfs.calls == [("claim", 0)]
        assert on.records() == ["1-1"]
        described = attached.describe()
        assert (described["name"], described["in_use"]) == ("usb:1-1", True)
        assert described["descriptors"] == descriptors(0x1234, 0x5678)
        assert on.resource().properties["in_use"]
        on.usbfs.calls.clear()
        await attached.detach()
        attached.close()
        assert on.usbfs.calls == [("release", 0), ("connect", 0), ("close",)]
        assert on.records() == []
        assert not on.resource().properties["in_use"]

    run(main())


def test_the_next_one_waits_until_it_was_given_back(bench: Make, run: Run) -> None:
    async def main() -> None:
        on = bench()
        on.tree.interface(on.tree.device("1-1"), driver="cdc_acm")
        first = await on.attach()
        with pytest.raises(Conflict, match="attached already"):
            await on.attach()
        on.usbfs.gate.clear()
        first.close()
        second = asyncio.ensure_future(on.attach())
        await asyncio.sleep(0.05)
        assert not second.done()
        on.usbfs.gate.set()
        again = await second
        assert [call[0] for call in on.usbfs.calls] == ["claim", "release", "connect", "close", "claim"]
        again.close()
        await asyncio.to_thread(on.driver.close)  # waits, too
        assert on.usbfs.calls[-1] == ("close",)

    run(main())


def test_what_cannot_be_claimed_is_left_as_it_was(bench: Make, run: Run) -> None:
    async def main() -> None:
        on = bench()
        on.tree.interface(on.tree.device("1-1"), driver="usbfs")
        on.usbfs.failures["claim"] = errno.EBUSY
        with pytest.raises(Conflict, match="another program on the board uses usb:1-1"):
            await on.attach()
        assert on.usbfs.calls[-1] == ("close",)
        assert on.records() == []
        assert not on.resource().properties["in_use"]

    run(main())


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [
        (errno.EACCES, HardwareError, "let a udev rule give it to the agent's user"),
        (errno.ENOENT, DeviceGone, "is it plugged in"),
        (errno.EMFILE, HardwareError, "cannot be opened"),
    ],
)
def test_a_node_that_cannot_be_opened(
    bench: Make, run: Run, number: int, kind: type[OperationError], message: str
) -> None:
    async def main() -> None:
        on = bench()
        on.tree.device("1-1")
        on.opening_error = number
        with pytest.raises(kind, match=message) as caught:
            await on.attach()
        assert caught.value.details["errno"] == errno.errorcode[number]
        with pytest.raises(kind):
            await on.driver.get_descriptor(on.resource(), type=3, index=1)

    run(main())


def test_a_hub_and_a_device_that_has_left(bench: Make, run: Run) -> None:
    async def main() -> None:
        on = bench()
        on.tree.device("1-1", kind=9)
        with pytest.raises(Unsupported, match="is a hub"):
            await on.attach()
        found = on.resource()
        on.tree.unplug("1-1")
        with pytest.raises(NotFound, match="unplugged"):
            on.driver.attach(found)
        assert on.driver.find("usb:1-1") is None

    run(main())


@pytest.mark.parametrize(
    ("allow", "allowed"),
    [
        ([], False),
        (["usb:1-1"], True),
        (["usb:1234:5678:*"], True),
        (["usb:1234:5678"], True),
        (["usb:1-11", "usb:4321:*"], False),
    ],
)
def test_what_the_board_lives_on_is_attached_by_name_only(
    bench: Make, run: Run, allow: list[str], allowed: bool
) -> None:
    async def main() -> None:
        on = bench(allow=allow)
        path = on.tree.device("1-1", serial="ROOT")
        on.tree.interface(path, driver="usb-storage")
        on.tree.write(f"{path}/block/sda/dev", "8:0\n")
        on.tree.link("sys/class/block/sda", f"{path}/block/sda")
        on.tree.write("proc/self/mountinfo", "22 1 8:0 / / rw - ext4 /dev/root rw\n")
        assert on.resource().properties["used_for"] == ["/ is mounted from sda"]
        if allowed:
            (await on.attach("usb:1234:5678:ROOT")).close()
        else:
            with pytest.raises(Forbidden, match='put "usb:1-1" into `allow`'):
                await on.attach()
            assert on.opened == []
        await asyncio.to_thread(on.driver.close)

    run(main())


@pytest.mark.parametrize("settings", [{"allow": ["1-1"]}, {"allow": [7]}, {"state": "relative"}], ids=str)
def test_settings_that_make_no_sense(bench: Make, run: Run, settings: Mapping[str, Any]) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="the usb driver's"):
            bench(**settings)

    run(main())


def test_descriptors_that_the_kernel_knows_cost_no_transfer(bench: Make, run: Run) -> None:
    async def main() -> None:
        on = bench()
        on.tree.device("1-1")
        raw = descriptors(0x1234, 0x5678)
        get = on.driver.get_descriptor
        assert await get(on.resource(), type=1) == {"data": raw[:18]}
        first, second = await get(on.resource(), type=2), await get(on.resource(), type=2, index=1)
        assert first["data"] + second["data"] == raw[18:]
        assert await get(on.resource(), type=2, length=4) == {"data": raw[18:22]}
        with pytest.raises(HardwareError, match="no such descriptor"):
            await get(on.resource(), type=2, index=2)
        assert on.opened == []

    run(main())


def test_standard_requests_that_the_kernel_must_know_of_go_by_way_of_it(bench: Make, run: Run) -> None:
    async def main() -> None:
        on = bench()
        on.tree.interface(on.tree.device("1-1"))
        attached = await on.attach()
        on.usbfs.calls.clear()

        async def control(request_type: int, request: int, value: int, index: int) -> Mapping[str, Any]:
            return await attached.control_transfer(request_type, request, value, index)

        assert await control(0x00, 9, 2, 0) == {"transferred": 0}
        assert await control(0x01, 11, 1, 0) == {"transferred": 0}
        assert await control(0x02, 1, 0, 0x81) == {"transferred": 0}
        assert on.usbfs.calls == [
            ("release", 0), ("set_configuration", 2), ("claim", 0), ("set_interface", 0, 1), ("clear_halt", 0x81),
        ]  # fmt: skip
        on.usbfs.failures["set_interface"] = errno.EINVAL
        assert await control(0x01, 11, 9, 0) == {"transferred": 0, "errno": "EPIPE"}
        with pytest.raises(BadRequest, match="SET_ADDRESS"):
            await control(0x00, 5, 7, 0)
        assert on.usbfs.pending == []
        for request in ((0x21, 11, 1, 0), (0x40, 9, 1, 0), (0x02, 3, 0, 0x81), (0x02, 1, 1, 0x81)):
            transfer = asyncio.ensure_future(control(*request))  # of a class, of a vendor, another feature
            await asyncio.sleep(0)
            on.usbfs.answer()
            await transfer
        attached.close()
        await asyncio.to_thread(on.driver.close)

    run(main())


def test_a_name_that_several_devices_have_says_so(bench: Make, run: Run) -> None:
    async def main() -> None:
        on = bench()
        on.tree.device("1-7", product_id=9, serial="A")
        assert on.driver.find("usb:1234:0009") == on.resource("usb:1-7") == on.resource("usb:1234:0009:A")
        on.tree.device("1-8", product_id=9, serial="B")
        with pytest.raises(BadRequest, match="several devices are usb:1234:0009: name one by its place"):
            on.driver.find("usb:1234:0009")
        assert on.resource("usb:1234:0009:B").name == "usb:1-8"
        assert on.driver.find("usb:1234:000a") is None

    run(main())
