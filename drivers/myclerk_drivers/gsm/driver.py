"""The GSM driver: modems, and the operations 0x0670-0x067F on them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from myclerk_protocol.status import BadRequest, NotFound

from ..base import Access, Driver, Resource, Stream, serves
from ..context import DriverContext
from .alphabet import IDENTIFIERS
from .inbox import MessageStream
from .listing import Found, find_modems
from .memory import STATUS
from .modem import Tuning
from .network import registration, signal
from .pdu import Outgoing
from .services import Habits, Services
from .sim import code
from .simulated import SimulatedModems

USSD_TIMEOUT = 60.0
LONGEST_HISTORY = 1000
"""Positions of one answer."""


class GsmDriver(Driver):
    """Modems as ``gsm:NAME``: that of the tty that takes their commands, or of the settings.

    Nothing is opened by a session: a modem serves all of them at once. Its tty is taken when it is needed, and given
    back when it was idle for a while; streams, calls and the record of positions keep it.
    """

    kind = "gsm"
    settings: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "ports": (
            {},
            "Modems that are not found by themselves, name = device path or a list of paths to try.",
        ),
        "baud": (115200, "Bits per second of modems on a UART."),
        "idle": (30.0, "Seconds after which the tty of a modem that nobody uses is given back."),
        "pin": ("", "PIN of the SIMs; it is only tried while none of the three tries is lost."),
        "message-interval": (30.0, "Seconds between looks for messages that the modem did not announce."),
        "patience": (86400.0, "Seconds after which a message is pushed though parts of it are missing."),
    }

    def __init__(self, context: DriverContext, simulation: SimulatedModems | None = None) -> None:
        """Raises ValueError for settings that make no sense."""
        super().__init__(context)
        given = {name: context.settings.get(name, default) for name, (default, _) in self.settings.items()}
        self._named = _ports(given["ports"])
        self._tuning, self._habits = _checked(given)
        self.simulation = simulation
        if simulation is not None:
            self._named = {name: (path,) for name, path in simulation.paths.items()}
        self._services: dict[str, Services] = {}

    @classmethod
    def simulated(cls, context: DriverContext, table: Mapping[str, Any]) -> GsmDriver:
        """The driver of the modems that ``table`` describes (:mod:`.simulated`)."""
        simulation = SimulatedModems.from_description(table)
        driver = cls(context, simulation)
        simulation.start(context)
        return driver

    def close(self) -> None:
        """Give everything back."""
        for services in self._services.values():
            services.close()
        if self.simulation is not None:
            self.simulation.close()

    def resources(self) -> Iterable[Resource]:
        """All modems there are now, whether they answer or not."""
        return [found.resource for found in self._find()]

    def _find(self) -> list[Found]:
        in_use = {key for key, services in self._services.items() if services.modem.port is not None}
        return find_modems(self._named, in_use, only_named=self.simulation is not None)

    def _ports(self, key: str) -> Sequence[str]:
        """The ttys of a modem now: they may be others after it was plugged in again."""
        found = next((found for found in self._find() if found.key == key), None)
        return () if found is None else [path for path in found.ports if os.path.exists(path)]

    def _of(self, resource: Resource) -> Services:
        found = next((found for found in self._find() if found.resource.name == resource.name), None)
        if found is None:
            raise NotFound(f"{resource.name} is not plugged in")
        services = self._services.get(found.key)
        if services is None:
            ports = partial(self._ports, found.key)
            services = Services(self.context, resource.name, ports, self._tuning, self._habits)
            self._services[found.key] = services
        services.modem.name = resource.name
        return services

    # -- modem ---------------------------------------------------------------------------------------------

    @serves("GSM_MODEM_INIT", access=Access.READ_WRITE, audit=True)
    async def initialise(
        self,
        resource: Resource,
        pin: str | None = None,
        puk: str | None = None,
        new_pin: str | None = None,
        last_try: bool = False,
        reset: bool = False,
        release: bool = False,
        wait: float = 0.0,
    ) -> Mapping[str, Any]:
        """Set up, unlock the SIM with ``pin``, or with ``puk`` and ``new_pin``, wait for the network; the status.

        ``reset`` starts the modem again before. ``release`` gives its tty back, and does nothing else. Raises
        BadRequest for a code that was refused, Conflict for one that may not be tried (:mod:`.sim`).
        """
        services = self._of(resource)
        if release:
            await services.modem.release()
            return {}
        code(pin, "pin", 4), code(puk, "puk", 8), code(new_pin, "new-pin", 4)
        if reset:
            await services.modem.reset()
        return await services.initialise(pin, puk, new_pin, last_try, wait)

    @serves("GSM_MODEM_STATUS", access=Access.READ)
    async def status(self, resource: Resource) -> Mapping[str, Any]:
        """Who the modem is, its SIM, its memory. Raises Conflict, OperationTimeout, DeviceGone."""
        return await self._of(resource).status()

    @serves("GSM_NETWORK_REG", access=Access.READ)
    async def network(self, resource: Resource) -> Mapping[str, Any]:
        """Registration, operator, access technology, cell."""
        modem = self._of(resource).modem
        async with modem.use("asking for the registration") as channel:
            return await registration(channel, modem.dialect)

    @serves("GSM_SIGNAL_QUALITY", access=Access.READ)
    async def signal(self, resource: Resource) -> Mapping[str, Any]:
        """Strength and quality, as far as the modem measures them now."""
        modem = self._of(resource).modem
        async with modem.use("asking for the signal") as channel:
            return await signal(channel, modem.dialect)

    # -- messages ------------------------------------------------------------------------------------------

    @serves("GSM_SMS_SEND", access=Access.WRITE, audit=True)
    async def send(
        self,
        resource: Resource,
        to: str,
        text: str | None = None,
        data: bytes | None = None,
        encoding: str = "auto",
        language: str | None = None,
        flash: bool = False,
        report: bool = False,
        validity: float | None = None,
        ports: Sequence[int] | None = None,
    ) -> Mapping[str, Any]:
        """Send a message, in several parts if it is long: {``references``, ``parts``}. See :class:`.outbox.Outbox`.

        Raises BadRequest; an error has in ``sent`` how many parts were taken by the network before.
        """
        if (text is None) is (data is None):
            raise BadRequest("a message has either `text` or `data`", key="text")
        if language is not None and language not in IDENTIFIERS:
            raise BadRequest(f"`language` must be one of: {', '.join(IDENTIFIERS)}", key="language")
        if not re.fullmatch(r"\+?[0-9*#]{1,20}", to):
            raise BadRequest("`to` must be a number: digits, with + in front of the country", key="to")
        pair = (ports[0], ports[1]) if ports is not None else None
        message = Outgoing(to, text, data, encoding, language, flash, report, validity, pair)
        try:
            return await self._of(resource).outbox.send(message)
        except UnicodeEncodeError:
            raise BadRequest("`text` has characters that cannot be sent", key="text") from None
        except ValueError as error:
            if isinstance(error, BadRequest):
                raise
            raise BadRequest(str(error), key="text") from None

    @serves("GSM_SMS_RECEIVE", access=Access.READ)
    def receive(self, resource: Resource, stored: bool = True) -> Stream:
        """The stream of what comes in (:class:`.inbox.MessageStream`), beginning with what is ``stored``."""
        return MessageStream(self._of(resource).inbox, stored)

    @serves("GSM_SMS_LIST", access=Access.READ)
    async def messages(self, resource: Resource) -> Mapping[str, Any]:
        """{``messages``}: all in the modem's memory, received and outgoing."""
        return {"messages": await self._of(resource).messages()}

    @serves("GSM_SMS_DELETE", access=Access.WRITE)
    async def delete(
        self, resource: Resource, ids: Sequence[str] | None = None, statuses: Sequence[str] | None = None
    ) -> Mapping[str, Any]:
        """Delete messages by ``ids``, or all of some ``statuses``: {``deleted``}, counted in parts."""
        if (ids is None) is (statuses is None):
            raise BadRequest("say what to delete: either `ids` or `statuses`", key="ids")
        if statuses is not None and not set(statuses) <= set(STATUS.values()):
            raise BadRequest(f"`statuses` may have: {', '.join(STATUS.values())}", key="statuses")
        return {"deleted": await self._of(resource).delete(ids, statuses)}

    # -- USSD ----------------------------------------------------------------------------------------------

    @serves("GSM_USSD_SEND", access=Access.WRITE, audit=True)
    async def ussd(self, resource: Resource, code: str, timeout: float = USSD_TIMEOUT) -> Mapping[str, Any]:
        """Send a code to the network: {``state``, ``text``}; in state "waiting" it wants a reply."""
        return await self._of(resource).ussd.send(code, timeout)

    @serves("GSM_USSD_RESPONSE", access=Access.WRITE)
    async def ussd_reply(
        self, resource: Resource, text: str | None = None, cancel: bool = False, timeout: float = USSD_TIMEOUT
    ) -> Mapping[str, Any]:
        """Reply to what the network asked, or ``cancel`` the dialogue. As :meth:`ussd`."""
        ussd = self._of(resource).ussd
        if cancel:
            await ussd.cancel()
            return {"state": "terminated"}
        if text is None:
            raise BadRequest("`text` is the reply", key="text")
        return await ussd.reply(text, timeout)

    # -- GNSS ----------------------------------------------------------------------------------------------

    @serves("GSM_GNSS_ENABLE", access=Access.WRITE, audit=True)
    async def gnss(self, resource: Resource, enabled: bool) -> Mapping[str, Any]:
        """Switch the receiver. Raises Unsupported where there is none."""
        return await self._of(resource).gnss.enable(enabled)

    @serves("GSM_GNSS_POSITION", access=Access.READ)
    async def position(
        self,
        resource: Resource,
        timeout: float = 0.0,
        history: bool = False,
        since: int = 0,
        limit: int = LONGEST_HISTORY,
    ) -> Mapping[str, Any]:
        """{``position``} if there is a fix within ``timeout`` seconds; or with ``history`` those that were recorded."""
        gnss = self._of(resource).gnss
        return gnss.history(since, limit) if history else await gnss.position(timeout)

    @serves("GSM_GNSS_CONFIG", access=Access.WRITE, audit=True)
    async def configure_gnss(
        self,
        resource: Resource,
        constellations: Sequence[str] | None = None,
        record_interval: float | None = None,
        record_limit: int | None = None,
    ) -> Mapping[str, Any]:
        """Choose constellations, begin or end (0) recording positions; what is in force then."""
        return await self._of(resource).gnss.configure(constellations, record_interval, record_limit)

    # -- calls ---------------------------------------------------------------------------------------------

    @serves("GSM_VOICE_DIAL", access=Access.WRITE, audit=True)
    async def dial(self, resource: Resource, to: str) -> Stream:
        """Call a number; the stream of the call's states. It hangs up when the stream is closed."""
        return await self._of(resource).calls.dial(to)

    @serves("GSM_VOICE_HANGUP", access=Access.WRITE, audit=True)
    async def hang_up(self, resource: Resource, call: int | None = None) -> Mapping[str, Any]:
        """End one call, or all: {``ended``}."""
        return await self._of(resource).calls.hang_up(call)

    @serves("GSM_VOICE_ANSWER", access=Access.WRITE, audit=True)
    async def answer(self, resource: Resource, watch: bool = False) -> Stream:
        """Take the call that rings; its stream, as :meth:`dial`. With ``watch`` the stream of all calls instead."""
        calls = self._of(resource).calls
        return calls.watch() if watch else await calls.answer()


def _ports(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    ports = {}
    for name, paths in given.items():
        chosen = [paths] if isinstance(paths, str) else paths
        if (
            not isinstance(chosen, list)
            or not chosen
            or not all(isinstance(path, str) and os.path.isabs(path) for path in chosen)
        ):
            raise ValueError(
                f"the gsm driver's `ports.{name}` must be an absolute device path, or a list of them"
            )
        ports[name] = tuple(chosen)
    return ports


def _checked(given: Mapping[str, Any]) -> tuple[Tuning, Habits]:
    if not 300 <= given["baud"] <= 4_000_000:
        raise ValueError("the gsm driver's `baud` must lie between 300 and 4000000")
    for name, low in (("idle", 0.0), ("message-interval", 1.0), ("patience", 0.0)):
        if not low <= given[name] <= 31_536_000:
            raise ValueError(f"the gsm driver's `{name}` must be {low:g} or more seconds")
    if given["pin"] and not re.fullmatch(r"[0-9]{4,8}", given["pin"]):
        raise ValueError("the gsm driver's `pin` must have 4 to 8 digits")
    tuning = Tuning(baud=given["baud"], idle=given["idle"])
    return tuning, Habits(given["pin"] or None, given["message-interval"], given["patience"])
