"""A client and an agent session joined in memory, with a clock and randomness that the test holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from myclerk_protocol import payloads
from myclerk_protocol.agent_session import AgentSession
from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.environment import Environment
from myclerk_protocol.events import AgentEvent, ClientEvent, Ended, Registration, Request, Response
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.mesh.profiles import Identity, ProfileKind, parse_profile, verify_agent, verify_client
from myclerk_protocol.operations import REGISTRY, Opcode
from myclerk_protocol.records import SessionRecord, SessionRegistry
from myclerk_protocol.status import OperationError

WORK = Opcode.DEVICE_LIST
"""An operation that the session hands to the agent, as hundreds of others."""


class World:
    """Time that passes only when told, and randomness that repeats from a seed."""

    def __init__(self, seed: bytes = b"world", wall: float = 1_800_000_000.0) -> None:
        self.wall = wall
        self.monotonic = 1000.0
        self.drawn = 0
        self._seed = seed

    def environment(self, name: bytes = b"", ahead: float = 0.0) -> Environment:
        """An environment of this world; ``name`` keeps the randomness of two sides apart.

        Its wall clock goes ``ahead`` seconds before the world's.
        """
        return Environment(lambda n: self._random(name, n), lambda: self.wall + ahead, lambda: self.monotonic)

    def _random(self, name: bytes, size: int) -> bytes:
        self.drawn += 1
        seed = self._seed + name + self.drawn.to_bytes(8, "big")
        return hashlib.shake_256(seed).digest(size)

    def advance(self, seconds: float) -> None:
        """Let both clocks go on."""
        self.wall += seconds
        self.monotonic += seconds


class Trust:
    """The client's authenticator: it pins one agent identity."""

    def __init__(self, device: Identity, agent: Identity) -> None:
        self.device, self.agent = device, agent

    def first(self, proof: Mapping[str, Any], transcript: bytes) -> Mapping[str, Any]:
        profile = parse_profile(proof["profile"], ProfileKind.HOST, fingerprint=self.agent.fingerprint)
        verify_agent(profile.public_key, transcript, proof["signature"])
        return self.again(transcript)

    def again(self, transcript: bytes) -> Mapping[str, Any]:
        signature, _ = self.device.client_proof(transcript, self.agent.fingerprint)
        return {"device": self.device.fingerprint, "signature": signature}

    def follow_up(self, answer: object, transcript: bytes) -> None:
        return None


class AgentSide:
    """An agent that lives through many connections.

    ``serve`` makes the answer to a request: a payload, an error to raise, or None to hold it back in
    ``held`` until :meth:`finish`. ``executed`` lists what was executed.
    """

    def __init__(self, world: World, policy: Policy | None = None, ahead: float = 0.0) -> None:
        self.world = world
        self.environment = world.environment(b"agent", ahead)
        self.policy = policy or Policy()
        self.identity = IDENTITIES["agent"]
        self.ended: list[SessionRecord] = []
        self.registry = SessionRegistry(self.environment, self.policy, self.ended.append)
        self.executed: list[tuple[int, int, bytes]] = []
        self.held: list[tuple[SessionRecord, Request]] = []
        self.admits = True
        self.operations = REGISTRY
        self.serve: Callable[[Request], bytes | OperationError | None] = lambda request: b""

    def proof(self, transcript: bytes) -> Mapping[str, Any]:
        signature, _ = self.identity.agent_proof(transcript)
        return {
            "profile": self.identity.profile.raw,
            "signature": signature,
            "time": int(self.environment.wall()),
        }

    def accept(self) -> AgentSession:
        """The session of a new connection."""
        return AgentSession(
            self.registry, self.environment, self.policy, self.proof, lambda: self.admits, self.operations
        )

    def handle(self, session: AgentSession, event: AgentEvent) -> None:
        """Do what an agent does with an event of its session."""
        if isinstance(event, Registration):
            device = IDENTITIES["device"]
            try:
                verify_client(
                    device.profile.public_key,
                    event.transcript,
                    self.identity.fingerprint,
                    event.fields["signature"],
                )
            except OperationError as error:
                session.refuse(event.request, error)
                return
            session.accept(event, device.fingerprint, {})
            assert session.record is not None
            session.record.holdings = session.record.holdings or "everything"
        elif isinstance(event, Request):
            payload = bytes(event.payload)
            self.executed.append((event.request_id, event.opcode, payload))
            answer = self.serve(event)
            if isinstance(answer, OperationError):
                session.refuse(event, answer)
            elif answer is not None:
                session.respond(event, answer)
            else:
                assert session.record is not None
                self.held.append((session.record, event))

    def finish(self, payload: bytes = b"", index: int = 0) -> None:
        """Answer a request that was held back, on whatever connection carries its session now."""
        record, request = self.held.pop(index)
        record.respond(request, payload)


class Connection:
    """One connection between a client state and an agent; messages move when pumped."""

    def __init__(
        self,
        agent: AgentSide,
        state: ClientState | None = None,
        policy: Policy | None = None,
        mode: Mode = Mode.HYBRID,
        ahead: float = 0.0,
    ) -> None:
        self.agent_side = agent
        self.world = world = agent.world
        self.agent = agent.accept()
        trust = Trust(IDENTITIES["device"], agent.identity)
        self.client = ClientSession(world.environment(b"client", ahead), trust, state, policy, mode)
        self.agent_events: list[AgentEvent] = []
        self.client_events: list[ClientEvent] = []
        self.client.start()

    def to_agent(self, messages: list[bytes] | None = None) -> None:
        """Deliver what the client has to say, or these messages."""
        for message in self.take_client() if messages is None else messages:
            for event in self.agent.receive(message):
                self.agent_events.append(event)
                self.agent_side.handle(self.agent, event)

    def to_client(self, messages: list[bytes] | None = None) -> None:
        """Deliver what the agent has to say, or these messages."""
        for message in self.take_agent() if messages is None else messages:
            self.client_events += self.client.receive(message)

    def take_client(self) -> list[bytes]:
        """What the client sends now."""
        messages = self.client.outbox.take()
        if messages:
            self.client.sent()
        return messages

    def take_agent(self) -> list[bytes]:
        """What the agent sends now."""
        messages = self.agent.outbox.take()
        if messages:
            self.agent.sent()
        return messages

    def pump(self) -> Connection:
        """Deliver until both sides are silent."""
        for _ in range(50):
            outgoing = self.take_client()
            self.to_agent(outgoing)
            incoming = self.take_agent()
            self.to_client(incoming)
            if not outgoing and not incoming:
                return self
        raise AssertionError("the sessions talk without end")

    def cut(self) -> ClientState:
        """The transport is lost; both sides notice, what was on its way is gone. The client's state."""
        self.lose_agent()
        return self.lose_client()

    def lose_agent(self) -> None:
        """The agent notices that the transport is lost."""
        self.agent.end("cut", linger=True)
        self.agent_events += self.agent.take_events()
        self.agent.outbox.take()

    def lose_client(self) -> ClientState:
        """The client notices that the transport is lost, the agent does not (yet). The client's state."""
        self.client.end("cut", linger=True)
        self.client_events += self.client.take_events()
        self.client.outbox.take()
        return self.client.state

    def tick(self, seconds: float = 0.0) -> None:
        """Let time pass, then let both sides notice it."""
        self.world.advance(seconds)
        for event in self.agent.tick():
            self.agent_events.append(event)
            self.agent_side.handle(self.agent, event)
        self.client_events += self.client.tick()

    def live(self, seconds: int) -> None:
        """Let seconds pass one by one, with everything that both sides have to say meanwhile."""
        for _ in range(seconds):
            self.tick(1.0)
            self.pump()

    @property
    def answers(self) -> list[tuple[int, bytes]]:
        """The answers that the client got: Request ID and payload, in order."""
        return [
            (event.request.request_id, bytes(event.payload))
            for event in self.client_events
            if isinstance(event, Response)
        ]

    @property
    def end_of_agent(self) -> Ended | None:
        """How the connection ended for the agent, if it did."""
        self.agent_events += self.agent.take_events()
        return next((event for event in self.agent_events if isinstance(event, Ended)), None)

    @property
    def end_of_client(self) -> Ended | None:
        """How the connection ended for the client, if it did."""
        self.client_events += self.client.take_events()
        return next((event for event in self.client_events if isinstance(event, Ended)), None)


def agent_side(policy: Policy | None = None, ahead: float = 0.0) -> AgentSide:
    """An agent in a world of its own."""
    return AgentSide(World(), policy, ahead)


def connected(agent: AgentSide | None = None, state: ClientState | None = None, **options: Any) -> Connection:
    """A connection on which the client is authenticated, or has resumed ``state``."""
    connection = Connection(agent or agent_side(), state, **options).pump()
    assert connection.agent.phase.name == "AUTHENTICATED", connection.client_events
    return connection


def status_of(payload: bytes | memoryview) -> int:
    """The status that an answer reports."""
    status = payloads.unpack(payload).get("status", 0)
    assert isinstance(status, int)
    return status


def _identity(kind: str) -> Identity:
    return Identity.create(kind, kind, World(kind.encode()).environment().random, 1_700_000_000.0, False)


IDENTITIES = {"agent": _identity("host"), "device": _identity("device")}
