"""The GNSS receiver of a simulated modem, under the three makers' commands."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from .modem_parts import Refused

if TYPE_CHECKING:
    from .modem import Modem


class Gnss:
    """A receiver at a place. ``time_to_fix`` is in seconds; ``moment`` None: the time is that of the machine."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self.latitude, self.longitude, self.altitude = 52.520008, 13.404954, 34.5
        self.speed, self.course, self.satellites = 3.6, 90.0, 9
        self.time_to_fix = 0.0
        self.moment: float | None = None
        self._on_since: float | None = None
        self._constellations = "15,1"
        self._gnss_config = "1"

    def restarted(self) -> None:
        """It is off."""
        self._on_since = None

    @property
    def is_on(self) -> bool:
        """Whether the host has switched it on."""
        return self._on_since is not None

    @property
    def has_fix(self) -> bool:
        """Whether it knows where it is."""
        return self._on_since is not None and self._modem.clock() - self._on_since >= self.time_to_fix

    def handlers(self) -> dict[str, Any]:
        """The commands of the family."""
        return {
            "cgps": {"+CGPS": self._cgps, "+CGPSINFO": self._cgpsinfo, "+CGNSSINFO": self._cgnssinfo,
                     "+CGNSSMODE": self._cgnssmode},
            "cgns": {"+CGNSPWR": self._cgnspwr, "+CGNSINF": self._cgnsinf},
            "qgps": {"+QGPS": self._qgps, "+QGPSEND": self._qgpsend, "+QGPSLOC": self._qgpsloc,
                     "+QGPSCFG": self._qgpscfg, "+QGPSGNMEA": self._qgpsgnmea},
            "": {},
        }[self._modem.family.gnss]  # fmt: skip

    def _switch(self, on: bool) -> None:
        self._on_since = self._modem.clock() if on else None

    def _now(self, form: str) -> str:
        return time.strftime(form, time.gmtime(time.time() if self.moment is None else self.moment))

    def _nmea(self) -> tuple[str, str, str, str]:
        """Degrees and minutes with hemispheres."""

        def coded(value: float, width: int) -> str:
            degrees = int(abs(value))
            return f"{degrees:0{width}}{(abs(value) - degrees) * 60:09.6f}"

        north, east = self.latitude >= 0, self.longitude >= 0
        return coded(self.latitude, 2), "N" if north else "S", coded(self.longitude, 3), "E" if east else "W"

    def _cgps(self, given: str) -> list[str]:
        if given == "?":
            return [f"+CGPS: {int(self.is_on)},1"]
        on = given.startswith("=1")
        if on is self.is_on:
            raise Refused
        self._switch(on)
        if not on:
            self._modem.after(0.0, lambda: self._modem.say("+CGPS: 0"))
        return []

    def _cgpsinfo(self, _: str) -> list[str]:
        if not self.has_fix:
            return ["+CGPSINFO: ,,,,,,,,"]
        place = ",".join(self._nmea())
        return [
            f"+CGPSINFO: {place},{self._now('%d%m%y,%H%M%S.0')},{self.altitude},{self.speed / 1.852:.1f},{self.course}"
        ]

    def _cgnssinfo(self, _: str) -> list[str]:
        if not self.has_fix:
            return ["+CGNSSINFO: ,,,,,,,,,,,,,,,"]
        place = ",".join(self._nmea())
        when = self._now("%d%m%y,%H%M%S.0")
        return [
            f"+CGNSSINFO: 2,{self.satellites:02},02,00,{place},{when},{self.altitude},{self.speed / 1.852:.1f},"
            f"{self.course},1.5,0.9,1.2"
        ]

    def _cgnssmode(self, given: str) -> list[str]:
        if given == "?":
            return [f"+CGNSSMODE: {self._constellations}"]
        self._constellations = given[1:]
        return []

    def _cgnspwr(self, given: str) -> list[str]:
        if given == "?":
            return [f"+CGNSPWR: {int(self.is_on)}"]
        self._switch(given == "=1")
        return []

    def _cgnsinf(self, _: str) -> list[str]:
        if not self.has_fix:
            return [f"+CGNSINF: {int(self.is_on)},{'0' if self.is_on else ''},,,,,,,,,,,,,,,,,,,"]
        return [
            f"+CGNSINF: 1,1,{self._now('%Y%m%d%H%M%S.000')},{self.latitude:.6f},{self.longitude:.6f},{self.altitude},"
            f"{self.speed:.2f},{self.course},1,,0.9,1.5,1.2,,{self.satellites + 2},{self.satellites},2,,42,,"
        ]

    def _qgps(self, given: str) -> list[str]:
        if given == "?":
            return [f"+QGPS: {int(self.is_on)}"]
        if self.is_on:
            raise self._modem.refuse(504)
        self._switch(True)
        return []

    def _qgpsend(self, _: str) -> list[str]:
        if not self.is_on:
            raise self._modem.refuse(505)
        self._switch(False)
        return []

    def _qgpsloc(self, given: str) -> list[str]:
        if not self.is_on:
            raise self._modem.refuse(505)
        if not self.has_fix:
            raise self._modem.refuse(516)
        return [
            f"+QGPSLOC: {self._now('%H%M%S.0')},{self.latitude:.5f},{self.longitude:.5f},0.9,{self.altitude},3,"
            f"{int(self.course)}.{self.course % 1 * 60:02.0f},{self.speed:.1f},{self.speed / 1.852:.1f},"
            f"{self._now('%d%m%y')},{self.satellites:02}"
        ]

    def _qgpscfg(self, given: str) -> list[str]:
        found = re.fullmatch(r'="(\w+)"(?:,(\w+))?', given)
        if found is not None and found[1] == "gnssconfig":
            if found[2] is None:
                return [f'+QGPSCFG: "gnssconfig",{self._gnss_config}']
            self._gnss_config = found[2]
        return []

    def _qgpsgnmea(self, given: str) -> list[str]:
        if not self.has_fix or given != '="GSA"':
            return []
        body = "GPGSA,A,3,01,02,03,04,05,06,07,08,09,,,,1.5,0.9,1.2"
        checksum = 0
        for character in body:
            checksum ^= ord(character)
        return [f"+QGPSGNMEA: ${body}*{checksum:02X}"]
