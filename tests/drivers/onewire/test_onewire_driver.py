"""The driver on simulated buses: search, selection, bytes in one access, thermometers, bad requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from drivers.conftest import Run
from drivers.loop_context import LoopContext
from myclerk_drivers.base import Resource
from myclerk_drivers.models.ds18b20 import Ds18b20
from myclerk_drivers.models.onewire import BitSearch, crc8, rom_code
from myclerk_drivers.onewire import OneWireDriver
from myclerk_drivers.onewire.simulated import SimulatedOneWire
from myclerk_protocol.schema import Schema
from myclerk_protocol.status import BadRequest, Conflict, DeviceGone, HardwareError, TooLarge, Unsupported

KITCHEN, CELLAR, KEY = "28-0000075f4d2c", "28-0000075f4d2d", "01-00000a1b2c3d"
TABLE: dict[str, Any] = {
    "w1_bus_master1": {
        KITCHEN: {"temperature": 21.5, "time-scale": 0},
        CELLAR: {"temperature": -4, "time-scale": 0, "parasite": True},
        KEY: {},
    },
    "w1_bus_master2": {"28-000000000001": {"crc-fault": True, "time-scale": 0}},
    "w1_bus_master3": {},
}
READ_SCRATCHPAD = b"\xbe"
Story = Callable[["Bench"], Awaitable[None]]


class Bench:
    """A driver whose answers fit the schema, with its resources by short name."""

    def __init__(self, backend: SimulatedOneWire) -> None:
        self.backend = backend
        self.driver = OneWireDriver(LoopContext(), backend)

    def resource(self, name: str) -> Resource:
        found = self.driver.find(f"w1:{name}")
        assert found is not None
        return found

    async def ask(self, operation: str, name: str, **fields: Any) -> Mapping[str, Any]:
        """What a session would get, with its fields through the schema."""
        request, response = Schema.load().request(operation), Schema.load().response(operation)
        assert request is not None
        assert response is not None
        decoded = request.decode(request.encode({"resource": f"w1:{name}", **fields}))
        decoded.pop("resource")
        methods = {
            "ONEWIRE_SEARCH": self.driver.search,
            "ONEWIRE_RESET": self.driver.reset,
            "ONEWIRE_READ_ROM": self.driver.read_rom,
            "ONEWIRE_MATCH_ROM": self.driver.match_rom,
            "ONEWIRE_SKIP_ROM": self.driver.skip_rom,
            "ONEWIRE_READ": self.driver.read,
            "ONEWIRE_WRITE": self.driver.write,
        }
        method: Callable[..., Awaitable[Mapping[str, Any]]] = methods[operation]
        answer = await method(self.resource(name), **decoded)
        return response.decode(response.encode(answer))


@pytest.fixture
def on_bench(run: Run) -> Callable[[Story], None]:
    """Run a story with a driver that is closed afterwards."""

    async def main(story: Story) -> None:
        bench = Bench(SimulatedOneWire.from_description(TABLE))
        try:
            await story(bench)
        finally:
            bench.driver.close()

    return lambda story: run(main(story))


@contextmanager
def refused(kind: type[Exception] | tuple[type[Exception], ...], key: str) -> Iterator[None]:
    with pytest.raises(kind) as error:
        yield
    assert getattr(error.value, "details", {})["key"] == key


def test_resources_are_buses_and_below_them_devices(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        resources = {resource.name: resource for resource in bench.driver.resources()}
        assert resources["w1:w1_bus_master1"].parent is None
        assert resources[f"w1:{KITCHEN}"].parent == "w1:w1_bus_master1"
        assert resources[f"w1:{KITCHEN}"].properties["type"] == "DS18B20"
        assert resources[f"w1:{KEY}"].properties["thermometer"] is False

    on_bench(story)


def test_buses_are_listed_with_their_devices(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        rule = Schema.load().response("ONEWIRE_BUS_LIST")
        assert rule is not None
        buses = rule.decode(rule.encode(bench.driver.list_buses()))["buses"]
        assert [bus["name"] for bus in buses] == [f"w1:w1_bus_master{n}" for n in (1, 2, 3)]
        assert [slave["rom"] for slave in buses[0]["slaves"]] == [KITCHEN, CELLAR, KEY]
        assert buses[0]["raw"] is True
        assert buses[0]["strong_pullup"] is True
        assert buses[2]["slaves"] == []

    on_bench(story)


def test_a_search_finds_every_device_an_alarm_search_those_in_alarm(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        found = await bench.ask("ONEWIRE_SEARCH", "w1_bus_master1")
        assert {d["rom"]: d["code"] for d in found["devices"]} == {
            KITCHEN: rom_code(0x28, 0x75F4D2C),
            CELLAR: rom_code(0x28, 0x75F4D2D),
            KEY: rom_code(1, 0xA1B2C3D),
        }
        assert "corrupt" not in found
        for rom, limits in ((KITCHEN, (30, 10)), (CELLAR, (30, 10))):
            await bench.ask("ONEWIRE_WRITE", rom, alarm_high=limits[0], alarm_low=limits[1])
        await bench.ask("ONEWIRE_READ", "w1_bus_master1", temperature=True)
        alarms = await bench.ask("ONEWIRE_SEARCH", "w1_bus_master1", alarm=True)
        assert [device["rom"] for device in alarms["devices"]] == [CELLAR]
        assert await bench.ask("ONEWIRE_SEARCH", "w1_bus_master3") == {"devices": []}

    on_bench(story)


def test_damaged_rom_codes_are_counted_not_offered(on_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    good, damaged = rom_code(0x28, 5), b"\x28\x05\0\0\0\0\0\x00"
    added: list[bytes] = []

    async def story(bench: Bench) -> None:
        def search_pass(bus: str, command: int, path: int) -> tuple[int, int]:
            line = BitSearch([good, damaged])
            slots = [(line.slot(1), line.slot(1), line.slot(path >> at & 1)) for at in range(64)]
            return sum(s[0] << at for at, s in enumerate(slots)), sum(
                s[1] << at for at, s in enumerate(slots)
            )

        monkeypatch.setattr(bench.backend, "search_pass", search_pass)
        monkeypatch.setattr(bench.backend, "add", lambda bus, code: added.append(code))
        found = await bench.ask("ONEWIRE_SEARCH", "w1_bus_master1")
        assert [device["code"] for device in found["devices"]] == [good]
        assert found["corrupt"] == 1
        assert added == [good]

    on_bench(story)


def test_a_bus_that_makes_up_devices_does_not_fill_the_kernel(
    on_bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = [rom_code(0x28, serial) for serial in range(1, 101)]
    added: list[bytes] = []

    async def story(bench: Bench) -> None:
        def search_pass(bus: str, command: int, path: int) -> tuple[int, int]:
            line, bits, complements = BitSearch(made_up), 0, 0
            for at in range(64):
                bits, complements = bits | line.slot(1) << at, complements | line.slot(1) << at
                line.slot(path >> at & 1)
            return bits, complements

        monkeypatch.setattr(bench.backend, "search_pass", search_pass)
        monkeypatch.setattr(bench.backend, "add", lambda bus, code: added.append(code))
        found = await bench.ask("ONEWIRE_SEARCH", "w1_bus_master1")
        assert len(found["devices"]) == 100
        assert len(added) == 64 - 3, "w1_master_max_slave_count, and those that it knows"

    on_bench(story)


def test_a_reset_tells_whether_a_device_is_there(on_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        assert await bench.ask("ONEWIRE_RESET", "w1_bus_master1") == {"presence": True}
        assert await bench.ask("ONEWIRE_RESET", "w1_bus_master3") == {"presence": False}
        monkeypatch.setattr(bench.backend, "exchange", lambda bus, write, read, reset=True: b"\xff" * read)
        silent = await bench.ask("ONEWIRE_RESET", "w1_bus_master1")
        assert silent == {"presence": False}, "an adapter that reports no presence pulse"
        monkeypatch.setattr(bench.backend, "exchange", lambda bus, write, read, reset=True: bytes(read))
        with pytest.raises(HardwareError, match="short circuit"):
            await bench.ask("ONEWIRE_RESET", "w1_bus_master1")

    on_bench(story)


def test_the_only_device_tells_its_rom_several_do_not(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        device = (await bench.ask("ONEWIRE_READ_ROM", "w1_bus_master2"))["device"]
        assert device == {
            "rom": "28-000000000001",
            "code": rom_code(0x28, 1),
            "family": 0x28,
            "type": "DS18B20",
        }
        with pytest.raises(HardwareError, match="several devices") as several:
            await bench.ask("ONEWIRE_READ_ROM", "w1_bus_master1")
        assert several.value.details["errno"] == "EBADMSG"
        with pytest.raises(DeviceGone, match="no device answers on w1_bus_master3"):
            await bench.ask("ONEWIRE_READ_ROM", "w1_bus_master3")

    on_bench(story)


def test_one_access_selects_writes_and_reads(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        write = {"data": b"\x4e\x1e\xfb\x7f"}
        assert await bench.ask("ONEWIRE_WRITE", "w1_bus_master1", rom=CELLAR, **write) == {}
        asked = {"data": READ_SCRATCHPAD, "read": 9, "check_crc": True}
        cellar = await bench.ask("ONEWIRE_WRITE", "w1_bus_master1", rom=CELLAR.upper(), **asked)
        assert cellar["data"][2:5] == b"\x1e\xfb\x7f"
        kitchen = await bench.ask("ONEWIRE_WRITE", KITCHEN, **asked)
        assert kitchen["data"][2:5] == bytes([75, 70, 0x7F])
        assert crc8(kitchen["data"]) == 0
        only = await bench.ask("ONEWIRE_WRITE", "w1_bus_master2", skip_rom=True, data=READ_SCRATCHPAD, read=9)
        assert only["data"][:2] == b"\x50\x05"

    on_bench(story)


def test_a_wrong_crc_and_silence_are_errors_when_asked_for(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        asked = {"data": READ_SCRATCHPAD, "read": 9, "check_crc": True}
        with pytest.raises(HardwareError, match="CRC") as damaged:
            await bench.ask("ONEWIRE_WRITE", "28-000000000001", **asked)
        assert damaged.value.details["errno"] == "EBADMSG"
        with pytest.raises(DeviceGone, match="28-00000000abcd does not answer"):
            await bench.ask("ONEWIRE_WRITE", "w1_bus_master1", rom="28-00000000abcd", **asked)
        with pytest.raises(DeviceGone, match="no device answers"):
            await bench.ask("ONEWIRE_WRITE", "w1_bus_master3", skip_rom=True, **asked)

    on_bench(story)


def test_the_steps_of_the_draft_one_by_one(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        bus = "w1_bus_master1"
        whole = await bench.ask("ONEWIRE_WRITE", CELLAR, data=READ_SCRATCHPAD, read=9)
        selection = (await bench.ask("ONEWIRE_MATCH_ROM", bus, rom=CELLAR))["selection"]
        assert await bench.ask("ONEWIRE_WRITE", bus, selection=selection, data=READ_SCRATCHPAD) == {}
        first = await bench.ask("ONEWIRE_READ", bus, selection=selection, size=4)
        rest = await bench.ask("ONEWIRE_READ", bus, selection=selection, size=5)
        assert first["data"] + rest["data"] == whole["data"]
        by_device = (await bench.ask("ONEWIRE_MATCH_ROM", CELLAR))["selection"]
        again = await bench.ask("ONEWIRE_WRITE", CELLAR, selection=by_device, data=READ_SCRATCHPAD, read=9)
        assert again == whole
        everybody = (await bench.ask("ONEWIRE_SKIP_ROM", "w1_bus_master2"))["selection"]
        only = await bench.ask("ONEWIRE_WRITE", "w1_bus_master2", selection=everybody, data=b"\xbe", read=2)
        assert only["data"] == b"\x50\x05"

    on_bench(story)


def test_a_selection_ends_with_the_next_one_and_writes_go_nowhere_then(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        bus = "w1_bus_master1"
        mine = (await bench.ask("ONEWIRE_MATCH_ROM", bus, rom=CELLAR))["selection"]
        theirs = (await bench.ask("ONEWIRE_MATCH_ROM", bus, rom=KITCHEN))["selection"]
        assert mine != theirs
        with pytest.raises(Conflict, match="select again"):
            await bench.ask("ONEWIRE_WRITE", bus, selection=mine, data=b"\x4e\x01\x01\x1f")
        with pytest.raises(Conflict, match="select again"):
            await bench.ask("ONEWIRE_READ", bus, selection=mine, size=1)
        with pytest.raises(Conflict):  # nor may another resource use it
            await bench.ask("ONEWIRE_READ", KITCHEN, selection=theirs, size=1)
        cellar = await bench.ask("ONEWIRE_WRITE", CELLAR, data=READ_SCRATCHPAD, read=9)
        assert cellar["data"][2:4] == bytes([75, 70])

    on_bench(story)


def test_a_selection_cannot_be_guessed(on_bench: Any) -> None:
    """Whoever has another's number takes bytes away from it. Nor does one from before a restart fit."""
    first: list[int] = []

    async def story(bench: Bench) -> None:
        first.append((await bench.ask("ONEWIRE_MATCH_ROM", CELLAR))["selection"])

    on_bench(story)
    on_bench(story)
    assert first[0] != first[1]


@pytest.mark.parametrize(
    ("operation", "name", "fields"),
    [
        ("ONEWIRE_WRITE", KITCHEN, {"data": b"\xbe", "read": 1}),
        ("ONEWIRE_SEARCH", "w1_bus_master1", {}),
        ("ONEWIRE_RESET", "w1_bus_master1", {}),
        ("ONEWIRE_READ", KITCHEN, {"temperature": True}),
        ("ONEWIRE_READ", KITCHEN, {"settings": True}),
        ("ONEWIRE_READ", "w1_bus_master1", {"temperature": True}),
        ("ONEWIRE_WRITE", KITCHEN, {"resolution": 12}),
    ],
)
def test_reading_on_notices_that_the_bus_was_used(
    on_bench: Any, operation: str, name: str, fields: dict[str, Any]
) -> None:
    async def story(bench: Bench) -> None:
        bus = "w1_bus_master1"
        selection = (await bench.ask("ONEWIRE_MATCH_ROM", bus, rom=CELLAR))["selection"]
        await bench.ask("ONEWIRE_WRITE", bus, selection=selection, data=READ_SCRATCHPAD)
        await bench.ask(operation, name, **fields)
        with pytest.raises(Conflict, match="used for something else"):
            await bench.ask("ONEWIRE_READ", bus, selection=selection, size=9)
        again = await bench.ask("ONEWIRE_WRITE", bus, selection=selection, data=READ_SCRATCHPAD, read=9)
        assert crc8(again["data"]) == 0

    on_bench(story)


def test_reading_on_notices_a_search_of_the_kernel(on_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(bench: Bench) -> None:
        bus = "w1_bus_master1"
        selection = (await bench.ask("ONEWIRE_MATCH_ROM", bus, rom=CELLAR))["selection"]
        monkeypatch.setattr(bench.backend, "attribute", lambda device, name: "1\n")
        with pytest.raises(Conflict):
            await bench.ask("ONEWIRE_READ", bus, selection=selection, size=9)

    on_bench(story)


def test_temperatures_of_one_and_of_all(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        one = await bench.ask("ONEWIRE_READ", KITCHEN, temperature=True)
        assert one == {"readings": [{"name": f"w1:{KITCHEN}", "temperature": 21.5, "resolution": 12}]}
        everything = (await bench.ask("ONEWIRE_READ", "w1_bus_master1", temperature=True))["readings"]
        assert {r["name"]: r["temperature"] for r in everything} == {
            f"w1:{KITCHEN}": 21.5,
            f"w1:{CELLAR}": -4.0,
        }
        assert await bench.ask("ONEWIRE_READ", "w1_bus_master3", temperature=True) == {"readings": []}

    on_bench(story)


def test_a_damaged_thermometer_fails_alone_and_says_why_among_others(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        with pytest.raises(HardwareError, match="CRC"):
            await bench.ask("ONEWIRE_READ", "28-000000000001", temperature=True)
        (reading,) = (await bench.ask("ONEWIRE_READ", "w1_bus_master2", temperature=True))["readings"]
        assert "CRC" in reading["message"]
        assert "temperature" not in reading

    on_bench(story)


def test_settings_are_read_and_changed(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        before = (await bench.ask("ONEWIRE_READ", CELLAR, settings=True))["settings"]
        assert (before["resolution"], before["external_power"]) == (12, False)
        after = (await bench.ask("ONEWIRE_WRITE", CELLAR, resolution=9, alarm_low=-55))["settings"]
        assert (after["resolution"], after["alarm_low"], after["alarm_high"]) == (9, -55, 75)
        reading = (await bench.ask("ONEWIRE_READ", CELLAR, temperature=True))["readings"][0]
        assert reading["resolution"] == 9
        with refused(BadRequest, "resolution"):
            await bench.ask("ONEWIRE_WRITE", CELLAR, resolution=13)
        assert (await bench.ask("ONEWIRE_READ", CELLAR, settings=True))["settings"] == after

    on_bench(story)


def test_saved_settings_outlive_a_power_failure(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        model = bench.backend._buses["w1_bus_master1"].devices[KITCHEN]
        assert isinstance(model, Ds18b20)
        await bench.ask("ONEWIRE_WRITE", KITCHEN, resolution=10, save=True)
        await bench.ask("ONEWIRE_WRITE", KITCHEN, alarm_high=80)
        model.power_on()
        settings = (await bench.ask("ONEWIRE_READ", KITCHEN, settings=True))["settings"]
        assert (settings["resolution"], settings["alarm_high"]) == (10, 75)

    on_bench(story)


BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("ONEWIRE_SEARCH", KITCHEN, {}, "resource"),
    ("ONEWIRE_RESET", KITCHEN, {}, "resource"),
    ("ONEWIRE_READ_ROM", KITCHEN, {}, "resource"),
    ("ONEWIRE_SKIP_ROM", KITCHEN, {}, "resource"),
    ("ONEWIRE_MATCH_ROM", "w1_bus_master1", {}, "rom"),
    ("ONEWIRE_MATCH_ROM", "w1_bus_master1", {"rom": "28_0000075f4d2c"}, "rom"),
    ("ONEWIRE_MATCH_ROM", "w1_bus_master1", {"rom": "28-75f4d2c"}, "rom"),
    ("ONEWIRE_MATCH_ROM", KITCHEN, {"rom": CELLAR}, "rom"),
    ("ONEWIRE_READ", KITCHEN, {}, "size"),
    ("ONEWIRE_READ", KITCHEN, {"temperature": True, "settings": True}, "size"),
    ("ONEWIRE_READ", "w1_bus_master1", {"size": 9}, "selection"),
    ("ONEWIRE_READ", "w1_bus_master1", {"selection": 1, "temperature": True}, "selection"),
    ("ONEWIRE_READ", "w1_bus_master1", {"selection": 1, "size": 4097}, "size"),
    ("ONEWIRE_READ", "w1_bus_master1", {"settings": True}, "resource"),
    ("ONEWIRE_WRITE", "w1_bus_master1", {"data": b"\x44"}, "rom"),
    ("ONEWIRE_WRITE", "w1_bus_master1", {"rom": KITCHEN}, "data"),
    ("ONEWIRE_WRITE", "w1_bus_master1", {"rom": KITCHEN, "skip_rom": True, "data": b""}, "selection"),
    ("ONEWIRE_WRITE", "w1_bus_master1", {"rom": KITCHEN, "selection": 1, "data": b""}, "selection"),
    ("ONEWIRE_WRITE", "w1_bus_master1", {"rom": KITCHEN, "data": b"", "check_crc": True}, "check-crc"),
    ("ONEWIRE_WRITE", "w1_bus_master1", {"rom": KITCHEN, "data": bytes(4097)}, "data"),
    ("ONEWIRE_WRITE", KITCHEN, {"skip_rom": True, "data": b"\x44"}, "resource"),
    ("ONEWIRE_WRITE", KITCHEN, {"rom": KITCHEN, "data": b"\x44"}, "rom"),
    ("ONEWIRE_WRITE", KITCHEN, {"data": b"\x44", "resolution": 12}, "data"),
    ("ONEWIRE_WRITE", KITCHEN, {"resolution": 8}, "resolution"),
    ("ONEWIRE_WRITE", KITCHEN, {"alarm_low": 76}, "alarm-low"),
    ("ONEWIRE_WRITE", KITCHEN, {"alarm_low": -56}, "alarm-low"),
    ("ONEWIRE_WRITE", "w1_bus_master1", {"resolution": 12}, "resource"),
]


@pytest.mark.parametrize(("operation", "name", "fields", "key"), BAD)
def test_bad_requests_name_the_key_and_change_nothing(
    on_bench: Any, operation: str, name: str, fields: dict[str, Any], key: str
) -> None:
    async def story(bench: Bench) -> None:
        before = await bench.ask("ONEWIRE_WRITE", KITCHEN, data=READ_SCRATCHPAD, read=9)
        with refused((BadRequest, TooLarge), key):
            await bench.ask(operation, name, **fields)
        assert await bench.ask("ONEWIRE_WRITE", KITCHEN, data=READ_SCRATCHPAD, read=9) == before

    on_bench(story)


def test_what_is_no_thermometer_gives_no_temperature(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        for fields in ({"temperature": True}, {"settings": True}):
            with pytest.raises(Unsupported, match="no thermometer driver"):
                await bench.ask("ONEWIRE_READ", KEY, **fields)

    on_bench(story)


def test_requests_on_a_bus_and_its_devices_are_done_in_the_order_sent(on_bench: Any) -> None:
    async def story(bench: Bench) -> None:
        bus = "w1_bus_master1"
        limits = [
            asyncio.ensure_future(
                bench.ask("ONEWIRE_WRITE", name, data=bytes([0x4E, n, n, 0x7F]), **selected)
            )
            for n in range(1, 40)
            for name, selected in [(KITCHEN, {}) if n % 2 else (bus, {"rom": KITCHEN})]
        ]
        reading = asyncio.ensure_future(bench.ask("ONEWIRE_WRITE", KITCHEN, data=READ_SCRATCHPAD, read=9))
        await asyncio.gather(*limits)
        assert (await reading)["data"][2] == 39

    on_bench(story)


@pytest.mark.parametrize("timeout", [0, 0.5, 3601])
def test_a_timeout_that_makes_no_sense_is_refused(run: Run, timeout: float) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="`timeout`"):
            OneWireDriver(LoopContext({"timeout": timeout}))

    run(main())


def test_all_eight_operations_are_served() -> None:
    from myclerk_drivers.base import served_by
    from myclerk_protocol.operations import REGISTRY

    assert set(served_by(OneWireDriver)) == {op.name for op in REGISTRY if 0x0660 <= op.code <= 0x0667}


# -- descriptions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"bus": {}}, "`onewire.bus` must be named as the kernel names buses"),
        ({"w1_bus_master1": 5}, "`onewire.w1_bus_master1` must be a table"),
        ({"w1_bus_master1": {"28-75": {}}}, "`onewire.w1_bus_master1.28-75`: '28-75' is no ROM code"),
        ({"w1_bus_master1": {KITCHEN.upper(): {}}}, "small letters"),
        ({"w1_bus_master1": {KITCHEN: 21}}, "must be a table"),
        ({"w1_bus_master1": {KITCHEN: {"temp": 1}}}, "no key `temp`"),
        ({"w1_bus_master1": {KITCHEN: {"temperature": "warm"}}}, "temperature` must be"),
        ({"w1_bus_master1": {KITCHEN: {"temperature": True}}}, "temperature` must be"),
        ({"w1_bus_master1": {KITCHEN: {"temperature": 126}}}, "temperature`: a DS18B20 measures -55 to 125"),
        ({"w1_bus_master1": {KITCHEN: {"parasite": 1}}}, "parasite` must be true or false"),
        ({"w1_bus_master1": {KITCHEN: {"time-scale": -1}}}, "time-scale` must lie between"),
        ({"w1_bus_master1": {KEY: {"temperature": 1}}}, "only family 28"),
        ({"w1_bus_master1": {KEY: {}}, "w1_bus_master2": {KEY: {}}}, "on another bus already"),
    ],
)
def test_a_wrong_description_names_its_key(run: Run, table: dict[str, Any], sentence: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match=sentence):
            OneWireDriver.simulated(LoopContext(), table)

    run(main())
