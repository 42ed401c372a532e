"""The kernel's interfaces: what sysfs lists, and netlink messages against a connector that answers as the kernel's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.onewire.connector import Connector, ConnectorThread
from myclerk_drivers.models.ds18b20 import Ds18b20
from myclerk_drivers.models.onewire import crc8, rom_code
from myclerk_drivers.onewire import kernel, netlink
from myclerk_drivers.onewire.kernel import KernelOneWire
from myclerk_drivers.onewire.netlink import Code, Command, Conversation
from myclerk_drivers.onewire.rom import rom_of
from myclerk_drivers.onewire.simulated import SimulatedBus
from myclerk_protocol.status import DeviceGone, HardwareError, OperationTimeout, Unsupported

KITCHEN, CELLAR = Ds18b20(0x75F4D2C, 21.5, time_scale=0), Ds18b20(0x75F4D2D, -4, time_scale=0)
MATCH_KITCHEN = b"\x55" + KITCHEN.rom
Serve = Callable[..., KernelOneWire]


def bus_of(*devices: Ds18b20) -> SimulatedBus:
    bus = SimulatedBus()
    bus.devices = {rom_of(device.rom): device for device in devices}
    return bus


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A KernelOneWire whose connector has these buses."""
    threads: list[ConnectorThread] = []

    def serve(connector: Connector, timeout: float = 10, **how: bool) -> KernelOneWire:
        thread = ConnectorThread(connector, **how)
        threads.append(thread)
        monkeypatch.setattr(kernel, "_connector", thread.connect)
        return KernelOneWire(timeout)

    yield serve
    for thread in threads:
        thread.join()


def test_an_access_is_one_message_with_reset_selection_and_bytes(serve: Serve) -> None:
    connector = Connector({1: bus_of(KITCHEN, CELLAR)})
    data = serve(connector).exchange("w1_bus_master1", MATCH_KITCHEN + b"\xbe", 9)
    assert data is not None
    assert crc8(data) == 0
    assert connector.commands == [5, 1, 0]


def test_without_a_reset_it_goes_on_where_the_last_one_ended(serve: Serve) -> None:
    connector = Connector({1: bus_of(KITCHEN)})
    backend = serve(connector)
    whole = backend.exchange("w1_bus_master1", b"\xcc\xbe", 9)
    assert backend.exchange("w1_bus_master1", b"\xcc\xbe", 4) == (whole or b"")[:4]
    assert backend.exchange("w1_bus_master1", b"", 5, reset=False) == (whole or b"")[4:]
    assert backend.exchange("w1_bus_master1", b"", 0) == b""
    assert connector.commands[-1] == 5


def test_long_data_go_in_portions_of_one_message(serve: Serve) -> None:
    connector = Connector({1: bus_of(KITCHEN)})
    data = serve(connector).exchange("w1_bus_master1", b"\xcc\xbe" + bytes(4096), 4096)
    assert data is not None
    assert len(data) == 4096
    assert connector.commands == [5, *[1] * 65, *[0] * 64]


def test_no_presence_pulse_is_no_data(serve: Serve) -> None:
    assert serve(Connector({1: bus_of()})).exchange("w1_bus_master1", b"\xcc\xbe", 9) is None


def test_a_pass_of_a_search_is_one_message(serve: Serve) -> None:
    connector = Connector({3: bus_of(KITCHEN, CELLAR)})
    backend = serve(connector)
    codes = [int.from_bytes(device.rom, "little") for device in (KITCHEN, CELLAR)]
    answer = backend.search_pass("w1_bus_master3", 0xF0, codes[0])
    assert answer is not None
    bits, complements = answer
    assert connector.commands == [5, 1, 4]
    first = next(at for at in range(64) if (codes[0] ^ codes[1]) >> at & 1)
    assert bits == codes[0] & ~(1 << first), "where they differ, nobody reads a 1"
    assert complements == ~codes[0] & ~(1 << first) & (1 << 64) - 1
    assert backend.search_pass("w1_bus_master3", 0xEC, 0) == ((1 << 64) - 1, (1 << 64) - 1)
    assert serve(Connector({3: bus_of()})).search_pass("w1_bus_master3", 0xF0, 0) is None


def test_what_was_found_is_made_known_to_the_kernel(serve: Serve) -> None:
    connector = Connector({1: bus_of(KITCHEN)})
    serve(connector).add("w1_bus_master1", KITCHEN.rom)
    assert connector.added == [KITCHEN.rom]


def test_a_bus_that_is_not_there_is_gone(serve: Serve) -> None:
    backend = serve(Connector({1: bus_of(KITCHEN)}))
    backend.check_raw("w1_bus_master1")
    for access in (backend.check_raw, lambda bus: backend.exchange(bus, b"", 0)):
        with pytest.raises(DeviceGone, match="w1_bus_master2 is gone"):
            access("w1_bus_master2")


def test_a_kernel_without_netlink_for_1_wire_is_told_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "PROBE_SECONDS", 0.01)
    with pytest.raises(Unsupported, match="CONFIG_W1_CON"):
        serve(Connector({}), mute=True).exchange("w1_bus_master1", b"", 0)


def test_a_kernel_that_does_not_finish_is_a_timeout(serve: Serve) -> None:
    backend = serve(Connector({1: bus_of(KITCHEN)}), timeout=0.01, deaf=True)
    with pytest.raises(OperationTimeout, match=r"within 0\.01 s on w1_bus_master1"):
        backend.exchange("w1_bus_master1", b"", 0)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (PermissionError(1, "Operation not permitted"), HardwareError, "CAP_NET_ADMIN"),
        (ConnectionRefusedError(111, "Connection refused"), Unsupported, "in most containers"),
        (OSError(93, "Protocol not supported"), Unsupported, "cannot be reached from here"),
        (OSError(12, "Cannot allocate memory"), HardwareError, "Cannot allocate memory"),
    ],
)
def test_a_connector_that_cannot_be_reached_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, error: OSError, kind: type[Exception], sentence: str
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr("socket.socket", refuse)
    with pytest.raises(kind, match=sentence):
        KernelOneWire(1).check_raw("w1_bus_master1")


def test_on_this_machine_there_is_no_such_bus() -> None:
    with pytest.raises((Unsupported, DeviceGone, HardwareError)):
        KernelOneWire(1).check_raw("w1_bus_master4000000000")


# -- messages ----------------------------------------------------------------------------------------------


def answered(write: bytes, read: int, packets: list[bytes]) -> Conversation:
    conversation = Conversation(7, netlink.transaction(write, read, reset=True))
    for packet in packets:
        conversation.feed(packet)
    return conversation


@settings(deadline=None)
@given(write=st.binary(max_size=300), read=st.integers(0, 300))
def test_every_request_is_answered_whole(write: bytes, read: int) -> None:
    request = netlink.request(7, 1, netlink.transaction(write, read, reset=True))
    conversation = answered(write, read, Connector({1: bus_of(KITCHEN)}).answers(request))
    assert conversation.finished
    assert len(b"".join(c.answer for c in conversation.commands)) == read
    assert {c.status for c in conversation.commands} == {0}


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=5), st.binary(max_size=60))
def test_no_packet_upsets_a_conversation(packets: list[bytes], tail: bytes) -> None:
    ours = (3).to_bytes(4, "little") + (1).to_bytes(4, "little") + (7).to_bytes(4, "little")
    conversation = answered(b"\xcc", 9, [*packets, bytes(16) + ours + tail])
    assert conversation.failure < 256
    netlink.masters(bytes(16) + ours + tail, 7)


def test_answers_to_other_requests_do_not_count() -> None:
    request = netlink.request(6, 1, netlink.transaction(b"", 0, reset=True))
    assert not answered(b"", 0, Connector({1: bus_of(KITCHEN)}).answers(request)).finished


def test_a_refusal_as_a_whole_ends_it() -> None:
    commands = [Command(Code.RESET)]
    conversation = Conversation(7, commands)
    for packet in Connector({}).answers(netlink.request(7, 1, commands)):
        conversation.feed(packet)
    assert conversation.finished
    assert conversation.failure == 19


# -- sysfs -------------------------------------------------------------------------------------------------


def sysfs(root: Path, devices: dict[str, tuple[str, ...]]) -> KernelOneWire:
    """A tree as the kernel makes it; ``devices``: bus -> names on it, those ending in * being thermometers."""
    links = root / "bus/w1/devices"
    links.mkdir(parents=True)
    for bus, names in devices.items():
        (root / "devices" / bus).mkdir(parents=True)
        os.symlink(root / "devices" / bus, links / bus)
        for name in names:
            directory = root / "devices" / bus / name.rstrip("*")
            directory.mkdir()
            family, serial = int(directory.name[:2], 16), int(directory.name[3:], 16)
            (directory / "id").write_bytes(rom_code(family, serial))
            if name.endswith("*"):
                (directory / "w1_slave").write_text("")
            os.symlink(directory, links / directory.name)
    return KernelOneWire(1, str(root))


def test_buses_and_their_devices_are_what_sysfs_has(tmp_path: Path) -> None:
    backend = sysfs(
        tmp_path,
        {
            "w1_bus_master10": ("01-00000a1b2c3d",),
            "w1_bus_master2": ("28-0000075f4d2d*", "28-0000075f4d2c*"),
            "w1_bus_master1": (),
        },
    )
    buses = {bus.name: [(s.rom, s.code, s.thermometer) for s in bus.slaves] for bus in backend.buses()}
    assert list(buses) == ["w1_bus_master1", "w1_bus_master2", "w1_bus_master10"]
    assert buses["w1_bus_master1"] == []
    assert buses["w1_bus_master2"] == [
        ("28-0000075f4d2c", rom_code(0x28, 0x75F4D2C), True),
        ("28-0000075f4d2d", rom_code(0x28, 0x75F4D2D), True),
    ]
    assert buses["w1_bus_master10"] == [("01-00000a1b2c3d", rom_code(1, 0xA1B2C3D), False)]


def test_the_rom_code_is_the_kernels_where_the_crc_does_not_follow_from_the_name(tmp_path: Path) -> None:
    backend = sysfs(tmp_path, {"w1_bus_master1": ("1c-000000000005",)})
    (tmp_path / "bus/w1/devices/1c-000000000005/id").write_bytes(b"\x1c\x05\0\0\0\0\0\x99")
    assert backend.buses()[0].slaves[0].code == b"\x1c\x05\0\0\0\0\0\x99"


def test_a_machine_without_1_wire_has_no_bus(tmp_path: Path) -> None:
    assert KernelOneWire(1, str(tmp_path)).buses() == []


def test_attributes_are_files(tmp_path: Path) -> None:
    backend = sysfs(tmp_path, {"w1_bus_master1": ("28-0000075f4d2c*",)})
    (tmp_path / "bus/w1/devices/28-0000075f4d2c/resolution").write_text("12\n")
    assert backend.attribute("28-0000075f4d2c", "resolution") == "12\n"
    backend.set_attribute("28-0000075f4d2c", "resolution", "10\n")
    assert backend.attribute("28-0000075f4d2c", "resolution") == "10\n"
    with pytest.raises(FileNotFoundError):
        backend.attribute("28-0000075f4d2c", "alarms")
    with pytest.raises(FileNotFoundError):
        backend.set_attribute("28-0000075f4d2c", "alarms", "0 10")
    with pytest.raises(FileNotFoundError):  # nor was it made
        backend.attribute("28-0000075f4d2c", "alarms")
