"""SPI devices of a board (operations 0x0640-0x0646)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .held import Held, opened
from .link import Link


@dataclass(frozen=True, slots=True)
class SpiSegment:
    """A part of a message: :attr:`data` to send, or the :attr:`size` of what to receive while zeros are sent.

    ``receive``: whether what comes while ``data`` is sent is wanted. ``cs_change``: release chip select behind this
    segment, or behind the last one keep it. What is None is as the device's settings have it.
    """

    data: bytes | None = None
    size: int | None = None
    receive: bool | None = None
    cs_change: bool | None = None
    speed_hz: int | None = None
    bits_per_word: int | None = None
    delay_us: int | None = None
    word_delay_us: int | None = None
    tx_lines: int | None = None
    rx_lines: int | None = None

    def fields(self) -> dict[str, Any]:
        """The fields of `spi-segment` in the schema, by Python name."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


class SpiDevice(Held):
    """An open SPI device.

    ``settings`` are those in force, as the board's kernel has them; ``buffer_size`` is how many bytes one transfer can
    have in each direction: a longer one raises TooLarge, as nothing but the kernel's parameter ``bufsiz`` can make
    room for it without releasing chip select.
    """

    closing = "SPI_DEVICE_CLOSE"

    def __init__(self, link: Link, resource: str, opened: Mapping[str, Any]) -> None:
        super().__init__(link, resource, opened["handle"])
        self.buffer_size: int = opened["buffer_size"]
        self.settings: dict[str, Any] = {
            k: v for k, v in opened.items() if k not in ("handle", "buffer_size")
        }

    async def configure(self, **settings: Any) -> dict[str, Any]:
        """Change settings, all or none; those in force. Names as in :meth:`SpiDevices.open`."""
        self.settings = await self._request("SPI_CONFIGURE", settings)
        return self.settings

    async def transfer(self, data: bytes) -> bytes:
        """Send ``data``; what came meanwhile, as many bytes."""
        (received,) = await self.message(SpiSegment(data))
        return received

    async def message(self, *segments: SpiSegment) -> list[bytes]:
        """Send 1 to 511 segments under one chip select; what each one that receives got, in order."""
        fields = {"segments": [segment.fields() for segment in segments]}
        return list((await self._request("SPI_TRANSFER", fields))["received"])

    async def write(self, data: bytes) -> None:
        """Send ``data``; what comes meanwhile is dropped."""
        await self._request("SPI_WRITE", {"data": bytes(data)})

    async def read(self, size: int) -> bytes:
        """Receive ``size`` bytes while zeros are sent."""
        return bytes((await self._request("SPI_READ", {"size": size}))["data"])


class SpiDevices:
    """The SPI devices of a board; ``board.spi``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[dict[str, Any]]:
        """The devices: name, path, bus, chip select, and what the board's kernel says of each."""
        return list((await self._link.request("SPI_BUS_LIST", {}))["devices"])

    async def open(self, device: str, **settings: Any) -> SpiDevice:
        """Open a device by resource name ("spi:0.0") or short name ("0.0").

        Settings: ``mode`` 0-3, ``speed_hz``, ``bits_per_word`` 1-32, ``lsb_first``, ``cs_high``, ``no_cs``,
        ``three_wire``, ``loop``, ``ready``, ``tx_lines`` and ``rx_lines`` 1/2/4/8, ``delay_us``, ``word_delay_us``.
        What is not given is as the board's kernel has it; closing restores that. Raises NotFound, Conflict with the
        holder, Unsupported for a setting that the controller cannot do.
        """
        resource = device if device.startswith("spi:") else f"spi:{device}"
        fields = {"resource": resource, **settings}
        return SpiDevice(
            self._link, resource, await opened(self._link, "SPI_DEVICE_OPEN", fields, SpiDevice.closing)
        )
