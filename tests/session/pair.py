"""A client and an agent session joined in memory, with a clock and randomness that the test holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from myclerk_protocol.agent_session import AgentSession
from myclerk_protocol.client_session import ClientSession
from myclerk_protocol.client_state import ClientState
from myclerk_protocol.environment import Environment
from myclerk_protocol.events import AgentEvent, ClientEvent, Registration, Request
from myclerk_protocol.exchange import Mode
from myclerk_protocol.handshake import Policy
from myclerk_protocol.mesh.profiles import Identity, ProfileKind, parse_profile, verify_agent, verify_client
from myclerk_protocol.records import SessionRecord, SessionRegistry


class World:
    """Time that passes only when told, and randomness that repeats from a seed."""

    def __init__(self, seed: bytes = b"world", wall: float = 1_800_000_000.0) -> None:
        self.wall = wall
        self.monotonic = 1000.0
        self._seed = seed
        self._drawn = 0

    def environment(self, name: bytes = b"") -> Environment:
        """An environment of this world; ``name`` keeps the randomness of two sides apart."""
        return Environment(lambda n: self._random(name, n), lambda: self.wall, lambda: self.monotonic)

    def _random(self, name: bytes, size: int) -> bytes:
        self._drawn += 1
        seed = self._seed + name + self._drawn.to_bytes(8, "big")
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


class AgentSide:
    """An agent that lives through many connections; requests are answered by ``serve``."""

    def __init__(self, world: World, policy: Policy | None = None) -> None:
        self.world = world
        self.environment = world.environment(b"agent")
        self.policy = policy or Policy()
        self.identity = IDENTITIES["agent"]
        self.ended: list[SessionRecord] = []
        self.registry = SessionRegistry(self.environment, self.policy, self.ended.append)
        self.executed: list[tuple[int, int, bytes]] = []
        self.serve: Callable[[Connection, Request], bytes | None] = lambda connection, request: b""

    def proof(self, transcript: bytes) -> Mapping[str, Any]:
        signature, _ = self.identity.agent_proof(transcript)
        return {
            "profile": self.identity.profile.raw,
            "signature": signature,
            "time": int(self.environment.wall()),
        }


class Connection:
    """One connection between a client state and an agent; messages move when pumped."""

    def __init__(
        self,
        agent: AgentSide,
        state: ClientState | None = None,
        policy: Policy | None = None,
        mode: Mode = Mode.HYBRID,
    ) -> None:
        self.agent_side = agent
        world = agent.world
        self.agent = AgentSession(agent.registry, agent.environment, agent.policy, agent.proof)
        self.client = ClientSession(
            world.environment(b"client"), Trust(IDENTITIES["device"], agent.identity), state, policy, mode
        )
        self.agent_events: list[AgentEvent] = []
        self.client_events: list[ClientEvent] = []
        self.on_request: Callable[[Request], None] | None = None
        self.client.start()

    def to_agent(self, messages: list[bytes] | None = None) -> None:
        """Deliver what the client has to say, or these messages."""
        for message in self.client.outbox.take() if messages is None else messages:
            for event in self.agent.receive(message):
                self.agent_events.append(event)
                self._handle(event)

    def to_client(self, messages: list[bytes] | None = None) -> None:
        """Deliver what the agent has to say, or these messages."""
        for message in self.agent.outbox.take() if messages is None else messages:
            self.client_events += self.client.receive(message)

    def pump(self) -> None:
        """Deliver until both sides are silent."""
        for _ in range(50):
            outgoing = self.client.outbox.take()
            self.to_agent(outgoing)
            incoming = self.agent.outbox.take()
            self.to_client(incoming)
            if not outgoing and not incoming:
                return
        raise AssertionError("the sessions talk without end")

    def cut(self) -> None:
        """The transport is lost; both sides notice, what was on its way is gone."""
        self.agent.end("cut", linger=True)
        self.agent_events += self.agent.take_events()
        self.client.end("cut", linger=True)
        self.client_events += self.client.take_events()
        self.agent.outbox.take()
        self.client.outbox.take()

    def tick(self) -> None:
        """Let both sides notice that time has passed."""
        self.agent_events += self.agent.tick()
        self.client_events += self.client.tick()

    def _handle(self, event: AgentEvent) -> None:
        if isinstance(event, Registration):
            device = IDENTITIES["device"]
            verify_client(
                device.profile.public_key,
                event.transcript,
                self.agent_side.identity.fingerprint,
                event.fields["signature"],
            )
            self.agent.accept(event, device.fingerprint, {})
        elif isinstance(event, Request):
            payload = bytes(event.payload)
            self.agent_side.executed.append((event.request_id, event.opcode, payload))
            answer = self.agent_side.serve(self, event)
            if answer is not None:
                self.agent.respond(event, answer)


def _identity(kind: str) -> Identity:
    return Identity.create(kind, kind, World(kind.encode()).environment().random, 1_700_000_000.0, False)


IDENTITIES = {"agent": _identity("host"), "device": _identity("device")}
