"""What commands show of answers that no tty of a test machine gives: modem lines, USB ports, hostile names.

The link below is the only stand-in: it answers requests from a table, by the rules of the schema.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from cli_runner import Run

from myclerk_client import Board
from myclerk_client.calls import Operations
from myclerk_client.cli.output import clean
from myclerk_protocol.client_state import PendingRequest
from myclerk_protocol.operations import REGISTRY

Answers = dict[str, Mapping[str, Any]]
HOSTILE = "evil\x1b]0;owned\x07\x1b[2J\u202e\r\nname"
SETTINGS = {
    "baud": 9600,
    "data_bits": 8,
    "parity": "none",
    "stop_bits": 1,
    "rts_cts": False,
    "xon_xoff": False,
}


class TableLink:
    """A link whose agent answers each operation with what ``answers`` has for it."""

    def __init__(self, answers: Answers, events: list[dict[str, Any]]) -> None:
        self.established = None
        self.closed = False
        self.generation = 0
        self._answers = answers
        self._events = events
        self._operations = Operations()

    async def request(
        self,
        name: str,
        fields: Mapping[str, Any],
        *,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        _, _, request, response = self._operations.by_name(name)
        request.decode(request.encode(fields))
        return response.decode(response.encode(self._answers.get(name, {})))

    def send(
        self, name: str, fields: Mapping[str, Any], *, stream: Any = None, compress: bool = False
    ) -> tuple[asyncio.Future[dict[str, Any]], PendingRequest]:
        if stream is not None:
            push = self._operations.push(REGISTRY.by_name("STREAM_DATA").code)
            pushed = {"index": 0, "events": self._events, "end": True}
            asyncio.get_running_loop().call_soon(lambda: stream.pushed(push.decode(push.encode(pushed))))
        future = asyncio.ensure_future(self.request(name, {k: v for k, v in fields.items() if v is not None}))
        return future, PendingRequest(7, 0x617, 3, b"", None)

    def post(self, name: str, fields: Mapping[str, Any]) -> None:
        """Credit: there is nothing more to come."""

    def forget_stream(self, request_id: int) -> None:
        """Its Request ID would be free again."""

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def answers() -> Answers:
    return {"SERIAL_PORT_OPEN": {"handle": 1, **SETTINGS}}


@pytest.fixture
def events() -> list[dict[str, Any]]:
    return []


@pytest.fixture(autouse=True)
def agent(monkeypatch: pytest.MonkeyPatch, answers: Answers, events: list[dict[str, Any]]) -> None:
    """Every board is one that answers from the table."""

    async def connect(name: str | None = None, **options: Any) -> Board:
        return Board(TableLink(answers, events), "bench")  # type: ignore[arg-type]

    monkeypatch.setattr(Board, "connect", connect)


def test_modem_lines_are_shown_where_there_are_any(run: Run, answers: Answers) -> None:
    answers["SERIAL_CONTROL_GET"] = {"dtr": True, "rts": False, "cts": True, "input_waiting": 3}
    assert run("serial", "lines", "ttyUSB0") == (0, "dtr on\nrts off\ncts on\n", "")
    assert json.loads(run("serial", "lines", "ttyUSB0", "--json")[1]) == {
        "dtr": True, "rts": False, "cts": True, "input-waiting": 3,
    }  # fmt: skip


def test_changes_of_modem_lines_are_a_stream(run: Run, events: list[dict[str, Any]]) -> None:
    events += [
        {"timestamp-ns": 1_700_000_000_012_345_678, "line": "cts", "value": True},
        {"timestamp-ns": 1_700_000_000_987_000_000, "line": "dcd", "value": False},
    ]
    code, out, _ = run("serial", "lines", "ttyUSB0", "--watch")
    assert code == 0
    assert [line.partition(":")[2][3:] for line in out.splitlines()] == ["20.012 cts on", "20.987 dcd off"]
    told = [
        json.loads(line) for line in run("serial", "lines", "ttyUSB0", "--watch", "--json")[1].splitlines()
    ]
    assert told[0] == {"timestamp-ns": 1_700_000_000_012_345_678, "line": "cts", "value": True}
    assert len(told) == 2


def test_a_usb_port_shows_its_identity(run: Run, answers: Answers) -> None:
    usb = {"vendor_id": 0x0403, "product_id": 0x6001, "serial_number": "A50285BI"}
    port = {"name": "serial:ttyUSB0", "path": "/dev/ttyUSB0", "description": "FT232R", "in_use": True, **usb}
    answers["SERIAL_PORT_LIST"] = {"ports": [port]}
    _, row = run("serial", "list")[1].splitlines()
    assert row.split() == ["serial:ttyUSB0", "/dev/ttyUSB0", "FT232R", "0403:6001", "A50285BI", "yes"]


@pytest.mark.parametrize("held", [{}, {"held_by": HOSTILE}, {"locked_by": HOSTILE, "held_by": "ann"}])
def test_hostile_names_reach_no_terminal(run: Run, answers: Answers, held: dict[str, str]) -> None:
    device = {
        "name": f"serial:{HOSTILE}",
        "kind": "serial",
        "description": HOSTILE,
        "access": 3,
        "shared": True,
        **held,
    }
    answers["DEVICE_LIST"] = {"devices": [device]}
    code, out, err = run("devices")
    assert (code, err) == (0, "")
    _, row = out.splitlines()
    assert row.isprintable()
    assert clean(HOSTILE) in row
    assert row.endswith("(locked)") == ("locked_by" in held)
    code, out, err = run("devices", "--json")
    assert (code, err) == (0, "")
    assert out[:-1].isprintable()
    assert json.loads(out)[0]["description"] == HOSTILE


def test_what_is_plugged_is_a_stream(run: Run, answers: Answers, events: list[dict[str, Any]]) -> None:
    device = {"name": "serial:ttyUSB0", "kind": "serial", "description": HOSTILE, "access": 3, "shared": True}
    answers["DEVICE_SUBSCRIBE"] = {"devices": [device]}
    events += [{"action": action, **device} for action in ("remove", "add", "change")]
    code, out, err = run("devices", "serial", "--watch")
    assert (code, err) == (0, "myclerk: watching bench; Ctrl-C ends it\n")
    assert out.splitlines() == [f"{sign} serial:ttyUSB0  {clean(HOSTILE)}" for sign in "-+~"]
    told = [json.loads(line) for line in run("devices", "--watch", "--json")[1].splitlines()]
    assert [event["action"] for event in told] == ["remove", "add", "change"]
    assert all(event["device"] == {**device, "access": "read-write"} for event in told)


def test_operations_of_a_third_party_are_listed_by_name(run: Run, answers: Answers) -> None:
    answers["DEVICE_CAPABILITIES"] = {"operations": ["VENDOR_BLINK", "SERIAL_BREAK"]}
    _, vendor, ours = run("operations")[1].splitlines()
    assert vendor == "VENDOR_BLINK"
    assert ours.split()[:2] == ["SERIAL_BREAK", "0x0618"]
    assert json.loads(run("operations", "--json")[1])[0] == {
        "name": "VENDOR_BLINK", "code": None, "description": None,
    }  # fmt: skip
