"""Sending messages: each part once, whatever is lost between the modem and us.

A part is stored (AT+CMGW), sent from there (AT+CMSS) and deleted. When an answer is lost, the modem's memory says
whether the part is stored and whether it was sent, so that it is neither lost nor sent twice. Where the memory is full
or the modem cannot do that, a part is sent directly (AT+CMGS), and a lost answer is reported as what it is: a doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import SystemRandom
from typing import Any

from myclerk_protocol.status import DeviceGone, NotFound, OperationError, OperationTimeout

from .at import fields, number
from .faults import AtError, NoAnswer
from .memory import SENT, UNSENT, Memory
from .modem import Modem
from .pdu import Encoded, Outgoing, encode

ATTEMPTS = 4
SEND_TIMEOUT = 60.0
"""Seconds; the network may take that long (TS 27.005 leaves it open, the makers say 60)."""
NO_SIM = frozenset({310, 311, 316})
IMPOSSIBLE = frozenset({None, 3, 4, 20, 302, 303, 322})
"""Codes that say that a message cannot be stored: no such command, not allowed, not supported, memory full."""
PAUSE = 1.0
"""Seconds until a part is sent again that was refused."""
RETURN_TIME = 60.0
"""Seconds to wait for a modem that left while a message was being sent."""


class InDoubt(OperationTimeout):
    """A part may have been sent or not."""


class Outbox:
    """What goes out through a modem, one message at a time."""

    def __init__(self, modem: Modem, memory: Memory) -> None:
        self._modem = modem
        self._memory = memory
        self._reference = SystemRandom().randrange(256)
        self._clearing: set[asyncio.Future[None]] = set()
        self._left_behind: dict[int, Encoded] = {}

    async def send(self, message: Outgoing) -> dict[str, Any]:
        """Send all parts: {``references``, ``parts``}. A reference that was lost on the way is left out.

        Raises ValueError for a message that cannot be encoded; an OperationError has in ``sent`` how many parts the
        network had taken before.
        """
        parts = encode(message, self._reference)
        if len(parts) > 1:
            self._reference = (self._reference + 1) % 256
        references: list[int] = []
        async with self._memory.turn:
            for index, part in list(self._left_behind.items()):
                await self._discard(index, part)
            for sent, part in enumerate(parts):
                try:
                    reference = await self._send_persistently(part, ATTEMPTS if sent else 1)
                except OperationError as error:
                    said = (
                        f"{error.message}; {sent} of {len(parts)} parts were sent" if sent else error.message
                    )
                    raise type(error)(said, **{**error.details, "sent": sent}) from None
                if reference is not None:
                    references.append(reference)
        return {"references": references, "parts": len(parts)}

    async def _send_persistently(self, part: Encoded, attempts: int) -> int | None:
        """A message that was begun is not given up at the first refusal; a doubt ends it."""
        while True:
            try:
                return await self._send(part)
            except OperationError as error:
                attempts -= 1
                if not attempts or isinstance(error, InDoubt):
                    raise
                await asyncio.sleep(PAUSE)

    async def _send(self, part: Encoded) -> int | None:
        try:
            index = await self._store(part)
        except BaseException:  # it may be stored nevertheless
            self._begin(self._clear(part))
            raise
        if index is None:
            return await self._send_directly(part)
        try:
            return await self._send_stored(index, part)
        finally:
            await asyncio.shield(self._begin(self._discard(index, part)))

    def _begin(self, clearing: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        """Clear up also when the sender is cancelled meanwhile."""
        task = asyncio.ensure_future(clearing)
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)
        return task

    async def _store(self, part: Encoded) -> int | None:
        """Where the part is stored now; None if the modem cannot store it."""
        for _ in range(ATTEMPTS):
            async with self._modem.use("storing a message") as channel:
                await self._memory.prepare(channel)
                try:
                    lines = await channel.run(
                        f"AT+CMGW={part.length}",
                        "+CMGW:",
                        payload=part.pdu.encode(),
                        required=True,
                        timeout=15,
                    )
                    if (index := number((fields(lines[0]) or [""])[0])) is not None:
                        return index
                except AtError as error:
                    if error.code in NO_SIM:
                        raise
                    if error.code in IMPOSSIBLE:
                        return None
                except NoAnswer:
                    pass
            if (index := await self._find(part)) is not None:
                return index
        return None

    async def _find(self, part: Encoded) -> int | None:
        """Where the part is stored, if its storing was done though no answer came."""
        async with self._modem.use("looking for a stored message") as channel:
            await self._memory.prepare(channel)
            unsent = await self._memory.listing(channel, (UNSENT,))
        return next((message.index for message in unsent if message.pdu == part.pdu), None)

    async def _clear(self, part: Encoded) -> None:
        """Delete a part whose storing was given up."""
        try:
            async with self._memory.turn:
                index = await self._find(part)
                if index is not None:
                    await self._discard(index, part)
        except OperationError as error:
            self._modem.context.log.debug("%s: %s", self._modem.name, error)

    async def _send_stored(self, index: int, part: Encoded) -> int | None:
        for _ in range(ATTEMPTS):
            try:
                async with self._modem.use("sending a message") as channel:
                    await self._memory.prepare(channel)
                    try:
                        lines = await channel.run(
                            f"AT+CMSS={index}", "+CMSS:", required=True, timeout=SEND_TIMEOUT
                        )
                        return number((fields(lines[0]) or [""])[0])
                    except NoAnswer:
                        pass
            except (DeviceGone, NotFound, OperationTimeout):
                pass
            if await self._status(index, part) == SENT:
                return None
        raise OperationTimeout(f"{self._modem.name} did not answer in time; the message was not sent")

    async def _status(self, index: int, part: Encoded) -> int:
        """Whether a stored part was sent. Waits for a modem that left."""
        deadline = asyncio.get_running_loop().time() + RETURN_TIME
        while True:
            try:
                async with self._modem.use("looking whether a message was sent") as channel:
                    await self._memory.prepare(channel)
                    stored = await self._memory.read(channel, index)
                    break
            except (DeviceGone, NotFound, OperationTimeout):
                if asyncio.get_running_loop().time() > deadline:
                    raise InDoubt(
                        f"{self._modem.name} left while a message was being sent; it may have been sent"
                    ) from None
                await asyncio.sleep(0.5)
        if stored is None or stored.pdu != part.pdu:
            raise InDoubt(f"{self._modem.name} has lost the message while sending it; it may have been sent")
        return stored.status

    async def _send_directly(self, part: Encoded) -> int | None:
        async with self._modem.use("sending a message") as channel:
            await self._memory.prepare(channel)
            try:
                lines = await channel.run(
                    f"AT+CMGS={part.length}",
                    "+CMGS:",
                    payload=part.pdu.encode(),
                    required=True,
                    timeout=SEND_TIMEOUT,
                )
            except (NoAnswer, DeviceGone, NotFound, OperationTimeout):
                raise InDoubt(
                    f"{self._modem.name} did not answer in time; the message may have been sent"
                ) from None
        return number((fields(lines[0]) or [""])[0])

    async def _discard(self, index: int, part: Encoded) -> None:
        """Delete a part that was sent or given up. One that cannot be now is no failure of the sending: it is deleted
        before the next message is sent, or it would fill the memory."""
        self._left_behind[index] = part
        for _ in range(ATTEMPTS):
            try:
                async with self._modem.use("deleting a sent message") as channel:
                    stored = await self._memory.read(channel, index)
                    if stored is not None and stored.pdu == part.pdu:
                        await channel.run(f"AT+CMGD={index}", timeout=25)
                    self._left_behind.pop(index, None)
                    return
            except OperationError as error:
                self._modem.context.log.debug("%s: %s", self._modem.name, error)
