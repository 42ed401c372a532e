"""Cellular modems on a real tty with a real USB driver: every operation, on each of the three families."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import pytest

from myclerk_client import (
    BadRequest,
    Board,
    DeviceGone,
    GsmModem,
    NotFound,
    OperationError,
    OperationTimeout,
    Unsupported,
)
from myclerk_drivers.models.modem_parts import KINDS

from .hand import Hand
from .virtual_board import VirtualBoard

pytestmark = pytest.mark.backend("virtual board: cdc_acm, simulated modem")

FAMILIES = ("sim7600", "sim800", "sim868", "ec25")
OWN = "+491701234567"
PATIENCE = 110
Story = Callable[[Board, GsmModem], Awaitable[None]]


class Run(Protocol):
    """Tells a story within so many seconds."""

    def __call__(self, tale: Story, patience: float = PATIENCE) -> None: ...


@pytest.fixture(scope="module")
def tty(hand: Hand) -> str:
    """The modem's tty."""
    return str(hand.serial_port())


@pytest.fixture
def story(board: VirtualBoard, hand: Hand, tty: str) -> Iterator[Run]:
    """Tell a story with an agent that has just started and knows the modem as "gate"; none is attached afterwards."""
    board.restart_agent(f'[drivers.gsm]\nports = {{gate = "/dev/{tty}"}}\nmessage-interval = 2.0\n')

    def run(tale: Story, patience: float = PATIENCE) -> None:
        async def tell() -> None:
            async with await board.connect() as client, asyncio.timeout(patience):
                await tale(client, client.gsm.modem("gate"))

        asyncio.run(tell())

    yield run
    hand.gsm_attach(family=None)
    if not next(device["plugged"] for device in hand.usb_list() if device["name"] == "modem"):
        hand.usb_plug(name="modem")
        hand.wait_for(glob=f"/dev/{tty}")


async def patiently(doing: Callable[[], Awaitable[Any]]) -> Any:
    """Again and again until the modem is back and does it; but not if it may have been done."""
    while True:
        try:
            return await doing()
        except OperationError as error:
            if "may have been" in error.message:
                raise
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("family", FAMILIES)
def test_sim_and_network(hand: Hand, story: Run, family: str) -> None:
    async def tale(_client: Board, modem: GsmModem) -> None:
        found = await modem.initialise()
        assert (found["sim"], found["pin_tries"], found["puk_tries"]) == ("pin", 3, 10)
        with pytest.raises(BadRequest, match="2 tries are left"):
            await modem.initialise(pin="0000")
        assert (await modem.initialise(pin="1234", wait=30))["sim"] == "ready"
        assert hand.gsm_seen()["attempts"] == ["0000", "1234"]
        status = await modem.status()
        assert (status["family"], status["imei"]) == (family.replace("868", "800"), "867584030012345")
        assert status["gnss"] is (family != "sim800")
        network = await modem.network()
        assert (network["state"], network["operator"]) == ("home", "Simulated Network")
        assert network["access"] == ("gsm" if family in ("sim800", "sim868") else "lte")
        assert (await modem.signal())["rssi"] == -73.0

    hand.gsm_attach(family=family, pin="1234", registration_time=0.5)
    story(tale)


@pytest.mark.parametrize("family", FAMILIES)
def test_messages(hand: Hand, story: Run, family: str) -> None:
    async def tale(_client: Board, modem: GsmModem) -> None:
        async with await modem.receive(delete=True) as inbox:
            sent = await modem.send(OWN, "über USB " * 30, report=True)
            assert sent["parts"] == len(sent["references"]) == 2
            events = [await inbox.next() or {} for _ in range(3)]
            assert sorted(event["kind"] for event in events) == ["message", "report", "report"]
            assert next(e["message"]["text"] for e in events if "message" in e) == "über USB " * 30
        await modem.send(OWN, "stays")
        while not (found := await modem.messages()):
            await asyncio.sleep(0.1)
        assert [message["text"] for message in found] == ["stays"]
        assert await modem.delete(statuses=["read", "unread"]) == 1
        assert hand.gsm_seen()["stored"] == 0
        assert len(hand.gsm_seen()["sent"]) == 3

    hand.gsm_attach(family=family)
    story(tale)


@pytest.mark.parametrize("family", FAMILIES)
def test_ussd_and_positions(hand: Hand, story: Run, family: str) -> None:
    async def tale(_client: Board, modem: GsmModem) -> None:
        assert (await modem.ussd("*101#"))["state"] == "waiting"
        assert (await modem.ussd_reply("1"))["text"] == "Balance: 12.34 EUR"
        await modem.ussd("*101#")
        await modem.ussd_cancel()
        if family == "sim800":
            with pytest.raises(Unsupported):
                await modem.gnss(True)
            return
        await modem.gnss(True)
        assert hand.gsm_seen()["gnss"]
        position = await modem.position(timeout=30)
        assert position is not None
        assert position["latitude"] == pytest.approx(52.520008, abs=1e-5)
        if family != "sim868":
            chosen = await modem.configure_gnss(constellations=["gps", "glonass"])
            assert chosen["constellations"] == ["gps", "glonass"]
        await modem.configure_gnss(record_interval=0.1)
        while not (await modem.history())[0]:
            await asyncio.sleep(0.1)
        await modem.gnss(False)
        assert not hand.gsm_seen()["gnss"]

    hand.gsm_attach(family=family)
    story(tale)


@pytest.mark.parametrize("family", FAMILIES)
def test_calls(hand: Hand, story: Run, family: str) -> None:
    async def tale(_client: Board, modem: GsmModem) -> None:
        async with await modem.dial("+4915112345") as call:
            assert await call.until("active")
        while hand.gsm_seen()["in_call"]:
            await asyncio.sleep(0.1)
        assert hand.gsm_seen()["dialed"] == ["+4915112345"]
        watch = await modem.calls()
        hand.gsm_ring(number="0151")
        event: dict[str, Any] = {}
        while event.get("state") != "incoming":
            event = await watch.next() or {}
        while "party" not in event:  # RING comes before the number
            event = await watch.next() or {}
        assert event["party"] == "0151"
        async with await modem.answer() as call:
            assert await call.until("active")
            hand.gsm_far_end_hangs_up()
            assert not await call.until("held")
            assert call.reason == "remote"
        await watch.stop()
        assert await modem.hang_up() == 0

    hand.gsm_attach(family=family)
    story(tale)


def test_the_lines_of_the_port(hand: Hand, story: Run, tty: str) -> None:
    """DSR and RI come from the modem; DTR stays up when the tty is given back, so that calls and GNSS go on."""

    def lines() -> set[str]:
        """What the kernel has of the port, for root in spite of TIOCEXCL."""
        program = (
            "import fcntl, os, struct, sys, termios\n"
            "fd = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)\n"
            "found, = struct.unpack('i', fcntl.ioctl(fd, termios.TIOCMGET, bytes(4)))\n"
            "print(*(n for n in ('DTR', 'DSR', 'RI') if found & getattr(termios, 'TIOCM_' + n)))\n"
        )
        return set(hand.python(program, f"/dev/{tty}").split())

    async def reach(expected: set[str]) -> None:
        while await asyncio.to_thread(lines) != expected:  # a change crosses USB first
            await asyncio.sleep(0.1)

    async def tale(_client: Board, modem: GsmModem) -> None:
        await modem.status()
        assert hand.serial_seen()["dtr"]
        watch = await modem.calls()
        await reach({"DTR", "DSR"})
        hand.gsm_ring(number="0151")
        await reach({"DTR", "DSR", "RI"})
        async with await modem.answer():
            await reach({"DTR", "DSR"})
        await watch.stop()
        await modem.release()
        assert hand.serial_seen()["dtr"]

    hand.gsm_attach(family="sim7600")
    story(tale)


def test_messages_go_on_after_the_modem_was_pulled_out(hand: Hand, story: Run) -> None:
    async def tale(_client: Board, modem: GsmModem) -> None:
        async with await modem.receive(delete=True) as inbox:
            await modem.send(OWN, "before")
            assert (await inbox.next() or {})["message"]["text"] == "before"
            hand.usb_unplug(name="modem")
            assert (await inbox.next() or {})["kind"] == "lost"
            hand.gsm_power_cycle()
            hand.usb_plug(name="modem")
            await patiently(lambda: modem.send(OWN, "after"))
            assert (await inbox.next() or {})["message"]["text"] == "after"

    hand.gsm_attach(family="ec25")
    story(tale)


def test_a_modem_on_usb_is_found_by_itself(board: VirtualBoard, hand: Hand, tty: str) -> None:
    async def tale() -> None:
        async with await board.connect() as client, asyncio.timeout(PATIENCE):
            (found,) = await client.gsm.list()
            assert found["name"] == f"gsm:{hand.serial_port()}"
            assert found["description"].startswith("SimTech SIM7600")
            modem = client.gsm.modem(found["name"])
            assert (await patiently(modem.status))["model"] == "SIMCOM_SIM7600E-H"
            hand.usb_unplug(name="modem")
            assert await client.gsm.list() == []
            with pytest.raises((DeviceGone, NotFound)):
                await modem.status()
            hand.usb_plug(name="modem")
            hand.gsm_attach(family="ec25")
            await patiently(modem.status)
            assert (await modem.status())["model"] == "EC25"  # another one was plugged in
            await modem.release()

    hand.usb_unplug(name="modem")
    hand.gsm_identity(vendor=0x1E0E, product=0x9001, manufacturer="SimTech", name="SimTech SIM7600")
    hand.usb_plug(name="modem")
    hand.gsm_attach(family="sim7600")
    hand.wait_for(glob=f"/dev/{tty}")
    board.restart_agent()
    try:
        asyncio.run(tale())
    finally:
        hand.gsm_attach(family=None)
        hand.usb_unplug(name="modem")
        hand.gsm_identity(vendor=0x1D6B, product=0x5AC1, manufacturer="Board", name="modem")
        hand.usb_plug(name="modem")
        hand.wait_for(glob=f"/dev/{tty}")


def test_a_supply_that_fails(hand: Hand, story: Run) -> None:
    async def tale(_client: Board, modem: GsmModem) -> None:
        async with await modem.receive(delete=True) as inbox:
            await modem.status()
            hand.gsm_power_cycle()
            await patiently(lambda: modem.send(OWN, "again"))
            assert (await inbox.next() or {})["message"]["text"] == "again"

    hand.gsm_attach(family="sim800")
    story(tale)


def test_a_modem_that_hangs(hand: Hand, story: Run) -> None:
    async def tale(_client: Board, modem: GsmModem) -> None:
        await modem.status()
        hand.gsm_hang(seconds=3600)
        with pytest.raises(OperationTimeout, match="no answer to AT"):
            await modem.signal()
        with pytest.raises(OperationTimeout, match="does not answer any more; reset it"):
            await modem.signal()
        with pytest.raises(OperationTimeout, match="no modem answers at"):
            await modem.signal()
        hand.gsm_hang(seconds=0)
        assert (await modem.signal())["rssi"] == -73.0

    hand.gsm_attach(family="ec25")
    story(tale)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", ["sim7600", "sim800", "ec25"])
def test_no_message_is_lost_or_doubled_by_faults(hand: Hand, story: Run, family: str) -> None:
    """Each fault once, at one of three steps. With 10,000 messages: tests/drivers/gsm/test_gsm_messages.py."""
    texts = [f"message {kind}" for kind in KINDS]

    async def tale(_client: Board, modem: GsmModem) -> None:
        async with await modem.receive(delete=True) as inbox:
            received: list[str] = []
            for step, (kind, text) in enumerate(zip(KINDS, texts, strict=True)):
                hand.gsm_faults(kinds=[*["noise"] * (step % 3), kind], hang_time=0.5)
                await patiently(lambda text=text: modem.send(OWN, text))  # type: ignore[misc]
                while len(received) <= step:
                    event = await inbox.next() or {}
                    received += [event["message"]["text"]] if event["kind"] == "message" else []
        assert received == texts
        assert len(hand.gsm_seen()["sent"]) == len(texts)
        assert all(hand.gsm_faults().values())

    hand.gsm_attach(family=family)
    story(tale, 280)
