"""1-Wire: a search of the bus and a thermometer's nine bytes, beside owserver on the same kernel driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ..measure import pipelined
from .contest import SUBJECT, Contest, Slice, repeated

OWSERVER = "owserver, pyownet"
BUS = "w1_bus_master1"
OWN_SEARCH = Path("/sys/bus/w1/devices", BUS, "w1_master_search")
SEARCHES, READS = (4, 40), (40, 4)
"""Operations of one slice, ours and theirs. We search bit by bit (docs/onewire.md), owserver reads so."""

READ_SCRATCHPAD = b"\xbe"


async def onewire(contest: Contest) -> None:
    """Both operations go to the bus each time; nothing is cached."""
    bus = contest.board.onewire.bus(BUS)
    with _quiet_bus():
        rom = str((await bus.search())[0]["rom"])

        async def read(number: int) -> None:
            await bus.transaction(rom=rom, write=READ_SCRATCHPAD, read=9, crc=True)

        async def search(number: int) -> None:
            await bus.search()

        for case, operation, theirs, counts in (
            ("1-Wire search", search, "", SEARCHES),
            ("1-Wire nine bytes", read, f"{_owfs_name(rom)}/scratchpad", READS),
        ):
            ours, few = map(contest.settings.count, counts)
            contestants = {SUBJECT: contest.ours(partial(pipelined, operation, 1, ours), ours)}
            if (listener := contest.peers.owserver) is not None:
                asking = repeated(_owserver(listener.port, theirs), few)
                contestants[OWSERVER] = Slice(asking, few, listener.port, listener.pid)
            await contest.hold(case, contestants)


def _owserver(port: int, path: str) -> Callable[[], object]:
    """Reading a property, or with no path the directory, from the bus."""
    from pyownet import protocol

    proxy = protocol.proxy("127.0.0.1", port, persistent=True)
    return partial(proxy.read if path else proxy.dir, f"/uncached/{path}")


def _owfs_name(rom: str) -> str:
    """It writes the bytes of the serial number the other way round than Linux."""
    family, _, serial = rom.partition("-")
    return f"{family}.{bytes.fromhex(serial)[::-1].hex().upper()}"


@contextmanager
def _quiet_bus() -> Iterator[None]:
    """The kernel does not search by itself meanwhile."""
    before = OWN_SEARCH.read_text()
    OWN_SEARCH.write_text("0")
    try:
        yield
    finally:
        OWN_SEARCH.write_text(before)
