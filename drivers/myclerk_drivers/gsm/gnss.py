"""GNSS: the receiver of a modem, and the record of where it was."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

from myclerk_protocol.status import BadRequest, Conflict, OperationError, OperationTimeout, Unsupported

from .channel import AtChannel
from .modem import Modem
from .receivers import NAMES, RECEIVERS, Receiver

LONGEST_RECORD = 10_000
LOOK = 1.0
"""Seconds between looks for a first fix."""


class Gnss:
    """The receiver. While positions are recorded the modem is held, and after a restart it is switched on again."""

    def __init__(self, modem: Modem) -> None:
        self._modem = modem
        self._turn = asyncio.Lock()
        self._interval = 0.0
        self._record: deque[dict[str, Any]] = deque(maxlen=1000)
        self._recorded = 0
        self._recorder: asyncio.Task[None] | None = None

    def close(self) -> None:
        """Stop recording. Idempotent."""
        if self._recorder is not None:
            self._recorder.cancel()
            self._recorder = None
        self._modem.let_go(self)

    def _receiver(self) -> Receiver:
        found = RECEIVERS.get(self._modem.dialect.gnss)
        if found is None:
            model = self._modem.identity.model or "this modem"
            raise Unsupported(f"{model} has no GNSS receiver that is known")
        return found

    async def enable(self, enabled: bool) -> dict[str, Any]:
        """Switch it: {``enabled``}. Raises Unsupported without a receiver; off also ends recording."""
        if not enabled:
            self.close()
            self._interval = 0.0
        async with self._turn, self._modem.use("switching GNSS") as channel:
            await self._switch(channel, enabled)
        return {"enabled": enabled}

    async def _switch(self, channel: AtChannel, on: bool) -> None:
        receiver = self._receiver()
        if await receiver.is_on(channel) is not on:
            await receiver.switch(channel, on)

    async def position(self, timeout: float = 0.0) -> dict[str, Any]:
        """{``position``}, or nothing without a fix within ``timeout`` seconds. Raises Conflict while it is off."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while True:
            async with self._turn, self._modem.use("asking for the position") as channel:
                receiver = self._receiver()
                if not await receiver.is_on(channel):
                    raise Conflict(f"GNSS of {self._modem.name} is off; switch it on first")
                found = await receiver.position(channel)
            if found is not None:
                return {"position": found}
            if loop.time() >= deadline:
                if timeout:
                    raise OperationTimeout(
                        f"{self._modem.name} found no position within {timeout:g} s; it needs the sky"
                    )
                return {}
            await asyncio.sleep(min(LOOK, max(deadline - loop.time(), 0.0)))

    def history(self, since: int, limit: int) -> dict[str, Any]:
        """{``history``: positions from number ``since`` on, at most ``limit``; ``next``: where to go on}."""
        first = self._recorded - len(self._record)
        start = max(since - first, 0)
        chosen = list(self._record)[start : start + limit]
        return {"history": chosen, "next": first + start + len(chosen)}

    async def configure(
        self,
        constellations: Sequence[str] | None,
        record_interval: float | None,
        record_limit: int | None,
    ) -> dict[str, Any]:
        """Change what is given; what is in force then. Recording (an interval above 0) switches the receiver on."""
        if constellations is not None:
            if "gps" not in constellations:
                raise BadRequest("`constellations` must have gps", key="constellations")
            if unknown := set(constellations) - set(NAMES):
                raise BadRequest(f"`constellations` has no {min(unknown)}", key="constellations")
        async with self._turn, self._modem.use("configuring GNSS") as channel:
            receiver = self._receiver()
            if constellations is not None:
                await receiver.choose(channel, constellations)
            chosen = await receiver.constellations(channel)
        if record_limit is not None:
            self._record = deque(self._record, maxlen=record_limit)
        if record_interval is not None:
            await self._set_interval(record_interval)
        found: dict[str, Any] = {"record_interval": self._interval, "record_limit": self._record.maxlen}
        return found if chosen is None else {**found, "constellations": chosen}

    async def _set_interval(self, seconds: float) -> None:
        self.close()
        self._interval = seconds
        if seconds:
            await self.enable(True)
            self._modem.hold(self, "positions are recorded (`myclerk gnss config --record 0` ends that)")
            self._recorder = asyncio.ensure_future(self._keep_record())

    async def _keep_record(self) -> None:
        last: dict[str, Any] | None = None
        while True:
            try:
                async with self._turn, self._modem.use("recording the position") as channel:
                    await self._switch(channel, True)
                    found = await self._receiver().position(channel)
                if found is not None and found != last:
                    last = found
                    self._record.append(found)
                    self._recorded += 1
            except OperationError as error:
                self._modem.context.log.debug("%s: no position: %s", self._modem.name, error)
            await asyncio.sleep(self._interval)
