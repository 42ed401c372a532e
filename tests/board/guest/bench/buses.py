"""What hangs on the USB adapters: I2C targets, 1-Wire sensors, CAN nodes, the modem."""

from __future__ import annotations

from typing import Any

from devices.can_bus import Bus, Channel, Frame
from devices.ds2490 import Ds2490
from devices.gs_usb import LENGTHS, GsUsb
from devices.i2c_tiny_usb import FAULTS, I2cTinyUsb
from devices.modem import Modem
from models import Ds18b20, Eeprom, Lm75

SERIALS = (0x0A0B0C0D0E01, 0x0A0B0C0D0E02)
TEMPERATURES = (23.5625, -10.125)


class I2c:
    """A 24C02 at 0x50 and an LM75 at 0x48. The EEPROM's write cycle takes no time."""

    def __init__(self) -> None:
        self.eeprom = Eeprom("24c02", write_cycle=0)
        self.lm75 = Lm75(25.0)
        self.adapter = I2cTinyUsb({0x50: self.eeprom, 0x48: self.lm75})

    async def i2c_memory(self, address: int, offset: int, size: int) -> bytes:
        """What is in the EEPROM."""
        return bytes(self._memory(address)[offset : offset + size])

    async def i2c_poke(self, address: int, offset: int, data: bytes) -> None:
        """Change what is in the EEPROM."""
        memory = self._memory(address)
        if not 0 <= offset <= len(memory) - len(data):
            raise ValueError(f"{len(data)} bytes at {offset} are not within the EEPROM's {len(memory)}")
        memory[offset : offset + len(data)] = data

    async def i2c_temperature(self, celsius: float) -> None:
        """Change the temperature around the LM75."""
        self.lm75.temperature = celsius

    async def i2c_fault(self, address: int, fault: str | None) -> None:
        """None, "absent" (no acknowledge), "nack" (of bytes written) or "stall" (the adapter itself fails)."""
        if fault is None:
            self.adapter.faults.pop(address, None)
        elif fault in FAULTS:
            self.adapter.faults[address] = fault
        else:
            raise ValueError(f"no fault {fault!r}: it is one of {', '.join(FAULTS)}, or None")

    def _memory(self, address: int) -> bytearray:
        if address != 0x50:
            raise LookupError(f"no memory at 0x{address:02x}, but at 0x50")
        return self.eeprom.memory


class OneWire:
    """Two DS18B20, by index."""

    def __init__(self) -> None:
        self.sensors = [
            Ds18b20(serial, celsius) for serial, celsius in zip(SERIALS, TEMPERATURES, strict=True)
        ]
        self.adapter = Ds2490(self.sensors)

    async def w1_sensors(self) -> list[dict[str, Any]]:
        """The sensors: {name, temperature, present, limits, resolution}; names as in /sys/bus/w1/devices."""
        return [
            {
                "name": f"{sensor.rom[0]:02x}-{sensor.rom[6:0:-1].hex()}",
                "temperature": sensor.temperature,
                "present": sensor in self.adapter.slaves,
                "limits": sensor.limits,
                "resolution": sensor.resolution,
            }
            for sensor in self.sensors
        ]

    async def w1_set_temperature(self, index: int, celsius: float) -> None:
        """Change the temperature around a sensor; it is seen from the next conversion on."""
        self.sensors[index].temperature = celsius

    async def w1_fault(self, index: int, fault: str | None) -> None:
        """None, or "crc": the scratchpad's CRC is wrong."""
        if fault not in (None, "crc"):
            raise ValueError(f'no fault {fault!r}: it is "crc" or None')
        self.sensors[index].crc_fault = fault == "crc"

    async def w1_parasite(self, index: int, parasite: bool) -> None:
        """Power a sensor by the data line, or by a supply of its own."""
        self.sensors[index].parasite = parasite

    async def w1_remove(self, index: int) -> None:
        """Disconnect a sensor."""
        if self.sensors[index] in self.adapter.slaves:
            self.adapter.slaves.remove(self.sensors[index])

    async def w1_insert(self, index: int) -> None:
        """Connect it again: its power was off."""
        if self.sensors[index] not in self.adapter.slaves:
            self.sensors[index].power_on()
            self.adapter.slaves.append(self.sensors[index])


class Can:
    """The bus that can0 and can1 are on, and an analyser that acknowledges everything. Channels are 0 and 1."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.channels = (Channel(self.bus), Channel(self.bus))
        self.adapter = GsUsb(self.channels)

    async def can_inject(
        self,
        id: int,
        data: bytes = b"",
        channel: int | None = None,
        extended: bool = False,
        fd: bool = False,
        brs: bool = False,
        rtr: bool = False,
        error: bool = False,
        length: int | None = None,
    ) -> int:
        """The analyser sends a frame; how many channels took it. ``channel`` None: to all of them.

        ``length`` is that of a remote frame. With ``error`` the channel reports an error frame: ``id`` is its class.
        """
        size = len(data) if length is None else length
        if size > (64 if fd else 8) or size not in LENGTHS:
            raise ValueError(f"no {'CAN FD' if fd else 'CAN'} frame has {size} bytes")
        if id >= (1 << 29 if extended or error else 1 << 11):
            raise ValueError(f"identifier 0x{id:x} is too large")
        frame = Frame(
            id, data, extended=extended, remote=rtr, fd=fd, bitrate_switch=brs, error=error, length=size
        )
        return self.bus.inject(frame, None if channel is None else self.channels[channel])

    async def can_sent(self) -> list[dict[str, Any]]:
        """Frames that the analyser has heard from the channels since the last call, with their ``channel``."""
        heard, self.bus.heard = self.bus.heard, []
        return [
            {
                "channel": channel,
                "id": frame.identifier,
                "data": frame.data,
                "extended": frame.extended,
                "rtr": frame.remote,
                "fd": frame.fd,
                "brs": frame.bitrate_switch,
            }
            for channel, frame in heard
        ]

    async def can_analyser(self, present: bool) -> None:
        """Take the analyser off the bus, so that a channel alone on it is not acknowledged; or put it back."""
        self.bus.analyser = present
        if present:
            self.bus.retry()

    async def can_bus_off(self, channel: int) -> None:
        """Drive a channel into bus-off."""
        self.channels[channel].go_bus_off()

    async def can_error(self, channel: int, kind: str) -> None:
        """An error on the wire: "bit", "form", "stuff", "crc", "ack"; a lost frame: "overflow";
        a state: "warning", "passive", "active"."""
        node = self.channels[channel]
        counters = {"warning": (96, 0), "passive": (128, 0), "active": (0, 0)}
        if kind in counters:
            node.set_errors(*counters[kind])
        elif kind == "overflow":
            node.lose()
        elif kind in ("bit", "form", "stuff", "crc", "ack"):
            node.fail(kind)
        else:
            raise ValueError(f"no error {kind!r} on a CAN bus")

    async def can_state(self) -> list[dict[str, Any]]:
        """How the channels are set and how they are."""
        return [
            {
                "running": node.running,
                "bitrate": node.bitrate,
                "data_bitrate": node.data_bitrate,
                "fd": node.fd,
                "listen_only": node.listen_only,
                "loopback": node.loopback,
                "one_shot": node.one_shot,
                "transmit_errors": node.transmit_errors,
                "receive_errors": node.receive_errors,
            }
            for node in self.channels
        ]


class Serial:
    """The modem at the CDC-ACM port."""

    def __init__(self) -> None:
        self.adapter = Modem()

    async def serial_lines(
        self, dsr: bool | None = None, dcd: bool | None = None, ri: bool | None = None
    ) -> None:
        """Change the lines that the modem drives. CDC-ACM has no CTS."""
        self.adapter.set_levels(dsr=dsr, dcd=dcd, ri=ri)

    async def serial_break(self) -> None:
        """Send a break."""
        self.adapter.report("break")

    async def serial_error(self, kind: str) -> None:
        """A character came in with an error: "framing", "parity" or "overrun"."""
        self.adapter.report(kind)

    async def serial_seen(self) -> dict[str, Any]:
        """What the board does at its end: {dtr, rts, breaks, baud, data_bits, parity, stop_bits}."""
        modem = self.adapter
        return {"dtr": modem.dtr, "rts": modem.rts, "breaks": modem.breaks, **modem.coding}

    async def serial_send(self, data: bytes) -> None:
        """Send bytes to the board."""
        self.adapter.send(data)

    async def serial_received(self) -> bytes:
        """Bytes from the board since the last call."""
        data = bytes(self.adapter.received)
        self.adapter.received.clear()
        return data
