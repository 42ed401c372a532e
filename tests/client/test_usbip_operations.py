"""USB/IP before a device is attached: requests, the list, the import."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usb_fakes import FakeDevice

from myclerk_client.usb.usbip.operations import (
    BUSY,
    REQ_DEVLIST,
    REQ_IMPORT,
    Exported,
    device_list,
    imported,
    parse_bus_id,
    parse_request,
    refused,
    speed_number,
)
from myclerk_protocol.status import MalformedMessage


def test_requests() -> None:
    assert parse_request(bytes.fromhex("0111 8005 00000000")) == REQ_DEVLIST
    assert parse_request(bytes.fromhex("0111 8003 00000000")) == REQ_IMPORT
    for other in ("0106 8005 00000000", "0111 0005 00000000", "0111 8004 00000000"):
        with pytest.raises(MalformedMessage):
            parse_request(bytes.fromhex(other))


def test_a_bus_id_is_what_is_in_front_of_the_first_zero() -> None:
    assert parse_bus_id(b"1-1.4".ljust(32, b"\0")) == "1-1.4"
    for wrong in (bytes(32), b"x" * 32, b"\xff1-1".ljust(32, b"\0")):
        with pytest.raises(MalformedMessage):
            parse_bus_id(wrong)


@given(st.binary(min_size=32, max_size=32))
def test_any_bus_id_is_a_name_or_refused(field: bytes) -> None:
    try:
        assert parse_bus_id(field).encode() == field.partition(b"\0")[0]
    except MalformedMessage:
        pass


def test_the_list_has_each_device_with_its_interfaces() -> None:
    info = {**FakeDevice().info, "port": "3-1.2", "bus": 3, "device": 5, "configuration": 1}
    info["interfaces"] = [
        {"class": 2, "subclass": 2, "protocol": 1},
        {"class": 10, "subclass": 0, "protocol": 0},
    ]
    device = Exported.of(info)
    listed = device_list([device, device])
    assert len(listed) == 12 + 2 * (312 + 2 * 4)
    assert struct.unpack_from(">HHII", listed) == (0x0111, 0x0005, 0, 2)
    assert listed[12 + 256 : 12 + 288].rstrip(b"\0") == b"3-1.2"
    numbers = struct.unpack_from(">3I3H6B", listed, 12 + 288)
    assert numbers == (3, 5, 3, 0x1234, 0x5678, 0x100, 0, 0, 0, 1, 2, 2)
    assert listed[12 + 312 : 12 + 320] == bytes([2, 2, 1, 0, 10, 0, 0, 0])
    assert device_list([]) == bytes.fromhex("0111 0005 00000000 00000000")
    assert imported(device) == bytes.fromhex("0111 0003 00000000") + listed[12 : 12 + 312]
    assert device.identifier == 0x30005


def test_a_device_without_a_configuration_is_exported_too() -> None:
    info = {**FakeDevice().info, "interfaces": []}
    del info["configuration"]
    assert Exported.of(info).configuration == 0


def test_a_refusal_has_its_status() -> None:
    assert refused(BUSY) == bytes.fromhex("0111 0003 00000002")


def test_speeds_are_the_kernels() -> None:
    speeds = (1_500_000, 12_000_000, 480_000_000, 5_000_000_000, 10_000_000_000, 20_000_000_000)
    assert [speed_number(speed) for speed in speeds] == [1, 2, 3, 5, 5, 5]
