"""Modems from a desktop, asynchronous, blocking and on the command line, through an agent with a simulated board."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from programs import program

import support
from myclerk_client import (
    BadRequest,
    Board,
    Conflict,
    GsmModem,
    KnownBoards,
    NotFound,
    ServiceUnavailable,
    Unsupported,
    blocking,
    pair,
)
from tracing import Trace

pytestmark = pytest.mark.backend("simulated modem on a pty")

FAMILIES = ("sim7600", "sim800", "ec25")
OWN = "+491701234567"
DESCRIPTION = (
    "".join(
        f"""
[gsm.{family}]
family = "{family}"
number = "{OWN}"
latitude = 52.52
longitude = 13.405
[gsm.{family}.ussd]
"*104#" = "Grüße"
[gsm.{family}.calls]
"+4900" = "busy"
"""
        for family in FAMILIES
    )
    + """
[gsm.locked]
family = "sim800"
pin = "1234"
"""
)
Story = Callable[[Board], Awaitable[None]]
Myclerk = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, trace: Trace) -> Iterator[Path]:
    """An XDG_CONFIG_HOME whose user has paired an agent that simulates these modems."""
    directory = tmp_path_factory.mktemp("gsm")
    (directory / "board.toml").write_text(DESCRIPTION)
    with support.agent(directory, options=("--simulate", str(directory / "board.toml"))) as agent:
        boards = KnownBoards(directory / "home" / "myclerk")
        asyncio.run(pair(agent.link(), name="bench", boards=boards))
        yield directory / "home"


@pytest.fixture
def on_board(home: Path) -> Callable[[Story], None]:
    """Run a story with the board connected."""

    async def run(story: Story) -> None:
        async with await Board.connect(boards=KnownBoards(home / "myclerk")) as board:
            async with asyncio.timeout(60):
                await story(board)

    return lambda story: asyncio.run(run(story))


@pytest.fixture
def myclerk(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Myclerk:
    """Run `myclerk WORDS`; code, output, errors."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def run(*words: str, input: bytes = b"") -> tuple[int, str, str]:
        ended = support.run_cli(home, *words, input=input)
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    return run


@pytest.mark.parametrize("family", FAMILIES)
def test_every_operation_from_the_library(on_board: Callable[[Story], None], family: str) -> None:
    async def story(board: Board) -> None:
        modem = board.gsm.modem(family)
        assert (await modem.initialise(wait=5))["sim"] == "ready"
        assert (await modem.status())["family"] == family
        assert (await modem.network())["state"] == "home"
        assert (await modem.signal())["rssi"] == -73.0
        await messages(modem)
        assert await modem.ussd("*104#") == {"state": "done", "text": "Grüße"}
        assert (await modem.ussd("*101#"))["state"] == "waiting"
        assert (await modem.ussd_reply("1"))["text"] == "Balance: 12.34 EUR"
        await modem.ussd("*101#")
        await modem.ussd_cancel()
        await positions(modem, has_receiver=family != "sim800")
        await calls(modem)
        await modem.release()

    async def messages(modem: GsmModem) -> None:
        async with await modem.receive(delete=True) as inbox:
            long = "Ein längerer Text, der mehrere Teile braucht. " * 5
            sent = await modem.send(OWN, long, report=True)
            assert sent["parts"] == len(sent["references"]) == 2
            texts, reports = [], []
            async for event in inbox:
                texts += [event["message"]["text"]] if event["kind"] == "message" else []
                reports += [event["report"]["outcome"]] if event["kind"] == "report" else []
                if texts and len(reports) == 2:
                    break
            assert (texts, reports) == ([long], ["delivered", "delivered"])
        assert await modem.messages() == []
        await modem.send(OWN, data=b"\x01\x02")
        while not (found := await modem.messages()):
            await asyncio.sleep(0.05)
        assert found[0]["data"] == b"\x01\x02"
        assert await modem.delete(found) == 1
        assert await modem.delete(statuses=["read", "unread"]) == 0

    async def positions(modem: GsmModem, has_receiver: bool) -> None:
        if not has_receiver:
            with pytest.raises(Unsupported):
                await modem.gnss(True)
            return
        await modem.gnss(True)
        found = await modem.position(timeout=10)
        assert found is not None
        assert found["latitude"] == pytest.approx(52.52, abs=1e-4)
        settings = await modem.configure_gnss(constellations=["gps", "galileo"], record_interval=0.05)
        assert settings["constellations"] == ["gps", "galileo"]
        while not (recorded := await modem.history())[0]:
            await asyncio.sleep(0.05)
        assert recorded[0][0]["longitude"] == pytest.approx(13.405, abs=1e-4)
        await modem.gnss(False)
        with pytest.raises(Conflict, match="off"):
            await modem.position()

    async def calls(modem: GsmModem) -> None:
        watch = await modem.calls()
        async with await modem.dial("+4915112345") as call:
            assert await call.until("active")
            await call.hang_up()
            assert await call.until("ended")
            assert call.reason == "local"
        async with await modem.dial("+4900") as call:
            assert not await call.until("active")
            assert call.reason == "busy"
        seen = [(await watch.next() or {})["state"]]
        while seen.count("ended") < 2:
            seen.append((await watch.next() or {})["state"])
        await watch.stop()
        assert await modem.hang_up() == 0
        with pytest.raises(Conflict, match="no call rings"):
            await modem.answer()

    on_board(story)


def test_errors_are_typed_and_say_what_failed(on_board: Callable[[Story], None]) -> None:
    async def story(board: Board) -> None:
        modem = board.gsm.modem("gsm:sim7600")
        with pytest.raises(BadRequest):
            await modem.send("not a number", "x")
        with pytest.raises(ServiceUnavailable):
            await modem.ussd("*999#")
        with pytest.raises(NotFound, match="nowhere"):
            await board.gsm.modem("nowhere").status()
        locked = board.gsm.modem("locked")
        with pytest.raises(Conflict, match="PIN"):
            await locked.send(OWN, "x")
        with pytest.raises(BadRequest, match="2 tries are left"):
            await locked.initialise(pin="0000")
        with pytest.raises(Conflict, match="not tried again"):
            await locked.initialise(pin="0000")
        assert (await locked.initialise(pin="1234"))["sim"] == "ready"

    on_board(story)


def test_a_client_that_vanishes_hangs_up(home: Path, on_board: Callable[[Story], None]) -> None:
    async def story(board: Board) -> None:
        watch = await board.gsm.modem("ec25").calls()
        async with await Board.connect(boards=KnownBoards(home / "myclerk")) as other:
            call = await other.gsm.modem("ec25").dial("0151")
            assert await call.until("active")
        states = []
        while "ended" not in states:
            states.append((await watch.next() or {})["state"])
        assert states[-1] == "ended"

    on_board(story)


def test_the_blocking_twins(home: Path) -> None:
    with blocking.Board.connect("bench", boards=KnownBoards(home / "myclerk")) as board:
        modem = board.gsm.modem("sim800")
        assert modem.network()["operator"] == "Simulated Network"
        with modem.receive(delete=True) as inbox:
            modem.send(OWN, "blocking")
            for event in inbox:
                assert event["message"]["text"] == "blocking"
                break
        with modem.dial("0151") as call:
            assert call.until("active")
        assert {found["name"] for found in board.gsm.list()} == {
            f"gsm:{name}" for name in (*FAMILIES, "locked")
        }


def test_modem_on_the_command_line(myclerk: Myclerk) -> None:
    code, out, _ = myclerk("modem", "list")
    assert code == 0
    assert "gsm:ec25" in out
    assert myclerk("modem", "status")[0] == 2  # which of the four?
    code, out, _ = myclerk("modem", "status", "-m", "ec25")
    assert code == 0
    assert "model: EC25" in out.splitlines()
    assert json.loads(myclerk("modem", "status", "-m", "gsm:sim800", "--json")[1])["family"] == "sim800"
    assert "state: home" in myclerk("modem", "network", "-m", "ec25")[1].splitlines()
    assert "rsrp: -85 dBm" in myclerk("modem", "signal", "-m", "ec25")[1].splitlines()
    assert "sim: ready" in myclerk("modem", "init", "-m", "ec25", "--wait", "5")[1].splitlines()
    code, out, err = myclerk("modem", "init", "-m", "ec25", "--pin-file", "-", input=b"12x4\n")
    assert (code != 0, "pin" in err) == (True, True)
    assert myclerk("modem", "ussd", "-m", "ec25", "*104#")[:2] == (0, "Grüße\n")
    assert myclerk("modem", "ussd", "-m", "ec25", "*101#", "1")[:2] == (
        0,
        "1 Balance�2 Data\nBalance: 12.34 EUR\n",
    )
    assert myclerk("modem", "ussd", "-m", "ec25", "*101#")[0] == 1
    assert myclerk("modem", "release", "-m", "ec25")[:2] == (0, "")


def test_sms_on_the_command_line(myclerk: Myclerk) -> None:
    assert myclerk("sms", "send", "-m", "ec25", OWN, "from the shell")[1].startswith("sent in 1 part")
    code, out, _ = myclerk("sms", "receive", "-m", "ec25", "--count", "1")
    assert code == 0
    assert out.endswith(f" {OWN}: from the shell\n")
    (message,) = json.loads(myclerk("sms", "list", "-m", "ec25", "--json")[1])
    assert "from the shell" in myclerk("sms", "list", "-m", "ec25")[1]
    assert myclerk("sms", "delete", "-m", "ec25", "zzz")[0] == 2
    assert myclerk("sms", "delete", "-m", "ec25", message["id"][:8])[1] == "1 deleted\n"
    assert myclerk("sms", "send", "-m", "ec25", OWN, input="vom Rohr €\n".encode())[0] == 0
    event = json.loads(myclerk("sms", "receive", "-m", "ec25", "--count", "1", "--delete", "--json")[1])
    assert event["message"]["text"] == "vom Rohr €"
    assert myclerk("sms", "delete", "-m", "ec25", "--all")[0] == 0
    assert myclerk("sms", "delete", "-m", "ec25")[0] == 2
    assert myclerk("sms", "send", "-m", "ec25", "nobody", "x")[0] != 0
    assert myclerk("sms", "send", "-m", "ec25", OWN, "--data", "0g")[0] == 2


def test_gnss_on_the_command_line(myclerk: Myclerk) -> None:
    assert myclerk("gnss", "on", "-m", "sim7600")[:2] == (0, "on\n")
    code, out, _ = myclerk("gnss", "position", "-m", "sim7600", "--wait", "10")
    assert code == 0
    assert "52.520000 13.405000" in out
    shown = json.loads(
        myclerk("gnss", "config", "-m", "sim7600", "--constellation", "gps", "--record", "0.1", "--json")[1]
    )
    assert shown["constellations"] == ["gps"]
    while not (found := json.loads(myclerk("gnss", "history", "-m", "sim7600", "--json")[1]))["history"]:
        pass
    assert found["next"] >= 1
    assert myclerk("gnss", "off", "-m", "sim7600")[0] == 0
    assert myclerk("gnss", "on", "-m", "sim800")[0] != 0


def test_calls_on_the_command_line(home: Path, myclerk: Myclerk) -> None:
    code, out, err = myclerk("call", "dial", "-m", "sim7600", "+4900")
    assert code == 1
    assert "(busy)" in out
    assert "not answered" in err
    with program(home, "call", "watch", "-m", "sim7600") as watching:
        watching.expect(b"watching the calls of gsm:sim7600; Ctrl-C ends it\n")
        with program(home, "call", "dial", "-m", "sim7600", "+4915112345", "--json") as calling:
            state = ""
            while state != "active":
                state = json.loads(calling.expect(b"\n"))["state"]
            assert calling.stop(signal.SIGINT) == 130
        assert b"outgoing +4915112345: dialing\n" in watching.expect(b": ended (local)\n")
        assert watching.stop(signal.SIGINT) == 130
    assert myclerk("call", "hangup", "-m", "sim7600")[:2] == (0, "no call was up\n")
    assert myclerk("call", "answer", "-m", "sim7600")[0] != 0
