"""What the modem families do differently: the commands beyond the standards, by their makers' manuals.

- SIM7600: SIMCom, "SIM7500_SIM7600 Series AT Command Manual" V3.00: chapters 4 (AT+CPSI), 6 (AT+CICCID, AT+SPIC) and 24
  (AT+CGPS, AT+CGNSSINFO, AT+CGNSSMODE).
- SIM800, and SIM808 and SIM868 that add GNSS: SIMCom, "SIM800 Series AT Command Manual" V1.09: sections 3.2.32 (AT+CREG
  has no <AcT>), 3.2.53 (AT+CUSD), 6.2.3 (AT+SPIC) and 6.2.23 (AT+CCID); "SIM800 Series GNSS Application Note" V1.00,
  chapter 2 (AT+CGNSPWR, AT+CGNSINF).
- EC25: Quectel, "EC2x&EG9x&EG2x-G&EM05 Series AT Commands Manual" V2.0 (AT+QURCCFG, AT+QINDCFG, AT+QPINC, AT+QCCID,
  AT+QCSQ) and "... GNSS Application Note" V1.3 (AT+QGPS...).
- Others: 3GPP TS 27.007 alone; its section 8.65 has AT+CPINR.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Saved:
    """A setting that the modem keeps in its flash: ``commands`` are sent where the answer to ``ask`` lacks ``has``."""

    ask: str
    has: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One family.

    ``iccid`` is a command with the prefix of its answer, "" for a bare line; ``tries`` one with a pattern for all lines
    of its answer, with groups ``pin`` and ``puk``; ``signal`` tells RSRP and its like; ``access`` is the access
    technology of those that have one only; ``memory`` is where messages are kept; ``gnss`` is the set of commands for
    the receiver, "" if there is none; ``hang_up`` ends all calls.
    """

    family: str
    iccid: tuple[str, str]
    tries: tuple[str, re.Pattern[str]]
    signal: tuple[str, str] | None = None
    access: str | None = None
    gnss: str = ""
    memory: str = "ME"
    hang_up: str = "ATH"
    reset: str = "AT+CFUN=1,1"
    set_up: tuple[str, ...] = ()
    saved: tuple[Saved, ...] = ()


SIM7600 = Dialect(
    "sim7600",
    iccid=("AT+CICCID", "+ICCID:"),
    tries=("AT+SPIC", re.compile(r"\+SPIC: ?(?P<pin>\d+), ?(?P<puk>\d+)")),  # then PIN2 and PUK2
    signal=("AT+CPSI?", "+CPSI:"),
    gnss="cgps",
    hang_up="AT+CHUP",
    reset="AT+CRESET",
)
SIM800 = Dialect(
    "sim800",
    iccid=("AT+CCID", ""),
    tries=("AT+SPIC", re.compile(r"\+SPIC: ?(?P<pin>\d+), ?\d+, ?(?P<puk>\d+)")),  # PIN, PIN2, PUK, PUK2
    access="gsm",
    memory="SM",
)
SIM868 = replace(SIM800, gnss="cgns")
EC25 = Dialect(
    "ec25",
    iccid=("AT+QCCID", "+QCCID:"),
    tries=('AT+QPINC="SC"', re.compile(r'\+QPINC: ?"SC", ?(?P<pin>\d+), ?(?P<puk>\d+)')),
    signal=("AT+QCSQ", "+QCSQ:"),
    gnss="qgps",
    hang_up="AT+CHUP",
    set_up=('AT+QINDCFG="smsfull",1',),
    # else unsolicited codes go to one of its ttys only; firmware that has no "all" can have them at the first AT port
    saved=(
        Saved(
            'AT+QURCCFG="urcport"', '"all"', ('AT+QURCCFG="urcport","usbat"', 'AT+QURCCFG="urcport","all"')
        ),
    ),
)
GENERIC = Dialect(
    "generic",
    iccid=("AT+CCID", "+CCID:"),
    tries=(
        "AT+CPINR",
        re.compile(r'\+CPINR: ?"?SIM PIN"?, ?(?P<pin>\d+).*?\+CPINR: ?"?SIM PUK"?, ?(?P<puk>\d+)', re.DOTALL),
    ),
)

_MODELS: tuple[tuple[re.Pattern[str], Dialect], ...] = (
    (re.compile(r"SIM7[1568]\d\d", re.I), SIM7600),
    (re.compile(r"SIM8[06]8", re.I), SIM868),
    (re.compile(r"SIM8\d\d|SIM900", re.I), SIM800),
    (re.compile(r"\bE[CGMP]\d\d", re.I), EC25),
)


def dialect_of(model: str) -> Dialect:
    """The dialect for what AT+CGMM says; the standards alone for a model that is not known."""
    return next((dialect for pattern, dialect in _MODELS if pattern.search(model)), GENERIC)


INTERFACES: Mapping[int, tuple[int, ...]] = {0x1E0E: (2, 3), 0x2C7C: (2, 3)}
"""USB vendor (SIMCom, Quectel) -> interfaces that take AT commands, the best first; others are diagnosis and NMEA."""
