"""A client by hand: every field of every message is the test's to choose, well-formed or not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from pair import IDENTITIES, AgentSide, Trust

from myclerk_protocol import header, keys, payloads
from myclerk_protocol.agent_session import AgentSession
from myclerk_protocol.events import AgentEvent
from myclerk_protocol.exchange import Mode, Offer
from myclerk_protocol.keys import Direction
from myclerk_protocol.operations import Opcode
from myclerk_protocol.seal import Aead, Opened, Opener, Sealer


@dataclass(frozen=True)
class RawTicket:
    """A ticket as it was handed out, the key in it, and the session ID under which that was."""

    ticket: bytes
    tag: bytes
    key: bytes
    session_id: int


class RawClient:
    """A client whose messages the test writes; :meth:`send` answers with what the agent sent, opened."""

    def __init__(self, agent: AgentSide, version: int = 1, mode: Mode = Mode.HYBRID) -> None:
        self.side = agent
        self.version = version
        self.mode = mode
        self.agent: AgentSession = agent.accept()
        self.events: list[AgentEvent] = []
        self.last_id = 1
        self.environment = agent.world.environment(b"raw")
        self.offer = Offer(mode, self.environment)
        self.nonce = b"initiate"
        self.transcript = b""
        self.key = b""
        self.session_id = 0
        self.ticket = RawTicket(b"", b"", b"", 0)
        self.sealer: Sealer
        self.opener: Opener

    # -- unsealed ------------------------------------------------------------------------------------------

    def fields(self, **changes: Any) -> dict[str, Any]:
        """The map of a SESSION_INIT by wire name; ``changes`` by Python name, None leaves a key out."""
        fields = {
            "nonce": self.nonce,
            "timestamp": int(self.environment.wall()),
            "kex-mode": int(self.mode),
            "x25519-public": self.offer.x25519_public,
            "mlkem-public": self.offer.mlkem_public,
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return {name: value for name, value in fields.items() if value is not None}

    def handshake_message(self, fields: dict[str, Any] | bytes, **changes: Any) -> bytes:
        """A handshake message around ``fields``; ``changes`` are header fields."""
        values = {
            "version": self.version,
            "tier": 4,
            "opcode": Opcode.SESSION_INIT,
            "timestamp": int(self.environment.wall()),
            "request_id": 1 if self.version else 0,
            **changes,
        }
        body = fields if isinstance(fields, bytes) else payloads.pack(fields)
        return header.encode_plain(header.Header(**values), body)

    def deliver(self, message: bytes) -> list[bytes]:
        """Hand one message to the agent; what it sends then."""
        events = self.agent.receive(message)
        self.events += events
        for event in events:
            self.side.handle(self.agent, event)
        return self.take()

    def take(self) -> list[bytes]:
        """What the agent sends now."""
        messages: list[bytes] = self.agent.outbox.take()
        if messages:
            self.agent.sent()
        return messages

    def refused(self, message: bytes) -> tuple[header.Header, dict[str, Any]]:
        """Hand over a message that gets one unsealed answer: its header and map."""
        (answer,) = self.deliver(message)
        head, payload = header.decode_plain(answer)
        return head, payloads.unpack(payload)

    # -- a session -----------------------------------------------------------------------------------------

    def handshake(self, **changes: Any) -> dict[str, Any]:
        """Complete SESSION_INIT; the fields of the agent's KEY_EXCHANGE_COMPLETE."""
        init = self.handshake_message(self.fields(**changes))
        ack, complete = self.deliver(init)
        head, payload = header.decode_plain(ack)
        fields = payloads.unpack(payload)
        shared = self.offer.shared(fields["x25519-public"], fields.get("mlkem-ciphertext"))
        self.transcript = hashlib.sha256(init + ack).digest()
        key = keys.session_key(shared, self.nonce, fields["nonce"], self.transcript)
        self.begin(
            key, head.session_id, Aead.AES256GCM if 3 in fields["selected-capabilities"] else Aead.CHACHA20
        )
        opened = self.open(complete)
        assert (opened.opcode, opened.push, opened.tier) == (Opcode.KEY_EXCHANGE_COMPLETE, True, 4)
        return payloads.unpack(opened.payload)

    def begin(self, key: bytes, session_id: int, aead: Aead = Aead.CHACHA20, key_id: int = 1) -> None:
        """Seal and open under the epoch of ``key`` from now on."""
        self.session_id = session_id
        self.aead = aead
        self.switch_sealer(key, key_id)
        self.switch_opener(key, key_id)

    def switch_sealer(self, key: bytes, key_id: int) -> None:
        """Seal under ``key`` from now on."""
        self.key = key
        self.sealer = Sealer(self.aead, keys.traffic(key, Direction.CLIENT), key_id)

    def switch_opener(self, key: bytes, key_id: int) -> None:
        """Open under ``key`` from now on."""
        self.epoch = key
        self.opener = Opener(self.aead, keys.traffic(key, Direction.AGENT), key_id, self.session_id)

    def register(self) -> list[Opened]:
        """Authenticate; the agent's answers. The ticket is kept in ``ticket``."""
        proof = Trust(IDENTITIES["device"], self.side.identity).again(self.transcript)
        answers = self.send(Opcode.CLIENT_REGISTER, payloads.pack(proof))
        self.keep_ticket(payloads.unpack(answers[0].payload))
        return answers

    def keep_ticket(self, fields: dict[str, Any]) -> None:
        """Note the ticket that ``fields`` hand out, if they do."""
        if "ticket" in fields:
            secret = keys.resume_secret(self.epoch, self.transcript)
            self.ticket = RawTicket(fields["ticket"], fields["ticket-tag"], secret, self.session_id)

    # -- resume --------------------------------------------------------------------------------------------

    def resume_message(self, ticket: RawTicket, /, **changes: Any) -> bytes:
        """A SESSION_RESUME; ``changes`` are fields of its map, by Python name."""
        self.offer = Offer(Mode.CLASSICAL, self.environment)
        fields = {
            "old-session-id": ticket.session_id,
            "ticket": ticket.ticket,
            "ticket-tag": ticket.tag,
            "nonce": self.nonce,
            "timestamp": int(self.environment.wall()),
            "x25519-public": self.offer.x25519_public,
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return self.handshake_message(fields, opcode=Opcode.SESSION_RESUME)

    def resume(self, ticket: RawTicket, aead: Aead = Aead.CHACHA20) -> dict[str, Any]:
        """Complete SESSION_RESUME up to the proof, which is the next message sent; the agent's own proof."""
        asked = self.resume_message(ticket)
        resumed, complete = self.deliver(asked)
        head, payload = header.decode_plain(resumed)
        fields = payloads.unpack(payload)
        self.resumed_header, self.resumed_fields = head, fields
        self.transcript = hashlib.sha256(asked + resumed).digest()
        shared = self.offer.shared(fields["x25519-public"], None)
        key = keys.resumed_key(ticket.key, shared, self.nonce, fields["nonce"], self.transcript)
        self.begin(key, head.session_id, aead)
        opened = self.open(complete)
        assert (opened.opcode, opened.push) == (Opcode.KEY_EXCHANGE_COMPLETE, True)
        assert (opened.tier, opened.request_id) == (4, 1)
        proof = payloads.unpack(opened.payload)
        self.keep_ticket(proof)
        return proof

    # -- sealed --------------------------------------------------------------------------------------------

    def seal(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        tier: int = 3,
        request_id: int | None = None,
        push: bool = False,
        compressed: bool = False,
        version: int | None = None,
    ) -> bytes:
        """One sealed message; the Request ID is the next one unless given."""
        version = self.version if version is None else version
        if request_id is None:
            self.last_id += 1
            request_id = self.last_id
        return self.sealer.seal(
            version,
            tier,
            opcode,
            self.session_id,
            request_id,
            int(self.environment.wall()),
            payload,
            push,
            compressed,
        )

    def open(self, message: bytes) -> Opened:
        """One message of the agent, opened."""
        opened: Opened = self.opener.open(message, int(self.side.environment.wall()))
        return opened

    def send(self, opcode: int, payload: bytes = b"", **options: Any) -> list[Opened]:
        """Seal and deliver one message (options as :meth:`seal`); what the agent sent, opened."""
        return [self.open(message) for message in self.deliver(self.seal(opcode, payload, **options))]

    def answers(self) -> list[Opened]:
        """What the agent has to say by itself, opened."""
        return [self.open(message) for message in self.take()]

    def tick(self, seconds: float) -> list[Opened]:
        """Let time pass for the agent alone; what it sends then, opened."""
        self.side.world.advance(seconds)
        self.events += self.agent.tick()
        return self.answers()


def authenticated(agent: AgentSide, version: int = 1, mode: Mode = Mode.HYBRID, **changes: Any) -> RawClient:
    """A raw client in an authenticated session; ``changes`` are fields of its SESSION_INIT."""
    client = RawClient(agent, version, mode)
    client.handshake(**changes)
    (answer,) = client.register()
    assert not payloads.unpack(answer.payload).get("status")
    return client


def resumed(side: AgentSide, ticket: RawTicket, aead: Aead = Aead.CHACHA20) -> RawClient:
    """A client that got its SESSION_RESUMED and has not proven itself; its next Request ID is 101."""
    client = RawClient(side)
    client.resume(ticket, aead)
    client.last_id = 100
    return client


def prove(client: RawClient) -> None:
    """Send the proof of a resume, and see it answered."""
    (answer,) = client.send(Opcode.NOP)
    assert not payloads.unpack(answer.payload)


def refused_resume(side: AgentSide, ticket: RawTicket, /, **changes: Any) -> int:
    """The status that refuses a resume; a whole handshake on the same connection works after it."""
    client = RawClient(side)
    head, fields = client.refused(client.resume_message(ticket, **changes))
    assert (head.opcode, head.session_id, head.request_id) == (Opcode.SESSION_RESUME, 0, 1)
    assert not client.agent.closed
    client.offer = RawClient(side).offer
    client.handshake()
    return int(fields["status"])


def rotate(client: RawClient, counter: int = 1) -> None:
    """A whole SESSION_ROTATE by hand."""
    (answer,) = client.send(Opcode.SESSION_ROTATE, tier=4)
    assert (answer.opcode, answer.payload) == (Opcode.SESSION_ROTATE, b"")
    key = keys.rotated_key(client.key, counter)
    client.switch_opener(key, counter + 1)
    assert client.send(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4) == []
    client.switch_sealer(key, counter + 1)


def refresh(client: RawClient, counter: int = 1, **changes: Any) -> Opened:
    """A whole KEY_EXCHANGE_INIT by hand; its answer."""
    offer = Offer(client.mode, client.environment)
    fields = {"x25519-public": offer.x25519_public, "mlkem-public": offer.mlkem_public, **changes}
    request = payloads.pack(fields)
    (answer,) = client.send(Opcode.KEY_EXCHANGE_INIT, request, tier=4)
    if answer.opcode != Opcode.KEY_EXCHANGE_RESPONSE:
        return answer
    response = payloads.unpack(answer.payload)
    shared = offer.shared(response["x25519-public"], response.get("mlkem-ciphertext"))
    key = keys.fresh_key(client.key, shared, counter, request, answer.payload)
    client.switch_opener(key, counter + 1)
    assert client.send(Opcode.KEY_EXCHANGE_COMPLETE, request_id=0, tier=4) == []
    client.switch_sealer(key, counter + 1)
    return answer
