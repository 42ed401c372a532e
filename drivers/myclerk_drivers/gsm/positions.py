"""Positions as the makers' commands give them, in one form.

A position has ``latitude`` and ``longitude`` in degrees (north and east positive), ``altitude`` in metres above the
sea, ``speed`` in metres a second, ``course`` in degrees from north, ``timestamp`` in seconds since 1970, ``satellites``
that were used, and ``hdop``, ``pdop``, ``vdop``; each as far as the modem says it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from .at import fields

KNOT = 1852 / 3600
"""Metres a second."""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _position(**given: Any) -> dict[str, Any] | None:
    """Without what is not known; None if that is the place itself."""
    found = {key: value for key, value in given.items() if value is not None}
    if not {"latitude", "longitude"} <= found.keys():
        return None
    if not (-90 <= found["latitude"] <= 90 and -180 <= found["longitude"] <= 180):
        return None
    return found


def _moment(text: str, form: str) -> float | None:
    with suppress(ValueError):
        return datetime.strptime(text.partition(".")[0], form).replace(tzinfo=UTC).timestamp()
    return None


def _degrees(text: str, hemisphere: str) -> float | None:
    """Degrees and minutes, ddmm.mmmm, as NMEA writes them."""
    value = _number(text)
    if value is None:
        return None
    degrees = int(value // 100) + value % 100 / 60
    return round(-degrees if hemisphere in ("S", "W") else degrees, 8)


def _course(text: str) -> float | None:
    """Degrees and minutes, ddd.mm."""
    value = _number(text)
    return None if value is None else round((int(value) + value % 1 / 0.6) % 360, 2)


def _scaled(text: str, factor: float) -> float | None:
    value = _number(text)
    return None if value is None else round(value * factor, 3)


def parse_cgpsinfo(line: str) -> dict[str, Any] | None:
    """SIM7600's +CGPSINFO: lat,N/S,log,E/W,date,UTC,altitude,knots,course. None without a fix."""
    values = fields(line) + [""] * 9
    return _position(
        latitude=_degrees(values[0], values[1]), longitude=_degrees(values[2], values[3]),
        timestamp=_moment(values[4] + values[5], "%d%m%y%H%M%S"), altitude=_number(values[6]),
        speed=_scaled(values[7], KNOT), course=_number(values[8]),
    )  # fmt: skip


def parse_cgnssinfo(line: str) -> dict[str, Any] | None:
    """SIM7600's +CGNSSINFO: mode, satellites of GPS, GLONASS and BeiDou, then as +CGPSINFO, and the DOPs."""
    values = fields(line) + [""] * 16
    counts = [int(value) for value in values[1:4] if value.isdigit()]
    return _position(
        latitude=_degrees(values[4], values[5]), longitude=_degrees(values[6], values[7]),
        timestamp=_moment(values[8] + values[9], "%d%m%y%H%M%S"), altitude=_number(values[10]),
        speed=_scaled(values[11], KNOT), course=_number(values[12]), pdop=_number(values[13]),
        hdop=_number(values[14]), vdop=_number(values[15]), satellites=sum(counts) if counts else None,
    )  # fmt: skip


def parse_cgnsinf(line: str) -> dict[str, Any] | None:
    """SIM868's +CGNSINF; kilometres an hour."""
    values = fields(line) + [""] * 21
    if values[1] != "1":
        return None
    return _position(
        timestamp=_moment(values[2], "%Y%m%d%H%M%S"), latitude=_number(values[3]), longitude=_number(values[4]),
        altitude=_number(values[5]), speed=_scaled(values[6], 1 / 3.6), course=_number(values[7]),
        hdop=_number(values[10]), pdop=_number(values[11]), vdop=_number(values[12]),
        satellites=int(values[15]) if values[15].isdigit() else None,
    )  # fmt: skip


def parse_qgpsloc(line: str) -> dict[str, Any] | None:
    """EC25's +QGPSLOC in mode 2: UTC, degrees, HDOP, altitude, fix, course (ddd.mm), km/h, knots, date, satellites."""
    values = fields(line) + [""] * 11
    return _position(
        timestamp=_moment(values[9] + values[0], "%d%m%y%H%M%S"), latitude=_number(values[1]),
        longitude=_number(values[2]), hdop=_number(values[3]), altitude=_number(values[4]),
        course=_course(values[6]), speed=_scaled(values[7], 1 / 3.6),
        satellites=int(values[10]) if values[10].isdigit() else None,
    )  # fmt: skip


def parse_gsa(sentence: str) -> dict[str, Any]:
    """``pdop`` and ``vdop`` of an NMEA GSA sentence; nothing if it is damaged, or without the library pynmea2."""
    try:
        import pynmea2  # type: ignore[import-untyped]  # not needed for any other modem
    except ImportError:
        return {}
    try:
        parsed = pynmea2.parse(sentence, check=True)
        values = {"pdop": _number(parsed.pdop), "vdop": _number(parsed.vdop)}
    except (pynmea2.ParseError, AttributeError, TypeError):
        return {}
    return {key: value for key, value in values.items() if value is not None}
