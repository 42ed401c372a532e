"""Everything that one modem offers, over the one dialogue with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from myclerk_protocol.status import OperationError

from ..context import DriverContext
from .assembly import assemble, message_event
from .calls import Calls
from .faults import AtError
from .gnss import Gnss
from .inbox import Inbox
from .memory import STATUS, Memory
from .modem import Modem, Tuning
from .network import await_registration
from .outbox import Outbox
from .sim import Sim, own_number
from .ussd import Ussd

_IMEI = re.compile(r"(?:\+CGSN: ?)?\"?[0-9]{14,17}\"?")
_IMSI = re.compile(r"[0-9]{6,15}")


@dataclass(frozen=True, slots=True)
class Habits:
    """Settings of the driver: ``pin`` of the SIM (:class:`.sim.Sim`); the others are of :class:`.inbox.Inbox`."""

    pin: str | None = None
    message_interval: float = 30.0
    patience: float = 24 * 3600.0


class Services:
    """A modem with its SIM, messages, USSD, calls and GNSS."""

    def __init__(
        self,
        context: DriverContext,
        name: str,
        find_ports: Callable[[], Sequence[str]],
        tuning: Tuning,
        habits: Habits,
    ) -> None:
        self.modem = Modem(context, name, find_ports, tuning)
        self.sim = Sim(self.modem, habits.pin)
        self.memory = Memory(self.modem, self.sim)
        self.outbox = Outbox(self.modem, self.memory)
        self.inbox = Inbox(self.modem, self.memory, habits.message_interval, habits.patience)
        self.ussd = Ussd(self.modem, self.sim)
        self.gnss = Gnss(self.modem)
        self.calls = Calls(self.modem, self.sim)

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self.gnss.close()
        self.calls.close()
        self.modem.close()

    async def initialise(
        self, pin: str | None, puk: str | None, new_pin: str | None, last_try: bool, wait: float
    ) -> dict[str, Any]:
        """Set the modem up, unlock its SIM, wait up to ``wait`` seconds for the network; its status then."""
        async with self.modem.use("initialising") as channel:
            state = await self.sim.unlock(channel, pin, puk, new_pin, last_try)
            if state == "ready" and wait:
                await await_registration(channel, self.modem.dialect, wait)
        return await self.status()

    async def status(self) -> dict[str, Any]:
        """The fields of ``gsm-modem-status``, as far as the modem and its SIM give them."""
        modem = self.modem
        async with modem.use("asking for the status") as channel:
            found: dict[str, Any] = {
                "family": modem.dialect.family,
                "manufacturer": modem.identity.manufacturer,
                "model": modem.identity.model,
                "firmware": modem.identity.firmware,
                "port": modem.port,
                "gnss": bool(modem.dialect.gnss),
                "sim": await self.sim.unlock(channel),
            }
            serial = await channel.run("AT+CGSN", _IMEI, required=True)
            found["imei"] = "".join(c for c in serial[0] if c.isdigit())
            if found["sim"] != "absent":
                found["iccid"] = await self.sim.iccid(channel)
                tries = await self.sim.tries(channel)
                if tries is not None:
                    found["pin_tries"], found["puk_tries"] = tries
            if found["sim"] == "ready":
                with suppress(AtError):
                    found["imsi"] = (await channel.run("AT+CIMI", _IMSI, required=True))[0]
                found["msisdn"] = await own_number(channel)
                with suppress(AtError, OperationError):
                    await self.memory.prepare(channel)
                    found |= {"messages": self.memory.used, "message_room": self.memory.size}
                    found["memory"] = self.memory.name
        return found

    async def messages(self) -> list[dict[str, Any]]:
        """All messages in the modem's memory, those in parts put together."""
        async with self.memory.turn, self.modem.use("listing messages") as channel:
            await self.memory.prepare(channel)
            stored = await self.memory.listing(channel)
        return [message_event(message, self.memory.name) for message in assemble(stored)]

    async def delete(self, identifiers: Sequence[str] | None, statuses: Sequence[str] | None) -> int:
        """Delete messages by their ``id``, or all with one of ``statuses``; how many there were."""
        async with self.memory.turn, self.modem.use("deleting messages") as channel:
            await self.memory.prepare(channel)
            if identifiers is None:
                stored = await self.memory.listing(channel)
                digests = [
                    message.digest for message in stored if STATUS.get(message.status) in (statuses or ())
                ]
            else:
                digests = [digest for identifier in identifiers for digest in identifier.split("+")]
            return len(await self.memory.delete(channel, digests))
