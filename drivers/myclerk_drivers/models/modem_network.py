"""Identity, SIM and network of a simulated modem (TS 27.007 and the makers' own commands)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .modem_parts import Reply

if TYPE_CHECKING:
    from .modem import Modem


class Network:
    """Who the modem is, and the cell it is in. ``registered`` is <stat> of AT+CREG once ``registration_time`` is over.

    ``rssi`` is as AT+CSQ has it, ``rsrp`` in dBm, ``rsrq`` and ``sinr`` in dB.
    """

    def __init__(self, modem: Modem, registration_time: float) -> None:
        self._modem = modem
        self.registration_time = registration_time
        self.registered = 1
        self.operator = "Simulated Network"
        self.rssi, self.bit_errors = 20, 0
        self.rsrp, self.rsrq, self.sinr = -85.0, -9.0, 10.0
        self._reports: dict[str, int] = {}
        self._numeric = False
        self._code_ports = "usbat"
        self._registered_at = 0.0

    def restarted(self) -> None:
        """Look for a network again."""
        self._reports = {}
        self.search(self._modem.ready_at)

    def search(self, start: float) -> None:
        """The network takes the modem some time after ``start``."""
        self._registered_at = start + self.registration_time
        self._modem.after(max(self._registered_at - self._modem.clock(), 0.0), self._announce)

    def _announce(self) -> None:
        if self.is_registered:
            for name, mode in self._reports.items():
                if mode:
                    self._modem.say(f"{name}: {self._registration(name, mode)}")

    def handlers(self) -> dict[str, Any]:
        """The commands."""
        family = self._modem.family
        return {
            "E": self._set_echo, "Z": lambda _: [], "&F": lambda _: [], "&D": lambda _: [],
            "+CMEE": self._set_errors, "+CFUN": self._set_function, "+CRESET": lambda _: self._restart(),
            "+CGMI": lambda _: [family.manufacturer], "+CGMM": lambda _: [family.model],
            "+CGMR": lambda _: [family.firmware], "+CGSN": lambda _: [self._modem.imei],
            "+CIMI": self._imsi, family.iccid[0]: self._iccid, "+CPIN": self._pin, family.tries: self._tries,
            "+CSCS": self._set_characters, "+CNUM": self._number,
            "+CREG": lambda given: self._report("+CREG", given),
            "+CGREG": lambda given: self._report("+CGREG", given),
            **({"+CEREG": lambda given: self._report("+CEREG", given)} if family.access == 7 else {}),
            "+COPS": self._operator, "+CSQ": self._quality,
            **({"+CPSI": self._system} if family.name == "sim7600" else {}),
            **({"+QCSQ": self._quectel_quality, "+QNWINFO": self._network_information, "+QURCCFG": self._set_ports,
                "+QINDCFG": lambda given: self._modem.messages.tell_full(given.endswith(",1"))}
               if family.name == "ec25" else {}),
        }  # fmt: skip

    def _set_echo(self, given: str) -> Reply:
        self._modem.echo = given != "0"
        return []

    def _set_errors(self, given: str) -> Reply:
        if given.startswith("=") and given != "=?":
            self._modem.error_mode = int(given[1:])
        return []

    def _set_function(self, given: str) -> Reply:
        return self._restart() if given == "=1,1" else ["+CFUN: 1"] if given == "?" else []

    def _restart(self) -> Reply:
        self._modem.after(0.0, self._modem.power_on)
        return []

    def _imsi(self, _: str) -> Reply:
        self._modem.needs_sim()
        return [self._modem.sim.imsi]

    def _iccid(self, _: str) -> Reply:
        if not self._modem.sim.present:
            raise self._modem.refuse(10)
        return [self._modem.family.iccid[1].format(self._modem.sim.iccid)]

    def _pin(self, given: str) -> Reply:
        if not self._modem.sim.present:
            raise self._modem.refuse(10)
        if given == "?":
            if self._modem.sim.state == "READY" and self._modem.clock() < self._modem.ready_at:
                raise self._modem.refuse(14)
            return [f"+CPIN: {self._modem.sim.state}"]
        codes = re.findall(r"\d+", given)
        if self._modem.sim.state == "READY":
            raise self._modem.refuse(3)
        if len(codes) == 2:
            accepted = self._modem.sim.unblock(*codes)
        elif self._modem.sim.state == "SIM PIN":
            accepted = self._modem.sim.enter(codes[0])
        else:
            raise self._modem.refuse(12)
        if not accepted:
            raise self._modem.refuse(16 if self._modem.sim.pin_tries else 12)
        self.search(self._modem.clock())
        self._modem.after(0.0, self._modem.sim_is_read)
        return []

    def _tries(self, given: str) -> Reply:
        pin, puk = self._modem.sim.pin_tries, self._modem.sim.puk_tries
        if self._modem.family.tries == "+QPINC":
            counters = {'"SC"': f'+QPINC: "SC",{pin},{puk}', '"P2"': '+QPINC: "P2",0,10'}
            return list(counters.values()) if given == "?" else [counters[given.removeprefix("=")]]
        return [
            f"+SPIC: {pin},{puk},0,10" if self._modem.family.name == "sim7600" else f"+SPIC: {pin},0,{puk},10"
        ]

    def _set_characters(self, given: str) -> Reply:
        if given == "?":
            return [f'+CSCS: "{self._modem.character_set}"']
        self._modem.character_set = given.strip('="')
        return []

    def _number(self, _: str) -> Reply:
        self._modem.needs_sim()
        return [f'+CNUM: "","{self._modem.sim.number}",145']

    @property
    def is_registered(self) -> bool:
        """Whether the network has taken it."""
        return self.stat in (1, 5)

    @property
    def stat(self) -> int:
        """As AT+CREG says it."""
        if not self._modem.sim.present or self._modem.sim.state != "READY":
            return 0
        return 2 if self._modem.clock() < self._registered_at else self.registered

    def _registration(self, name: str, mode: int) -> str:
        if mode != 2 or not self.is_registered:
            return str(self.stat)
        tells_access = name in self._modem.family.tells_access
        return f'{self.stat},"1A2B","01C3D4E5"' + (f",{self._modem.family.access}" if tells_access else "")

    def _report(self, name: str, given: str) -> Reply:
        if given.startswith("=") and given != "=?":
            self._reports[name] = int(given[1:])
            return []
        mode = self._reports.get(name, 0)
        return [f"{name}: {mode},{self._registration(name, mode)}"]

    def _operator(self, given: str) -> Reply:
        if given.startswith("=3,"):
            self._numeric = given == "=3,2"
        if given != "?":
            return []
        if not self.is_registered:
            return ["+COPS: 0"]
        access = f",{self._modem.family.access}" if self._modem.family.tells_access else ""
        return [f'+COPS: 0,2,"26201"{access}' if self._numeric else f'+COPS: 0,0,"{self.operator}"{access}']

    def _quality(self, _: str) -> Reply:
        return [f"+CSQ: {self.rssi if self.is_registered else 99},{self.bit_errors}"]

    def _system(self, _: str) -> Reply:
        if not self.is_registered:
            return ["+CPSI: NO SERVICE,Online"]
        noise = round((self.sinr + 20) / 2)
        return [
            "+CPSI: LTE,Online,262-01,0x1A2B,29611237,257,EUTRAN-BAND3,1350,5,5,"
            f"{self.rsrq * 10:.0f},{self.rsrp * 10:.0f},{-1130 + 20 * self.rssi},{noise}"
        ]

    def _quectel_quality(self, _: str) -> Reply:
        if not self.is_registered:
            return ['+QCSQ: "NOSERVICE"']
        rssi = -113 + 2 * self.rssi
        return [f'+QCSQ: "LTE",{rssi},{self.rsrp:.0f},{(self.sinr + 20) * 5:.0f},{self.rsrq:.0f}']

    def _set_ports(self, given: str) -> Reply:
        found = re.fullmatch(r'="urcport"(?:,"(\w+)")?', given)
        if found is None:
            raise self._modem.refuse(50)
        if found[1] is None:
            return [f'+QURCCFG: "urcport","{self._code_ports}"']
        self._code_ports = found[1]
        return []

    def _network_information(self, _: str) -> Reply:
        return (
            ['+QNWINFO: "FDD LTE","26201","LTE BAND 3",1350']
            if self.is_registered
            else ["+QNWINFO: No Service"]
        )
