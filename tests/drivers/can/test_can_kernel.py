"""The driver on this machine's own kernel, whether it knows CAN or not: rtnetlink is there in any case."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest
from loop_context import LoopContext

from myclerk_drivers.can import kernel
from myclerk_drivers.can.backend import Configuration, Reception
from myclerk_drivers.can.driver import CanDriver
from myclerk_drivers.can.kernel import KernelCan

NOBODY = "nocan9"


def test_what_the_kernel_lists_is_what_sys_shows() -> None:
    found = KernelCan()
    assert {state.name for state in found.interfaces()} == {device.name for device in found.devices()}
    assert "lo" not in {device.name for device in found.devices()}


def test_interfaces_that_no_terminal_could_show_are_not_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel lets an administrator choose any bytes."""
    for name in (b"can0", b"c\xc3\xa4n", b"can\xff", b"can\x1b[2J"):
        (tmp_path / os.fsdecode(name)).mkdir()
        (tmp_path / os.fsdecode(name) / "type").write_text("280\n")
    monkeypatch.setattr(kernel, "NETWORK", str(tmp_path))

    async def story() -> None:
        driver = CanDriver(LoopContext())
        assert [resource.name for resource in driver.resources()] == ["can:can0", "can:c%C3%A4n"]

    asyncio.run(story())


def test_an_agent_without_any_interface_says_so() -> None:
    async def story() -> None:
        driver = CanDriver(LoopContext())
        assert driver.find(f"can:{NOBODY}") is None
        names = {interface["interface"] for interface in driver.list_interfaces()["interfaces"]}
        assert names == {device.name for device in KernelCan().devices()}
        driver.close()

    asyncio.run(story())


@pytest.mark.parametrize("name", [NOBODY, "lo"])
def test_what_is_no_can_interface_is_no_device(name: str) -> None:
    with pytest.raises(OSError, match=r".") as refused:
        KernelCan().interface(name)
    assert refused.value.errno == errno.ENODEV


def test_a_refusal_of_the_kernel_is_an_error_with_its_number() -> None:
    """Without rights it is refused for that, with them because there is no such interface."""
    can = KernelCan()
    for attempt in (
        lambda: can.set_up(NOBODY, True),
        lambda: can.set_mtu(NOBODY, 72),
        lambda: can.restart(NOBODY),
        lambda: can.configure(NOBODY, Configuration(), Configuration()),
    ):
        with pytest.raises(OSError, match=r".") as refused:
            attempt()
        assert refused.value.errno in (errno.ENODEV, errno.EPERM, errno.EOPNOTSUPP)


def test_a_socket_that_cannot_be_had_leaves_nothing() -> None:
    with pytest.raises(OSError, match=r".") as refused:
        KernelCan().open(NOBODY, Reception(), 1 << 20)
    assert refused.value.errno in (errno.EAFNOSUPPORT, errno.ENODEV)
