"""A board: the friendly face of a link, one attribute per bus."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.local import LocalClientSession
from myclerk_protocol.operations import Operation

from .access import Access
from .batch import Batch
from .can import CanInterfaces
from .clients import Clients
from .devices import DeviceEvents, wait_for
from .environment import SYSTEM, prefers_aes
from .errors import NotPaired
from .gpio import Gpio
from .gsm import GsmModems
from .hid import HidDevices
from .i2c import I2cBuses
from .known import KnownBoard, KnownBoards
from .link import Link
from .locks import Lock, join_exported
from .onewire import OneWire
from .requests import DeviceRequests
from .serial import SerialPorts
from .shared import Routes, Streams
from .spi import SpiDevices
from .trust import PinnedAgent
from .usb import UsbDevices

DEFAULT_TIMEOUT = 30.0


class Board:
    """A connection to a paired board that survives network drops.

    >>> async with await Board.connect("bench") as board:
    ...     async with await board.serial.open("ttyUSB0", baud=115200) as port:
    ...         await port.write(b"AT\\r")
    ...         print(await port.read_until(b"\\r\\n", timeout=1))
    """

    def __init__(self, link: Link, name: str) -> None:
        self.link = link
        self.name = name
        self.access = Access(link)
        self.can = CanInterfaces(link)
        self.clients = Clients(link)
        self.gpio = Gpio(link)
        self.gsm = GsmModems(link)
        self.hid = HidDevices(link)
        self.onewire = OneWire(link)
        self.i2c = I2cBuses(link)
        self.requests = DeviceRequests(link)
        self.routes = Routes(link)
        self.serial = SerialPorts(link)
        self.spi = SpiDevices(link)
        self.streams = Streams(link)
        self.usb = UsbDevices(link)

    @classmethod
    async def connect(
        cls,
        board: str | None = None,
        *,
        boards: KnownBoards | None = None,
        timeout: float = 15.0,
        reconnect: float = 30.0,
        policy: Policy | None = None,
        mode: Mode = Mode.HYBRID,
    ) -> Board:
        """Connect to a board by the name it was paired under (None: the only one), or "unix:PATH".

        ``timeout`` is for the first connection, ``reconnect`` how long a lost one may stay away before
        everything that waits fails; both in seconds. Raises NotPaired, ConnectionLost, AgentNotTrusted.
        """
        board = board or os.environ.get("MYCLERK_BOARD")
        if board is not None and board.startswith("unix:"):
            link = _local_link(board.removeprefix("unix:"))
            await link.open(timeout)
            await join_exported(link, board)
            return cls(link, board)
        boards = boards or KnownBoards()
        known = boards.find(board)
        agent = PinnedAgent(known, boards)
        link = network_link(known, agent, reconnect=reconnect, policy=policy, mode=mode)
        await link.open(timeout)
        assert link.established is not None
        agent.opened(link.established)
        await join_exported(link, known.name)
        return cls(link, known.name)

    async def __aenter__(self) -> Board:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Release everything that this session holds at the board, and disconnect."""
        await self.link.close()

    async def request(
        self, operation: str, /, *, within: float | None = DEFAULT_TIMEOUT, **fields: Any
    ) -> dict[str, Any]:
        """Any operation by its registry name, its fields by Python name; the answer's fields.

        Raises OperationTimeout when no answer came ``within`` that many seconds (checked once a second).
        """
        return await self.link.request(operation, fields, timeout=within)

    def learn(self, operations: Iterable[Operation], schema: str, source: str) -> None:
        """Let :meth:`request` and batches know the operations of a third-party driver.

        ``schema`` is the CDDL of their payloads, ``source`` names it. Raises LocalError when they clash.
        """
        self.link.operations = self.link.operations.extended(operations, schema, source)

    def batch(self) -> Batch:
        """Collect requests and send them as one sealed message: ``async with board.batch() as batch``."""
        return Batch(self.link)

    async def ping(self) -> float:
        """Seconds that a round trip to the agent takes."""
        start = time.perf_counter()
        await self.link.request("KEEPALIVE", {}, timeout=DEFAULT_TIMEOUT)
        return time.perf_counter() - start

    async def devices(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Everything that the board shares with us, or all of one ``kind`` ("serial")."""
        answer = await self.link.request("DEVICE_LIST", {"kind": kind}, timeout=DEFAULT_TIMEOUT)
        return list(answer["devices"])

    async def discover(self) -> list[dict[str, Any]]:
        """Everything that is connected to the board, shared or not; for administrators and hubs. Raises Forbidden."""
        return list((await self.link.request("DEVICE_DISCOVER", {}, timeout=DEFAULT_TIMEOUT))["devices"])

    async def device(self, resource: str) -> dict[str, Any]:
        """One resource by any of its names. Raises NotFound."""
        answer = await self.link.request("DEVICE_INFO", {"resource": resource}, timeout=DEFAULT_TIMEOUT)
        return dict(answer["device"])

    def subscribe(
        self, kinds: str | Iterable[str] | None = None, resource: str | None = None
    ) -> DeviceEvents:
        """What is plugged in, pulled out or changes: ``async with board.subscribe("usb") as events``.

        All devices, those of one kind or some ``kinds``, or one ``resource`` by any of its names, which need not
        be there. Raises NotFound, when it is entered, for a resource of a kind that the board does not serve.
        """
        return DeviceEvents(self.link, kinds, resource)

    async def wait_for(self, resource: str, *, timeout: float | None = None) -> dict[str, Any]:
        """A resource by any of its names, as soon as it is there. Raises OperationTimeout after that many seconds."""
        return await wait_for(self.link, resource, timeout)

    async def operations(self, resource: str | None = None) -> list[str]:
        """The operations that the board serves, or those that fit one resource."""
        answer = await self.link.request(
            "DEVICE_CAPABILITIES", {"resource": resource}, timeout=DEFAULT_TIMEOUT
        )
        return list(answer["operations"])

    def lock(
        self, resource: str, *, wait: float = 0.0, ttl: float | None = None, key: bytes | None = None
    ) -> Lock:
        """Keep others off a resource: ``async with board.lock("serial:ttyUSB0", wait=60)``.

        ``wait`` is how many seconds to wait for it, ``ttl`` after how many it falls by itself. With the ``key`` of
        another session's lock, ``lock.key``, that one is shared.
        """
        return Lock(self.link, resource, wait, ttl, key)

    async def break_lock(self, resource: str) -> None:
        """Let a lock fall, whosever it is; for administrators. Raises NotFound when there is none, Forbidden."""
        await self.link.request(
            "DEVICE_UNLOCK", {"resource": resource, "force": True}, timeout=DEFAULT_TIMEOUT
        )

    def rotate_keys(self) -> None:
        """Mix fresh keys into the session now; it happens by itself each 24 hours."""
        self.link.rotate(fresh=True)

    @property
    def session(self) -> Mapping[str, Any]:
        """What was negotiated: tier, whether post-quantum, whether the session was resumed."""
        established = self.link.established
        if established is None:
            return {}
        return {
            "tier": established.tier,
            "post_quantum": not established.classical,
            "resumed": established.resumed,
        }


def network_link(
    known: KnownBoard,
    agent: PinnedAgent,
    *,
    reconnect: float = 30.0,
    policy: Policy | None = None,
    mode: Mode = Mode.HYBRID,
) -> Link:
    """A link to a paired board over TCP, pinned to its fingerprint."""

    async def connect(factory: Any) -> None:
        await asyncio.get_running_loop().create_connection(factory, known.host, known.port)

    def make_session(state: ClientState) -> ClientSession:
        return ClientSession(SYSTEM, agent, state, policy or Policy(aes=prefers_aes()), mode)

    return Link(connect, make_session, reconnect=reconnect, on_registered=agent.registered)


def _local_link(path: str) -> Link:
    async def connect(factory: Any) -> None:
        await asyncio.get_running_loop().create_unix_connection(factory, path)

    return Link(connect, lambda state: LocalClientSession(), reconnect=0.0)


__all__ = ["Board", "NotPaired", "network_link"]
