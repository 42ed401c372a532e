"""An agent by hand, against a real client: every field of every message is the test's to choose."""

from __future__ import annotations

import hashlib
from typing import Any

from pair import IDENTITIES, AgentSide, Trust

from myclerk_protocol import exchange, header, keys, payloads
from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.events import ClientEvent
from myclerk_protocol.keys import Direction
from myclerk_protocol.operations import Opcode
from myclerk_protocol.seal import Aead, Opened, Opener, Sealer


class RawAgent:
    """An agent whose messages the test writes, against a real client."""

    def __init__(self, client: ClientSession, side: AgentSide) -> None:
        self.client = client
        self.side = side
        self.events: list[ClientEvent] = []
        client.start()
        (self.init,) = client.outbox.take()
        head, payload = header.decode_plain(self.init)
        self.asked = payloads.unpack(payload)
        self.request_id = head.request_id

    def ack(self, header_changes: dict[str, Any] | None = None, **changes: Any) -> bytes:
        """A SESSION_ACK that fits the client's SESSION_INIT, but for the changes."""
        public, ciphertext, self.shared = exchange.answer(
            self.side.environment, self.asked["x25519-public"], self.asked.get("mlkem-public")
        )
        fields = {
            "session-id": 7,
            "nonce": b"responds",
            "selected-tier": 5,
            "selected-kex-mode": self.asked["kex-mode"],
            "x25519-public": public,
            "mlkem-ciphertext": ciphertext,
            "selected-capabilities": [2],
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        values = {
            "version": 1,
            "tier": 4,
            "opcode": Opcode.SESSION_ACK,
            "session_id": 7,
            "timestamp": int(self.side.environment.wall()),
            "request_id": 1,
            **(header_changes or {}),
        }
        message: bytes = header.encode_plain(header.Header(**values), payloads.pack(fields))
        self.transcript = hashlib.sha256(self.init + message).digest()
        self.key = keys.session_key(self.shared, self.asked["nonce"], b"responds", self.transcript)
        self.sealer = Sealer(Aead.CHACHA20, keys.traffic(self.key, Direction.AGENT), 1)
        self.opener = Opener(Aead.CHACHA20, keys.traffic(self.key, Direction.CLIENT), 1, 7)
        return message

    def seal(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        tier: int = 3,
        request_id: int = 0,
        push: bool = False,
        compressed: bool = False,
        version: int = 1,
    ) -> bytes:
        """One sealed message of the agent."""
        now = int(self.side.environment.wall())
        return self.sealer.seal(version, tier, opcode, 7, request_id, now, payload, push, compressed)

    def proof(self, **options: Any) -> bytes:
        """The agent's KEY_EXCHANGE_COMPLETE."""
        options = {"tier": 4, "request_id": 1, "push": True, **options}
        opcode = options.pop("opcode", Opcode.KEY_EXCHANGE_COMPLETE)
        return self.seal(opcode, payloads.pack(self.side.proof(self.transcript)), **options)

    def deliver(self, message: bytes) -> list[ClientEvent]:
        """Hand one message to the client; what followed from it."""
        events: list[ClientEvent] = self.client.receive(message)
        self.events += events
        return events

    def received(self) -> list[Opened]:
        """What the client sent, opened."""
        now = int(self.side.environment.wall())
        return [self.opener.open(message, now) for message in self.client.outbox.take()]

    def answer_registration(self, **fields: Any) -> None:
        """Answer the client's CLIENT_REGISTER with success and a ticket."""
        (request,) = (m for m in self.received() if m.opcode == Opcode.CLIENT_REGISTER)
        expires_at = int(self.side.environment.wall()) + 86400
        values = {"ticket": bytes(64), "ticket-tag": bytes(16), "expires-at": expires_at, **fields}
        self.deliver(self.seal(Opcode.CLIENT_REGISTER, payloads.pack(values), request_id=request.request_id))


def raw_agent(side: AgentSide, **changes: Any) -> RawAgent:
    """A raw agent that has answered a client's SESSION_INIT (``changes`` as :meth:`ack`) and registration."""
    trust = Trust(IDENTITIES["device"], side.identity)
    agent = RawAgent(ClientSession(side.world.environment(b"client"), trust), side)
    agent.deliver(agent.ack(**changes))
    agent.deliver(agent.proof())
    agent.answer_registration()
    return agent
