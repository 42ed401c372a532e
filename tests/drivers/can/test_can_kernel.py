"""The driver on this machine's own kernel, whether it knows CAN or not: rtnetlink is there in any case."""

from __future__ import annotations

import asyncio
import errno

import pytest
from loop_context import LoopContext

from myclerk_drivers.can.backend import Configuration, Reception
from myclerk_drivers.can.driver import CanDriver
from myclerk_drivers.can.kernel import KernelCan

NOBODY = "nocan9"


def test_what_the_kernel_lists_is_what_sys_shows() -> None:
    kernel = KernelCan()
    assert {state.name for state in kernel.interfaces()} == {device.name for device in kernel.devices()}
    assert "lo" not in {device.name for device in kernel.devices()}


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
    kernel = KernelCan()
    for attempt in (
        lambda: kernel.set_up(NOBODY, True),
        lambda: kernel.set_mtu(NOBODY, 72),
        lambda: kernel.restart(NOBODY),
        lambda: kernel.configure(NOBODY, Configuration(), Configuration()),
    ):
        with pytest.raises(OSError, match=r".") as refused:
            attempt()
        assert refused.value.errno in (errno.ENODEV, errno.EPERM, errno.EOPNOTSUPP)


def test_a_socket_that_cannot_be_had_leaves_nothing() -> None:
    with pytest.raises(OSError, match=r".") as refused:
        KernelCan().open(NOBODY, Reception(), 1 << 20)
    assert refused.value.errno in (errno.EAFNOSUPPORT, errno.ENODEV)
