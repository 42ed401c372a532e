"""The SIM: whether it is unlocked, and unlocking it without wasting a try (TS 27.007 section 8.3).

Three wrong PINs lock a SIM, ten wrong PUKs destroy it. So a code is sent once, whatever comes back; one that was
refused is not sent again; the PIN of the settings is only tried while no try is lost; and the last try wants to be
asked for.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

from myclerk_protocol.status import BadRequest, Conflict, HardwareError, OperationError

from .at import fields
from .channel import AtChannel
from .faults import AtError, NoAnswer
from .modem import Modem

ALL_TRIES = 3
_STATES = {
    "READY": "ready",
    "SIM PIN": "pin",
    "SIM PUK": "puk",
    "SIM PIN2": "ready",  # for fixed dialling numbers only
    "SIM PUK2": "ready",
}
_NO_SIM = (10, 13, 310, 313)
READING_TIME = 20.0
"""Seconds that a SIM may be busy after it was unlocked."""


class Sim:
    """The SIM of a modem. ``pin`` is that of the settings, if there is one."""

    def __init__(self, modem: Modem, pin: str | None = None) -> None:
        self._modem = modem
        self._pin = pin
        self._refused: set[tuple[str, str]] = set()
        self._turn = asyncio.Lock()

    async def state(self, channel: AtChannel) -> str:
        """ "ready", "pin", "puk", "absent", or what AT+CPIN? says of another lock. Raises AtError, NoAnswer."""
        deadline = asyncio.get_running_loop().time() + READING_TIME
        while True:
            try:
                lines = await channel.run("AT+CPIN?", "+CPIN:", required=True, timeout=10)
            except AtError as error:
                if error.code in _NO_SIM:
                    return "absent"
                if not error.is_passing or asyncio.get_running_loop().time() > deadline:
                    raise
                await channel.tty.pause(0.2)
                continue
            said = lines[0].partition(":")[2].strip()
            return _STATES.get(said, said.lower())

    async def tries(self, channel: AtChannel) -> tuple[int, int] | None:
        """Tries left for PIN and PUK, None if the modem does not say."""
        command, form = self._modem.dialect.tries
        with suppress(AtError):
            lines = await channel.run(command, command.removeprefix("AT").partition("=")[0] + ":")
            if found := form.search("\n".join(lines)):
                return int(found["pin"]), int(found["puk"])
        return None

    async def unlock(
        self,
        channel: AtChannel,
        pin: str | None = None,
        puk: str | None = None,
        new_pin: str | None = None,
        last_try: bool = False,
    ) -> str:
        """Enter what the SIM wants, if it is there; its state then.

        Raises BadRequest for a code that was refused (with what is left), Conflict when it may not be tried.
        """
        async with self._turn:
            state = await self.state(channel)
            if state == "pin" and pin is not None:
                await self._enter(channel, "PIN", pin, f'AT+CPIN="{pin}"', 0, last_try)
            elif state == "puk" and puk is not None:
                if new_pin is None:
                    raise BadRequest("a PUK needs a `new-pin` beside it", key="new-pin")
                await self._enter(channel, "PUK", puk, f'AT+CPIN="{puk}","{new_pin}"', 1, last_try)
            elif state == "pin" and self._pin is not None:
                await self._enter_own(channel, self._pin)
            else:
                return state
            return await self.state(channel)

    async def _enter_own(self, channel: AtChannel, pin: str) -> None:
        """The PIN of the settings: nobody watches, so nothing is risked."""
        tries = await self.tries(channel)
        if tries is None or tries[0] < ALL_TRIES:
            left = "an unknown number of" if tries is None else tries[0]
            self._modem.context.log.warning(
                "%s: the PIN of the settings is not tried, as %s tries are left", self._modem.name, left
            )
            return
        with suppress(BadRequest):
            await self._enter(channel, "PIN", pin, f'AT+CPIN="{pin}"', 0, False)

    async def _enter(
        self, channel: AtChannel, kind: str, code: str, command: str, which: int, last_try: bool
    ) -> None:
        key = (await self._card(channel), code)
        if key in self._refused:
            raise Conflict(f"this {kind} was refused by this SIM before; it is not tried again")
        before = await self.tries(channel)
        if before is not None and before[which] <= 1 and not last_try:
            after = "the SIM wants its PUK" if kind == "PIN" else "the SIM is lost for ever"
            raise Conflict(
                f"only the last try for the {kind} is left; if it is wrong {after}; ask for `last-try`"
            )
        try:
            await channel.run(command, timeout=20)
        except AtError as error:
            if error.is_passing:
                raise
            self._refused.add(key)
            raise await self._wrong(channel, kind, which, error) from None
        except NoAnswer:
            if await self.state(channel) in ("pin", "puk"):
                self._refused.add(key)  # it may have been: once is enough
                left = await self.tries(channel)
                if left is not None and left == before:
                    self._refused.discard(key)
                    raise
                raise await self._wrong(channel, kind, which, None) from None

    async def _wrong(
        self, channel: AtChannel, kind: str, which: int, error: AtError | None
    ) -> OperationError:
        left = await self.tries(channel)
        rest = "" if left is None else f"; {left[which]} tries are left"
        why = "incorrect" if error is None or error.code in (16, 12, None) else error.meaning
        return BadRequest(f"the SIM of {self._modem.name} refused the {kind}: {why}{rest}", key=kind.lower())

    async def _card(self, channel: AtChannel) -> str:
        return await self.iccid(channel) or ""

    async def iccid(self, channel: AtChannel) -> str | None:
        """The number of the card, None while it cannot be read."""
        command, prefix = self._modem.dialect.iccid
        form = re.compile(re.escape(prefix) + r' ?"?[0-9A-Fa-f]{18,22}"?')
        with suppress(AtError):
            lines = await channel.run(command, form)
            if lines:
                digits = "".join(re.findall(r"[0-9A-Fa-f]{18,22}", lines[0])[:1])
                return digits.rstrip("Ff")
        return None

    async def require(self, channel: AtChannel) -> None:
        """Raise what keeps the SIM from being used, if anything does; the PIN of the settings is tried first."""
        state = await self.unlock(channel)
        if state == "ready":
            return
        if state == "absent":
            raise HardwareError(f"{self._modem.name} has no SIM; insert one", errno="CME-10")
        if state in ("pin", "puk"):
            raise Conflict(
                f"the SIM of {self._modem.name} wants its {state.upper()}; "
                f"unlock it with `myclerk modem init --{state}`"
            )
        raise Conflict(f"{self._modem.name} is locked: it wants the {state}")


async def own_number(channel: AtChannel) -> str | None:
    """The subscriber's number as far as it is on the SIM."""
    value = await channel.has_value("AT+CNUM", "+CNUM:")
    if value is None:
        return None
    found = fields(f":{value}")
    return found[1] if len(found) > 1 and found[1] else None


def code(text: str | None, key: str, least: int) -> str | None:
    """A PIN (4 to 8 digits) or PUK (8), checked. Raises BadRequest."""
    if text is not None and not (re.fullmatch(r"[0-9]{4,8}", text) and len(text) >= least):
        wanted = "8 digits" if least == 8 else "4 to 8 digits"
        raise BadRequest(f"`{key}` must have {wanted}", key=key)
    return text
