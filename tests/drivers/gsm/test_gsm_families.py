"""Answers as the makers' manuals and public logs of real modems have them."""

from __future__ import annotations

from typing import Any

import pytest

from myclerk_drivers.gsm.dialects import EC25, GENERIC, SIM800, SIM868, SIM7600, Dialect, dialect_of
from myclerk_drivers.gsm.network import parse_cpsi, parse_qcsq
from myclerk_drivers.gsm.positions import parse_cgnsinf, parse_cgnssinfo, parse_cgpsinfo, parse_qgpsloc


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        ("SIMCOM_SIM7600E-H", SIM7600), ("SIMCOM_SIM7500A", SIM7600), ("SIMCOM_SIM7600G-H", SIM7600),
        ("SIMCOM_SIM800L", SIM800), ("SIMCOM_SIM800F", SIM800), ("SIMCOM_SIM808", SIM868),
        ("SIMCOM_SIM868", SIM868), ("EC25", EC25), ("EG25", EC25), ("EC21", EC25),
        ("A7670E-FASE", GENERIC), ("SIM7000G", GENERIC), ("ME909s-120", GENERIC),
    ],
)  # fmt: skip
def test_the_family_by_the_models_name(model: str, dialect: Dialect) -> None:
    assert dialect_of(model) is dialect


@pytest.mark.parametrize(
    ("dialect", "answer", "tries"),
    [
        (SIM7600, "+SPIC: 3,10,0,10", (3, 10)),  # PIN, PUK, PIN2, PUK2
        (SIM7600, "+SPIC: 1,9,0,10", (1, 9)),
        (SIM800, "+SPIC: 3,0,10,0", (3, 10)),  # PIN, PIN2, PUK, PUK2
        (SIM800, "+SPIC: 2,3,10,10", (2, 10)),
        (SIM800, "+SPIC: 3", None),
        (EC25, '+QPINC: "SC",2,10', (2, 10)),
        (EC25, '+QPINC: "P2",2,10', None),
        (GENERIC, "+CPINR: SIM PIN,2,3\n+CPINR: SIM PUK,10,10\n+CPINR: SIM PIN2,3,3", (2, 10)),
        (GENERIC, '+CPINR: "SIM PIN2",3,3\n+CPINR: "SIM PIN",1,3\n+CPINR: "SIM PUK",9,10', (1, 9)),
        (GENERIC, "+CPINR: SIM PIN2,3,3", None),
    ],
)
def test_tries_that_are_left(dialect: Dialect, answer: str, tries: tuple[int, int] | None) -> None:
    found = dialect.tries[1].search(answer)
    assert (None if found is None else (int(found["pin"]), int(found["puk"]))) == tries


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "+CPSI: LTE,Online,460-00,0x27BE,46709250,208,EUTRAN-BAND40,38950,5,5,-37,-835,-602,8",
            {"rsrq": -3.7, "rsrp": -83.5, "sinr": -4.0, "band": "EUTRAN-BAND40", "channel": 38950},
        ),
        (
            "+CPSI: LTE,Online,460-01,0x230A,175499523,318,EUTRAN-BAND3,1650,5,0,21,67,255,19",
            {"sinr": 18.0, "band": "EUTRAN-BAND3", "channel": 1650},
        ),
        (
            "+CPSI: WCDMA,Online,250-20,0x4D07,200468759,WCDMA IMT 2000,0,10663,0,4.5,62,33,52,500",
            {"band": "WCDMA IMT 2000", "ec_io": -4.5, "rscp": -62.0},
        ),
        ("+CPSI: GSM,Online,204-04,0x00c9,61828,1002 EGSM 900,-67,0,44-44", {"band": "1002 EGSM 900"}),
        ("+CPSI: NO SERVICE,Online", {}),
        ("+CPSI: ", {}),
    ],
)
def test_the_signal_of_sim7600(line: str, expected: dict[str, Any]) -> None:
    assert parse_cpsi(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('+QCSQ: "LTE",-69,-102,150,-12', {"rssi": -69.0, "rsrp": -102.0, "sinr": 10.0, "rsrq": -12.0}),
        ('+QCSQ: "LTE",-75,-105,98,-14', {"rssi": -75.0, "rsrp": -105.0, "sinr": -0.4, "rsrq": -14.0}),
        ('+QCSQ: "WCDMA",-67,-71,-4', {"rssi": -67.0, "rscp": -71.0, "ec_io": -4.0}),
        ('+QCSQ: "GSM",-61', {"rssi": -61.0}),
        ('+QCSQ: "NOSERVICE"', {}),
    ],
)
def test_the_signal_of_ec25(line: str, expected: dict[str, Any]) -> None:
    assert parse_qcsq(line) == pytest.approx(expected)


def test_positions_of_sim7600() -> None:
    line = "+CGNSSINFO: 2,09,05,00,3113.330650,N,12121.262554,E,131117,091918.0,32.9,0.0,255.0,1.1,0.8,0.7"
    assert parse_cgnssinfo(line) == {
        "latitude": 31.22217750, "longitude": 121.35437590, "timestamp": 1510564758.0, "altitude": 32.9,
        "speed": 0.0, "course": 255.0, "pdop": 1.1, "hdop": 0.8, "vdop": 0.7, "satellites": 14,
    }  # fmt: skip
    assert "course" not in (parse_cgnssinfo(line.replace("255.0", "")) or {"course": 0})
    assert parse_cgnssinfo("+CGNSSINFO: ,,,,,,,,,,,,,,,") is None
    assert parse_cgpsinfo("+CGPSINFO: 3723.2475,N,12202.3416,W,300424,123519.0,12.5,1.0,181.2") == {
        "latitude": 37.38745833, "longitude": -122.03902667, "timestamp": 1714480519.0, "altitude": 12.5,
        "speed": 0.514, "course": 181.2,
    }  # fmt: skip
    assert parse_cgpsinfo("+CGPSINFO: ,,,,,,,,") is None


def test_positions_of_sim868() -> None:
    line = (
        "+CGNSINF: 1,1,20190913060459.000,30.213823,-97.782017,204.500,1.87,90.1,1,,1.2,1.5,0.9,,11,6,,,39,,"
    )
    assert parse_cgnsinf(line) == {
        "timestamp": 1568354699.0, "latitude": 30.213823, "longitude": -97.782017, "altitude": 204.5,
        "speed": 0.519, "course": 90.1, "hdop": 1.2, "pdop": 1.5, "vdop": 0.9, "satellites": 6,
    }  # fmt: skip
    assert parse_cgnsinf("+CGNSINF: 1,0,20190913060459.000,,,,0.00,0.0,0,,,,,,4,,,,37,,") is None
    assert parse_cgnsinf("+CGNSINF: 0,,,,,,,,,,,,,,,,,,,,") is None


def test_positions_of_ec25() -> None:
    line = "+QGPSLOC: 024158.0,40.90340,111.78228,1.5,1125.0,2,307.30,3.6,1.9,271223,04"
    assert parse_qgpsloc(line) == {
        "timestamp": 1703644918.0, "latitude": 40.9034, "longitude": 111.78228, "hdop": 1.5,
        "altitude": 1125.0, "course": 307.5, "speed": 1.0, "satellites": 4,
    }  # fmt: skip
    assert (parse_qgpsloc(line.replace("40.90340,111", "-22.98486,-43")) or {})["latitude"] == -22.98486
