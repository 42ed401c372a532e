"""USB descriptors as devices send them (USB 2.0, sections 9.6.1 to 9.6.7), and whatever bytes there may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myclerk_protocol.usb_descriptors import Device, Endpoint, parse, parse_configurations, split, string_text

DEVICE = bytes.fromhex("120100020000004050 0c7f1a 0001 010203 01".replace(" ", ""))
CONFIGURATION = bytes.fromhex(
    "0902 3b00 02 01 04 80 fa"  # 59 bytes, two interfaces, configuration 1, bus powered, 500 mA
    "0904 00 00 00 01 01 00 00"  # audio control
    "0904 01 00 00 01 02 00 05"  # audio streaming, alternate 0: no bandwidth
    "0904 01 01 01 01 02 00 05"  # alternate 1
    "0725 01 00 00 00 00"  # a class-specific descriptor
    "0905 81 05 c800 01 00 00"  # isochronous, 200 bytes, with the two bytes of audio endpoints
    "0705 02 03 4000 0a"  # an interrupt endpoint
)


def test_a_device_with_its_configuration() -> None:
    device = parse(DEVICE + CONFIGURATION)
    assert (device.vendor_id, device.product_id, device.release, device.usb_version) == (
        0x0C50, 0x1A7F, 0x0100, 0x0200,
    )  # fmt: skip
    (configuration,) = device.configurations
    assert configuration.interfaces == (0, 1)
    assert device.max_power(configuration) == 500
    assert device.configuration(1) is configuration
    assert device.configuration(2) is None
    streaming = configuration.setting(1, 1)
    assert streaming is not None
    assert (streaming.kind, streaming.subclass, streaming.label) == (1, 2, 5)
    microphone, buttons = streaming.endpoints
    assert (microphone.address, microphone.type, microphone.max_packet_size, microphone.is_in) == (
        0x81, "isochronous", 200, True,
    )  # fmt: skip
    assert (buttons.address, buttons.type, buttons.interval, buttons.is_in) == (0x02, "interrupt", 10, False)
    assert configuration.setting(1) is not streaming
    assert configuration.setting(2) is None


def test_super_speed_counts_power_in_other_units() -> None:
    device = parse(DEVICE[:2] + b"\x00\x03" + DEVICE[4:] + CONFIGURATION)
    assert device.max_power(device.configurations[0]) == 250 * 8


def test_a_high_bandwidth_endpoint_has_the_size_of_one_packet() -> None:
    assert Endpoint(0x81, 1, 0x1400, 1).max_packet_size == 1024


def test_several_configurations_one_behind_the_other() -> None:
    second = CONFIGURATION[:5] + b"\x07" + CONFIGURATION[6:]
    assert [c.value for c in parse_configurations(CONFIGURATION + second)] == [1, 7]


def test_what_is_cut_off_is_passed_over() -> None:
    (configuration,) = parse_configurations(CONFIGURATION[:40])
    assert [(s.number, s.alternate, len(s.endpoints)) for s in configuration.settings] == [
        (0, 0, 0),
        (1, 0, 0),
        (1, 1, 0),
    ]


@pytest.mark.parametrize("data", [b"", DEVICE[:17], b"\x12\x02" + DEVICE[2:], b"\x08" + DEVICE[1:]])
def test_without_a_device_descriptor_there_is_nothing(data: bytes) -> None:
    with pytest.raises(ValueError, match="no USB device descriptor"):
        parse(data)


def test_a_string() -> None:
    assert string_text(bytes.fromhex("0a03 4800 5500 4200 2126")) == "HUB\u2621"
    assert string_text(b"") == ""
    assert string_text(b"\x04\x03A") == "\ufffd"


@given(st.binary(max_size=300))
def test_whatever_a_device_sends_is_read(data: bytes) -> None:
    assert isinstance(parse(DEVICE + data), Device)
    assert sum(len(descriptor) for _, descriptor in split(data)) <= len(data)
    string_text(data)


@given(st.data())
def test_a_configuration_with_damaged_bytes_is_read(data: st.DataObject) -> None:
    damaged = bytearray(CONFIGURATION)
    for index in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=5)):
        damaged[index] = data.draw(st.integers(0, 255))
    for configuration in parse_configurations(bytes(damaged)):
        for setting in configuration.settings:
            assert all(0 <= endpoint.max_packet_size < 2048 for endpoint in setting.endpoints)
