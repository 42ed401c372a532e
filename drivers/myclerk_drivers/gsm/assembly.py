"""Messages from their parts (TS 23.040 section 9.2.3.24.1), in whatever order these came, and as events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .memory import STATUS, Stored
from .pdu import Deliver, Message, StatusReport, Submit, decode, join
from .pdu_fields import PduError, Time

SPREAD = 24 * 3600
"""Seconds between the parts of one message at most: references come again."""


@dataclass(slots=True)
class Assembled:
    """A message, or what is there of it: ``parts`` by number (1 if it has no parts), ``stored`` all its places."""

    first: Message | None
    total: int = 1
    parts: dict[int, Message] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    stored: list[Stored] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether no part is missing."""
        return len(self.parts) == self.total

    @property
    def key(self) -> str:
        """Names it: the digests of its parts, in order."""
        return "+".join(self.digests[number] for number in sorted(self.digests))


def assemble(messages: Iterable[Stored]) -> list[Assembled]:
    """Group what is stored; a message that is stored twice (the network repeats what it got no receipt for) is one."""
    found: list[Assembled] = []
    groups: dict[tuple[object, ...], list[Assembled]] = {}
    for stored in messages:
        try:
            message: Message | None = decode(stored.pdu, outgoing=stored.status > 1)
        except PduError:
            message = None
        part = message.content.header.part if isinstance(message, Deliver | Submit) else None
        if part is None or message is None:
            key: tuple[object, ...] = (stored.pdu,)
            total = number = 1
        else:
            partner = message.sender if isinstance(message, Deliver) else message.recipient
            key = (stored.status > 1, partner, part.reference, part.total)
            total, number = part.total, part.number
        for group in groups.setdefault(key, []):
            if group.digests.get(number, stored.digest) == stored.digest and _near(group, message):
                break
        else:
            group = Assembled(message, total)
            groups[key].append(group)
            found.append(group)
        group.stored.append(stored)
        group.digests[number] = stored.digest
        if message is not None:
            group.parts[number] = message
    return found


def _near(group: Assembled, message: Message | None) -> bool:
    one, other = _time(group.first), _time(message)
    return one is None or other is None or abs(one.timestamp - other.timestamp) <= SPREAD


def _time(message: Message | None) -> Time | None:
    return message.time if isinstance(message, Deliver) else None


def message_event(assembled: Assembled, memory: str = "") -> dict[str, Any]:
    """The fields of ``gsm-sms-message`` (gsm.cddl)."""
    fields: dict[str, Any] = {
        "id": assembled.key,
        "parts": assembled.total,
        "complete": assembled.complete and bool(assembled.parts),
    }
    if assembled.stored:
        fields["indexes"] = [stored.index for stored in assembled.stored]
        fields["memory"] = memory
        fields["status"] = STATUS.get(assembled.stored[0].status, "unread")
    if not assembled.parts:
        pdus = [stored.pdu for stored in assembled.stored]
        return {**fields, "encoding": "unreadable", "data": bytes.fromhex(pdus[0])}
    numbers = sorted(assembled.parts)
    if missing := [number for number in range(1, assembled.total + 1) if number not in assembled.parts]:
        fields["missing"] = missing
    first = assembled.parts[numbers[0]]
    if isinstance(first, StatusReport):
        return {**fields, "encoding": "report", "report": report_event(first)}
    fields |= _content(assembled, numbers)
    if isinstance(first, Deliver):
        fields |= {"sender": first.sender, "service_center": first.service_center, **_times(first.time)}
    else:
        fields["recipient"] = first.recipient
    return fields


def _content(assembled: Assembled, numbers: list[int]) -> dict[str, Any]:
    contents = [
        part.content for number in numbers if isinstance(part := assembled.parts[number], Deliver | Submit)
    ]
    coding = contents[0].coding
    found: dict[str, Any] = {"encoding": coding.encoding}
    if all(content.text is not None for content in contents):
        found["text"] = join([content.text or "" for content in contents])
    else:
        found["data"] = b"".join(
            content.data if content.data is not None else (content.text or "").encode()
            for content in contents
        )
    if coding.message_class is not None:
        found["message_class"] = coding.message_class
        found["flash"] = coding.message_class == 0
    if contents[0].header.ports is not None:
        found["ports"] = list(contents[0].header.ports)
    return found


def report_event(report: StatusReport) -> dict[str, Any]:
    """The fields of ``gsm-sms-report``."""
    fields: dict[str, Any] = {
        "reference": report.reference,
        "recipient": report.recipient,
        "outcome": report.outcome,
        "tp_status": report.status,
        **_times(report.time),
    }
    if report.discharge is not None:
        fields["discharged"] = report.discharge.timestamp
    return fields


def _times(time: Time | None) -> dict[str, Any]:
    return {} if time is None else {"timestamp": time.timestamp, "utc_offset": time.utc_offset}
