"""What the three modem families say differently, by their makers' AT command manuals.

SIM7600: SIMCom SIM7500_SIM7600 Series AT Command Manual V3.00. SIM800: SIMCom SIM800 Series AT Command Manual V1.09
and GNSS Application Note V1.00. EC25: Quectel EC2x&EG9x&EG2x-G&EM05 Series AT Commands Manual V2.0 and GNSS Application
Note V1.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """``boot`` is said at power-on, ``ready`` when the SIM has been read; ``access`` is <AcT> of TS 27.007, which the
    answers to ``tells_access`` and AT+COPS? have, or none."""

    name: str
    manufacturer: str
    model: str
    firmware: str
    boot: tuple[str, ...]
    ready: tuple[str, ...]
    iccid: tuple[str, str]
    tries: str
    access: int
    memory: str
    size: int
    gnss: str
    ussd: str
    full: str
    tells_access: tuple[str, ...] = ()
    begins: str = ""
    ends: str = ""


SIM7600 = Family(
    "sim7600", "SIMCOM INCORPORATED", "SIMCOM_SIM7600E-H", "+CGMR: LE20B03SIM7600M22",
    boot=("RDY",), ready=("+CPIN: READY", "SMS DONE", "PB DONE"),
    iccid=("+CICCID", "+ICCID: {}"), tries="+SPIC", access=7, memory="ME", size=23, gnss="cgps",
    ussd="packed", full="+SMS FULL", tells_access=("+CEREG",),
    begins="VOICE CALL: BEGIN", ends="VOICE CALL: END: 000002",
)  # fmt: skip
SIM800 = Family(
    "sim800", "SIMCOM_Ltd", "SIMCOM_SIM800L", "Revision:1418B05SIM800L24",
    boot=("RDY", "+CFUN: 1"), ready=("+CPIN: READY", "Call Ready", "SMS Ready"),
    iccid=("+CCID", "{}"), tries="+SPIC", access=0, memory="SM", size=10, gnss="", ussd="ucs2", full="",
)  # fmt: skip
SIM868 = Family(
    "sim868", "SIMCOM_Ltd", "SIMCOM_SIM868", "Revision:1418B04SIM868M32",
    boot=("RDY", "+CFUN: 1"), ready=("+CPIN: READY", "Call Ready", "SMS Ready"),
    iccid=("+CCID", "{}"), tries="+SPIC", access=0, memory="SM", size=10, gnss="cgns", ussd="ucs2", full="",
)  # fmt: skip
EC25 = Family(
    "ec25", "Quectel", "EC25", "EC25EFAR06A03M4G",
    boot=("RDY",), ready=("+CPIN: READY", "+QUSIM: 1", "+QIND: SMS DONE", "+QIND: PB DONE"),
    iccid=("+QCCID", "+QCCID: {}"), tries="+QPINC", access=7, memory="ME", size=23, gnss="qgps",
    ussd="plain", full='+QIND: "smsfull","ME"', tells_access=("+CREG", "+CGREG", "+CEREG"),
)  # fmt: skip

FAMILIES: Mapping[str, Family] = {family.name: family for family in (SIM7600, SIM800, SIM868, EC25)}
