"""The health of a board, from the desktop. Knows nothing of drivers or kernels."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from myclerk_client import Board, EventStream

from .operations import OPERATIONS, SCHEMA


class Monitor:
    """A measurement of the processor's use, open at the board until it is closed."""

    def __init__(self, board: Board, opened: dict[str, Any]) -> None:
        self._board = board
        self._handle: int = opened["handle"]
        self.processors: int = opened["processors"]

    async def __aenter__(self) -> Monitor:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def read(self) -> float | None:
        """The share of time that was busy since the last look, 0.0 to 1.0; None when no time has passed."""
        answer = await self._board.request("HEALTH_MONITOR_READ", handle=self._handle)
        return answer.get("busy")

    async def watch(self, interval: float = 1.0) -> EventStream:
        """Events {timestamp_ns, busy}, one each ``interval`` seconds; stop the stream when done."""
        stream = EventStream(self._board.link)
        await stream.open("HEALTH_MONITOR_WATCH", {"handle": self._handle, "interval": interval})
        return stream

    async def close(self) -> None:
        """End the measurement."""
        await self._board.request("HEALTH_MONITOR_CLOSE", handle=self._handle)


class Health:
    """The health of ``board``; from now on its ``request`` knows the operations of this driver too."""

    def __init__(self, board: Board, resource: str = "health:cpu") -> None:
        board.learn(OPERATIONS, SCHEMA, "health.cddl")
        self._board = board
        self.resource = resource

    async def read(self) -> dict[str, Any]:
        """Load averages, uptime in seconds, memory in bytes."""
        return await self._board.request("HEALTH_READ", resource=self.resource)

    async def temperatures(self) -> list[dict[str, Any]]:
        """Every thermal zone of the board: name, kind, celsius."""
        answer = await self._board.request("HEALTH_TEMPERATURES", resource=self.resource)
        return list(answer["zones"])

    async def monitor(self) -> Monitor:
        """Begin to measure the processor's use."""
        opened = await self._board.request("HEALTH_MONITOR_OPEN", resource=self.resource)
        return Monitor(self._board, opened)
