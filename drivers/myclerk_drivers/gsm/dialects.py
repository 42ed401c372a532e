"""What the modem families do differently: the commands beyond the standards, by their makers' manuals.

SIM7600: SIMCom SIM7500_SIM7600 Series AT Command Manual V3.00. SIM800 (and SIM808, SIM868, which add GNSS): SIM800
Series AT Command Manual V1.12. EC25: Quectel EC2x&EG9x&EG2x-G&EM05 Series AT Commands Manual V2.0 and GNSS
Application Note.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """One family.

    ``iccid`` and ``tries`` are commands with the prefix of their answer, "" for a bare line; ``signal`` tells RSRP and
    its like; ``memory`` is where messages are kept; ``gnss`` is the set of commands for the receiver, "" if there is
    none; ``hang_up`` ends all calls.
    """

    family: str
    iccid: tuple[str, str]
    tries: tuple[str, str]
    signal: tuple[str, str] | None = None
    gnss: str = ""
    memory: str = "ME"
    hang_up: str = "ATH"
    reset: str = "AT+CFUN=1,1"
    set_up: tuple[str, ...] = ()


SIM7600 = Dialect(
    "sim7600",
    iccid=("AT+CICCID", "+ICCID:"),
    tries=("AT+SPIC", "+SPIC:"),
    signal=("AT+CPSI?", "+CPSI:"),
    gnss="cgps",
    hang_up="AT+CHUP",
    reset="AT+CRESET",
)
SIM800 = Dialect("sim800", iccid=("AT+CCID", ""), tries=("AT+SPIC", "+SPIC:"), memory="SM")
SIM868 = Dialect("sim800", iccid=("AT+CCID", ""), tries=("AT+SPIC", "+SPIC:"), gnss="cgns", memory="SM")
EC25 = Dialect(
    "ec25",
    iccid=("AT+QCCID", "+QCCID:"),
    tries=('AT+QPINC="SC"', '+QPINC: "SC"'),
    signal=("AT+QCSQ", "+QCSQ:"),
    gnss="qgps",
    hang_up="AT+CHUP",
    set_up=('AT+QURCCFG="urcport","usbat"',),  # or unsolicited codes go to another of its ttys
)
GENERIC = Dialect("generic", iccid=("AT+CCID", "+CCID:"), tries=("AT+CPINR", "+CPINR:"))

_MODELS: tuple[tuple[re.Pattern[str], Dialect], ...] = (
    (re.compile(r"SIM7[0-9]00|SIM7[56]\d\d|A76\d\d", re.I), SIM7600),
    (re.compile(r"SIM8[06]8", re.I), SIM868),
    (re.compile(r"SIM8\d\d|SIM900", re.I), SIM800),
    (re.compile(r"\bE[CGMP]\d\d|BG9\d", re.I), EC25),
)


def dialect_of(model: str) -> Dialect:
    """The dialect for what AT+CGMM says; the standards alone for a model that is not known."""
    return next((dialect for pattern, dialect in _MODELS if pattern.search(model)), GENERIC)


INTERFACES: Mapping[int, tuple[int, ...]] = {0x1E0E: (2, 3), 0x2C7C: (2, 3)}
"""USB vendor (SIMCom, Quectel) -> interfaces that take AT commands, the best first; others are diagnosis and NMEA."""
