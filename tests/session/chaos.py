"""What the session machine is made of: an agent that takes its time, a wire, a witness of nonces."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from pair import AgentSide, Connection, World

from myclerk_protocol import keys, payloads
from myclerk_protocol.agent_session import AgentSession
from myclerk_protocol.events import AgentEvent, Request
from myclerk_protocol.keys import TrafficKeys
from myclerk_protocol.records import SessionRecord
from myclerk_protocol.seal import Aead, Sealer


class RecordingSealer(Sealer):
    """Notes under which key and nonce each message was sealed; a repeat is the one thing that must never be."""

    used: ClassVar[set[tuple[bytes, bytes]]] = set()

    def __init__(self, aead: Aead, traffic: TrafficKeys, key_id: int) -> None:
        super().__init__(aead, traffic, key_id)
        self.traffic = traffic

    def seal(
        self, version: int, tier: int, opcode: int, session: int, request: int, at: int, *rest: Any
    ) -> bytes:
        pair = self.traffic.key, keys.nonce(at, self.traffic.random, self.messages)
        assert pair not in self.used, "a nonce was used twice"
        self.used.add(pair)
        return super().seal(version, tier, opcode, session, request, at, *rest)


class Agent(AgentSide):
    """Holds back each third request; notes what each session executed, by the number in the payload."""

    def __init__(self) -> None:
        super().__init__(World())
        self.serve = lambda request: None if number_in(request.payload) % 3 == 0 else bytes(request.payload)
        self.order: dict[int, list[int]] = {}
        self.records: list[SessionRecord] = []  # kept alive, so that their ids stay their own

    def handle(self, session: AgentSession, event: AgentEvent) -> None:
        if isinstance(event, Request):
            assert session.record is not None
            self.records.append(session.record)
            self.order.setdefault(id(session.record), []).append(number_in(event.payload))
        super().handle(session, event)


class Wire:
    """A connection and what is on its way on it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.up: deque[bytes] = deque()
        self.down: deque[bytes] = deque()
        self.seen = 0

    def flush(self) -> None:
        """Put on the way what both sides have to say."""
        self.up += self.connection.take_client()
        self.down += self.connection.take_agent()


def number_in(payload: bytes | memoryview) -> int:
    """The number that a request or its answer carries."""
    number = payloads.unpack(payload)["n"]
    assert isinstance(number, int)
    return number


def payload_with(number: int) -> bytes:
    """The payload of request ``number``; some are large."""
    return payloads.pack({"n": number, "filler": bytes(5000 if number % 7 == 0 else number % 5)})
