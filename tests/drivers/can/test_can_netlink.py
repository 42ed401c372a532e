"""rtnetlink messages, against bytes put together by the kernel's headers here and answers of a kernel."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_drivers.can import netlink
from myclerk_drivers.can.backend import MODES, BitTiming, Configuration

FD, LISTEN = MODES["fd"], MODES["listen_only"]
TIMING = BitTiming(500_000, 875, 12, 69, 70, 20, 10, 1)


def attribute(kind: int, value: bytes) -> bytes:
    padded = value + bytes(-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + padded


def request(kind: int, flags: int, body: bytes, up: int = 0, change: int = 0) -> bytes:
    link = struct.pack("=BBHiII", 0, 0, 0, 0, up, change) + body
    return struct.pack("=IHHII", 16 + len(link), kind, flags, 1, 0) + link


def can_data(message: bytes) -> dict[int, bytes]:
    (parsed,) = netlink.messages(message)
    link = netlink.attributes(parsed.body[16:])
    return netlink.attributes(netlink.attributes(link[18])[2])


def link_message(
    name: str, *, kind: str = "can", can: bytes | None = None, flags: int = 0x10041, hardware: int = 280
) -> bytes:
    info = attribute(1, kind.encode() + b"\0")
    if can is not None:
        info += attribute(2 | 0x8000, can) + attribute(3, struct.pack("=6I", 1, 2, 3, 4, 5, 6))
    return (
        struct.pack("=BxHiII", 0, hardware, 3, flags, 0)
        + attribute(3, name.encode() + b"\0")
        + attribute(4, struct.pack("=I", 72))
        + attribute(13, struct.pack("=I", 10))
        + attribute(23, struct.pack("=25Q", *range(25)))
        + attribute(18, info)
    )


def timing(*numbers: int) -> bytes:
    return struct.pack("=8I", *numbers)


def test_up_and_down_change_one_flag() -> None:
    name = attribute(3, b"can0\0")
    assert netlink.set_up("can0", True) == request(16, 5, name, 1, 1)
    assert netlink.set_up("can0", False) == request(16, 5, name, 0, 1)


def test_links_are_asked_for_all_at_once_or_by_name() -> None:
    assert netlink.get_links() == request(18, 0x301, b"")
    assert netlink.get_link("vcan0") == request(18, 1, attribute(3, b"vcan0\0"))


def test_a_bit_rate_is_asked_for_without_time_quanta() -> None:
    wanted = Configuration(BitTiming(500_000, 875), None, 0, 100)
    data = can_data(netlink.configure("can0", Configuration(), wanted))
    assert data == {
        1: timing(500_000, 875, 0, 0, 0, 0, 0, 0),
        5: struct.pack("=II", 0, 0),
        6: struct.pack("=I", 100),
    }


def test_timing_in_force_is_asked_for_by_its_time_quanta() -> None:
    """The kernel refuses both; the bit rate would be calculated anew."""
    data = can_data(netlink.configure("can0", Configuration(), Configuration(TIMING)))
    assert data[1] == timing(0, 875, 12, 69, 70, 20, 10, 1)


def test_can_fd_brings_both_timings_and_its_mode_in_one_message() -> None:
    wanted = Configuration(BitTiming(500_000), BitTiming(2_000_000), FD | LISTEN)
    data = can_data(netlink.configure("can0", Configuration(modes=MODES["loopback"]), wanted))
    assert data[5] == struct.pack("=II", FD | LISTEN | MODES["loopback"], FD | LISTEN)
    assert data[9] == timing(2_000_000, 0, 0, 0, 0, 0, 0, 0)


def test_without_can_fd_there_is_no_data_timing() -> None:
    wanted = Configuration(BitTiming(500_000), BitTiming(2_000_000), 0)
    assert 9 not in can_data(netlink.configure("can0", Configuration(modes=FD), wanted))


def test_an_interface_with_a_controller_is_read() -> None:
    can = (
        attribute(1, timing(500_000, 875, 12, 69, 70, 20, 10, 1))
        + attribute(3, struct.pack("=I", 80_000_000))
        + attribute(4, struct.pack("=I", 2))
        + attribute(5, struct.pack("=II", 0, FD | LISTEN | 0x200))
        + attribute(6, struct.pack("=I", 100))
        + attribute(8, struct.pack("=HH", 130, 7))
        + attribute(9, timing(2_000_000, 800, 12, 1, 2, 3, 4, 5))
        + attribute(17 | 0x8000, attribute(1, struct.pack("=I", 0x3F)))
    )
    state = netlink.parse_link(link_message("can0", can=can))
    assert state is not None
    assert (state.name, state.kind, state.up, state.mtu, state.tx_queue_length) == (
        "can0",
        "can",
        True,
        72,
        10,
    )
    assert (state.state, state.clock, state.tx_errors, state.rx_errors) == (
        "error-passive",
        80_000_000,
        130,
        7,
    )
    assert state.configuration == Configuration(
        TIMING, BitTiming(2_000_000, 800, 12, 1, 2, 3, 4, 5), FD | LISTEN, 100
    ), "transmitter delay compensation is the kernel's business"
    assert state.supported_modes == 0x3F
    assert state.statistics["tx_packets"] == 1
    assert state.statistics["bus_errors"] == 1
    assert state.statistics["restarts"] == 6


def test_a_virtual_interface_has_no_controller() -> None:
    state = netlink.parse_link(link_message("vcan0", kind="vcan"))
    assert state is not None
    assert not state.has_controller
    assert (state.state, state.tx_errors, state.configuration.timing) == (None, None, None)
    assert state.configuration.has("fd"), "by its MTU"
    assert "bus_errors" not in state.statistics


def test_other_links_are_left_alone() -> None:
    assert netlink.parse_link(link_message("eth0", kind="", hardware=1)) is None


def test_an_interface_that_was_never_configured_has_no_bit_rate() -> None:
    state = netlink.parse_link(link_message("can0", can=attribute(4, struct.pack("=I", 4)), flags=0))
    assert state is not None
    assert (state.up, state.state, state.configuration) == (False, "stopped", Configuration())
    assert state.tx_errors is None
    assert state.supported_modes is None


@pytest.mark.parametrize(
    ("number", "text", "said"),
    [
        (errno.EOPNOTSUPP, "Data bitrate needs CAN FD", "Data bitrate needs CAN FD"),
        (errno.EBUSY, None, "Device or resource busy"),
    ],
)
def test_a_refusal_says_what_the_kernel_says(number: int, text: str | None, said: str) -> None:
    body = struct.pack("=i", -number) + bytes(16)
    if text:
        body += attribute(1, text.encode() + b"\0")
    packed = struct.pack("=IHHII", 16 + len(body), 2, 0x200 if text else 0, 1, 0) + body
    (message,) = netlink.messages(packed + bytes(-len(packed) % 4))
    with pytest.raises(OSError, match=said) as refused:
        netlink.check(message)
    assert refused.value.errno == number


def test_an_acknowledgement_is_no_refusal() -> None:
    netlink.check(netlink.Message(2, 0, bytes(20)))


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=5))
def test_attributes_come_back(wanted: dict[int, bytes]) -> None:
    assert netlink.attributes(b"".join(netlink.attribute(k, v) for k, v in wanted.items())) == wanted


@given(st.binary(max_size=200))
def test_bytes_that_are_no_messages_raise_nothing_but_value_error(data: bytes) -> None:
    try:
        for message in netlink.messages(data):
            netlink.attributes(message.body)
    except ValueError:
        pass
