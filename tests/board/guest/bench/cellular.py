"""A cellular modem behind the CDC-ACM port, where else the bench itself answers."""

from __future__ import annotations

import asyncio
from typing import Any

from devices.descriptors import device_descriptor
from devices.modem import Modem as Port
from models.modem import Modem


class Cellular:
    """The modem that is at the port, if one is. Of the port's lines it drives DSR (it is on) and RI (a call rings)."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._modem = Modem()
        self._timer: asyncio.TimerHandle | None = None
        self._rings = False

    async def gsm_attach(
        self, family: str | None, pin: str | None = None, registration_time: float = 0
    ) -> None:
        """Connect a modem of this family to the port; None: the bench hears the port again."""
        self._modem.wake = lambda: None
        self._port.listener = None
        self._rings = False
        self._port.set_levels(dsr=family is not None, ri=False)
        if family is None:
            return
        self._modem = Modem(family, registration_time=registration_time)
        self._modem.sim.pin = pin
        self._modem.wake = self._pump
        self._port.listener = self._modem.receive

    async def gsm_identity(self, vendor: int, product: int, manufacturer: str, name: str) -> None:
        """What USB says of the port when it is plugged in the next time."""
        self._port.device = device_descriptor(vendor, product, device_class=2)
        self._port.strings = (manufacturer, name, self._port.strings[2])

    async def gsm_ring(self, number: str) -> None:
        """Somebody calls."""
        self._modem.calls.ring(number)

    async def gsm_far_end_hangs_up(self) -> None:
        """The other side ends the call."""
        self._modem.calls.far_end_hangs_up()

    async def gsm_deliver(self, pdu: str) -> None:
        """A message comes from the network, hexadecimal as AT+CMGL shows it."""
        self._modem.messages.deliver(pdu)

    async def gsm_faults(
        self, kinds: list[str] | None = None, rate: float = 0.0, hang_time: float = 1.0
    ) -> dict[str, int]:
        """What goes wrong with the next commands, one each, and with how many of the later ones: all kinds at ``rate``.

        What went wrong so far is returned. See the model's Faults.
        """
        faults = self._modem.faults
        faults.next += kinds or []
        faults.rates = dict.fromkeys(faults.done, rate) if rate else {}
        faults.hang_time = hang_time
        return faults.done

    async def gsm_hang(self, seconds: float) -> None:
        """It is deaf and dumb for some time."""
        self._modem.hang(seconds)

    async def gsm_power_cycle(self) -> None:
        """Its supply fails for a moment; the USB part stays."""
        self._modem.power_on()

    async def gsm_seen(self) -> dict[str, Any]:
        """What the modem knows: {sent, stored, dialed, in_call, gnss, attempts, restarts, commands}."""
        modem = self._modem
        return {
            "sent": list(modem.messages.sent),
            "stored": len(modem.messages.memory),
            "dialed": list(modem.calls.dialed),
            "in_call": modem.calls.current is not None,
            "gnss": modem.gnss.is_on,
            "attempts": list(modem.sim.attempts),
            "restarts": modem.restarts,
            "commands": len(modem.commands),
        }

    def _pump(self) -> None:
        if data := self._modem.read():
            self._port.send(data)
        if (rings := self._modem.calls.rings) is not self._rings:
            self._rings = rings
            self._port.set_levels(ri=rings)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if (due := self._modem.due()) is not None:
            self._timer = asyncio.get_running_loop().call_later(due + 0.001, self._pump)
