"""The GNSS receivers of the three families: on and off, position, constellations, each by its maker's commands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from myclerk_protocol.status import Unsupported

from .at import fields, number
from .channel import AtChannel
from .faults import AtError
from .positions import parse_cgnsinf, parse_cgnssinfo, parse_cgpsinfo, parse_gsa, parse_qgpsloc

NAMES = ("gps", "glonass", "beidou", "galileo", "qzss")


class Receiver(ABC):
    """What each family must be able to do. All raise AtError, NoAnswer."""

    @abstractmethod
    async def is_on(self, channel: AtChannel) -> bool:
        """Whether it is switched on."""

    @abstractmethod
    async def switch(self, channel: AtChannel, on: bool) -> None:
        """Switch it; only called when it is the other way."""

    @abstractmethod
    async def position(self, channel: AtChannel) -> dict[str, Any] | None:
        """Where it is (:mod:`.positions`), None without a fix."""

    async def constellations(self, channel: AtChannel) -> list[str] | None:
        """What it listens to, None if that cannot be told."""
        return None

    async def choose(self, channel: AtChannel, names: Collection[str]) -> None:
        """Listen to these, GPS among them. Raises Unsupported for a choice that it does not have."""
        raise Unsupported("this modem's constellations cannot be chosen", key="constellations")


class Sim7600Receiver(Receiver):
    """AT+CGPS and AT+CGNSS...; GPS is always on, the others are bits."""

    BITS: Mapping[str, int] = {"glonass": 1, "beidou": 2, "galileo": 4, "qzss": 8}

    async def is_on(self, channel: AtChannel) -> bool:
        lines = await channel.run("AT+CGPS?", "+CGPS:", required=True)
        return fields(lines[0])[:1] == ["1"]

    async def switch(self, channel: AtChannel, on: bool) -> None:
        await channel.run(f"AT+CGPS={int(on)}", timeout=10)

    async def position(self, channel: AtChannel) -> dict[str, Any] | None:
        try:
            lines = await channel.run("AT+CGNSSINFO", "+CGNSSINFO:", required=True)
            return parse_cgnssinfo(lines[0])
        except AtError:  # older firmware
            lines = await channel.run("AT+CGPSINFO", "+CGPSINFO:", required=True)
            return parse_cgpsinfo(lines[0])

    async def constellations(self, channel: AtChannel) -> list[str] | None:
        with suppress(AtError):
            lines = await channel.run("AT+CGNSSMODE?", "+CGNSSMODE:", required=True)
            mask = number(fields(lines[0])[0]) or 0
            return ["gps", *(name for name, bit in self.BITS.items() if mask & bit)]
        return None

    async def choose(self, channel: AtChannel, names: Collection[str]) -> None:
        mask = sum(bit for name, bit in self.BITS.items() if name in names)
        await channel.run(f"AT+CGNSSMODE={mask},1")


class Sim868Receiver(Receiver):
    """AT+CGNS..."""

    async def is_on(self, channel: AtChannel) -> bool:
        lines = await channel.run("AT+CGNSPWR?", "+CGNSPWR:", required=True)
        return fields(lines[0])[:1] == ["1"]

    async def switch(self, channel: AtChannel, on: bool) -> None:
        await channel.run(f"AT+CGNSPWR={int(on)}")

    async def position(self, channel: AtChannel) -> dict[str, Any] | None:
        lines = await channel.run("AT+CGNSINF", "+CGNSINF:", required=True)
        return parse_cgnsinf(lines[0])


class Ec25Receiver(Receiver):
    """AT+QGPS...; constellations go by six combinations."""

    CHOICES: Mapping[int, frozenset[str]] = {
        0: frozenset({"gps"}),
        1: frozenset({"gps", "glonass", "beidou", "galileo"}),
        2: frozenset({"gps", "glonass", "beidou"}),
        3: frozenset({"gps", "glonass", "galileo"}),
        4: frozenset({"gps", "glonass"}),
        5: frozenset({"gps", "beidou", "galileo"}),
        6: frozenset({"gps", "galileo"}),
    }
    NO_FIX = 516

    async def is_on(self, channel: AtChannel) -> bool:
        lines = await channel.run("AT+QGPS?", "+QGPS:", required=True)
        return fields(lines[0])[:1] == ["1"]

    async def switch(self, channel: AtChannel, on: bool) -> None:
        await channel.run("AT+QGPS=1" if on else "AT+QGPSEND", timeout=10)

    async def position(self, channel: AtChannel) -> dict[str, Any] | None:
        try:
            lines = await channel.run("AT+QGPSLOC=2", "+QGPSLOC:", required=True)
        except AtError as error:
            if error.code == self.NO_FIX:
                return None
            raise
        found = parse_qgpsloc(lines[0])
        if found is not None:
            with suppress(AtError):  # NMEA by command may be switched off in the modem
                lines = await channel.run('AT+QGPSGNMEA="GSA"', "+QGPSGNMEA:")
                if lines:
                    found |= parse_gsa(lines[-1].partition(":")[2].strip())
        return found

    async def constellations(self, channel: AtChannel) -> list[str] | None:
        with suppress(AtError):
            lines = await channel.run('AT+QGPSCFG="gnssconfig"', "+QGPSCFG:", required=True)
            chosen = self.CHOICES.get(number(fields(lines[0])[-1], -1) or 0, frozenset())
            return [name for name in NAMES if name in chosen]
        return None

    async def choose(self, channel: AtChannel, names: Collection[str]) -> None:
        wanted = frozenset(names)
        value = next((value for value, choice in self.CHOICES.items() if choice == wanted), None)
        if value is None:
            choices = "; ".join(" ".join(n for n in NAMES if n in choice) for choice in self.CHOICES.values())
            raise Unsupported(f"this modem has these choices only: {choices}", key="constellations")
        await channel.run(f'AT+QGPSCFG="gnssconfig",{value}')


RECEIVERS: Mapping[str, Receiver] = {
    "cgps": Sim7600Receiver(),
    "cgns": Sim868Receiver(),
    "qgps": Ec25Receiver(),
}
"""By the ``gnss`` of a dialect."""
