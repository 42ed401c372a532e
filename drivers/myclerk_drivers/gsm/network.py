"""Registration, operator and signal (TS 27.007 sections 7.2, 7.3, 8.5; the makers' own commands for LTE)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .at import fields, number
from .channel import AtChannel
from .dialects import Dialect
from .faults import AtError

REGISTRATION = {
    0: "not-registered", 1: "home", 2: "searching", 3: "denied", 4: "unknown", 5: "roaming",
    6: "home-sms-only", 7: "roaming-sms-only", 8: "emergency-only", 9: "home", 10: "roaming",
}  # fmt: skip
"""<stat>; 9 and 10 are registered with CSFB not preferred."""
ACCESS = {
    0: "gsm", 1: "gsm", 2: "umts", 3: "edge", 4: "hsdpa", 5: "hsupa", 6: "hspa", 7: "lte", 8: "ec-gsm",
    9: "nb-iot", 10: "lte", 11: "nr", 12: "nr", 13: "nr",
}  # fmt: skip
"""<AcT>."""
DOMAINS = {"circuit": "+CREG", "packet": "+CGREG", "eps": "+CEREG"}
REGISTERED = frozenset({"home", "roaming", "home-sms-only", "roaming-sms-only"})
BIT_ERROR_RATES = (0.14, 0.28, 0.57, 1.13, 2.26, 4.53, 9.05, 18.10)
"""Mean of each RXQUAL class in percent (TS 45.008 section 8.2.4)."""


async def registration(channel: AtChannel, dialect: Dialect) -> dict[str, Any]:
    """{``state``, ``domains``, ``access``, ``operator``, ``operator_code``, ``area``, ``cell``} as far as known."""
    domains: dict[str, str] = {}
    place: dict[str, Any] = {}
    for domain, name in DOMAINS.items():
        form = re.compile(re.escape(name) + r": ?\d+, ?\d+(,.*)?")  # unsolicited: no <n> before <stat>
        with suppress(AtError):
            lines = await channel.run(f"AT{name}?", form)
            if lines:
                domains[domain], found = parse_registration(lines[0])
                place |= found
    best = next((state for state in domains.values() if state in REGISTERED), None)
    state = best or next(iter(domains.values()), "unknown")
    found = {**await operator(channel), **place}
    if state not in REGISTERED:
        found.pop("access", None)
    elif dialect.access is not None:
        found["access"] = dialect.access
    return {"state": state, "domains": domains, **found}


def parse_registration(line: str) -> tuple[str, dict[str, Any]]:
    """The answer to AT+CREG? and its like: <n>,<stat>[,<lac>,<ci>[,<AcT>]]."""
    values = fields(line)
    state = REGISTRATION.get(number(values[1], 4) or 0, "unknown") if len(values) > 1 else "unknown"
    found: dict[str, Any] = {}
    if len(values) > 3:
        with suppress(ValueError):
            found = {"area": int(values[2], 16), "cell": int(values[3], 16)}
    if (
        len(values) > 4
        and (access := ACCESS.get(number(values[4], -1) or 0)) is not None
        and state in REGISTERED
    ):
        found["access"] = access
    return state, found


async def operator(channel: AtChannel) -> dict[str, Any]:
    """``operator`` by name, ``operator_code`` (MCC and MNC) and ``access``, as far as the modem tells them."""
    found: dict[str, Any] = {}
    for form, key in ((2, "operator_code"), (0, "operator")):
        with suppress(AtError):
            await channel.run(f"AT+COPS=3,{form}", timeout=10)
            lines = await channel.run("AT+COPS?", "+COPS:", timeout=10)
            values = fields(lines[0]) if lines else []
            if len(values) > 2 and values[2] and (key == "operator" or values[2].isdigit()):
                found[key] = values[2]
            if len(values) > 3 and (access := ACCESS.get(number(values[3], -1) or 0)) is not None:
                found["access"] = access
    return found


async def await_registration(channel: AtChannel, dialect: Dialect, seconds: float) -> None:
    """Return when the network has taken the modem, or after that time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (await registration(channel, dialect))["state"] not in REGISTERED:
        if asyncio.get_running_loop().time() >= deadline:
            return
        await channel.tty.pause(0.5)


async def signal(channel: AtChannel, dialect: Dialect) -> dict[str, Any]:
    """``rssi`` and ``rsrp`` in dBm, ``bit_error_rate`` in percent, ``rsrq`` and ``sinr`` in dB..., as far as known."""
    lines = await channel.run("AT+CSQ", re.compile(r"\+CSQ: ?\d+, ?\d+"), required=True)
    found = parse_csq(lines[0])
    if dialect.signal is not None:
        command, prefix = dialect.signal
        with suppress(AtError):
            lines = await channel.run(command, prefix)
            if lines:
                parse = parse_cpsi if prefix == "+CPSI:" else parse_qcsq
                found |= parse(lines[0])
    return found


def parse_csq(line: str) -> dict[str, Any]:
    """AT+CSQ (TS 27.007 section 8.5); 99 says that it is not known."""
    values = [number(value, 99) or 0 for value in fields(line)]
    found: dict[str, Any] = {}
    if len(values) > 1:
        if values[0] <= 31:
            found["rssi"] = float(-113 + 2 * values[0])
        elif 100 <= values[0] <= 191:  # TD-SCDMA
            found["rssi"] = float(-116 + values[0] - 100)
        if values[1] <= 7:
            found["bit_error_rate"] = BIT_ERROR_RATES[values[1]]
    return found


def parse_cpsi(line: str) -> dict[str, Any]:
    """SIM7600's AT+CPSI?: RSRQ and RSRP of LTE in tenths, SINR = 2 * <RSSNR> - 20; 0 or more is not measured yet."""
    values = fields(line)
    found: dict[str, Any] = {}
    mode = values[0].upper().removesuffix("-LIMITED") if values else ""
    if mode == "LTE" and len(values) >= 14:
        measured = [number(value) for value in values[10:14]]
        for key, value in zip(("rsrq", "rsrp"), measured[:2], strict=True):
            if value is not None and value < 0:
                found[key] = value / 10
        if measured[3] is not None:
            found["sinr"] = float(2 * measured[3] - 20)
        found["band"] = values[6]
        if (channel := number(values[7])) is not None:
            found["channel"] = channel
    elif mode == "WCDMA" and len(values) >= 13:
        found["band"] = values[5]
        with suppress(ValueError):
            found["ec_io"], found["rscp"] = -abs(float(values[9])), -abs(float(values[10]))
    elif mode == "GSM" and len(values) >= 7:
        found["band"] = values[5]
    return found


def parse_qcsq(line: str) -> dict[str, Any]:
    """EC25's AT+QCSQ: RSSI, RSRP, SINR in fifths of dB above -20, RSRQ; of UMTS RSSI, RSCP, Ec/Io."""
    mode, *rest = [*fields(line), ""]
    values = [number(value) for value in rest]
    found: dict[str, Any] = {}
    if values and values[0] is not None and mode != "NOSERVICE":
        found["rssi"] = float(values[0])
    if "LTE" in mode and len(values) >= 4:
        names: Mapping[str, int | None] = {"rsrp": values[1], "rsrq": values[3]}
        found |= {key: float(value) for key, value in names.items() if value is not None}
        if values[2] is not None:
            found["sinr"] = values[2] / 5 - 20
    elif mode == "WCDMA" and len(values) >= 3:
        if values[1] is not None:
            found["rscp"] = float(values[1])
        if values[2] is not None:
            found["ec_io"] = float(values[2])
    return found
