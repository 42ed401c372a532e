"""Cellular modems of a board (operations 0x0670-0x067F)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from myclerk_protocol.status import BadRequest, DeviceGone, NotFound, OperationTimeout

from .link import Link
from .streams import EventStream


class SmsInbox:
    """What comes in: ``async for event in inbox``. Each has ``kind``: "message", "report", "storage-full" or "lost".

    A message stays in the modem until it is deleted. With ``delete`` that is done when the loop comes back for the next
    event: what the body of the loop has not finished comes again, to whoever asks next. A modem that is away or does
    not answer is asked again with the event after that.
    """

    def __init__(self, modem: GsmModem, stream: EventStream, delete: bool) -> None:
        self._modem = modem
        self._stream = stream
        self._delete = delete
        self._done: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            if exc[0] is None:
                await self._finish()
        finally:
            await self.stop()

    async def next(self) -> dict[str, Any] | None:
        """The next event, None when the inbox was stopped. Raises SessionLost, or Forbidden to delete."""
        with suppress(DeviceGone, NotFound, OperationTimeout):
            await self._finish()
        event = await self._stream.next()
        message = (event or {}).get("message", {})
        if self._delete and message.get("indexes"):
            self._done.append(message["id"])
        return event

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while (event := await self.next()) is not None:
            yield event

    async def stop(self) -> None:
        """Receive no more. Idempotent."""
        await self._stream.stop()

    async def _finish(self) -> None:
        if self._done:
            await self._modem.delete(self._done)
            self._done.clear()


class Call:
    """A voice call: ``async for event in call`` tells its states, "ended" last. Closing it hangs up."""

    def __init__(self, modem: GsmModem, stream: EventStream, opened: Mapping[str, Any]) -> None:
        self._modem = modem
        self._stream = stream
        self.number: int = opened.get("call", 0)
        self.state: str = "dialing"
        self.reason: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def next(self) -> dict[str, Any] | None:
        """The next change: ``state``, ``timestamp_ns``, ``reason`` when it ended. None behind the last one."""
        event = await self._stream.next()
        if event is not None:
            self.state, self.reason = event["state"], event.get("reason")
        return event

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while (event := await self.next()) is not None:
            yield event

    async def until(self, state: str) -> bool:
        """Wait for a ``state`` ("active"); False if the call ended without it."""
        while self.state != state:
            if self.state == "ended" or await self.next() is None:
                return False
        return True

    async def hang_up(self) -> None:
        """End the call. Raises NotFound when it is over already."""
        await self._modem.hang_up(self.number)

    async def close(self) -> None:
        """Hang up if it is still up. Idempotent."""
        await self._stream.stop()


class GsmModem:
    """One modem. Nothing is opened or held; all sessions use it together.

    All methods raise NotFound when it is not plugged in, OperationTimeout when it does not answer, Conflict when
    another program on the board has its tty (``details["holder"]`` names it) or its SIM is locked, DeviceGone.
    """

    def __init__(self, link: Link, resource: str) -> None:
        self._link = link
        self.resource = resource

    # -- modem ---------------------------------------------------------------------------------------------

    async def initialise(
        self,
        *,
        pin: str | None = None,
        puk: str | None = None,
        new_pin: str | None = None,
        last_try: bool = False,
        reset: bool = False,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """Set it up, unlock its SIM, wait up to ``wait`` seconds for the network; its status.

        A PIN that was refused is not tried again, the last try only with ``last_try``. ``puk`` needs ``new_pin``.
        Raises BadRequest for a wrong code, with the tries that are left in its message.
        """
        fields = {
            "pin": pin,
            "puk": puk,
            "new_pin": new_pin,
            "last_try": last_try or None,
            "reset": reset or None,
        }
        return await self._request("GSM_MODEM_INIT", **fields, wait=wait or None)

    async def release(self) -> None:
        """Give its tty back at once, say for `myclerk serial console`. Raises Conflict while something uses it."""
        await self._request("GSM_MODEM_INIT", release=True)

    async def status(self) -> dict[str, Any]:
        """``manufacturer``, ``model``, ``firmware``, ``imei``, ``sim``, ``iccid``, ``imsi``, tries and memory left."""
        return await self._request("GSM_MODEM_STATUS")

    async def network(self) -> dict[str, Any]:
        """``state`` ("home", "roaming", "searching"...), ``operator``, ``access``, ``area``, ``cell``."""
        return await self._request("GSM_NETWORK_REG")

    async def signal(self) -> dict[str, Any]:
        """``rssi`` in dBm, ``bit_error_rate`` in percent, and of LTE ``rsrp`` (dBm), ``rsrq`` and ``sinr`` (dB)."""
        return await self._request("GSM_SIGNAL_QUALITY")

    # -- messages ------------------------------------------------------------------------------------------

    async def send(
        self,
        to: str,
        text: str | None = None,
        *,
        data: bytes | None = None,
        encoding: str = "auto",
        language: str | None = None,
        flash: bool = False,
        report: bool = False,
        validity: float | None = None,
        ports: tuple[int, int] | None = None,
    ) -> dict[str, Any]:
        """Send a message, in parts if it is long; ``references`` and ``parts`` when the network has taken all.

        ``encoding`` is "auto", "gsm7" or "ucs2"; ``language`` ("turkish") lets its national tables be used, which saves
        parts; ``report`` asks for delivery reports, which :meth:`receive` gives; ``validity`` is in seconds. Raises
        BadRequest, ServiceUnavailable without network; ``details["sent"]`` counts the parts that went before.
        """
        return await self._request(
            "GSM_SMS_SEND",
            to=to,
            text=text,
            data=data,
            encoding=None if encoding == "auto" else encoding,
            language=language,
            flash=flash or None,
            report=report or None,
            validity=None if validity is None else int(validity),
            ports=None if ports is None else list(ports),
        )

    async def receive(self, *, stored: bool = True, delete: bool = False) -> SmsInbox:
        """What comes in from now on, beginning with what is ``stored``; see :class:`SmsInbox`."""
        stream = EventStream(self._link)
        await stream.open("GSM_SMS_RECEIVE", {"resource": self.resource, "stored": stored})
        return SmsInbox(self, stream, delete)

    async def messages(self) -> list[dict[str, Any]]:
        """All messages in the modem's memory."""
        return list((await self._request("GSM_SMS_LIST"))["messages"])

    async def delete(
        self, ids: Iterable[str | Mapping[str, Any]] | None = None, *, statuses: Sequence[str] | None = None
    ) -> int:
        """Delete messages (as :meth:`messages` gives them, or their ``id``), or all of some ``statuses``.

        How many there were, each part counted. Statuses are "unread", "read", "unsent", "sent".
        """
        chosen = None if ids is None else [one if isinstance(one, str) else one["id"] for one in ids]
        if chosen == []:
            return 0
        answer = await self._request(
            "GSM_SMS_DELETE", ids=chosen, statuses=None if statuses is None else list(statuses)
        )
        return int(answer["deleted"])

    # -- USSD ----------------------------------------------------------------------------------------------

    async def ussd(self, code: str, *, timeout: float | None = None) -> dict[str, Any]:
        """Send a code such as "*100#": ``text``, and ``state``, which is "waiting" when a reply is wanted.

        Raises ServiceUnavailable for a code that the network does not know; OperationTimeout after 60 s or ``timeout``.
        """
        return await self._request("GSM_USSD_SEND", code=code, timeout=timeout)

    async def ussd_reply(self, text: str, *, timeout: float | None = None) -> dict[str, Any]:
        """Reply to what the network asked; as :meth:`ussd`. Raises Conflict when it asked nothing."""
        return await self._request("GSM_USSD_RESPONSE", text=text, timeout=timeout)

    async def ussd_cancel(self) -> None:
        """End the dialogue."""
        await self._request("GSM_USSD_RESPONSE", cancel=True)

    # -- GNSS ----------------------------------------------------------------------------------------------

    async def gnss(self, enabled: bool) -> None:
        """Switch the receiver on or off. Raises Unsupported where there is none."""
        await self._request("GSM_GNSS_ENABLE", enabled=enabled)

    async def position(self, *, timeout: float | None = None) -> dict[str, Any] | None:
        """``latitude``, ``longitude``, ``altitude``, ``speed`` (m/s), ``timestamp``...; None without a fix.

        With a ``timeout`` in seconds it waits for a fix, and raises OperationTimeout then. Raises Conflict while off.
        """
        answer = await self._request("GSM_GNSS_POSITION", timeout=timeout)
        return answer.get("position")

    async def history(self, since: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Recorded positions from number ``since`` on, oldest first, at most 1000; and ``since`` for the next ones."""
        answer = await self._request("GSM_GNSS_POSITION", history=True, since=since)
        return list(answer["history"]), int(answer["next"])

    async def configure_gnss(
        self,
        *,
        constellations: Sequence[str] | None = None,
        record_interval: float | None = None,
        record_limit: int | None = None,
    ) -> dict[str, Any]:
        """Choose among "gps", "glonass", "beidou", "galileo", "qzss"; record a position each ``record_interval`` s.

        0 ends recording, which else goes on without this session. What is absent stays; what is in force is returned.
        """
        return await self._request(
            "GSM_GNSS_CONFIG",
            constellations=None if constellations is None else list(constellations),
            record_interval=None if record_interval is None else float(record_interval),
            record_limit=record_limit,
        )

    # -- calls ---------------------------------------------------------------------------------------------

    async def dial(self, to: str) -> Call:
        """Place a voice call to a number. It lasts as long as what is returned is open, and this session lives."""
        return await self._call("GSM_VOICE_DIAL", to=to)

    async def answer(self) -> Call:
        """Take the call that rings; as :meth:`dial`. Raises Conflict when none does."""
        return await self._call("GSM_VOICE_ANSWER")

    async def calls(self) -> EventStream:
        """The changes of all calls, those that ring among them; stop the stream when done."""
        stream = EventStream(self._link)
        await stream.open("GSM_VOICE_ANSWER", {"resource": self.resource, "watch": True})
        return stream

    async def hang_up(self, call: int | None = None) -> int:
        """End one call, or all; how many there were. Raises NotFound for a call that is over."""
        return int((await self._request("GSM_VOICE_HANGUP", call=call))["ended"])

    async def _call(self, operation: str, **fields: Any) -> Call:
        stream = EventStream(self._link)
        opened = await stream.open(operation, {"resource": self.resource, **fields})
        return Call(self, stream, opened)

    async def _request(self, operation: str, **fields: Any) -> dict[str, Any]:
        return await self._link.request(operation, {"resource": self.resource, **fields})


class GsmModems:
    """The modems of a board; ``board.gsm``."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def modem(self, name: str) -> GsmModem:
        """A modem by resource name ("gsm:ttyUSB2") or short name; nothing is asked yet."""
        if not name:
            raise BadRequest("a modem has a name: gsm:ttyUSB2", key="resource")
        return GsmModem(self._link, name if name.startswith("gsm:") else f"gsm:{name}")

    async def list(self) -> list[dict[str, Any]]:
        """The modems: ``name``, ``description``, and in ``properties`` their ttys and what USB says of them."""
        return list((await self._link.request("DEVICE_LIST", {"kind": "gsm"}))["devices"])
