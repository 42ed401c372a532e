"""1-Wire buses of a board and what is on them (operations 0x0660-0x0667)."""

from __future__ import annotations

import logging
from typing import Any

from .link import Link

log = logging.getLogger("myclerk.client")


class OneWireSelection:
    """Devices that were selected on a bus, for one step after the other: :meth:`write`, then :meth:`read`.

    It holds nothing: others may use the bus in between, and the next selection on the bus replaces it. Then these
    raise Conflict. :meth:`OneWireBus.transaction` does all in one step, which is faster and cannot be interrupted.
    """

    def __init__(self, link: Link, resource: str, number: int) -> None:
        self._link = link
        self.resource = resource
        self._number = number

    async def write(self, data: bytes, *, read: int | None = None, crc: bool = False) -> bytes:
        """Reset, select again, write ``data``, read ``read`` bytes; in one access to the bus. What was read."""
        fields = {"data": bytes(data), "read": read, "check_crc": crc or None, "selection": self._number}
        return await _write(self._link, self.resource, **fields)

    async def read(self, size: int) -> bytes:
        """The next ``size`` bytes (1 to 4096), without a reset. Raises Conflict when the bus was used since.

        An access of the board's own thermometer driver goes unnoticed: check what you read.
        """
        fields = {"resource": self.resource, "selection": self._number, "size": size}
        return bytes((await self._link.request("ONEWIRE_READ", fields))["data"])


class OneWireBus:
    """One bus. Nothing is opened or held: each call is one access, or one search.

    Devices are named as Linux does: "28-0000075f4d2c". All methods raise DeviceGone when the bus or the device is not
    there, HardwareError for damaged data (``details["errno"]`` is then EBADMSG), Unsupported where the board's kernel
    lets nobody exchange bytes.
    """

    def __init__(self, link: Link, resource: str) -> None:
        self._link = link
        self.resource = resource

    async def search(self) -> list[dict[str, Any]]:
        """All devices, each with ``rom``, ``code`` (8 bytes), ``family`` and the usual ``type``. Takes seconds."""
        return await self._search(alarm=False)

    async def alarm_search(self) -> list[dict[str, Any]]:
        """The devices in alarm; thermometers are by their last measurement and their limits."""
        return await self._search(alarm=True)

    async def _search(self, *, alarm: bool) -> list[dict[str, Any]]:
        answer = await self._request("ONEWIRE_SEARCH", alarm=alarm)
        if corrupt := answer.get("corrupt"):
            log.warning("%s: %d answers with a wrong checksum (CRC) are left out", self.resource, corrupt)
        return list(answer["devices"])

    async def reset(self) -> bool:
        """Reset the bus; whether a device is there."""
        return bool((await self._request("ONEWIRE_RESET"))["presence"])

    async def read_rom(self) -> dict[str, Any]:
        """The only device on the bus, as in :meth:`search`. Raises HardwareError when there are several."""
        return dict((await self._request("ONEWIRE_READ_ROM"))["device"])

    async def transaction(
        self, *, rom: str | None, write: bytes = b"", read: int = 0, crc: bool = False
    ) -> bytes:
        """Reset, select ``rom`` (None: all devices), write, read: one access that nobody can come between.

        ``crc``: the last byte read is the CRC-8 of those before it. Returns what was read; at most 4096 bytes each
        way.

        >>> scratchpad = await bus.transaction(rom="28-0000075f4d2c", write=b"\\xbe", read=9, crc=True)
        """
        selected = {"skip_rom": True} if rom is None else {"rom": _short(rom)}
        fields = {"data": bytes(write), "read": read or None, "check_crc": crc or None, **selected}
        return await _write(self._link, self.resource, **fields)

    async def match_rom(self, rom: str) -> OneWireSelection:
        """Select one device, for steps one by one."""
        return self._selection(await self._request("ONEWIRE_MATCH_ROM", rom=_short(rom)))

    async def skip_rom(self) -> OneWireSelection:
        """Select all devices at once, for steps one by one."""
        return self._selection(await self._request("ONEWIRE_SKIP_ROM"))

    async def temperatures(self) -> list[dict[str, Any]]:
        """All thermometers of the bus, which measure at the same time.

        Each has ``name`` and either ``temperature`` in degrees Celsius or, as a sentence, ``message``.
        """
        return list((await self._request("ONEWIRE_READ", temperature=True))["readings"])

    def _selection(self, answer: dict[str, Any]) -> OneWireSelection:
        return OneWireSelection(self._link, self.resource, answer["selection"])

    async def _request(self, operation: str, **fields: Any) -> dict[str, Any]:
        return await self._link.request(operation, {"resource": self.resource, **fields})


class OneWire:
    """The 1-Wire buses and thermometers of a board; ``board.onewire``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def bus(self, name: str) -> OneWireBus:
        """A bus by resource name ("w1:w1_bus_master1") or short name; nothing is asked yet."""
        return OneWireBus(self._link, _resource(name))

    async def thermometers(self) -> list[dict[str, Any]]:
        """The thermometers of all buses: ``name``, ``rom``, ``family``, ``type``."""
        return [slave for bus in await self.list() for slave in bus["slaves"] if slave["thermometer"]]

    async def temperature(self, thermometer: str) -> float:
        """Let "28-0000075f4d2c" measure; degrees Celsius. Takes up to 0.75 s, more at 13 and 14 bits.

        Raises HardwareError for damaged data (EBADMSG) and for the 85 degrees that say that it did not measure;
        DeviceGone when it does not answer; NotFound.
        """
        fields = {"resource": _resource(thermometer), "temperature": True}
        return float((await self._link.request("ONEWIRE_READ", fields))["readings"][0]["temperature"])

    async def settings(self, thermometer: str) -> dict[str, Any]:
        """``resolution`` in bits, ``alarm_low`` and ``alarm_high`` in whole degrees Celsius, ``external_power``,
        ``conversion_time`` in seconds; what the board's kernel does not tell is absent."""
        fields = {"resource": _resource(thermometer), "settings": True}
        return dict((await self._link.request("ONEWIRE_READ", fields))["settings"])

    async def configure(
        self,
        thermometer: str,
        *,
        resolution: int | None = None,
        alarm_low: int | None = None,
        alarm_high: int | None = None,
        save: bool = False,
    ) -> dict[str, Any]:
        """Change a thermometer's ``resolution`` (9 to 12 bits, some have more) and alarm limits (-55 to 125).

        They hold until it loses power; ``save`` keeps them in its EEPROM, which takes some 50,000 writes. Returns
        the settings. Raises BadRequest for what it cannot have.
        """
        changes = {"resolution": resolution, "alarm_low": alarm_low, "alarm_high": alarm_high, "save": save}
        answer = await self._link.request("ONEWIRE_WRITE", {"resource": _resource(thermometer), **changes})
        return dict(answer["settings"])

    async def transaction(
        self, device: str, *, write: bytes = b"", read: int = 0, crc: bool = False
    ) -> bytes:
        """:meth:`OneWireBus.transaction` with a device that the board lists, whatever bus it is on."""
        fields = {"data": bytes(write), "read": read or None, "check_crc": crc or None}
        return await _write(self._link, _resource(device), **fields)

    async def select(self, device: str) -> OneWireSelection:
        """:meth:`OneWireBus.match_rom` with a device that the board lists."""
        resource = _resource(device)
        answer = await self._link.request("ONEWIRE_MATCH_ROM", {"resource": resource})
        return OneWireSelection(self._link, resource, answer["selection"])

    async def list(self) -> list[dict[str, Any]]:
        """The buses, each with its devices and what the board's kernel says of it."""
        return list((await self._link.request("ONEWIRE_BUS_LIST", {}))["buses"])


async def _write(link: Link, resource: str, **fields: Any) -> bytes:
    return bytes((await link.request("ONEWIRE_WRITE", {"resource": resource, **fields})).get("data", b""))


def _resource(name: str) -> str:
    return name if name.startswith("w1:") else f"w1:{name}"


def _short(name: str) -> str:
    return name.removeprefix("w1:")
